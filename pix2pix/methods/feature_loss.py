"""Content and style losses on the features of a frozen backbone.

L_content = sum_l d(F_l, P_l) and L_style = sum_l w_l E_l (Gatys, Ecker, Bethge 2016, equations 1 and 5), with any of
the distances in losses/. By default each layer's loss is normalized: divided by its baseline, the loss between two
unrelated images. A normalized loss of 1 is thus that of an unrelated image, and layers weigh the same for any
backbone and any distance.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pix2pix.config.backbones import default_content_layers, default_style_layers
from pix2pix.config.losses import FeatureOptions
from pix2pix.data.arrays import to_tensor
from pix2pix.data.codec import read_rgb
from pix2pix.data.generated import SMALLEST, generate
from pix2pix.data.io import find_images
from pix2pix.errors import ImageError, UserError, format_path
from pix2pix.losses.perceptual import feature_reconstruction
from pix2pix.losses.style import Statistics, get_style_loss
from pix2pix.losses.swag import softmax_smoothing
from pix2pix.networks.feature_extractor import FeatureExtractor
from pix2pix.runtime.device import Runtime

Features = Mapping[str, Tensor]  # (N, C, H, W) by layer
Baselines = Mapping[str, Tensor]  # by layer: the loss between two unrelated images; empty: losses are not normalized

_EXAMPLES = 4  # images on which features are rescaled and baselines measured
EXAMPLE_SIDE = 256


class StyleTarget(NamedTuple):
    """A style to match: statistics and baselines by layer, its weight among several, and the region that gets it."""

    statistics: Mapping[str, Statistics]
    baselines: Baselines
    weight: float = 1.0
    region: Tensor | None = None  # (1, 1, H, W) in [0, 1], of the output


class FeatureLoss:
    """The content and the style loss of some layers of a backbone; layers () switch one off, None takes the default.

    Raises:
        UserError: the backbone's weights or layers cannot be used.
    """

    def __init__(self, options: FeatureOptions, runtime: Runtime, seed: int = 0):
        self.options, self.runtime = options, runtime
        content_layers, style_layers = options.content_layers, get_style_layers(options)
        self.content_layers = default_content_layers(options.backbone) if content_layers is None else content_layers
        weights = options.style_layer_weights or (1.0,) * len(style_layers)
        self.style_layers = dict(zip(style_layers, weights, strict=True))
        self._style_loss = get_style_loss(options.style_loss, options.mmd_kernel)
        layers = tuple(dict.fromkeys([*self.content_layers, *self.style_layers]))
        extractor = FeatureExtractor(
            options.backbone,
            layers,
            options.weights,
            weights_format=options.weights_format,
            pooling=options.pooling,
            padding=options.padding,
            seed=seed,
        )
        if options.is_rescaled:
            extractor.rescale(_load_examples(options.rescale_on))
        self.extractor = runtime.prepare(extractor)
        self.description = {
            "backbone": options.backbone,
            "weights": extractor.source,
            "weights_sha256": extractor.sha256,
            "content_layers": ",".join(self.content_layers),
            "style_layers": ",".join(self.style_layers),
        }

    def check_crop(self, size: tuple[int, int]) -> None:
        """Refuse a crop (height, width) that is too small for the layers.

        Raises:
            UserError: it is.
        """
        smallest = self.extractor.smallest_side
        if min(size) < smallest:
            raise UserError(
                f"--crop_size {size[0]}x{size[1]} is too small for the layers, which need {smallest}x{smallest}: "
                "choose a larger one, or name earlier layers"
            )

    def extract(self, image: Tensor) -> dict[str, Tensor]:
        """Return the features of images (N, 3, H, W) in [-1, 1] by layer, smoothed with --smoothing (SWAG)."""
        features: dict[str, Tensor] = self.extractor(image)
        if not self.options.smoothing:
            return features
        return {layer: softmax_smoothing(x, self.options.temperature) for layer, x in features.items()}

    def content_loss(self, features: Features, target: Features, baselines: Baselines) -> Tensor:
        """Return the mean over the content layers of the feature reconstruction loss, normalized by the baselines."""
        losses = {layer: feature_reconstruction(features[layer], target[layer]) for layer in self.content_layers}
        return _weighted_mean(_normalize(losses, baselines), dict.fromkeys(losses, 1.0))

    def style_loss(self, features: Features, styles: Sequence[StyleTarget]) -> Tensor:
        """Return the sum over styles of weight x the weighted mean over the style layers of the style loss."""
        losses = []
        for style in styles:
            distances = self._style_distances(features, style.statistics, style.region)
            losses.append(style.weight * _weighted_mean(_normalize(distances, style.baselines), self.style_layers))
        return torch.stack(losses).sum()

    @torch.no_grad()
    def content_baselines(self, features: Features, unrelated: Features) -> Baselines:
        """Return each content layer's loss between unrelated images; {} if losses are not normalized."""
        if not self.options.normalize_losses:
            return {}
        losses = {layer: feature_reconstruction(unrelated[layer], features[layer]) for layer in self.content_layers}
        return _replace_zeros(losses)

    @torch.no_grad()
    def style_target(
        self,
        features: Features,
        unrelated: Features,
        *,
        weight: float = 1.0,
        mask: Tensor | None = None,
        region: Tensor | None = None,
    ) -> StyleTarget:
        """Return the style of an image's features; its baselines are the losses of an unrelated image's features.

        `mask` (1, 1, H, W) in [0, 1] selects the part of the style image that shows the style; `region` the part of
        the output that gets it, and of the unrelated image.
        """
        statistics = self.compute_statistics(features, mask)
        losses = self._style_distances(unrelated, statistics, region) if self.options.normalize_losses else {}
        return StyleTarget(statistics, _replace_zeros(losses), weight, region)

    def compute_statistics(self, features: Features, mask: Tensor | None = None) -> dict[str, Statistics]:
        """Return the statistics of features that the style loss compares, by layer."""
        return {
            layer: self._style_loss.statistics(features[layer], _resize_mask(mask, features[layer]))
            for layer in self.style_layers
        }

    def _style_distances(
        self, features: Features, statistics: Mapping[str, Statistics], region: Tensor | None
    ) -> dict[str, Tensor]:
        return {
            layer: self._style_loss.distance(features[layer], statistics[layer], _resize_mask(region, features[layer]))
            for layer in self.style_layers
        }


def get_style_layers(options: FeatureOptions) -> tuple[str, ...]:
    """Return the style layers of the options, or the backbone's default; MRF takes the middle two of these."""
    if options.style_layers is not None:
        return options.style_layers
    layers = default_style_layers(options.backbone)
    return layers[2:4] if options.style_loss == "mrf" else layers


@torch.no_grad()
def measure_baselines(
    feature_loss: FeatureLoss, size: tuple[int, int], images: Tensor | None = None
) -> tuple[Baselines, Baselines]:
    """Return baselines of content and style for images that are not known yet: means over pairs of example images.

    These are `images` (N, 3, H, W) in [-1, 1], or generated ones of at most `size`. ({}, {}) if losses are not
    normalized.
    """
    if not feature_loss.options.normalize_losses:
        return {}, {}
    if images is None:
        features = extract_example_features(feature_loss, size)
    else:
        features = feature_loss.extract(feature_loss.runtime.to_device(images))
    unrelated = roll_batch(features)
    return (
        feature_loss.content_baselines(features, unrelated),
        feature_loss.style_target(features, unrelated).baselines,
    )


@torch.no_grad()
def extract_example_features(feature_loss: FeatureLoss, size: tuple[int, int]) -> dict[str, Tensor]:
    """Return the features of a few generated images of at most `size`."""
    return feature_loss.extract(feature_loss.runtime.to_device(_load_examples(None, size)))


def load_first_images(folder: str, size: tuple[int, int]) -> Tensor | None:
    """Return the first readable images of a folder, resized to one size (N, 3, H, W); None if there are not two."""
    images: list[Tensor] = []
    for file in find_images(folder) if Path(folder).is_dir() else ():
        try:
            images.append(F.interpolate(read_rgb(file)[None], size, mode="bicubic", antialias=True))
        except ImageError:
            continue  # reported or skipped where the dataset is validated
        if len(images) == _EXAMPLES:
            break
    return torch.cat(images).clamp(-1, 1) if len(images) > 1 else None


def roll_batch(features: Features) -> dict[str, Tensor]:
    """Return features (N, C, H, W) with each image's replaced by those of the image before it."""
    return {layer: x.roll(1, dims=0) for layer, x in features.items()}


def _load_examples(folder: str | None, size: tuple[int, int] = (EXAMPLE_SIDE, EXAMPLE_SIDE)) -> Tensor:
    """Return images (N, 3, H, W) in [-1, 1]: generated ones, or the first of a folder, resized to one size."""
    if folder is None:
        height, width = (min(max(side, SMALLEST), EXAMPLE_SIDE) for side in size)
        return torch.stack([to_tensor(generate(0, index, (height, width))[0]) for index in range(_EXAMPLES)])
    files = find_images(Path(folder))[: 4 * _EXAMPLES]
    if not files:
        raise UserError(f"--rescale_on {format_path(Path(folder))}: no images there; a folder of images is needed")
    images = [read_rgb(file)[None] for file in files]
    return torch.cat([F.interpolate(x, (EXAMPLE_SIDE, EXAMPLE_SIDE), mode="bicubic", antialias=True) for x in images])


def _resize_mask(mask: Tensor | None, features: Tensor) -> Tensor | None:
    return None if mask is None else F.adaptive_avg_pool2d(mask, (features.shape[-2], features.shape[-1]))


def _normalize(losses: Mapping[str, Tensor], baselines: Baselines) -> Mapping[str, Tensor]:
    return {layer: loss / baselines[layer] for layer, loss in losses.items()} if baselines else losses


def _weighted_mean(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    return sum((weights[layer] * loss for layer, loss in losses.items()), torch.zeros(())) / sum(weights.values())


def _replace_zeros(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return losses as baselines: 1 where the two images do not differ."""
    return {layer: torch.where(loss > 0, loss, torch.ones_like(loss)) for layer, loss in losses.items()}
