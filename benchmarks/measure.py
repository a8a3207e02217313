"""How things are measured: variants in turn, medians and quartiles, ratios, peak memory, kernels of a step.

Machines drift by a factor of several over minutes, so that only ratios of things run in turn count. Each side has a
process of its own, since the memory that a process keeps, and how it keeps it, is one side's matter; the others wait.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

Call = Callable[[], object]
T = TypeVar("T")


class Spread(NamedTuple):
    """Least, lower quartile, median and upper quartile of some measurements."""

    least: float
    lower: float
    median: float
    upper: float


class Ratio(NamedTuple):
    """How many times as fast as another: by the medians, by the median of each round's ratio, by the least times.

    `lower` and `upper` are the quartiles of the rounds' ratios.
    """

    medians: float
    rounds: float
    least: float
    lower: float
    upper: float


class Memory(NamedTuple):
    """Bytes at the peak of a call, and by how much that is more than before it: of the process, or of the GPU's."""

    peak: int
    growth: int


class Launches(NamedTuple):
    """What a step asks of a GPU: kernels that ran, and calls of the host that started them (a graph is one)."""

    kernels: int
    calls: int


class Apart:
    """A call in a process of its own; `build` is a function of a module, and makes the call there."""

    def __init__(self, build: Callable[..., Call], *args: object):
        self.process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self.process.submit(torch.set_num_threads, torch.get_num_threads())
        self.process.submit(_keep, build, args).result()

    def run(self, function: Callable[..., T], *args: object) -> T:
        """Return what a function of a module makes of the call, there."""
        return self.process.submit(_with_kept, function, args).result()

    def close(self) -> None:
        """End the process."""
        self.process.shutdown()


_kept: list[Call] = []


def _keep(build: Callable[..., Call], args: tuple[object, ...]) -> None:
    _kept.append(build(*args))


def _with_kept(function: Callable[..., T], args: tuple[object, ...]) -> T:
    return function(_kept[0], *args)


def seconds_of(call: Call, device: torch.device) -> float:
    """Return how long a call takes, until the device is idle."""
    synchronise = waiting_for(device)
    synchronise()
    began = time.perf_counter()
    call()
    synchronise()
    return time.perf_counter() - began


def alternate(timed: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: int = 2) -> dict[str, list[float]]:
    """Run each variant, which returns its seconds, once a round; return them all by name, one per round.

    Every round begins with another variant than the one before. `warm_up` rounds go before and are not counted.
    """
    names = list(timed)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warm_up, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            measured = timed[name]()
            if number >= 0:
                seconds[name].append(measured)
    return seconds


def compare(
    sides: Mapping[str, Apart], device: torch.device, rounds: int, *, warm_up: int = 2
) -> tuple[dict[str, list[float]], dict[str, Memory | None]]:
    """Return the seconds of each side, one per round, and the memory that it needs."""
    memory = {name: side.run(peak_memory) for name, side in sides.items()}
    timed = {name: partial(side.run, seconds_of, device) for name, side in sides.items()}
    return alternate(timed, rounds, warm_up=warm_up), memory


def spread(seconds: Sequence[float]) -> Spread:
    """Summarise measurements; of a single one all figures are the same."""
    quartiles = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 3
    return Spread(min(seconds), *quartiles)


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Return how many times as fast `ours` is as `theirs`, seconds of the same rounds."""
    each = spread([a / b for a, b in zip(theirs, ours, strict=True)])
    a, b = spread(theirs), spread(ours)
    return Ratio(a.median / b.median, each.median, a.least / b.least, each.lower, each.upper)


def waiting_for(device: torch.device) -> Call:
    """Return what waits until the device is idle."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return torch.mps.synchronize if device.type == "mps" else lambda: None


def peak_memory(call: Call, runs: int = 2) -> Memory | None:
    """Return the memory that some runs of a call need.

    The first of two may make what stays, as Adam's moments. What was taken before does not count, such as a checkpoint
    that was read. None where the system does not tell: only Linux does of the CPU's memory.
    """
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        for _ in range(runs):
            call()
        return Memory(torch.cuda.max_memory_allocated(), torch.cuda.max_memory_allocated() - before)
    forget = Path("/proc/self/clear_refs")
    try:
        forget.write_text("5", encoding="ascii")  # forget the peak so far
    except OSError:
        return None
    before = _kilobytes("VmRSS")
    for _ in range(runs):
        call()
    peak = _kilobytes("VmHWM")
    return Memory(peak * 1024, (peak - before) * 1024)


def _kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def launches(call: Call) -> Launches:
    """Count what a call asks of a GPU; copies and fills are not kernels."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        call()
        torch.cuda.synchronize()
    on_gpu = [event for event in profile.events() if event.device_type.name == "CUDA"]
    kernels = [
        event for event in on_gpu if not (event.is_user_annotation or event.name.startswith(("Memcpy", "Memset")))
    ]
    starts = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")
    return Launches(len(kernels), sum(event.name.startswith(starts) for event in profile.events()))
