"""Adaptive instance normalisation: features take over the mean and deviation of each channel of a style's features.

Huang, Belongie: Arbitrary style transfer in real-time with adaptive instance normalization, 2017:
AdaIN(x, y) = sigma(y) (x - mu(x)) / sigma(x) + mu(y), equation 8.
"""

import torch
from torch import Tensor, nn

from pix2pix.layers.norm import Statistics

_EPS = 1e-5  # of the authors' code, added to the content's variance: a constant channel has no deviation


def channel_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and deviation over the positions of (N, C, H, W), both (N, C), in float32 at least.

    Source: Huang and Belongie 2017, equations 5 and 6, without their epsilon, as in the authors' code.
    """
    variance, mean = torch.var_mean(_wide(features), (2, 3), correction=0)
    return mean, variance.sqrt()


class AdaIN(nn.Module):
    """AdaIN to the mean and deviation of a style, (N, C) or (1, C) for all images, mixed with its input.

    `alpha` is the result's share, from 0 (the input as it is) to 1. As the result is linear in mean and deviation,
    those of several styles, weighted to a sum of 1, give the weighted sum of their results. Input and output:
    (N, C, H, W).

    Source: Huang and Belongie 2017, equations 8 and 14.
    """

    statistics: Statistics = "image"  # as of a Norm
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, alpha: float = 1.0):
        super().__init__()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Give each channel of (N, C, H, W) the style's mean and deviation."""
        variance, mean = torch.var_mean(_wide(x), (2, 3), correction=0)
        return self._transferred(x, mean, variance, self.mean, self.std)

    def normalised(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Do the same by statistics of x that are given: (N, C)."""
        known = (mean, variance, self.mean, self.std)
        return self._transferred(x, *(each.cpu().double() for each in known))  # an Apple GPU has no doubles

    def _transferred(self, x: Tensor, mean: Tensor, variance: Tensor, to_mean: Tensor, to_std: Tensor) -> Tensor:
        factor = to_std * (variance + _EPS).rsqrt()
        scale = self.alpha * factor + (1 - self.alpha)
        shift = self.alpha * (to_mean - mean * factor)
        wide = _wide(x)
        scale, shift = (each.to(wide.device, wide.dtype)[..., None, None] for each in (scale, shift))
        return torch.addcmul(shift, wide, scale).to(x.dtype)


def adain_regions(x: Tensor, means: Tensor, stds: Tensor, masks: Tensor, alpha: float = 1.0) -> Tensor:
    """AdaIN of each of K regions to a style of its own, from and to (N, C, H, W).

    `means` and `stds` are (K, C). `masks` (K, 1, H, W) in [0, 1] weight the positions in a region's statistics, and say
    how much of its result goes into the joined one, as shares whose sum is 1. Where all are 0, x stays as it is.

    Source: statistics of x by region are those of the authors' code, which knows two regions and hard masks.
    """
    wide = _wide(x)
    masks = masks.to(wide)
    tiny = torch.finfo(wide.dtype).tiny
    shares = masks / masks.sum(0).clamp_min(tiny)
    joined = (1 - shares.sum(0)) * wide
    for mean, std, mask, share in zip(means.to(wide), stds.to(wide), masks, shares, strict=True):
        total = mask.sum().clamp_min(tiny)
        centred = wide - (mask * wide).sum((2, 3), keepdim=True) / total
        variance = (mask * centred.square()).sum((2, 3), keepdim=True) / total
        factor = std[:, None, None] * (variance + _EPS).rsqrt()
        joined = joined + share * torch.addcmul(mean[:, None, None], centred, factor)
    return torch.lerp(wide, joined, alpha).to(x.dtype)


def _wide(x: Tensor) -> Tensor:
    """The same in float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
