"""Style losses: Gram, mean and standard deviation, covariance, MMD, histogram, MRF.

All are per position, so that image and style may differ in size.

Li, Wang, Liu, Hou: *Demystifying Neural Style Transfer*, 2017, equation 8: the squared distance between the means of
phi(f), where phi(f) . phi(g) is the kernel. Each kernel here has a phi that can be written down, so that every position
counts in time linear in their number; the mean over all pairs of positions, the paper's form, is never taken. Kernels
take f . g / C, the mean over channels, so that layers of different width are alike.

Risser, Wilmot, Barnes: *Stable and Controllable Neural Texture Synthesis and Style Transfer Using Histogram Losses*,
2017: the squared distance from the features to what histogram matching would make of them. Their histograms have bins;
here values are sorted, and the k-th smallest is matched to the style's quantile of the same rank, which is the optimal
transport between both.

Li and Wand: *Combining Markov Random Fields and Convolutional Neural Networks for Image Synthesis*, 2016, equations 2
and 3. All patches of image and style take part. Time grows with the product of their numbers: the paper's layers,
relu3_1 and relu4_1, are those for it; relu1_1 would take over 100 times as long as relu3_1.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pix2pix.errors import UserError
from pix2pix.losses.precision import full_precision

Statistics = tuple[Tensor, ...]


class StyleLoss(NamedTuple):
    """A style loss on the features of one layer, of any size.

    `statistics(features, mask)` is what is remembered of a style, a batch of N or one for all images.
    `distance(features, statistics, mask)` is a scalar: the mean over images of how far each is from its style.

    Features are (N, C, H, W). A mask (N or 1, 1, H, W) in [0, 1], of the size of the features, weighs the positions;
    None: all weigh the same. A mask that is 0 everywhere has finite statistics, and a distance without gradient.
    """

    statistics: Callable[[Tensor, Tensor | None], Statistics]
    distance: Callable[[Tensor, Statistics, Tensor | None], Tensor]


def flatten_positions(features: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return features as (N, C, M) and the weights (N or 1, 1, M) of the positions, which sum to 1, or None."""
    if mask is None:
        return features.flatten(2), None
    weights = mask.to(features.dtype).flatten(2)
    total = weights.sum(dim=-1, keepdim=True)
    return features.flatten(2), weights / total.clamp(min=torch.finfo(features.dtype).tiny)


def weighted_mean(x: Tensor, weights: Tensor | None) -> Tensor:
    """Return the means (N, C, 1) of x (N, C, M)."""
    return x.mean(dim=-1, keepdim=True) if weights is None else (x * weights).sum(dim=-1, keepdim=True)


def second_moments(x: Tensor, weights: Tensor | None) -> Tensor:
    """Return the matrices (N, C, C) of the means of the products of two channels of x (N, C, M)."""
    # Plain products would cost two large ones on the way back, for two halves that are each other's transposes.
    half = x @ x.detach().mT / x.shape[-1] if weights is None else x @ (x.detach() * weights).mT
    return half + half.mT - half.detach()


_EPS = 1e-6  # of AdaIN's code: the root of a constant channel's variance keeps a finite gradient


@full_precision
def gram(features: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return F F^T / M (N, C, C): how often each two of the C channels are active at the same of the M positions.

    Source: Gatys et al. 2016, equation 3, there not divided by M.
    """
    return second_moments(*flatten_positions(features, mask))


@full_precision
def covariance(features: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the covariance (N, C, C) of the channels, divided by the number of positions."""
    x, weights = flatten_positions(features, mask)
    return second_moments(x - weighted_mean(x, weights), weights)


@full_precision
def mean_std(features: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and standard deviation, sqrt(variance + 1e-6), as (N, C, 1)."""
    x, weights = flatten_positions(features, mask)
    center = weighted_mean(x, weights)
    return center, (weighted_mean((x - center).square(), weights) + _EPS).sqrt()


def _gram_statistics(features: Tensor, mask: Tensor | None) -> Statistics:
    return (gram(features, mask),)


def _gram_distance(features: Tensor, style: Statistics, mask: Tensor | None) -> Tensor:
    """Gatys' E_l = 1 / (4 C^2 M^2) * sum of squares of the differences of F F^T. Source: Gatys et al., equation 4."""
    return (gram(features, mask) - style[0]).square().mean() / 4


def _covariance_statistics(features: Tensor, mask: Tensor | None) -> Statistics:
    return (covariance(features, mask),)


def _covariance_distance(features: Tensor, style: Statistics, mask: Tensor | None) -> Tensor:
    """1 / (4 C^2) * sum of squares. Source: Sun and Saenko, *Deep CORAL*, 2016, equation 1."""
    return (covariance(features, mask) - style[0]).square().mean() / 4


def _mean_std_distance(features: Tensor, style: Statistics, mask: Tensor | None) -> Tensor:
    """Mean over channels of both squared differences. Source: Huang and Belongie 2017, equation 13, squared."""
    center, deviation = mean_std(features, mask)
    return (center - style[0]).square().mean() + (deviation - style[1]).square().mean()


GRAM = StyleLoss(_gram_statistics, _gram_distance)
COVARIANCE = StyleLoss(_covariance_statistics, _covariance_distance)
MEAN_STD = StyleLoss(mean_std, _mean_std_distance)


_CONSTANT = 1.0  # without it, the polynomial kernel's loss is Gram's, 4 times over


@full_precision
def _means(features: Tensor, mask: Tensor | None) -> Statistics:
    return (weighted_mean(*flatten_positions(features, mask)),)


def _linear(features: Tensor, style: Statistics, mask: Tensor | None) -> Tensor:
    """Kernel f . g / C: the mean over channels of the squared differences of the means."""
    return (_means(features, mask)[0] - style[0]).square().mean()


@full_precision
def _means_and_gram(features: Tensor, mask: Tensor | None) -> Statistics:
    return *_means(features, mask), gram(features, mask)


@full_precision
def _polynomial(features: Tensor, style: Statistics, mask: Tensor | None, constant: float = _CONSTANT) -> Tensor:
    """Kernel (f . g / C + constant)^2: products of two channels and, by the constant, the channels themselves."""
    means, products = _means_and_gram(features, mask)
    return (products - style[1]).square().mean() + 2 * constant * (means - style[0]).square().mean()


@full_precision
def _spectrum(features: Tensor, mask: Tensor | None) -> Statistics:
    """Return the bandwidth (N, 1, 1), frequencies (1, C, C) and the means of the waves (N, 2C, 1).

    The bandwidth is the root of the mean squared distance of two of the style's positions, which is twice the sum of
    the channels' variances.
    """
    x, weights = flatten_positions(features, mask)
    variances = weighted_mean((x - weighted_mean(x, weights)).square(), weights)
    bandwidth = (2 * variances.sum(dim=1, keepdim=True)).clamp(min=torch.finfo(x.dtype).eps).sqrt()
    frequencies = _frequencies(x.shape[1], x.dtype, x.device)
    return bandwidth, frequencies, _waves(x, weights, bandwidth, frequencies)


@cache
@torch.inference_mode(False)
def _frequencies(channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the same waves for every image (1, C, C): kept, for their way to a device can be no part of a graph."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, channels, channels, generator=generator).to(device, dtype)


@full_precision
def _rbf(features: Tensor, style: Statistics, mask: Tensor | None) -> Tensor:
    """Kernel exp(-|f - g|^2 / (2 bandwidth^2)), approximated by C random waves, with an error near 1 / sqrt(C).

    It has a bound, so that it is flat far from the style: L-BFGS without a line search may jump there and stay.
    Source: Rahimi and Recht, *Random Features for Large-Scale Kernel Machines*, 2007, section 3.
    """
    bandwidth, frequencies, waves = style
    difference = _waves(*flatten_positions(features, mask), bandwidth, frequencies) - waves
    return 2 * difference.square().mean()  # the mean of cos^2 + sin^2 over frequencies


def _waves(x: Tensor, weights: Tensor | None, bandwidth: Tensor, frequencies: Tensor) -> Tensor:
    phase = (frequencies / bandwidth) @ x
    return torch.cat([weighted_mean(phase.cos(), weights), weighted_mean(phase.sin(), weights)], dim=1)


MMD = {
    "linear": StyleLoss(_means, _linear),
    "polynomial": StyleLoss(_means_and_gram, _polynomial),
    "rbf": StyleLoss(_spectrum, _rbf),
}


@full_precision
def _sorted_values(features: Tensor, mask: Tensor | None) -> Statistics:
    """Return the values of each channel in order (N, C, M), and the sums (N or 1, C or 1, M) of weights up to each."""
    x = features.flatten(2)
    order = _order(x)
    return x.gather(-1, order), _sums(order, mask, x)[0]


@full_precision
def _histogram_distance(features: Tensor, style: Statistics, mask: Tensor | None) -> Tensor:
    """Mean over channels and positions of the squared distance to the matched value, to which no gradient flows."""
    x, weights = flatten_positions(features, mask)
    return weighted_mean((x - _matched(x.detach(), style, mask)).square(), weights).mean()


@torch.no_grad()
def _matched(x: Tensor, style: Statistics, mask: Tensor | None) -> Tensor:
    """Return for each value of x (N, C, M) the style's value at the same quantile."""
    values, style_sums = style
    order = _order(x)
    sums, own = _sums(order, mask, x)
    middle = (sums - own / 2) / sums[..., -1:].clamp(min=torch.finfo(x.dtype).tiny) * style_sums[..., -1:]
    count, channels = (max(sizes) for sizes in zip(middle.shape[:2], style_sums.shape[:2], strict=True))
    style_sums, middle = (t.expand(count, channels, -1).contiguous() for t in (style_sums, middle))
    rank = torch.searchsorted(style_sums, middle).clamp(max=values.shape[-1] - 1)
    matched = values.expand(*x.shape[:2], -1).gather(-1, rank.expand(x.shape))
    return torch.empty_like(x).scatter_(-1, order, matched)


def _sums(order: Tensor, mask: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums of the weights in that order, and the weights; one row for all channels where there is no mask.

    The weights are those of the mask, not normalized: sums of 0 and 1 are exact.
    """
    if mask is None:
        own = x.new_ones(1, 1, x.shape[-1])
    else:
        own = mask.to(x.dtype).flatten(2).expand(x.shape).gather(-1, order)
    return own.cumsum(dim=-1), own


def _order(x: Tensor) -> Tensor:
    """Return the indices that sort each channel; NumPy's sort is 3 times as fast as torch's on a processor."""
    if x.device.type == "cpu":
        return torch.from_numpy(x.detach().numpy().argsort(axis=-1))
    return x.detach().argsort(dim=-1)


HISTOGRAM = StyleLoss(_sorted_values, _histogram_distance)


_SIDE = 3
MAX_PRODUCTS = 2**22  # of an image's positions with the style's that are held at a time: what a cache may hold
MIN_ROWS = 6  # of the image's patches that are compared at a time, at least: each time, two more rows are computed


@full_precision
def _mrf_statistics(features: Tensor, mask: Tensor | None) -> Statistics:
    """Return the features, and for each patch (N or 1, 1, P) whether it may be chosen.

    It may where the mask is at least 0.5 in the whole patch or, where there is no such patch, as high as anywhere.
    """
    height, width = _patches_across(features)
    if mask is None:
        return features, torch.ones(1, 1, height * width, dtype=torch.bool, device=features.device)
    lowest = -F.max_pool2d(-mask.to(features.dtype), _SIDE, stride=1).flatten(2)
    return features, lowest >= lowest.amax(dim=-1, keepdim=True).clamp(max=0.5)


@full_precision
def _mrf_distance(features: Tensor, style: Statistics, mask: Tensor | None) -> Tensor:
    """Mean squared distance to the most similar patches, weighted by the mean of the mask in each patch."""
    count, (height, width) = len(features), _patches_across(features)
    style_features, allowed = (t.expand(count, *t.shape[1:]) for t in style)
    if mask is None:
        weights = features.new_full((1, height, width), 1 / (height * width))
    else:
        weights = F.avg_pool2d(mask.to(features.dtype), _SIDE, stride=1)[:, 0]
        weights = weights / weights.sum(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(features.dtype).tiny)
    losses = map(_to_most_similar, features, style_features, allowed, weights.expand(count, -1, -1))
    return torch.stack(list(losses)).mean()


def _to_most_similar(features: Tensor, style: Tensor, allowed: Tensor, weights: Tensor) -> Tensor:
    """Return the distance of an image (C, H, W).

    A position lies in up to 9 patches, each matched to a patch of the style. The squared distances to all of these are
    that to their mean and, without gradient, their variance: so no patch need be kept for the way back.
    """
    with torch.no_grad():
        chosen = find_most_similar(features, style, allowed).reshape(weights.shape)
        wanted, total, variance = _votes(style.movedim(0, -1).contiguous(), chosen, weights)
    differences = (features.movedim(0, -1) - wanted).square().mean(dim=-1)
    return ((differences * total).sum() + variance) / _SIDE**2


def _votes(style: Tensor, chosen: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the chosen patches of a style (H', W', C) put at each position of the image.

    That is their mean (H, W, C), the sum of their weights (H, W), and the sum over positions of their variance.
    """
    height, width = chosen.shape
    style_across = style.shape[1] + 1 - _SIDE
    top, left = chosen // style_across, chosen % style_across
    mean = style.new_zeros(height + _SIDE - 1, width + _SIDE - 1, style.shape[2])
    total = style.new_zeros(mean.shape[:2])
    shifts = [(down, right) for down in range(_SIDE) for right in range(_SIDE)]
    for down, right in shifts:
        place = slice(down, down + height), slice(right, right + width)
        mean[place] += style[top + down, left + right] * weights[..., None]
        total[place] += weights
    mean /= total[..., None].clamp(min=torch.finfo(total.dtype).tiny)
    variance = total.new_zeros(())
    for down, right in shifts:
        around = mean[down : down + height, right : right + width]
        variance += ((style[top + down, left + right] - around).square().mean(dim=-1) * weights).sum()
    return mean, total, variance


def find_most_similar(x: Tensor, style: Tensor, allowed: Tensor) -> Tensor:
    """Return for each patch of x (C, H, W) the index of the allowed patch of the style with the highest correlation.

    Correlation is the cosine of two patches. Their scalar product is a sum over 9 shifts of the products of positions,
    which are computed once, some rows of the image at a time.
    """
    (_, height, width), (_, style_height, style_width) = x.shape, style.shape
    lengths = F.avg_pool2d(style.square().sum(dim=0)[None], _SIDE, stride=1).flatten()
    scale = lengths.clamp(min=torch.finfo(x.dtype).tiny).rsqrt()
    barred = torch.zeros_like(scale).masked_fill(~allowed.flatten(), -torch.inf)
    rows = max(MAX_PRODUCTS // (width * style_height * style_width) + 1 - _SIDE, MIN_ROWS)
    chosen = []
    for top in range(0, height + 1 - _SIDE, rows):
        band = x[:, top : top + rows + _SIDE - 1]
        products = (band.flatten(1).mT @ style.flatten(1)).reshape(-1, width, style_height, style_width)
        scores = _summed(_summed(products, 1, 3), 0, 2).flatten(2) * scale + barred
        chosen.append(scores.argmax(dim=-1).flatten())
    return torch.cat(chosen)


def _summed(products: Tensor, of_image: int, of_style: int) -> Tensor:
    """Add each three neighbors along a dimension of the image's and one of the style's positions, in step."""
    lengths = (products.shape[of_image] + 1 - _SIDE, products.shape[of_style] + 1 - _SIDE)
    first, second, third = (
        products.narrow(of_image, shift, lengths[0]).narrow(of_style, shift, lengths[1]) for shift in range(_SIDE)
    )
    return (first + second).add_(third)


def _patches_across(features: Tensor) -> tuple[int, int]:
    height, width = features.shape[2:]
    if min(height, width) < _SIDE:
        raise UserError(
            f"the style loss mrf compares patches of {_SIDE}x{_SIDE} positions and got features of {height}x{width}: "
            "use larger images or leave out the deepest of --style_layers"
        )
    return height + 1 - _SIDE, width + 1 - _SIDE


MRF = StyleLoss(_mrf_statistics, _mrf_distance)


STYLE_LOSSES = {
    "gram": GRAM,
    "mean_std": MEAN_STD,
    "covariance": COVARIANCE,
    "mmd": MMD["polynomial"],
    "histogram": HISTOGRAM,
    "mrf": MRF,
}


def get_style_loss(name: str, kernel: str = "polynomial") -> StyleLoss:
    """Return the loss of that name; the kernel is that of mmd."""
    return MMD[kernel] if name == "mmd" else STYLE_LOSSES[name]
