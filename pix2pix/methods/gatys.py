"""Gatys, Ecker, Bethge: Image style transfer using convolutional neural networks, 2016.

x* = arg min_x  alpha L_content(x, p) + beta L_style(x, a)   (equation 7), over the pixels of the image x.
Colours, regions and scales: Gatys et al., Controlling perceptual factors in neural style transfer, 2017.
With features smoothed by a softmax it is SWAG (Wang, Li, Vasconcelos 2021): see losses/smoothing.py.
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
from pix2pix.methods.feature_loss import FeatureLoss, StyleTarget, get_style_layers
from pix2pix.methods.image_optimizer import HISTORY, ImageOptimizer
from pix2pix.networks.tiled import free_memory

_SPARE = 1.5  # over what the backbone keeps: targets, gradients, and what convolutions need while they work
_NOISE = 0.25  # deviation of white noise


class OptimizationStep(NamedTuple):
    """What an iteration tells: its number from 1 on, of how many, its losses, and the image (1, 3, H, W) as it is."""

    number: int
    total: int
    scalars: dict[str, float]
    image: Callable[[], Tensor]


class ContentAndStyles(NamedTuple):
    """The content (1, 3, H, W) and the styles, each (1, 3, H', W'), in [-1, 1].

    Masks (1, 1, H, W) in [0, 1], one per style or none, tell which part of the content takes which style, and which
    part of its own picture shows a style.
    """

    content: Tensor
    styles: Sequence[Tensor]
    content_masks: Sequence[Tensor] = ()
    style_masks: Sequence[Tensor] = ()


def optimize_image(
    pictures: ContentAndStyles,
    objective: FeatureLoss,
    options: GatysOptions,
    on_step: Callable[[OptimizationStep], None] = lambda step: None,
) -> Tensor:
    """Return the content (1, 3, H, W) painted in the manner of the styles, in [-1, 1].

    Raises:
        NonFiniteError: the losses became NaN or infinite.
    """
    content = pictures.content
    colours = options.data.keep_colours
    if colours == "coral":
        pictures = pictures._replace(styles=[match_colors(style, content).clamp(-1, 1) for style in pictures.styles])
    elif colours == "luminance":
        light = luminance(content)
        styles = [match_colors(luminance(style), light) for style in pictures.styles]
        pictures = pictures._replace(content=_grey(light), styles=[_grey(style) for style in styles])
    image: Tensor | None = None
    for scale in reversed(range(options.optimise.scales)):
        image = _optimised(_at_scale(pictures, 0.5**scale), image, objective, options, on_step, scale)
    assert image is not None
    return to_output_image(image, content, options)


def to_output_image(image: Tensor, content: Tensor, options: GatysOptions) -> Tensor:
    """Return the image that iterations have reached as the painting to show: of the content's size, maybe its colours.

    Both are (1, 3, H, W) in [-1, 1]; the image may be that of a coarser scale, and go beyond that range.
    """
    image = _resized(image.clamp(-1, 1), content.shape[-2:])
    return keep_colors(image, content.to(image.device)) if options.data.keep_colours == "luminance" else image


def _grey(light: Tensor) -> Tensor:
    return light.clamp(-1, 1).expand(-1, 3, -1, -1).contiguous()


def _optimised(
    pictures: ContentAndStyles,
    start: Tensor | None,
    objective: FeatureLoss,
    options: GatysOptions,
    on_step: Callable[[OptimizationStep], None],
    scale: int,
) -> Tensor:
    """Minimise equation 7 at one scale, from the image of the coarser one or the initial one."""
    size = pictures.content.shape[-2:]
    image = _initial(pictures, options) if start is None else _resized(start, size)
    image = objective.runtime.to_device(image)
    objective.extractor.checkpointed = _is_checkpointed(image, objective, options)
    total, scales = options.optimise.iterations, options.optimise.scales
    ends = [total * done // scales for done in range(scales + 1)]

    descent = ImageOptimizer(image, build_loss(pictures, objective, options), options.optimise)
    for number in range(ends[-2 - scale] + 1, ends[-1 - scale] + 1):
        scalars, seen = descent.step()
        on_step(OptimizationStep(number, total, scalars, partial(torch.clamp, seen, -1, 1)))
    return descent.best


def build_loss(
    pictures: ContentAndStyles, objective: FeatureLoss, options: GatysOptions
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return the losses as a function of the image; what does not change is computed now."""
    place, weight = objective.runtime.to_device, options.loss
    with torch.no_grad(), objective.runtime.autocast():
        content = objective.features(place(pictures.content))
        others = [objective.features(place(style)) for style in pictures.styles]
        unrelated = objective.features(place(_resized(pictures.styles[0], pictures.content.shape[-2:])))
    units = objective.content_units(content, unrelated)
    styles = _styles(objective, content, others, pictures, options) if objective.style_layers else []
    kept = {layer: content[layer] for layer in objective.content_layers}

    def losses(image: Tensor) -> dict[str, Tensor]:
        with objective.runtime.autocast():
            features = objective.features(image)
        terms: list[tuple[str, float, Tensor]] = []
        if kept:
            terms.append(("loss/content", weight.content_weight, objective.content_loss(features, kept, units)))
        if styles:
            terms.append(("loss/style", options.beta, objective.style_loss(features, styles)))
        if weight.lambda_tv > 0:
            terms.append(("loss/tv", weight.lambda_tv, total_variation(image)))
        total = torch.stack([factor * loss for _, factor, loss in terms]).sum()
        return {"loss/total": total} | {name: loss.detach() for name, _, loss in terms}

    return losses


def _styles(
    objective: FeatureLoss,
    content: dict[str, Tensor],
    others: Sequence[dict[str, Tensor]],
    pictures: ContentAndStyles,
    options: GatysOptions,
) -> list[StyleTarget]:
    """Return what each style picture asks of the image, in units of how far the content is from it."""
    count = len(others)
    weights = options.data.style_weights or (1.0,) * count
    place = objective.runtime.to_device
    with torch.no_grad():
        return [
            objective.style(
                features,
                content,
                weight=weights[index] / sum(weights),
                mask=place(pictures.style_masks[index]) if pictures.style_masks else None,
                region=place(pictures.content_masks[index]) if pictures.content_masks else None,
            )
            for index, features in enumerate(others)
        ]


def _initial(pictures: ContentAndStyles, options: GatysOptions) -> Tensor:
    """Return the image to begin with, of the content's size."""
    content = pictures.content
    if options.optimise.init == "noise":
        generator = torch.Generator().manual_seed(options.run.seed)
        return torch.randn(content.shape, generator=generator) * _NOISE
    return content if options.optimise.init == "content" else _resized(pictures.styles[0], content.shape[-2:])


def _is_checkpointed(image: Tensor, objective: FeatureLoss, options: GatysOptions) -> bool:
    """Say whether features are computed twice, as wished, or because memory would run out."""
    wished = options.optimise.checkpointing
    if wished != "auto":
        return wished == "on"
    height, width = image.shape[-2:]
    needed = _SPARE * objective.extractor.kept_bytes(height, width) + 2 * HISTORY * image.numel() * 4
    return needed > free_memory(image.device)


def _at_scale(pictures: ContentAndStyles, factor: float) -> ContentAndStyles:
    """Return the pictures and masks at a part of their size."""

    def scaled(images: Sequence[Tensor]) -> list[Tensor]:
        return [_resized(x, tuple(max(1, round(side * factor)) for side in x.shape[-2:])) for x in images]

    content, styles, content_masks, style_masks = pictures
    return ContentAndStyles(scaled([content])[0], scaled(styles), scaled(content_masks), scaled(style_masks))


def _resized(image: Tensor, size: Sequence[int]) -> Tensor:
    """Return (1, C, H, W) at (height, width): what shrinks is antialiased."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    resized = F.interpolate(image, tuple(size), mode="bicubic", antialias=True)
    return resized.clamp(image.min(), image.max())


class Reconstruction(NamedTuple):
    """One reconstruction: the layers it was made from, in the figure's row, and the image (1, 3, H, W)."""

    row: str
    layers: str
    image: Tensor


def reconstruct_layers(
    pictures: ContentAndStyles,
    options: GatysOptions,
    objective_of: Callable[[FeatureOptions], FeatureLoss],
    on_step: Callable[[OptimizationStep], None] = lambda step: None,
) -> Iterator[Reconstruction]:
    """Yield, for each style layer, the content made from that layer alone, and the style from all layers up to it."""
    layers = get_style_layers(options.features)
    for number, layer in enumerate(layers, start=1):
        for row, content, style in (("content", (layer,), ()), ("style", (), layers[:number])):
            features = options.features.model_copy(
                update={"content_layers": content, "style_layers": style, "style_layer_weights": None}
            )
            alone = options.model_copy(
                update={
                    "features": features,
                    "optimise": options.optimise.model_copy(update={"init": "noise"}),
                    "loss": options.loss.model_copy(update={"content_weight": 1.0, "style_weight": 1.0}),
                }
            )
            image = optimize_image(pictures, objective_of(features), alone, on_step)
            yield Reconstruction(row, f"{layers[0]} .. {layer}" if len(style) > 1 else layer, image)
