"""Style as a set of patches: every patch of 3x3 positions is drawn to the style's patch most like it.

Li and Wand: *Combining Markov Random Fields and Convolutional Neural Networks for Image Synthesis*, 2016, equations 2
and 3. All patches of image and style take part. Time grows with the product of their numbers: the paper's layers,
relu3_1 and relu4_1, are those for it; relu1_1 of 256 x 256 would take 250 times as long as relu3_1.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pix2pix.errors import UserError
from pix2pix.losses.precision import full_precision
from pix2pix.losses.style.records import Statistics, StyleLoss

_SIDE = 3
_PRODUCTS = 2**22  # of an image's positions with the style's that are held at a time: 16 MB in float32


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
    _patches_across(features)
    count = len(features)
    style_features, allowed = (t.expand(count, *t.shape[1:]) for t in style)
    with torch.no_grad():
        pairs = zip(features.detach(), style_features, allowed, strict=True)
        chosen = torch.stack([F.unfold(s[None], _SIDE)[0][:, most_similar(x, s, may)] for x, s, may in pairs])
    distances = (F.unfold(features, _SIDE) - chosen).square().mean(dim=1)  # (N, P)
    if mask is None:
        return distances.mean()
    weights = F.avg_pool2d(mask.to(features.dtype), _SIDE, stride=1).flatten(1)
    total = weights.sum(dim=1).clamp(min=torch.finfo(features.dtype).tiny)
    return ((distances * weights).sum(dim=1) / total).mean()


def most_similar(x: Tensor, style: Tensor, allowed: Tensor) -> Tensor:
    """Return for each patch of x (C, H, W) the index of the allowed patch of the style with the highest correlation.

    Correlation is the cosine of two patches. Their scalar product is a sum over 9 shifts of the products of positions,
    which are computed once, some rows of the image at a time.
    """
    (_, height, width), (_, style_height, style_width) = x.shape, style.shape
    lengths = F.avg_pool2d(style.square().sum(dim=0)[None], _SIDE, stride=1).flatten()
    scale = lengths.clamp(min=torch.finfo(x.dtype).tiny).rsqrt()
    barred = torch.zeros_like(scale).masked_fill(~allowed.flatten(), -torch.inf)
    rows = max(_PRODUCTS // (width * style_height * style_width) + 1 - _SIDE, 1)
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
