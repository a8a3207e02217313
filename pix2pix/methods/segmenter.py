"""A segmenter: a U-Net with linear output that predicts the class of each pixel of a photo.

min_G  E[ -log softmax(G(x))[class of y] ]  over the pixels y whose class is known and not ignored.
Trained on the real photos of a dataset, it scores translated ones: the FCN-score of Isola et al. 2017, section 3.4,
after Long, Shelhamer, Darrell: Fully convolutional networks for semantic segmentation, 2015.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pix2pix.config.segmenter import SegmenterOptions
from pix2pix.data.batch import PairBatch
from pix2pix.data.codec import PairCodec
from pix2pix.data.labels import Palette, infer_palette, load_palette
from pix2pix.losses.pixel import IGNORED, cross_entropy
from pix2pix.methods.base import (
    Scalars,
    Styles,
    Translation,
    ValidationReport,
    add_prefix,
    check_no_styles,
    load_codec,
    translate_canvas,
)
from pix2pix.networks.canvas import TensorCanvas
from pix2pix.networks.init import build_generator, initialize_weights
from pix2pix.networks.norm import NormKind
from pix2pix.runtime.cuda_graph import recordable
from pix2pix.runtime.device import Runtime
from pix2pix.runtime.optim import linear_decay


def load_classes(options: SegmenterOptions, codec: PairCodec, description: Mapping[str, Any]) -> Palette:
    """Return the classes of a run: those in its checkpoint, else of --target_palette, else the values of the labels.

    Raises:
        UserError: the palette cannot be read.
    """
    if "palette" in description:
        names, colors, ignored = (description["palette"][name] for name in ("names", "colours", "ignored"))
        return Palette(tuple(names), tuple(map(tuple, colors)), tuple(ignored))
    if options.data.target_palette is not None:
        return load_palette(options.data.target_palette)
    return infer_palette(codec.target.palette)


class Segmenter:
    """A network G from photos to logits of classes, its optimizer and its update.

    Its translations are (N, K, H, W) in [-1, 1], the encoding "classes": twice the probability of each class, minus 1.
    Ignored classes have probability 0. `description` holds the codec of the pairs: see `describe_codec`. With
    `training` false there is no optimizer: for weights that are about to be loaded.
    """

    dropout = False

    def __init__(
        self, options: SegmenterOptions, runtime: Runtime, description: Mapping[str, Any], *, training: bool = True
    ):
        self.options, self.runtime, self.codec = options, runtime, load_codec(description)
        self.palette = load_classes(options, self.codec, description)
        network, train = options.network, options.train
        self.norm: NormKind = network.norm
        self.statistics = options.test.resolve_norm_stats(network.norm)
        self.output_nc = self.codec.target.nc
        self.generator = build_generator(
            network.generator,
            self.codec.source.nc,
            self.output_nc,
            ngf=network.ngf,
            norm=network.norm,
            upsample=network.upsample,
            dropout=network.use_dropout,
            output="linear",
        )
        self.multiple: int = self.generator.multiple
        self.networks: dict[str, nn.Module] = {"G": self.generator}
        self.optimizers: dict[str, Optimizer] = {}
        if training:
            random = torch.Generator().manual_seed(options.run.seed)
            initialize_weights(self.generator, network.init_type, network.init_gain, random)
        runtime.prepare(self.generator, trained=not training)  # in place
        if training:
            self.optimizers["G"] = runtime.adam(self.generator, train.lr, (train.beta1, train.beta2))
        is_ignored = [name in self.palette.ignored for name in self.palette.names]
        self._is_ignored = torch.tensor(is_ignored, device=runtime.device)
        self.description = dict(description) | {
            "method": "segmenter",
            "norm": self.norm,
            "multiple": self.multiple,
            "direction": options.data.direction,
            "palette": self.palette.to_dict(),
        }

    @recordable
    def training_step(self, batch: PairBatch) -> Scalars:
        """Update G on one batch."""
        x, y = self.runtime.to_device(batch.source), self.runtime.to_device(batch.target)
        with self.runtime.autocast():
            logits = self._mask_ignored(self.generator(x))
        classes = self._to_classes(y)
        loss = cross_entropy(logits, classes)
        norm = self.runtime.update(self.optimizers["G"], loss, "loss/G")
        accuracy = _pixel_accuracy(logits.detach(), classes)
        return add_prefix("loss", {"G": loss}) | {"G/pixel_accuracy": accuracy, "grad_norm/G": norm}

    @torch.no_grad()
    def validation_step(self, batch: PairBatch) -> ValidationReport:
        """Predict the classes of a photo as at test time and compare them with the labels."""
        x, y = batch.source, batch.target
        canvas = TensorCanvas(x.to(self.runtime.device), self.output_nc)
        translate_canvas(self, canvas, translation=Translation(self.generator, self.generator.stages()))
        logits = self._mask_ignored(canvas.output).cpu()
        classes = self._to_classes(y.to(self.runtime.device)).cpu()
        scalars = {"loss": cross_entropy(logits, classes), "pixel_accuracy": _pixel_accuracy(logits, classes)}
        source, target = self.codec
        row = [source.picture(x, x), target.picture(_to_probabilities(logits), x), target.picture(y, x)]
        return ValidationReport(add_prefix("val", scalars), {"val/source | output | target": row})

    def translation(self, styles: Styles | None) -> Translation:
        """Return G followed by a softmax over the classes.

        Raises:
            UserError: styles are given.
        """
        check_no_styles("segmenter", styles)
        softmax = _Softmax(self._mask_ignored)
        stages = self.generator.stages()
        stages[-1] = stages[-1]._replace(after=(*stages[-1].after, softmax))
        return Translation(nn.Sequential(self.generator, softmax), stages)

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Keep the rate constant, then decay it linearly; the rate of the last step is above 0."""
        train = self.options.train
        if train.lr_policy == "constant":
            return train.lr
        return train.lr * linear_decay(step, total_steps, train.n_epochs / (train.n_epochs + train.n_epochs_decay))

    def _mask_ignored(self, logits: Tensor) -> Tensor:
        """Return logits (N, K, H, W) in float32, -inf for ignored classes."""
        return logits.float().masked_fill(self._is_ignored[:, None, None], -torch.inf)

    def _to_classes(self, y: Tensor) -> Tensor:
        """Return the classes (N, H, W) of label maps (N, K, H, W), IGNORED where there is none or an ignored one."""
        highest, classes = y.max(dim=1)
        return classes.masked_fill((highest < 0) | self._is_ignored[classes], IGNORED)


class _Softmax(nn.Module):
    """The last layer at test time: from logits (N, K, H, W) to probabilities in [-1, 1]."""

    def __init__(self, mask_ignored: Callable[[Tensor], Tensor]):
        super().__init__()
        self.mask_ignored = mask_ignored

    def forward(self, logits: Tensor) -> Tensor:
        """Return 2 p - 1."""
        return _to_probabilities(self.mask_ignored(logits))


def _to_probabilities(logits: Tensor) -> Tensor:
    return logits.softmax(dim=1) * 2 - 1


def _pixel_accuracy(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the share of the pixels with a class whose logit is the highest; 0 if no pixel has one."""
    return (logits.argmax(dim=1) == classes).sum() / (classes != IGNORED).sum().clamp_min(1)
