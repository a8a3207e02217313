"""Distances between images, pixel by pixel."""

from torch import Tensor

from pix2pix.losses.precision import widened


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of one shape. Source: pix2pix, equation 3."""
    return (widened(output) - widened(target)).abs().mean()


def l2(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of two tensors of one shape."""
    return (widened(output) - widened(target)).square().mean()
