"""Losses pixel by pixel: L1, L2, total variation, cross-entropy."""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pix2pix.losses.precision import full_precision, to_float32


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of one shape. Source: pix2pix, equation 3."""
    return (to_float32(output) - to_float32(target)).abs().mean()


def l2(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of two tensors of one shape."""
    return (to_float32(output) - to_float32(target)).square().mean()


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of pixels (N, C, H, W) beside each other, plus that of pixels below each other.

    Source: Johnson et al. 2016, section 3.2, and Mahendran and Vedaldi 2015 with beta = 2: there a sum.
    """
    x = to_float32(image)
    across, down = x.diff(dim=-1).square(), x.diff(dim=-2).square()
    return across.sum() / max(across.numel(), 1) + down.sum() / max(down.numel(), 1)


IGNORED = -100  # the class of pixels that are left out


@full_precision
def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean of -log softmax(logits)[class] over the pixels (N, H, W) whose class is not IGNORED; 0 if there are none.

    Logits are (N, K, H, W); those of a class that is never to be chosen may be -inf.
    """
    # Summed by itself: a GPU adds the sum inside cross_entropy in any order, and a repeated run would differ.
    each = F.cross_entropy(logits, classes, ignore_index=IGNORED, reduction="none")
    return each.sum() / (classes != IGNORED).sum().clamp_min(1)
