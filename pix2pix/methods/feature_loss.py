"""What a frozen backbone says of an image: how far it is from a content, and how far from a style.

L_content = sum_l d(F_l, P_l) and L_style = sum_l w_l E_l (Gatys, Ecker, Bethge 2016, equations 1 and 5), with any of
the distances in losses/. Each layer's loss is counted in units of that between two pictures that have nothing to do
with each other: 1 is as far away as any other picture. So layers weigh the same, with any backbone and any loss.
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

Features = Mapping[str, Tensor]
Units = Mapping[str, Tensor]  # by layer: the loss between two pictures that have nothing to do with each other

_EXAMPLES = 4  # generated pictures that rescaling and units are measured on where there are no others
EXAMPLE_SIDE = 256


class StyleTarget(NamedTuple):
    """A style to be met: its statistics and units by layer, its weight among others, and the region that it is for."""

    statistics: Mapping[str, Statistics]
    units: Units
    weight: float = 1.0
    region: Tensor | None = None  # (1, 1, H, W) in [0, 1], of the image that is to have the style


class FeatureLoss:
    """The content and style losses of some layers of a backbone; layers () turn one off, None takes the usual."""

    def __init__(self, options: FeatureOptions, runtime: Runtime, seed: int = 0):
        self.options, self.runtime = options, runtime
        given = options.content_layers
        self.content_layers = default_content_layers(options.backbone) if given is None else given
        style_layers = get_style_layers(options)
        weights = options.style_layer_weights or (1.0,) * len(style_layers)
        self.style_layers = dict(zip(style_layers, weights, strict=True))
        self._loss = get_style_loss(options.style_loss, options.mmd_kernel)
        layers = tuple(dict.fromkeys([*self.content_layers, *self.style_layers]))
        extractor = FeatureExtractor(
            options.backbone,
            layers,
            options.weights,
            flavour=options.weights_flavour,
            pooling=options.pooling,
            padding=options.padding,
            seed=seed,
        )
        if options.is_rescaled:
            extractor.rescale(_examples(options.rescale_on))
        self.extractor = runtime.prepare(extractor)
        self.description = {
            "backbone": options.backbone,
            "weights": extractor.source,
            "weights_sha256": extractor.sha256,
            "content_layers": ",".join(self.content_layers),
            "style_layers": ",".join(self.style_layers),
        }

    def check_crop(self, size: tuple[int, int]) -> None:
        """Refuse crops that are too small for the layers.

        Raises:
            UserError: they are.
        """
        smallest = self.extractor.smallest_side
        if min(size) < smallest:
            raise UserError(
                f"--crop_size {size[0]}x{size[1]} is too small for the layers, which need {smallest}x{smallest}: "
                "choose a larger one, or name earlier layers"
            )

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Return the features of images (N, 3, H, W) in [-1, 1] by layer, smoothed if that is wished (SWAG)."""
        features: dict[str, Tensor] = self.extractor(image)
        if not self.options.smoothing:
            return features
        return {layer: softmax_smoothing(x, self.options.temperature) for layer, x in features.items()}

    def content_loss(self, features: Features, target: Features, units: Units | None = None) -> Tensor:
        """Return the mean over the content layers of the feature reconstruction loss: in units, or raw."""
        losses = {layer: feature_reconstruction(features[layer], target[layer]) for layer in self.content_layers}
        return _mean({layer: loss / units[layer] if units else loss for layer, loss in losses.items()})

    def style_loss(self, features: Features, styles: Sequence[StyleTarget]) -> Tensor:
        """Return the weighted mean over layers of the losses to all styles, each by its own weight."""
        losses = []
        for style in styles:
            by_layer = self._distances(features, style.statistics, style.region)
            in_units = {layer: loss / style.units[layer] if style.units else loss for layer, loss in by_layer.items()}
            losses.append(style.weight * _mean(in_units, self.style_layers))
        return torch.stack(losses).sum()

    @torch.no_grad()
    def content_units(self, features: Features, others: Features) -> dict[str, Tensor]:
        """Return each content layer's loss between pictures that have nothing to do with each other; {} if unwanted."""
        if not self.options.units:
            return {}
        return {layer: _unit(feature_reconstruction(others[layer], features[layer])) for layer in self.content_layers}

    @torch.no_grad()
    def style(
        self,
        features: Features,
        others: Features,
        *,
        weight: float = 1.0,
        mask: Tensor | None = None,
        region: Tensor | None = None,
    ) -> StyleTarget:
        """Return the style of these features, in units of the loss that `others`, of any other picture, have to it.

        `mask` (1, 1, H, W) in [0, 1] tells the part of its picture that shows the style, `region` that of an image
        which is to have it, and of `others`.
        """
        statistics = self.statistics(features, mask)
        units = self._distances(others, statistics, region) if self.options.units else {}
        return StyleTarget(statistics, {layer: _unit(unit) for layer, unit in units.items()}, weight, region)

    def statistics(self, features: Features, mask: Tensor | None = None) -> dict[str, Statistics]:
        """Return what the style loss remembers of these features, by layer."""
        return {
            layer: self._loss.statistics(features[layer], _sized(mask, features[layer])) for layer in self.style_layers
        }

    def _distances(
        self, features: Features, statistics: Mapping[str, Statistics], region: Tensor | None
    ) -> dict[str, Tensor]:
        return {
            layer: self._loss.distance(features[layer], statistics[layer], _sized(region, features[layer]))
            for layer in self.style_layers
        }


def get_style_layers(options: FeatureOptions) -> tuple[str, ...]:
    """Return the style layers given, or else the backbone's; patches are compared where they show parts of things."""
    if options.style_layers is not None:
        return options.style_layers
    layers = default_style_layers(options.backbone)
    return layers[2:4] if options.style_loss == "mrf" else layers


@torch.no_grad()
def measure_general_units(
    objective: FeatureLoss, size: tuple[int, int] = (EXAMPLE_SIDE, EXAMPLE_SIDE), pictures: Tensor | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the units of content and style for images yet unknown: means over pairs of pictures (N, 3, H, W).

    Without pictures these are generated ones, see `example_features`. {} if unwanted.
    """
    if not objective.options.units:
        return {}, {}
    if pictures is None:
        features = compute_example_features(objective, size)
    else:
        features = objective.features(objective.runtime.to_device(pictures))
    others = roll_batch(features)
    return objective.content_units(features, others), dict(objective.style(features, others).units)


@torch.no_grad()
def compute_example_features(
    objective: FeatureLoss, size: tuple[int, int] = (EXAMPLE_SIDE, EXAMPLE_SIDE)
) -> dict[str, Tensor]:
    """Return the features of a few generated pictures, of `size` at most: what is trained on crops needs no larger."""
    return objective.features(objective.runtime.to_device(_examples(None, size)))


def load_first_images(folder: str, size: tuple[int, int]) -> Tensor | None:
    """Return the first pictures of a folder that can be read, squeezed to one size; None if there are not two."""
    sound: list[Tensor] = []
    for file in find_images(folder) if Path(folder).is_dir() else ():
        try:
            sound.append(F.interpolate(read_rgb(file)[None], size, mode="bicubic", antialias=True))
        except ImageError:
            continue  # told of, or left out, where the data is looked through
        if len(sound) == _EXAMPLES:
            break
    return torch.cat(sound).clamp(-1, 1) if len(sound) > 1 else None


def roll_batch(features: Features) -> dict[str, Tensor]:
    """Return the features (N, C, H, W) with those of another picture in the place of each."""
    return {layer: x.roll(1, dims=0) for layer, x in features.items()}


def _examples(folder: str | None, size: tuple[int, int] = (EXAMPLE_SIDE, EXAMPLE_SIDE)) -> Tensor:
    """Return images (N, 3, H, W) in [-1, 1]: generated ones, or the first of a folder, squeezed to one size."""
    if folder is None:
        height, width = (min(max(side, SMALLEST), EXAMPLE_SIDE) for side in size)
        return torch.stack([to_tensor(generate(0, index, (height, width))[0]) for index in range(_EXAMPLES)])
    files = find_images(Path(folder))[: 4 * _EXAMPLES]
    if not files:
        raise UserError(f"--rescale_on {format_path(Path(folder))}: no images there; a folder of pictures is needed")
    pictures = [read_rgb(file)[None] for file in files]
    return torch.cat([F.interpolate(x, (EXAMPLE_SIDE, EXAMPLE_SIDE), mode="bicubic", antialias=True) for x in pictures])


def _sized(mask: Tensor | None, features: Tensor) -> Tensor | None:
    return None if mask is None else F.adaptive_avg_pool2d(mask, (features.shape[-2], features.shape[-1]))


def _mean(losses: Mapping[str, Tensor], weights: Mapping[str, float] | None = None) -> Tensor:
    weights = weights or dict.fromkeys(losses, 1.0)
    return sum((weights[layer] * loss for layer, loss in losses.items()), torch.zeros(())) / sum(weights.values())


def _unit(loss: Tensor) -> Tensor:
    """Return a loss as a unit; where two pictures do not differ, 1."""
    return torch.where(loss > 0, loss, torch.ones_like(loss))
