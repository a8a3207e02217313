"""SWAG's analysis of backbones: maximum and entropy of activations and Gram matrices, by stage.

Wang, Li, Vasconcelos, *Rethinking and Improving the Robustness of Image Style Transfer*, CVPR 2021, section 3: with
residual connections maxima grow and entropies fall with depth; without them they do not.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pix2pix.config.backbones import default_style_layers
from pix2pix.config.tools import ActivationsOptions
from pix2pix.errors import UserError
from pix2pix.losses.style import gram
from pix2pix.losses.swag import softmax_smoothing
from pix2pix.networks.feature_extractor import FeatureExtractor
from pix2pix.runtime.device import Runtime

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def maximum(values: Tensor) -> Tensor:
    """Return the maximum of each item: (N, ...) to (N,)."""
    return values.flatten(1).amax(dim=1)


def normalized_entropy(values: Tensor) -> Tensor:
    """Return the normalized entropy of softmax over each item: (N, ...) to (N,) float64 in [0, 1].

    It is -sum p log p with p = softmax over all values of an item, divided by its maximum, the logarithm of their
    count: 1 if all values are equal, near 0 if one dominates. For activations (N, C, H, W) the softmax is over
    channels and positions, for a Gram matrix (N, C, C) over its entries.
    """
    shares = values.flatten(1).double().softmax(dim=1)
    entropy: Tensor = torch.special.entr(shares).sum(dim=1)
    most = math.log(shares.shape[1])
    return (entropy / most).clamp(max=1) if most else entropy + 1  # 1 for a single value


_RESIDUAL = ("layer1", "layer2", "layer3", "layer4")
STAGES: Mapping[str, tuple[str, ...]] = {
    "vgg16": ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"),
    "vgg19": ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"),
    **{backbone: default_style_layers(backbone) for backbone in ("googlenet", "inception_v3")},
    "squeezenet1_1": ("conv1", "fire3", "fire5", "fire9"),
    **dict.fromkeys(("resnet18", "resnet50", "wide_resnet50_2", "noresnet", "pseudo_vgg", "pseudo_resvgg"), _RESIDUAL),
}
"""The last layer of each stage, before the next downsampling."""

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
"""Okabe and Ito's, distinguishable for color-blind people. Source: Color Universal Design, 2008."""
_MARKERS = "osD^vX*Pph<"  # one per backbone: colors repeat
_WIDTH = 0.35  # horizontal spread of the markers of a stage


class Statistics(NamedTuple):
    """Means over images of maximum and normalized entropy, of activations and of their Gram matrix."""

    maximum: float
    entropy: float
    gram_maximum: float
    gram_entropy: float


class Stage(NamedTuple):
    """The statistics of a layer: of its activations F, and of SWAG's softmax of them."""

    layer: str
    plain: Statistics
    smoothed: Statistics


class Profile(NamedTuple):
    """A backbone, its weights and their SHA-256, and the statistics of its layers."""

    backbone: str
    weights: str
    sha256: str
    stages: tuple[Stage, ...]


def build_extractor(backbone: str, options: ActivationsOptions) -> FeatureExtractor:
    """Build the extractor of a backbone's stages, or of --layers.

    Raises:
        UserError: there is no such layer, or the weights cannot be read or do not fit.
    """
    return FeatureExtractor(
        backbone,
        options.layers or STAGES[backbone],
        options.weights,
        weights_format=options.weights_format,
        pooling=options.pooling,
        padding=options.padding,
        seed=options.seed,
    )


def measure_activations(
    extractor: FeatureExtractor, images: Iterable[Tensor], runtime: Runtime, temperature: float = 1.0
) -> Profile:
    """Measure each of the extractor's layers on images (1, 3, H, W) in [-1, 1], of any sizes.

    Raises:
        UserError: there are no images, or activations that are not finite.
    """
    measured = [torch.stack(list(_measure_image(extractor, image, runtime, temperature))) for image in images]
    if not measured:
        raise UserError("there are no images to measure activations on: at least one is needed")
    means = torch.stack(measured).mean(dim=0).tolist()
    stages = tuple(
        Stage(layer, Statistics(*plain), Statistics(*smoothed))
        for layer, (plain, smoothed) in zip(extractor.layers, means, strict=True)
    )
    return Profile(extractor.backbone, extractor.source, extractor.sha256, stages)


@torch.inference_mode()
def _measure_image(
    extractor: FeatureExtractor, image: Tensor, runtime: Runtime, temperature: float
) -> Iterator[Tensor]:
    """Yield the statistics (2, 4) of an image, plain and smoothed, for each layer."""
    with runtime.autocast():
        features = extractor(runtime.to_device(image))
    for layer, activations in features.items():
        wide = activations.cpu().double()  # not every accelerator has float64
        if not wide.isfinite().all():
            raise UserError(
                f"{extractor.backbone}: {layer} has activations that are NaN or infinite: choose other --weights"
            )
        smoothed = softmax_smoothing(wide, temperature) / wide.numel()
        yield torch.stack([_compute_statistics(wide), _compute_statistics(smoothed)])


def _compute_statistics(activations: Tensor) -> Tensor:
    """Return the values of `Statistics`, (4,), of activations (1, C, H, W)."""
    both = (activations, gram(activations))
    return torch.cat([measured(values) for values in both for measured in (maximum, normalized_entropy)])


def plot_activations(profiles: Sequence[Profile], files: Iterable[Path], title: str) -> None:
    """Plot the statistics of all backbones, a line for each, dashed for smoothed ones.

    The suffix of a file selects PNG or SVG.

    Raises:
        OSError: a file cannot be written.
    """
    from matplotlib.figure import Figure  # slow import; without pyplot, which needs a display
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(11, 9), layout="constrained")
    figure.suptitle(title)
    for panel, statistic in zip(figure.subplots(2, 2).flat, Statistics._fields, strict=True):
        _draw_panel(panel, statistic, profiles)
    names = [
        Line2D([], [], color=_COLOURS[number % len(_COLOURS)], marker=_MARKERS[number], lw=2, label=profile.backbone)
        for number, profile in enumerate(profiles)
    ]
    kinds = [
        Line2D([], [], color="0.4", lw=2, label="as they are"),
        Line2D([], [], color="0.4", lw=1, ls="--", label="smoothed (SWAG)"),
    ]
    figure.legend(handles=[*names, *kinds], loc="outside lower center", ncols=5, frameon=False)
    for file in files:
        figure.savefig(file, dpi=120)


def _draw_panel(panel: "Axes", statistic: str, profiles: Sequence[Profile]) -> None:
    """Plot a statistic over the stages, with the backbones slightly offset."""
    for number, (_, _, _, stages) in enumerate(profiles):
        x = [place + _WIDTH * ((number + 0.5) / len(profiles) - 0.5) for place in range(1, 1 + len(stages))]
        color, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number]
        smoothed = [getattr(stage.smoothed, statistic) for stage in stages]
        plain = [getattr(stage.plain, statistic) for stage in stages]
        panel.plot(x, smoothed, "--", color=color, lw=1, marker=marker, mfc="white")
        panel.plot(x, plain, "-", color=color, lw=2, marker=marker)
    of = "Gram matrix" if statistic.startswith("gram") else "activations"
    panel.set_xticks(range(1, 1 + max(len(profile.stages) for profile in profiles)))
    panel.set_xlabel("stage, from input to output")
    panel.grid(color="0.9")
    if statistic.endswith("entropy"):
        panel.set(title=f"Normalized entropy of {of}", ylim=(-0.03, 1.03), ylabel="1: all values are equal")
    else:
        panel.set(title=f"Maximum of {of}", yscale="log", ylabel="mean over images, logarithmic")
