"""Dumoulin, Shlens, Kudlur: A learned representation for artistic style, 2017.

One network T paints in N styles: the objective is Johnson's, of a style drawn for each image; everything is shared
but the weight and bias of each style in every instance norm, z = gamma_s (x - mu) / sigma + beta_s (equation 5).
A further style is added by training its gamma and beta alone (section 3.2).
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pix2pix import checkpoint
from pix2pix.config.parse import load_stored_options
from pix2pix.config.style import MultiStyleOptions
from pix2pix.data.batch import PhotoBatch
from pix2pix.data.io import find_images
from pix2pix.errors import UserError, format_path
from pix2pix.methods.base import Scalars, Styles, ValidationReport, translate_regions
from pix2pix.methods.perceptual_loss import DEVIATION, StyleImage, StyleNetworkLoss, load_style_images
from pix2pix.networks.canvas import Canvas, TensorCanvas
from pix2pix.networks.init import initialize_weights
from pix2pix.networks.tiled import translate_tiled as translate_canvas
from pix2pix.networks.transformer_net import TransformerNet, add_style, freeze_all_but_newest_style
from pix2pix.runtime.device import Runtime
from pix2pix.seeds import image_seed


class MultiStyle:
    """The network T, its loss, its optimiser and its update; without `training` the network alone.

    `description` is that of a checkpoint that is about to be loaded.

    Raises:
        UserError: paintings cannot be used, or the run that is to get a style has another network.
    """

    def __init__(
        self,
        options: MultiStyleOptions,
        runtime: Runtime,
        description: Mapping[str, Any] | None = None,
        *,
        training: bool = True,
    ):
        self.options, self.runtime = options, runtime
        paintings = _paintings(options) if training else []
        former = _former(options) if options.loss.init_from and training and description is None else None
        self.description: dict[str, Any] = dict(description or _described(paintings, former))
        self.count = len(self.description["styles"])
        network = options.network
        stylizer = TransformerNet(ngf=network.ngf, blocks=network.blocks, styles=self.count, output=network.output)
        self.multiple: int = stylizer.multiple
        self._stages = stylizer.stages
        if training:
            initialize_weights(stylizer, "normal", DEVIATION, torch.Generator().manual_seed(options.run.seed))
        if former:
            checkpoint.load_weights(stylizer, add_style(former["ema"] or former["networks"]["G"]), "G")
        if options.loss.init_from:
            freeze_all_but_newest_style(stylizer)
        self.generator: nn.Module = runtime.prepare(stylizer, trained=not training)
        self.networks: dict[str, nn.Module] = {"G": self.generator}
        self.optimizers: dict[str, Optimizer] = {}
        if training:
            self._begin(paintings)

    @classmethod
    def restore(cls, options: MultiStyleOptions, description: Mapping[str, Any], runtime: Runtime) -> Self:
        """Build it for weights that are about to be loaded, to translate."""
        return cls(options, runtime, description, training=False)

    def _begin(self, paintings: Sequence[StyleImage]) -> None:
        """Make what training needs."""
        train = self.options.train
        self.loss = StyleNetworkLoss(self.options, self.runtime, paintings)
        self.optimizers["G"] = self.runtime.adam(self.generator, train.lr, (train.beta1, train.beta2))
        self.learnt = range(self.count - len(paintings), self.count)  # the numbers of the paintings' styles
        sha256 = hashlib.sha256("".join(painting.sha256 for painting in paintings).encode()).hexdigest()
        option = "add_style" if self.options.loss.init_from else "styles"
        self.description["features"] = self.loss.description | {f"{option}_sha256": sha256}

    def training_step(self, batch: PhotoBatch) -> Scalars:
        """Update T, or the newest style's gamma and beta, on one batch, with a style drawn for each photograph."""
        x = self.runtime.to_device(batch.content)
        drawn = torch.randint(len(self.learnt), (len(x),)).tolist()
        with self.runtime.autocast():
            y = self.generator(x, self._one_hot([self.learnt[style] for style in drawn]))
        loss, parts = self.loss(y, x, drawn)
        scalars = {f"loss/{name}": part for name, part in parts.items()} | {"loss/G": loss.detach()}
        scalars["grad_norm/G"] = self.runtime.update(self.optimizers["G"], loss, "loss/G")
        return scalars

    @torch.no_grad()
    def validation_step(self, batch: PhotoBatch) -> ValidationReport:
        """Paint a photograph in a style chosen by its name, as test time does, and tell its losses."""
        x = self.runtime.to_device(batch.content)
        style = image_seed(0, batch.name[0], 0) % len(self.learnt)
        y = self.translate(x, styles=Styles(numbers=[self.learnt[style]]))
        loss, parts = self.loss(y, x, [style] * len(x))
        scalars = {f"val/{name}": part for name, part in parts.items()} | {"val/loss": loss}
        return ValidationReport(scalars, {"val/content | output | style": [x, y, self.loss.shown(style, x)]})

    @torch.inference_mode()
    def translate(self, image: Tensor, *, styles: Styles | None = None, name: str = "", sample: int = 0) -> Tensor:
        """Paint (N, 3, H, W) in [-1, 1] of any size in one style, a blend of several, or in several by region.

        Raises:
            UserError: no style is given, or one that there is not.
        """
        canvas = TensorCanvas(image.to(self.runtime.device), 3)
        self.translate_canvas(canvas, styles=styles, name=name, sample=sample)
        return canvas.output

    @torch.inference_mode()
    def translate_canvas(
        self, canvas: Canvas, *, styles: Styles | None = None, name: str = "", sample: int = 0
    ) -> None:
        """Do the same with an image that is read, and its painting that is written, by windows."""
        shares = self._shares(styles)
        test, device, layout = self.options.test, self.runtime.device, self.runtime.layout
        with self.runtime.autocast():
            if styles is not None and styles.masks:
                by_region = partial(self._by_region, numbers=styles.numbers, elsewhere=shares)
                translate_regions(by_region, canvas, styles, self.multiple, self.runtime)
                return
            generator = partial(self.generator, shares=shares)
            translate_canvas(generator, self._stages(shares), self.multiple, canvas, test.tile, device, layout)

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Keep the rate constant, as the paper does."""
        return self.options.train.lr

    def _one_hot(self, styles: Sequence[int]) -> Tensor:
        return torch.eye(self.count, device=self.runtime.device)[list(styles)]

    def _shares(self, styles: Styles | None) -> Tensor:
        """Return the share of every style that there is, (1, styles)."""
        if styles is None or not styles.numbers:
            raise UserError(f"no style is given: name one or more of {', '.join(self.description['styles'])}")
        if wrong := [number for number in styles.numbers if not 0 <= number < self.count]:
            raise UserError(f"style {wrong[0] + 1}: the styles have the numbers 1 to {self.count}")
        weights = torch.tensor(styles.shares(), device=self.runtime.device)
        return (weights[:, None] * self._one_hot(styles.numbers)).sum(dim=0, keepdim=True)

    def _by_region(self, image: Tensor, masks: Tensor, *, numbers: Sequence[int], elsewhere: Tensor) -> Tensor:
        """Paint where each mask (K, 1, H, W) is in the style of its number, and elsewhere in the blend of all."""
        total = masks.sum(dim=0)
        shares = torch.einsum("khw,ks->shw", masks[:, 0] / total.clamp(min=1e-6), self._one_hot(numbers))
        shares = torch.where(total > 0, shares, elsewhere[0, :, None, None])
        output: Tensor = self.generator(image, shares[None])
        return output


def _paintings(options: MultiStyleOptions) -> list[StyleImage]:
    loss, longest = options.loss, options.loss.style_size or max(options.data.crop_size)
    if loss.add_style is not None:
        return load_style_images([Path(loss.add_style)], longest, options.data.max_pixels, "add_style")
    folder = Path(str(loss.styles))
    files = find_images(folder)
    if not files:
        raise UserError(f"--styles {format_path(folder)}: no images there; a folder of pictures is needed")
    paintings = load_style_images(files, longest, options.data.max_pixels, "styles")
    names = [painting.name for painting in paintings]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(
            f"--styles: two pictures are named {format_path(twice)}, and styles go by their names: rename one"
        )
    return paintings


def _former(options: MultiStyleOptions) -> dict[str, Any]:
    """Read the run that is to get one more style.

    Raises:
        UserError: there is none, or it is of another method or network, or is the run that begins.
    """
    folder, run = Path(str(options.loss.init_from)), options.run
    if folder.resolve() == Path(run.checkpoints_dir, run.name).resolve():
        raise UserError(f"--init_from {format_path(folder)} is the run itself: choose another --name")
    if not folder.is_dir():
        raise UserError(f"--init_from {format_path(folder)}: no such folder; a run is needed: checkpoints/NAME")
    content = checkpoint.load_file(checkpoint.resolve(folder, "latest"))
    stored = load_stored_options(content["options"], "the checkpoint's options")
    if not isinstance(stored, MultiStyleOptions):
        raise UserError(
            f"--init_from {format_path(folder)}: a run of --model conditional is needed, not of {stored.model}"
        )
    if stored.network != options.network:
        then = ", ".join(f"--{name} {value}" for name, value in stored.network.model_dump().items())
        raise UserError(f"--init_from {format_path(folder)}: its network has {then}: give the same")
    return content


def _described(paintings: Sequence[StyleImage], former: Mapping[str, Any] | None) -> dict[str, Any]:
    styles = [painting.name for painting in paintings]
    pictures = [painting.preview() for painting in paintings]
    if former:
        before = former["description"]
        if styles[0] in before["styles"]:
            raise UserError(f"--add_style: there is a style {format_path(styles[0])} already: rename the picture")
        styles, pictures = [*before["styles"], *styles], [*before["style_pictures"], *pictures]
    return {"method": "conditional", "styles": styles, "style_pictures": pictures}
