"""Huang, Belongie: Arbitrary style transfer in real-time with adaptive instance normalization, 2017.

t = AdaIN(f(c), f(s))   (equation 9),   T(c, s) = g((1 - alpha) f(c) + alpha t)   (equation 14), where f is a frozen
VGG up to relu4_1. The decoder g minimizes L_c + lambda L_s (equation 11): L_c = |f(g(t)) - t| (equation 12), and L_s
compares means and deviations of the layers up to relu4_1 (equation 13). Styles are blended as in section 7.3.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.optim import Optimizer

from pix2pix.config.style import AdainOptions
from pix2pix.data.arrays import pad_to_multiple, resize_to_height
from pix2pix.data.batch import ContentStyleBatch
from pix2pix.errors import UserError
from pix2pix.losses.precision import to_float32
from pix2pix.methods.base import Scalars, Styles, Translation, ValidationReport, add_prefix, sum_losses, translate
from pix2pix.methods.feature_loss import FeatureLoss, StyleTarget, load_first_images, measure_baselines
from pix2pix.methods.style_network_loss import weight_losses
from pix2pix.networks.adain_net import Decoder, Encoder
from pix2pix.networks.init import initialize_weights
from pix2pix.networks.norm import AdaIN, Statistics, adain_regions, channel_statistics
from pix2pix.runtime.cuda_graph import recordable
from pix2pix.runtime.device import Runtime

_DEEPEST = "relu4_1"


class Adain:
    """The encoder f, the decoder g, its optimizer and its update; without `training` both networks alone.

    `description` is that of a checkpoint whose weights are about to be loaded.

    Raises:
        UserError: the encoder's weights cannot be used.
    """

    output_nc = 3
    statistics: Statistics = "image"
    dropout = False

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
            self.feature_loss = FeatureLoss(options.features, runtime, options.run.seed)
            self.feature_loss.check_crop(options.data.crop_size)
            self.description |= {"method": "adain", "features": self.feature_loss.description}
            # measured once a run: a resumed one has them
            self.description["units"] = self.description.get("units") or self._measure_baselines()
            self.content_baselines, self.style_baselines = (
                {layer: torch.tensor(loss, device=runtime.device) for layer, loss in baselines.items()}
                for baselines in self.description["units"]
            )
            encoder = Encoder.of(self.feature_loss.extractor)
            initialize_weights(decoder, "kaiming", 1.0, torch.Generator().manual_seed(options.run.seed))
        self.multiple: int = encoder.multiple
        self.encoder = runtime.prepare(encoder, trained=not training)
        self.generator = runtime.prepare(decoder, trained=not training)
        self.networks: dict[str, nn.Module] = {"G": self.generator, "encoder": self.encoder}
        self.optimizers: dict[str, Optimizer] = {}
        if training:
            train = options.train
            self.optimizers["G"] = runtime.adam(decoder, train.lr, (train.beta1, train.beta2))

    def _measure_baselines(self) -> list[dict[str, float]]:
        """Return the baselines of content and style by layer, measured on style images.

        Generated images are too similar to each other to give the typical distance of a style image from a photo.
        """
        crop = self.options.data.crop_size
        images = load_first_images(self.options.data.styles, crop)
        measured = measure_baselines(self.feature_loss, crop, images)
        return [{layer: loss.item() for layer, loss in baselines.items()} for baselines in measured]

    @recordable
    def training_step(self, batch: ContentStyleBatch) -> Scalars:
        """Update g on one batch of photos and style images."""
        content, style = self.runtime.to_device(batch.content), self.runtime.to_device(batch.style)
        t, target = self._encode_targets(content, style)
        with self.runtime.autocast():
            output = self.generator(t)
        loss, values = self._loss(output, t, target)
        norm = self.runtime.update(self.optimizers["G"], loss, "loss/G")
        return add_prefix("loss", values | {"G": loss}) | {"grad_norm/G": norm}

    @torch.no_grad()
    def validation_step(self, batch: ContentStyleBatch) -> ValidationReport:
        """Stylize a photo as at test time, and compute its losses."""
        content, style = self.runtime.to_device(batch.content), self.runtime.to_device(batch.style)
        output = translate(self, content, styles=Styles([style]))
        loss, values = self._loss(output, *self._encode_targets(content, style))
        row = [content, output, resize_to_height(style, content.shape[-2])]
        return ValidationReport(add_prefix("val", values | {"loss": loss}), {"val/content | output | style": row})

    @torch.no_grad()
    def _encode_targets(self, content: Tensor, style: Tensor) -> tuple[Tensor, StyleTarget]:
        """Return t (equation 9) of contents and styles (N, 3, H, W), and the statistics of the styles."""
        features = self.feature_loss.extract(style)
        t: Tensor = AdaIN(*channel_statistics(features[_DEEPEST]))(self.feature_loss.extract(content)[_DEEPEST])
        return t, StyleTarget(self.feature_loss.compute_statistics(features), self.style_baselines)

    def _loss(self, output: Tensor, t: Tensor, target: StyleTarget) -> tuple[Tensor, Scalars]:
        """Return L_c + lambda L_s (equation 11) of outputs (N, 3, H, W), and the values of both."""
        features = self.feature_loss.extract(to_float32(output))
        content_loss = self.feature_loss.content_loss(features, {_DEEPEST: t}, self.content_baselines)
        style_loss = self.feature_loss.style_loss(features, [target])
        return sum_losses(weight_losses(self.options, content_loss, style_loss, output))

    def translation(self, styles: Styles | None) -> Translation:
        """Return T in the style of an image, a blend of several, or several by region.

        Raises:
            UserError: no style image is given.
        """
        if styles is None or not styles.images:
            raise UserError("adain needs an image for its style: give one with --style, or several")
        encoded = [self.encoder(pad_to_multiple(self.runtime.to_device(x), self.multiple)[0]) for x in styles.images]
        means, stds = (torch.cat(parts) for parts in zip(*map(channel_statistics, encoded), strict=True))  # (K, C) each
        weights = torch.tensor(styles.normalized_weights(), device=self.runtime.device)
        blend = AdaIN(weights[None] @ means, weights[None] @ stds, styles.alpha)
        stages = self.encoder.stages()
        stages[-1] = stages[-1]._replace(after=(*stages[-1].after, blend))
        stages += self.generator.stages(len(stages))
        return Translation(
            nn.Sequential(self.encoder, blend, self.generator),
            stages,
            partial(self._stylize_regions, means=means, stds=stds, alpha=styles.alpha),
        )

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Decay the rate as the authors' code does."""
        return self.options.train.lr / (1 + self.options.train.lr_decay * (step - 1))

    def _stylize_regions(self, image: Tensor, masks: Tensor, *, means: Tensor, stds: Tensor, alpha: float) -> Tensor:
        """Apply each style where its mask (K, 1, H, W) is set."""
        features = self.encoder(image)
        masks = F.adaptive_avg_pool2d(masks, (features.shape[2], features.shape[3]))
        output: Tensor = self.generator(adain_regions(features, means, stds, masks, alpha))
        return output
