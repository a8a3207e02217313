"""A segmenter: a U-Net of linear output that tells the class of each pixel of a photo.

min_G  E[ -log softmax(G(x))[class of y] ]  over the pixels y whose class is known and not ignored.
Trained on a set's real photos, it judges translated ones: the FCN-score of Isola et al. 2017, section 3.4, after
Long, Shelhamer, Darrell: Fully convolutional networks for semantic segmentation, 2015.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pix2pix.config.segmenter import SegmenterOptions
from pix2pix.data.batch import PairBatch
from pix2pix.data.codec import PairCodec
from pix2pix.data.labels import Palette, infer_palette, load_palette
from pix2pix.losses.pixel import IGNORED, cross_entropy
from pix2pix.methods.base import Scalars, Styles, ValidationReport, check_no_styles, load_codec
from pix2pix.networks.canvas import Canvas, TensorCanvas
from pix2pix.networks.init import build_generator, initialize_weights
from pix2pix.networks.norm import NormKind, eval_mode
from pix2pix.networks.tiled import translate_tiled as translate_canvas
from pix2pix.runtime.device import Runtime
from pix2pix.runtime.optim import linear_decay


def load_classes(options: SegmenterOptions, codec: PairCodec, description: Mapping[str, Any] | None = None) -> Palette:
    """Return the classes of a run: those that its checkpoint describes, else of the palette named, else of the labels.

    Raises:
        UserError: the palette named cannot be read.
    """
    if description is not None:
        names, colours, ignored = (description["palette"][name] for name in ("names", "colours", "ignored"))
        return Palette(tuple(names), tuple(map(tuple, colours)), tuple(ignored))
    if options.data.target_palette is not None:
        return load_palette(options.data.target_palette)
    return infer_palette(codec.target.palette)


class Segmenter:
    """A network G from photos to logits of a palette's classes, its optimiser and its update.

    Its translations are (N, K, H, W) in [-1, 1], as the encoding "classes" has it: twice the probability of each class,
    less one. Classes that the palette ignores have probability 0 everywhere. With `training` false there is no
    optimiser: for weights that are about to be loaded.
    """

    def __init__(
        self, options: SegmenterOptions, codec: PairCodec, runtime: Runtime, palette: Palette, *, training: bool = True
    ):
        self.options, self.codec, self.runtime, self.palette = options, codec, runtime, palette
        network, train = options.network, options.train
        generator = build_generator(
            network.generator,
            codec.source.nc,
            codec.target.nc,
            ngf=network.ngf,
            norm=network.norm,
            upsample=network.upsample,
            dropout=network.use_dropout,
            output="linear",
        )
        self.norm: NormKind = network.norm
        self.multiple: int = generator.multiple
        self._stages = generator.stages  # called when translating: norms may have been folded since
        self.generator: nn.Module = generator
        self.networks: dict[str, nn.Module] = {"G": generator}
        self.optimizers: dict[str, Optimizer] = {}
        if training:
            weights = torch.Generator().manual_seed(options.run.seed)
            initialize_weights(generator, network.init_type, network.init_gain, weights)
        runtime.prepare(generator, trained=not training)  # in place
        if training:
            self.optimizers["G"] = runtime.adam(generator, train.lr, (train.beta1, train.beta2))
        self._ignored = torch.tensor([name in palette.ignored for name in palette.names], device=runtime.device)
        self._step = runtime.record(self._update)
        self.description: dict[str, Any] = {
            "method": "segmenter",
            "input_nc": codec.source.nc,
            "output_nc": codec.target.nc,
            "norm": self.norm,
            "multiple": self.multiple,
            "source": codec.source.to_dict(),
            "target": codec.target.to_dict(),
            "direction": options.data.direction,
            "palette": {name: list(values) for name, values in palette._asdict().items()},
        }

    @classmethod
    def restore(cls, options: SegmenterOptions, description: Mapping[str, Any], runtime: Runtime) -> Self:
        """Build it for weights that are about to be loaded, to translate."""
        codec = load_codec(description)
        return cls(options, codec, runtime, load_classes(options, codec, description), training=False)

    def training_step(self, batch: PairBatch) -> Scalars:
        """Update G on one batch."""
        return self._step(self.runtime.to_device(batch.source), self.runtime.to_device(batch.target))

    def _update(self, x: Tensor, y: Tensor) -> Scalars:
        """Update G; it never waits for the device, so that it can be recorded."""
        with self.runtime.autocast():
            logits = self._masked(self.generator(x))
        truth = self._classes(y)
        loss = cross_entropy(logits, truth)
        scalars = {"loss/G": loss.detach(), "G/pixel_accuracy": _accuracy(logits.detach(), truth)}
        scalars["grad_norm/G"] = self.runtime.update(self.optimizers["G"], loss, "loss/G")
        return scalars

    @torch.no_grad()
    def validation_step(self, batch: PairBatch) -> ValidationReport:
        """Tell the classes of a photo as test time does and compare them with the labels."""
        x, y = batch.source, batch.target
        canvas = TensorCanvas(x.to(self.runtime.device), self.codec.target.nc)
        self._write_logits(canvas)
        logits, truth = self._masked(canvas.output).cpu(), self._classes(y.to(self.runtime.device)).cpu()
        scalars = {"val/loss": cross_entropy(logits, truth), "val/pixel_accuracy": _accuracy(logits, truth)}
        source, target = self.codec
        row = [source.picture(x, x), target.picture(_probabilities(logits), x), target.picture(y, x)]
        return ValidationReport(scalars, {"val/source | output | target": row})

    @torch.inference_mode()
    def translate(self, image: Tensor, *, styles: Styles | None = None, name: str = "", sample: int = 0) -> Tensor:
        """Tell the classes of photos (N, C, H, W) in [-1, 1] of any size; nothing is drawn by `name` or `sample`."""
        canvas = TensorCanvas(image.to(self.runtime.device), self.codec.target.nc)
        self.translate_canvas(canvas, styles=styles, name=name, sample=sample)
        return canvas.output

    @torch.inference_mode()
    def translate_canvas(
        self, canvas: Canvas, *, styles: Styles | None = None, name: str = "", sample: int = 0
    ) -> None:
        """Do the same with an image that is read, and its classes that are written, by windows."""
        check_no_styles("segmenter", styles)
        self._write_logits(_Probable(canvas, self._masked))

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Keep the rate constant, then let it fall linearly; the last step still has a rate above 0."""
        train = self.options.train
        if train.lr_policy == "constant":
            return train.lr
        return train.lr * linear_decay(step, total_steps, train.n_epochs / (train.n_epochs + train.n_epochs_decay))

    @torch.inference_mode()
    def _write_logits(self, canvas: Canvas) -> None:
        statistics = self.options.test.statistics_of(self.options.network.norm)
        tile, device, layout = self.options.test.tile, self.runtime.device, self.runtime.layout
        with eval_mode(self.generator, statistics=statistics, dropout=False), self.runtime.autocast():
            translate_canvas(self.generator, self._stages(), self.multiple, canvas, tile, device, layout)

    def _masked(self, logits: Tensor) -> Tensor:
        """Leave ignored classes no chance; in float32."""
        return logits.float().masked_fill(self._ignored[:, None, None], -torch.inf)

    def _classes(self, y: Tensor) -> Tensor:
        """Return the classes (N, H, W) of label maps, and IGNORED where they are of none, or of one that is."""
        highest, classes = y.max(dim=1)
        return classes.masked_fill((highest < 0) | self._ignored[classes], IGNORED)


class _Probable:
    """A canvas whose translation is made of logits."""

    def __init__(self, canvas: Canvas, masked: Callable[[Tensor], Tensor]):
        self.canvas, self._masked = canvas, masked
        self.size, self.count, self.is_in_memory = canvas.size, canvas.count, canvas.is_in_memory
        self.read = canvas.read

    def write(self, rows: slice, columns: slice, logits: Tensor) -> None:
        """Put a window of the translation in its place."""
        self.canvas.write(rows, columns, _probabilities(self._masked(logits)))


def _probabilities(logits: Tensor) -> Tensor:
    """Return the probabilities of the classes (N, K, H, W), 0 being -1."""
    return logits.softmax(dim=1) * 2 - 1


def _accuracy(logits: Tensor, truth: Tensor) -> Tensor:
    """Share of the pixels with a class that is the likeliest; 0 if there are none."""
    return (logits.argmax(dim=1) == truth).sum() / (truth != IGNORED).sum().clamp_min(1)
