"""Style as the distribution of the features over the positions, compared by maximum mean discrepancy (MMD).

Li, Wang, Liu, Hou: *Demystifying Neural Style Transfer*, 2017, equation 8: the squared distance between the means of
phi(f), where phi(f) . phi(g) is the kernel. Each kernel here has a phi that can be written down, so that every position
counts in time linear in their number; the mean over all pairs of positions, the paper's form, is never taken. Kernels
take f . g / C, the mean over channels, so that layers of different width are alike.
"""

from functools import cache

import torch
from torch import Tensor

from pix2pix.losses.precision import full_precision
from pix2pix.losses.style.moments import gram
from pix2pix.losses.style.positions import flat, mean
from pix2pix.losses.style.records import Statistics, StyleLoss

_CONSTANT = 1.0  # without it, the polynomial kernel's loss is Gram's, 4 times over


@full_precision
def _means(features: Tensor, mask: Tensor | None) -> Statistics:
    return (mean(*flat(features, mask)),)


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
    x, weights = flat(features, mask)
    variances = mean((x - mean(x, weights)).square(), weights)
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
    difference = _waves(*flat(features, mask), bandwidth, frequencies) - waves
    return 2 * difference.square().mean()  # the mean of cos^2 + sin^2 over frequencies


def _waves(x: Tensor, weights: Tensor | None, bandwidth: Tensor, frequencies: Tensor) -> Tensor:
    phase = (frequencies / bandwidth) @ x
    return torch.cat([mean(phase.cos(), weights), mean(phase.sin(), weights)], dim=1)


MMD = {
    "linear": StyleLoss(_means, _linear),
    "polynomial": StyleLoss(_means_and_gram, _polynomial),
    "rbf": StyleLoss(_spectrum, _rbf),
}
