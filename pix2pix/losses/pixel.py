"""Distances between images, pixel by pixel."""

from torch import Tensor

from pix2pix.losses.precision import widened


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of one shape. Source: pix2pix, equation 3."""
    return (widened(output) - widened(target)).abs().mean()


def l2(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of two tensors of one shape."""
    return (widened(output) - widened(target)).square().mean()


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of pixels (N, C, H, W) beside each other, plus that of pixels below each other.

    Source: Johnson et al. 2016, section 3.2, and Mahendran and Vedaldi 2015 with beta = 2: there a sum.
    """
    x = widened(image)
    across, down = x.diff(dim=-1).square(), x.diff(dim=-2).square()
    return across.sum() / max(across.numel(), 1) + down.sum() / max(down.numel(), 1)
