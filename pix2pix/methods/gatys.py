"""Gatys, Ecker, Bethge: Image style transfer using convolutional neural networks, 2016.

x* = arg min_x  alpha L_content(x, p) + beta L_style(x, a)   (equation 7), over the pixels of the image x.
Colors, regions and resolutions: Gatys et al., Controlling perceptual factors in neural style transfer, 2017.
With features smoothed by a softmax it is SWAG (Wang, Li, Vasconcelos 2021): see losses/swag.py.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pix2pix.config.gatys import GatysOptions
from pix2pix.config.losses import FeatureOptions
from pix2pix.data.color import keep_colors, luminance, match_colors
from pix2pix.losses.pixel import total_variation
from pix2pix.methods.base import WeightedLoss
from pix2pix.methods.feature_loss import FeatureLoss, Features, StyleTarget, get_style_layers
from pix2pix.methods.image_optimizer import HISTORY, ImageOptimizer
from pix2pix.networks.tiled import free_memory

_MEMORY_MARGIN = 1.5  # over what the backbone keeps for backward: targets, gradients, workspaces of convolutions
_NOISE_STD = 0.25


class OptimizationStep(NamedTuple):
    """The state after an iteration: its number from 1, of how many, its losses, and the image (1, 3, H, W)."""

    number: int
    total: int
    scalars: dict[str, float]
    image: Callable[[], Tensor]


class ContentAndStyles(NamedTuple):
    """The content (1, 3, H, W) and the styles, each (1, 3, H', W'), in [-1, 1].

    Masks (1, 1, H, W) in [0, 1], one for each style or none: which part of the content gets the style, and which part
    of the style image shows it.
    """

    content: Tensor
    styles: Sequence[Tensor]
    content_masks: Sequence[Tensor] = ()
    style_masks: Sequence[Tensor] = ()


def optimize_image(
    images: ContentAndStyles,
    feature_loss: FeatureLoss,
    options: GatysOptions,
    on_step: Callable[[OptimizationStep], None] = lambda step: None,
) -> Tensor:
    """Return the content (1, 3, H, W) in the style of the styles, in [-1, 1].

    Raises:
        NonFiniteError: the losses became NaN or infinite.
    """
    content = images.content
    mode = options.data.keep_colors
    if mode == "coral":
        images = images._replace(styles=[match_colors(style, content).clamp(-1, 1) for style in images.styles])
    elif mode == "luminance":
        light = luminance(content)
        styles = [match_colors(luminance(style), light) for style in images.styles]
        images = images._replace(content=_to_gray_rgb(light), styles=[_to_gray_rgb(style) for style in styles])
    output: Tensor | None = None
    for level in reversed(range(options.optimize.pyramid_levels)):  # coarse to fine
        output = _optimize_level(_resize_all(images, 0.5**level), output, feature_loss, options, on_step, level)
    assert output is not None
    return to_output_image(output, content, options)


def to_output_image(image: Tensor, content: Tensor, options: GatysOptions) -> Tensor:
    """Return an optimized image as output: in [-1, 1], of the content's size, with its colors if --keep_colors says so.

    Both are (1, 3, H, W); the image may be that of a coarser level, and exceed [-1, 1].
    """
    image = _resize(image.clamp(-1, 1), content.shape[-2:])
    return keep_colors(image, content.to(image.device)) if options.data.keep_colors == "luminance" else image


def _optimize_level(
    images: ContentAndStyles,
    start: Tensor | None,
    feature_loss: FeatureLoss,
    options: GatysOptions,
    on_step: Callable[[OptimizationStep], None],
    level: int,
) -> Tensor:
    """Minimize equation 7 at one resolution, starting from the image of the coarser one, or from --init."""
    size = images.content.shape[-2:]
    image = _initial_image(images, options) if start is None else _resize(start, size)
    image = feature_loss.runtime.to_device(image)
    feature_loss.extractor.checkpointed = _should_checkpoint(image, feature_loss, options)
    total, levels = options.optimize.iterations, options.optimize.pyramid_levels
    ends = [total * done // levels for done in range(levels + 1)]

    optimizer = ImageOptimizer(image, build_loss(images, feature_loss, options), options.optimize)
    for number in range(ends[-2 - level] + 1, ends[-1 - level] + 1):
        scalars, image = optimizer.step()
        on_step(OptimizationStep(number, total, scalars, partial(torch.clamp, image, -1, 1)))
    return optimizer.best


def build_loss(
    images: ContentAndStyles, feature_loss: FeatureLoss, options: GatysOptions
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return a function from an image to its losses; all that is constant is computed now."""
    to_device, weights = feature_loss.runtime.to_device, options.loss
    with torch.no_grad(), feature_loss.runtime.autocast():
        content = feature_loss.extract(to_device(images.content))
        style_features = [feature_loss.extract(to_device(style)) for style in images.styles]
        unrelated = feature_loss.extract(to_device(_resize(images.styles[0], images.content.shape[-2:])))
    baselines = feature_loss.content_baselines(content, unrelated)
    styles = _build_style_targets(feature_loss, content, style_features, images, options)
    content_target = {layer: content[layer] for layer in feature_loss.content_layers}

    def losses(image: Tensor) -> dict[str, Tensor]:
        with feature_loss.runtime.autocast():
            features = feature_loss.extract(image)
        terms: list[WeightedLoss] = []
        if content_target:
            loss = feature_loss.content_loss(features, content_target, baselines)
            terms.append(WeightedLoss("content", weights.content_weight, loss))
        if styles:
            terms.append(WeightedLoss("style", options.beta, feature_loss.style_loss(features, styles)))
        if weights.lambda_tv > 0:
            terms.append(WeightedLoss("tv", weights.lambda_tv, total_variation(image)))
        total = torch.stack([weight * value for _, weight, value in terms]).sum()
        return {"loss/total": total} | {f"loss/{name}": value.detach() for name, _, value in terms}

    return losses


def _build_style_targets(
    feature_loss: FeatureLoss,
    content: Features,
    styles: Sequence[Features],
    images: ContentAndStyles,
    options: GatysOptions,
) -> list[StyleTarget]:
    """Return the target of each style image; baselines are the losses of the content."""
    if not feature_loss.style_layers:
        return []
    weights = options.data.style_weights or (1.0,) * len(styles)
    to_device = feature_loss.runtime.to_device
    with torch.no_grad():
        return [
            feature_loss.style_target(
                features,
                content,
                weight=weights[index] / sum(weights),
                mask=to_device(images.style_masks[index]) if images.style_masks else None,
                region=to_device(images.content_masks[index]) if images.content_masks else None,
            )
            for index, features in enumerate(styles)
        ]


def _initial_image(images: ContentAndStyles, options: GatysOptions) -> Tensor:
    """Return the image that --init names, of the content's size."""
    content = images.content
    if options.optimize.init == "noise":
        generator = torch.Generator().manual_seed(options.run.seed)
        return torch.randn(content.shape, generator=generator) * _NOISE_STD
    return content if options.optimize.init == "content" else _resize(images.styles[0], content.shape[-2:])


def _should_checkpoint(image: Tensor, feature_loss: FeatureLoss, options: GatysOptions) -> bool:
    """Return whether features are recomputed in backward: as --checkpointing says, or if memory would run out."""
    mode = options.optimize.checkpointing
    if mode != "auto":
        return mode == "on"
    height, width = image.shape[-2:]
    needed = _MEMORY_MARGIN * feature_loss.extractor.kept_bytes(height, width) + 2 * HISTORY * image.numel() * 4
    return needed > free_memory(image.device)


def _to_gray_rgb(light: Tensor) -> Tensor:
    """Repeat (N, 1, H, W) to three channels."""
    return light.clamp(-1, 1).expand(-1, 3, -1, -1).contiguous()


def _resize_all(images: ContentAndStyles, factor: float) -> ContentAndStyles:
    """Return all images and masks, their sides multiplied by the factor."""

    def resize_each(images: Sequence[Tensor]) -> list[Tensor]:
        return [_resize(x, tuple(max(1, round(side * factor)) for side in x.shape[-2:])) for x in images]

    content, styles, content_masks, style_masks = images
    return ContentAndStyles(
        resize_each([content])[0], resize_each(styles), resize_each(content_masks), resize_each(style_masks)
    )


def _resize(image: Tensor, size: Sequence[int]) -> Tensor:
    """Return (1, C, H, W) resized to (height, width), antialiased, within the range of its values."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    resized = F.interpolate(image, tuple(size), mode="bicubic", antialias=True)
    return resized.clamp(image.min(), image.max())


class Reconstruction(NamedTuple):
    """A panel of figure 1: its row ("content" or "style"), the layers that were matched, and the image (1, 3, H, W)."""

    row: str
    layers: str
    image: Tensor


def reconstruct_layers(
    images: ContentAndStyles,
    options: GatysOptions,
    build_feature_loss: Callable[[FeatureOptions], FeatureLoss],
    on_step: Callable[[OptimizationStep], None] = lambda step: None,
) -> Iterator[Reconstruction]:
    """Yield for each style layer the content reconstructed from that layer, and the style from all layers up to it."""
    layers = get_style_layers(options.features)
    for number, layer in enumerate(layers, start=1):
        for row, content, style in (("content", (layer,), ()), ("style", (), layers[:number])):
            features = options.features.model_copy(
                update={"content_layers": content, "style_layers": style, "style_layer_weights": None}
            )
            of_panel = options.model_copy(
                update={
                    "features": features,
                    "optimize": options.optimize.model_copy(update={"init": "noise"}),
                    "loss": options.loss.model_copy(update={"content_weight": 1.0, "style_weight": 1.0}),
                }
            )
            image = optimize_image(images, build_feature_loss(features), of_panel, on_step)
            yield Reconstruction(row, f"{layers[0]} .. {layer}" if len(style) > 1 else layer, image)
