"""Where and how numbers are computed."""

from pix2pix.runtime.machine import NonFiniteError, Runtime, all_finite
from pix2pix.runtime.optimizers import linear_decay, optimizer_state, restore_optimizer, set_rate
from pix2pix.runtime.seeds import name_seed, seeded, step_seed
from pix2pix.runtime.speed import Precision, fastest, keep_freed_memory

__all__ = [
    "NonFiniteError",
    "Precision",
    "Runtime",
    "all_finite",
    "fastest",
    "keep_freed_memory",
    "linear_decay",
    "name_seed",
    "optimizer_state",
    "restore_optimizer",
    "seeded",
    "set_rate",
    "step_seed",
]
