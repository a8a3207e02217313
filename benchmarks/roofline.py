"""What the machine can do at most, and what a network asks of it."""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Call, waiting_for


class Peaks(NamedTuple):
    """The most FLOP per second seen in matrix products and in convolutions, and bytes per second read and written."""

    gemm: float
    conv: float
    copy: float


def has_bf16(device: torch.device) -> bool:
    """Say whether the device computes in bfloat16 instead of emulating it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def peaks(device: torch.device, dtype: torch.dtype) -> Peaks:
    """Measure a device by square matrices, 3x3 convolutions of 256 channels in channels_last, and a long copy."""
    large = device.type == "cuda"
    side, batch = (8192, 64) if large else (2048, 1)
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)
    x = torch.randn(batch, 256, 64, 64, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    source = torch.ones(2**28 if large else 2**26, device=device)
    target = torch.empty_like(source)
    wait = waiting_for(device)
    with torch.no_grad():
        return Peaks(
            gemm=2 * side**3 / least_time(lambda: a @ b, wait),
            conv=2 * x.numel() * 256 * 9 / least_time(lambda: F.conv2d(x, weight, padding=1), wait),
            copy=2 * 4 * source.numel() / least_time(lambda: target.copy_(source), wait),
        )


def higher(one: Peaks, other: Peaks) -> Peaks:
    """Return the higher of each figure: what other processes took once need not be taken twice."""
    return Peaks(*map(max, one, other))


def least_time(call: Call, synchronise: Call, seconds: float = 0.5) -> float:
    """Return the least seconds of a call, repeated for so long, and three times at least."""
    least, end, runs = math.inf, time.perf_counter() + seconds, 0
    while runs < 3 or time.perf_counter() < end:
        synchronise()
        began = time.perf_counter()
        call()
        synchronise()
        least, runs = min(least, time.perf_counter() - began), runs + 1
    return least


def flops(call: Callable[[], object]) -> int:
    """Count the floating-point operations of the convolutions and matrix products in a call, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())
