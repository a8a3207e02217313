"""Pixel losses: L1, L2, total variation, cross-entropy."""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pix2pix.losses.precision import full_precision, to_float32


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of two tensors. Source: pix2pix, equation 3."""
    return (to_float32(output) - to_float32(target)).abs().mean()


def l2(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of two tensors."""
    return (to_float32(output) - to_float32(target)).square().mean()


def total_variation(image: Tensor) -> Tensor:
    """Return the mean squared difference of horizontal neighbors in (N, C, H, W), plus that of vertical ones.

    Source: Johnson et al. 2016, section 3.2, and Mahendran and Vedaldi 2015 with beta = 2, where it is a sum.
    """
    x = to_float32(image)
    across, down = x.diff(dim=-1).square(), x.diff(dim=-2).square()
    return across.sum() / max(across.numel(), 1) + down.sum() / max(down.numel(), 1)


IGNORED = -100  # class of pixels without loss


@full_precision
def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the mean of -log softmax(logits)[class] over the pixels whose class is not IGNORED; 0 if there are none.

    Logits are (N, K, H, W), -inf for classes that are excluded; classes are (N, H, W).
    """
    # Summed separately: the sum inside cross_entropy is not deterministic on a GPU.
    each = F.cross_entropy(logits, classes, ignore_index=IGNORED, reduction="none")
    return each.sum() / (classes != IGNORED).sum().clamp_min(1)
