"""Losses are computed in float32 or wider."""

import torch
from torch import Tensor


def widened(x: Tensor) -> Tensor:
    """Return half-precision tensors as float32 and wider ones as they are (float64 stays, for gradient checks)."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
