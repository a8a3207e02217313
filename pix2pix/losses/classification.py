"""The loss of a network that tells classes."""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pix2pix.losses.precision import full_precision

IGNORED = -100  # the class of pixels that are left out


@full_precision
def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean of -log softmax(logits)[class] over the pixels (N, H, W) whose class is not IGNORED; 0 if there are none.

    Logits are (N, K, H, W); those of a class that is never to be chosen may be -inf.
    """
    # Summed by itself: a GPU adds the sum inside cross_entropy in any order, and a repeated run would differ.
    each = F.cross_entropy(logits, classes, ignore_index=IGNORED, reduction="none")
    return each.sum() / (classes != IGNORED).sum().clamp_min(1)
