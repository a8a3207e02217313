"""What makes a device fast without changing what it computes."""

import ctypes
import sys
from typing import Literal

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names of malloc.h

Precision = Literal["fp32", "bf16"]


def fastest(device: str, precision: Precision, processes: int = 1) -> tuple[str, ...]:
    """Name the speed-ups that are safe and pay on a kind of device: "cpu", "cuda" or "mps".

    In fp32 a CPU's convolutions like channels outermost (measured with AVX2), in bf16 innermost.
    """
    if device == "cuda":
        return ("channels_last", "one_pass", "fold", *(("graph",) if processes == 1 else ()))
    if device == "cpu":
        layout, minimal = ((), ("minimal",)) if precision == "fp32" else (("channels_last",), ())
        return ("memory", *layout, "products", *minimal, "one_pass", "fold")
    return ("one_pass", "fold")


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next step, where it is glibc: elsewhere this does nothing.

    By default it returns each large block to the system, which then hands out zeroed pages: some 100,000 a step.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        if not mallopt(_M_MMAP_THRESHOLD, 2**30):
            mallopt(_M_MMAP_THRESHOLD, 2**25)  # all that glibc before 2.35 takes
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
