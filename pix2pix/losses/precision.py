"""Losses are computed in float32 or wider."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def to_float32(x: Tensor) -> Tensor:
    """Return half-precision tensors as float32 and wider ones as they are (float64 stays, for gradient checks)."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """Widen the tensors that a function is given, the first at least, and switch autocast off inside it.

    Autocast would compute matrix products in half precision, whatever the type of their factors.
    """

    @wraps(loss)
    def wide(*args: P.args, **kwargs: P.kwargs) -> R:
        first = args[0]
        assert isinstance(first, Tensor)
        tensors = (to_float32(arg) if isinstance(arg, Tensor) else arg for arg in args)
        with torch.autocast(first.device.type, enabled=False):
            return loss(*tensors, **kwargs)  # type: ignore[arg-type]

    return wide
