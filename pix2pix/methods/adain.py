"""Huang, Belongie: Arbitrary style transfer in real-time with adaptive instance normalization, 2017.

t = AdaIN(f(c), f(s))   (equation 9),   T(c, s) = g((1 - alpha) f(c) + alpha t)   (equation 14), where f is a frozen
VGG to relu4_1. The decoder g minimises L_c + lambda L_s (equation 11): L_c = |f(g(t)) - t| (equation 12), and L_s
compares means and deviations of layers up to relu4_1 (equation 13). Several styles are blended as in section 7.3.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pix2pix.config.style import AdainOptions
from pix2pix.data.arrays import pad_to_multiple, resize_to_height
from pix2pix.data.batch import ContentStyleBatch
from pix2pix.errors import UserError
from pix2pix.losses.precision import to_float32
from pix2pix.methods.base import Scalars, Styles, ValidationReport, translate_regions
from pix2pix.methods.feature_loss import FeatureLoss, StyleTarget, load_first_images, measure_general_units
from pix2pix.methods.perceptual_loss import sum_weighted_losses
from pix2pix.networks.adain_net import Decoder, Encoder
from pix2pix.networks.canvas import Canvas, TensorCanvas
from pix2pix.networks.init import initialize_weights
from pix2pix.networks.norm import AdaIN, adain_regions, channel_statistics
from pix2pix.networks.tiled import translate_tiled as translate_canvas
from pix2pix.runtime.device import Runtime

_DEEPEST = "relu4_1"


class Adain:
    """The encoder f, the decoder g, its optimiser and its update; without `training` both networks alone.

    `description` is that of a checkpoint that is about to be loaded.

    Raises:
        UserError: the encoder's weights cannot be used.
    """

    def __init__(
        self,
        options: AdainOptions,
        runtime: Runtime,
        description: Mapping[str, Any] | None = None,
        *,
        training: bool = True,
    ):
        self.options, self.runtime = options, runtime
        self.description: dict[str, Any] = dict(description or {})
        decoder, encoder = Decoder(), Encoder()
        if training:
            self.objective = FeatureLoss(options.features, runtime, options.run.seed)
            crop = options.data.crop_size
            self.objective.check_crop(crop)
            self.description |= {"method": "adain", "features": self.objective.description}
            self.description["units"] = self.description.get("units") or self._measured_units()  # a run keeps them
            self.content_units, self.style_units = (
                {layer: torch.tensor(unit, device=runtime.device) for layer, unit in units.items()}
                for units in self.description["units"]
            )
            encoder = Encoder.of(self.objective.extractor)
            initialize_weights(decoder, "kaiming", 1.0, torch.Generator().manual_seed(options.run.seed))
        self.multiple: int = encoder.multiple
        self.encoder = runtime.prepare(encoder, trained=not training)
        self.generator = runtime.prepare(decoder, trained=not training)
        self.networks: dict[str, nn.Module] = {"G": self.generator, "encoder": self.encoder}
        self.optimizers: dict[str, Optimizer] = {}
        if training:
            train = options.train
            self.optimizers["G"] = runtime.adam(decoder, train.lr, (train.beta1, train.beta2))
            self._step = runtime.record(self._update)

    @classmethod
    def restore(cls, options: AdainOptions, description: Mapping[str, Any], runtime: Runtime) -> Self:
        """Build it for weights that are about to be loaded, to translate."""
        return cls(options, runtime, description, training=False)

    def _measured_units(self) -> list[dict[str, float]]:
        """Return the units of content and style, by layer, as paintings of the training differ.

        Generated pictures are too much alike to say how far paintings are from photographs.
        """
        crop = self.options.data.crop_size
        units = measure_general_units(self.objective, crop, load_first_images(self.options.data.styles, crop))
        return [{layer: unit.item() for layer, unit in each.items()} for each in units]

    def training_step(self, batch: ContentStyleBatch) -> Scalars:
        """Update g on one batch."""
        return self._step(self.runtime.to_device(batch.content), self.runtime.to_device(batch.style))

    def _update(self, content: Tensor, style: Tensor) -> Scalars:
        """Update g; it never waits for the device, so that it can be recorded."""
        t, aim = self._aims(content, style)
        with self.runtime.autocast():
            output = self.generator(t)
        loss, parts = self._loss(output, t, aim)
        scalars = {f"loss/{name}": part for name, part in parts.items()} | {"loss/G": loss.detach()}
        scalars["grad_norm/G"] = self.runtime.update(self.optimizers["G"], loss, "loss/G")
        return scalars

    @torch.no_grad()
    def validation_step(self, batch: ContentStyleBatch) -> ValidationReport:
        """Paint a photograph in a style as test time does, and tell its losses."""
        content, style = self.runtime.to_device(batch.content), self.runtime.to_device(batch.style)
        output = self.translate(content, styles=Styles([style]))
        loss, parts = self._loss(output, *self._aims(content, style))
        scalars = {f"val/{name}": part for name, part in parts.items()} | {"val/loss": loss}
        row = [content, output, resize_to_height(style, content.shape[-2])]
        return ValidationReport(scalars, {"val/content | output | style": row})

    @torch.no_grad()
    def _aims(self, content: Tensor, style: Tensor) -> tuple[Tensor, StyleTarget]:
        """Return t of contents and styles (N, 3, H, W), and what the style loss compares with."""
        of_style = self.objective.features(style)
        t: Tensor = AdaIN(*channel_statistics(of_style[_DEEPEST]))(self.objective.features(content)[_DEEPEST])
        return t, StyleTarget(self.objective.statistics(of_style), self.style_units)

    def _loss(self, output: Tensor, t: Tensor, aim: StyleTarget) -> tuple[Tensor, Scalars]:
        """Return L_c + lambda L_s of what g made (N, 3, H, W), and its parts."""
        features = self.objective.features(to_float32(output))
        content_loss = self.objective.content_loss(features, {_DEEPEST: t}, self.content_units)
        style_loss = self.objective.style_loss(features, [aim])
        return sum_weighted_losses(self.options, content_loss, style_loss, output)

    @torch.inference_mode()
    def translate(self, image: Tensor, *, styles: Styles | None = None, name: str = "", sample: int = 0) -> Tensor:
        """Paint (N, 3, H, W) in [-1, 1] of any size in the style of a picture, a blend of several, or by region.

        Raises:
            UserError: no picture is given.
        """
        canvas = TensorCanvas(image.to(self.runtime.device), 3)
        self.translate_canvas(canvas, styles=styles, name=name, sample=sample)
        return canvas.output

    @torch.inference_mode()
    def translate_canvas(
        self, canvas: Canvas, *, styles: Styles | None = None, name: str = "", sample: int = 0
    ) -> None:
        """Do the same with an image that is read, and its painting that is written, by windows."""
        if styles is None or not styles.pictures:
            raise UserError("adain paints in the style of a picture: give one by --style, or several")
        test, device, layout = self.options.test, self.runtime.device, self.runtime.layout
        with self.runtime.autocast():
            means, stds = self._statistics(styles)
            if styles.masks:
                paint = partial(self._by_region, means=means, stds=stds, alpha=styles.alpha)
                translate_regions(paint, canvas, styles, self.multiple, self.runtime)
                return
            shares = torch.tensor(styles.shares(), device=device)
            blend = AdaIN(shares[None] @ means, shares[None] @ stds, styles.alpha)
            stages = self.encoder.stages()
            stages[-1] = stages[-1]._replace(after=(*stages[-1].after, blend))
            stages += self.generator.stages(len(stages))
            generator = nn.Sequential(self.encoder, blend, self.generator)
            translate_canvas(generator, stages, self.multiple, canvas, test.tile, device, layout)

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Let the rate fall as the authors' code does."""
        return self.options.train.lr / (1 + self.options.train.lr_decay * (step - 1))

    def _statistics(self, styles: Styles) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of the features of each style's picture, both (K, C)."""
        found = [channel_statistics(self.encoder(self._seen(picture))) for picture in styles.pictures]
        return torch.cat([mean for mean, _ in found]), torch.cat([std for _, std in found])

    def _seen(self, picture: Tensor) -> Tensor:
        return pad_to_multiple(self.runtime.to_device(picture), self.multiple)[0]

    def _by_region(self, image: Tensor, masks: Tensor, *, means: Tensor, stds: Tensor, alpha: float) -> Tensor:
        features = self.encoder(image)
        here = torch.nn.functional.adaptive_avg_pool2d(masks, (features.shape[2], features.shape[3]))
        output: Tensor = self.generator(adain_regions(features, means, stds, here, alpha))
        return output
