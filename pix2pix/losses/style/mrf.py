"""Style as a set of patches: every patch of 3x3 positions is drawn to the style's patch most like it.

Li and Wand: *Combining Markov Random Fields and Convolutional Neural Networks for Image Synthesis*, 2016, equations 2
and 3. All patches of image and style take part. Time grows with the product of their numbers: the paper's layers,
relu3_1 and relu4_1, are those for it; relu1_1 would take over 100 times as long as relu3_1.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pix2pix.errors import UserError
from pix2pix.losses.precision import full_precision
from pix2pix.losses.style.records import Statistics, StyleLoss

_SIDE = 3
PRODUCTS = 2**22  # of an image's positions with the style's that are held at a time: what a cache may hold
ROWS = 6  # of the image's patches that are compared at a time, at least: each time, two more rows are computed


@full_precision
def _style(features: Tensor, mask: Tensor | None) -> Statistics:
    """Return the features, and for each patch (N or 1, 1, P) whether it may be chosen.

    It may where the mask is at least 0.5 in the whole patch or, where there is no such patch, as high as anywhere.
    """
    height, width = _patches_across(features)
    if mask is None:
        return features, torch.ones(1, 1, height * width, dtype=torch.bool, device=features.device)
    lowest = -F.max_pool2d(-mask.to(features.dtype), _SIDE, stride=1).flatten(2)
    return features, lowest >= lowest.amax(dim=-1, keepdim=True).clamp(max=0.5)


@full_precision
def _distance(features: Tensor, style: Statistics, mask: Tensor | None) -> Tensor:
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
        chosen = most_similar(features, style, allowed).reshape(weights.shape)
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


def most_similar(x: Tensor, style: Tensor, allowed: Tensor) -> Tensor:
    """Return for each patch of x (C, H, W) the index of the allowed patch of the style with the highest correlation.

    Correlation is the cosine of two patches. Their scalar product is a sum over 9 shifts of the products of positions,
    which are computed once, some rows of the image at a time.
    """
    (_, height, width), (_, style_height, style_width) = x.shape, style.shape
    lengths = F.avg_pool2d(style.square().sum(dim=0)[None], _SIDE, stride=1).flatten()
    scale = lengths.clamp(min=torch.finfo(x.dtype).tiny).rsqrt()
    barred = torch.zeros_like(scale).masked_fill(~allowed.flatten(), -torch.inf)
    rows = max(PRODUCTS // (width * style_height * style_width) + 1 - _SIDE, ROWS)
    chosen = []
    for top in range(0, height + 1 - _SIDE, rows):
        band = x[:, top : top + rows + _SIDE - 1]
        products = (band.flatten(1).mT @ style.flatten(1)).reshape(-1, width, style_height, style_width)
        scores = _summed(_summed(products, 1, 3), 0, 2).flatten(2) * scale + barred
        chosen.append(scores.argmax(dim=-1).flatten())
    return torch.cat(chosen)


def _summed(products: Tensor, of_image: int, of_style: int) -> Tensor:
    """Add each three neighbours along a dimension of the image's and one of the style's positions, in step."""
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


MRF = StyleLoss(_style, _distance)
