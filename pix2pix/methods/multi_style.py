"""Dumoulin, Shlens, Kudlur: A learned representation for artistic style, 2017.

One network T for N styles. The objective is Johnson's, with a random style for each image. All weights are shared,
except that each style has its own weight and bias in every instance norm, z = gamma_s (x - mu) / sigma + beta_s
(equation 5). A style is added by training its gamma and beta alone (section 3.2).
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pix2pix import checkpoint
from pix2pix.config.parse import load_stored_options
from pix2pix.config.style import MultiStyleOptions
from pix2pix.data.batch import PhotoBatch
from pix2pix.data.io import find_images
from pix2pix.errors import UserError, format_path
from pix2pix.methods.base import Scalars, Styles, Translation, ValidationReport, add_prefix, translate
from pix2pix.methods.style_network_loss import INIT_STD, StyleImage, StyleNetworkLoss, load_style_images
from pix2pix.networks.init import initialize_weights
from pix2pix.networks.norm import Statistics
from pix2pix.networks.transformer_net import TransformerNet, add_style, freeze_all_but_newest_style
from pix2pix.runtime.device import Runtime
from pix2pix.seeds import image_seed


class MultiStyle:
    """The network T, its loss, its optimizer and its update; without `training` the network alone.

    `description` is that of a checkpoint whose weights are about to be loaded.

    Raises:
        UserError: style images cannot be used, or the run of --init_from has another network.
    """

    output_nc = 3
    statistics: Statistics = "image"
    dropout = False

    def __init__(
        self,
        options: MultiStyleOptions,
        runtime: Runtime,
        description: Mapping[str, Any] | None = None,
        *,
        training: bool = True,
    ):
        self.options, self.runtime = options, runtime
        network, train, init_from = options.network, options.train, options.loss.init_from
        styles = _load_styles(options) if training else []
        initial = _load_initial_run(options) if init_from and training and description is None else None
        self.description: dict[str, Any] = dict(description or _describe_styles(styles, initial))
        self.count = len(self.description["styles"])

        generator = TransformerNet(ngf=network.ngf, blocks=network.blocks, styles=self.count, output=network.output)
        self.multiple: int = generator.multiple
        if training:
            initialize_weights(generator, "normal", INIT_STD, torch.Generator().manual_seed(options.run.seed))
        if initial:
            checkpoint.load_weights(generator, add_style(initial["ema"] or initial["networks"]["G"]), "G")
        if init_from:
            freeze_all_but_newest_style(generator)
        self.generator = runtime.prepare(generator, trained=not training)
        self.networks: dict[str, nn.Module] = {"G": self.generator}
        self.optimizers: dict[str, Optimizer] = {}

        if training:
            self.loss = StyleNetworkLoss(options, runtime, styles)
            self.optimizers["G"] = runtime.adam(self.generator, train.lr, (train.beta1, train.beta2))
            self.trained_styles = range(self.count - len(styles), self.count)
            sha256 = hashlib.sha256("".join(style.sha256 for style in styles).encode()).hexdigest()
            option = "add_style" if init_from else "styles"
            self.description["features"] = self.loss.description | {f"{option}_sha256": sha256}

    def training_step(self, batch: PhotoBatch) -> Scalars:
        """Update T, or the added style's gamma and beta, on one batch of photos, each with a random style."""
        x = self.runtime.to_device(batch.content)
        styles = torch.randint(len(self.trained_styles), (len(x),)).tolist()
        with self.runtime.autocast():
            y = self.generator(x, self._one_hot([self.trained_styles[style] for style in styles]))
        loss, values = self.loss(y, x, styles)
        norm = self.runtime.update(self.optimizers["G"], loss, "loss/G")
        return add_prefix("loss", values | {"G": loss}) | {"grad_norm/G": norm}

    @torch.no_grad()
    def validation_step(self, batch: PhotoBatch) -> ValidationReport:
        """Stylize a photo as at test time, in a style that depends on its name, and compute its losses."""
        x = self.runtime.to_device(batch.content)
        style = image_seed(0, batch.name[0], 0) % len(self.trained_styles)
        y = translate(self, x, styles=Styles(numbers=[self.trained_styles[style]]))
        loss, values = self.loss(y, x, [style] * len(x))
        row = [x, y, self.loss.style_thumbnail(style, x)]
        return ValidationReport(add_prefix("val", values | {"loss": loss}), {"val/content | output | style": row})

    def translation(self, styles: Styles | None) -> Translation:
        """Return T in one style, a blend of several, or several by region.

        Raises:
            UserError: no style is given, or a number is not that of a style.
        """
        if styles is None or not styles.numbers:
            raise UserError(f"no style is given: name one or more of {', '.join(self.description['styles'])}")
        if wrong := [number for number in styles.numbers if not 0 <= number < self.count]:
            raise UserError(f"style {wrong[0] + 1}: the styles have the numbers 1 to {self.count}")
        weights = torch.tensor(styles.normalized_weights(), device=self.runtime.device)
        blend = (weights[:, None] * self._one_hot(styles.numbers)).sum(dim=0, keepdim=True)  # (1, count)
        return Translation(
            partial(self.generator, shares=blend),
            self.generator.stages(blend),
            partial(self._stylize_regions, numbers=styles.numbers, blend=blend),
        )

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Keep the rate constant, as the paper does."""
        return self.options.train.lr

    def _one_hot(self, styles: Sequence[int]) -> Tensor:
        return torch.eye(self.count, device=self.runtime.device)[list(styles)]

    def _stylize_regions(self, image: Tensor, masks: Tensor, *, numbers: Sequence[int], blend: Tensor) -> Tensor:
        """Apply each style where its mask (K, 1, H, W) is set, and the blend of all elsewhere."""
        total = masks.sum(dim=0)
        shares = torch.einsum("khw,ks->shw", masks[:, 0] / total.clamp(min=1e-6), self._one_hot(numbers))
        shares = torch.where(total > 0, shares, blend[0, :, None, None])
        output: Tensor = self.generator(image, shares[None])
        return output


def _load_styles(options: MultiStyleOptions) -> list[StyleImage]:
    """Load the images of --styles, or the one of --add_style."""
    loss, longest = options.loss, options.loss.style_size or max(options.data.crop_size)
    if loss.add_style is not None:
        return load_style_images([Path(loss.add_style)], longest, options.data.max_pixels, "add_style")
    folder = Path(str(loss.styles))
    files = find_images(folder)
    if not files:
        raise UserError(f"--styles {format_path(folder)}: no images there; a folder of images is needed")
    styles = load_style_images(files, longest, options.data.max_pixels, "styles")
    names = [style.name for style in styles]
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"--styles: two images are named {format_path(duplicate)}; style names must differ: rename one")
    return styles


def _load_initial_run(options: MultiStyleOptions) -> dict[str, Any]:
    """Load the checkpoint of --init_from, to which a style is added.

    Raises:
        UserError: there is none, it is of another method or network, or it is that of this run.
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
            f"--init_from {format_path(folder)}: a run of --model multi_style is needed, not of {stored.model}"
        )
    if stored.network != options.network:
        needed = ", ".join(f"--{name} {value}" for name, value in stored.network.model_dump().items())
        raise UserError(f"--init_from {format_path(folder)}: its network has {needed}; give the same")
    return content


def _describe_styles(styles: Sequence[StyleImage], initial: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the names and thumbnails of the styles, after those of the run that they are added to."""
    names, thumbnails = [style.name for style in styles], [style.thumbnail() for style in styles]
    if initial:
        before = initial["description"]
        if names[0] in before["styles"]:
            raise UserError(f"--add_style: there is a style {format_path(names[0])} already: rename the image")
        names, thumbnails = [*before["styles"], *names], [*before["style_pictures"], *thumbnails]
    return {"method": "multi_style", "styles": names, "style_pictures": thumbnails}
