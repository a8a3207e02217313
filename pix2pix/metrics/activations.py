"""How evenly values are spread, and how high the highest is: what SWAG compares backbones by.

Wang, Li, Vasconcelos, *Rethinking and Improving the Robustness of Image Style Transfer*, CVPR 2021, section 3.
"""

import math

import torch
from torch import Tensor


def maximum(values: Tensor) -> Tensor:
    """Largest value of each item: (N, ...) to (N,)."""
    return values.flatten(1).amax(dim=1)


def normalised_entropy(values: Tensor) -> Tensor:
    """Entropy of each item's values as a distribution: (N, ...) to (N,) float64 in [0, 1].

    With p = softmax over all values of an item, -sum p log p, divided by the logarithm of their count, which is the
    most that it can be: 1 where all values are equal, towards 0 where one stands out. Adding a number to all values
    changes nothing; multiplying them does. Of activations (N, C, H, W) the softmax is over channels and positions; of a
    Gram matrix (N, C, C) over its entries.
    """
    shares = values.flatten(1).double().softmax(dim=1)
    entropy: Tensor = torch.special.entr(shares).sum(dim=1)
    most = math.log(shares.shape[1])
    return (entropy / most).clamp(max=1) if most else entropy + 1  # a single value is as even as it can be
