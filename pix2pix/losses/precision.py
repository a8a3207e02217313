"""Compute losses in float32 or wider."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def to_float32(x: Tensor) -> Tensor:
    """Convert half precision to float32; float32 and float64 are unchanged."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """Decorate a loss: its tensor arguments are converted to float32, and autocast is off inside.

    Otherwise autocast would compute matrix products in half precision.
    """

    @wraps(loss)
    def compute(*args: P.args, **kwargs: P.kwargs) -> R:
        first = args[0]
        assert isinstance(first, Tensor)
        tensors = (to_float32(arg) if isinstance(arg, Tensor) else arg for arg in args)
        with torch.autocast(first.device.type, enabled=False):
            return loss(*tensors, **kwargs)  # type: ignore[arg-type]

    return compute
