"""Random seeds: functions of the run's seed and the step, the rank or the image."""

import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_LOCK = threading.RLock()  # all threads share the random state


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Return the seed of a training step in one process."""
    of_rank = (rank,) if rank else ()
    return int(np.random.SeedSequence([seed, step], spawn_key=of_rank).generate_state(1, np.uint64)[0])


def image_seed(seed: int, name: str, sample: int = 0) -> int:
    """Return the seed for translating an image, by its name without folder."""
    last = zlib.crc32(os.fsencode(name.rpartition("/")[2]))
    return int(np.random.SeedSequence([seed, last, sample]).generate_state(1, np.uint64)[0])


@contextmanager
def temporary_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Seed random numbers inside the block, and restore the state of the CPU and of a CUDA device after it.

    Threads wait for each other.
    """
    with _LOCK, torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
