"""The seeds of everything random: functions of the run's seed and the step, the rank or the image."""

import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_TURN = threading.RLock()  # the random state is one for all threads


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Give the seed of everything random in a training step of one process."""
    of_rank = (rank,) if rank else ()
    return int(np.random.SeedSequence([seed, step], spawn_key=of_rank).generate_state(1, np.uint64)[0])


def image_seed(seed: int, name: str, sample: int = 0) -> int:
    """Give the seed of everything random in translating the image of this name, whatever folder stands before it."""
    last = zlib.crc32(os.fsencode(name.rpartition("/")[2]))
    return int(np.random.SeedSequence([seed, last, sample]).generate_state(1, np.uint64)[0])


@contextmanager
def temporary_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from `seed` inside the block, and leave the random state of the CPU and of a CUDA device as it was.

    Threads take turns in it.
    """
    with _TURN, torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
