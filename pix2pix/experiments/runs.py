"""Runs that may serve an experiment: a run is what its options are, whatever its name and whoever made it."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pix2pix import checkpoint
from pix2pix.options import OptionError, Pix2PixOptions, load_yaml, stored_options
from pix2pix.options.records import values

FREE = frozenset(
    {
        *("name", "checkpoints_dir", "device", "fast", "compile", "num_workers", "loader_timeout"),
        *("cache", "cache_gb", "max_pixels"),
        *("log_every", "val_every", "save_every", "keep", "best_metric", "stop_at", "resume", "overwrite", "dry_run"),
        *("check", "tile"),
    }
)
"""Options that change nothing of what is learnt."""


class Run(NamedTuple):
    """A run that was begun: `step` was made last; `networks_only`: no further one can follow."""

    name: str
    options: Pix2PixOptions
    step: int
    pairs: int
    networks_only: bool

    @property
    def is_finished(self) -> bool:
        """Whether all steps are made."""
        return self.step >= (self.options.train.steps or math.inf)

    def is_named(self, name: str) -> bool:
        """Whether it has the name that an experiment gives, or that with the number of `free_name`."""
        return re.fullmatch(re.escape(name) + r"(_\d+)?", self.name) is not None


def identity(options: Pix2PixOptions) -> dict[str, Any]:
    """Return the options that say what is learnt, by name, but for the number of steps."""
    return {name: value for name, value in values(options).items() if name not in FREE and name != "steps"}


def find(wanted: Pix2PixOptions, checkpoints_dir: Path) -> Run | None:
    """Return the run in a folder of runs that learns, or learnt, exactly what is wanted.

    A finished one comes before one to resume, and one of the wanted name before others.
    """
    alike = [
        (name, options)
        for name, options in _stored(checkpoints_dir)
        if identity(options) == identity(wanted) and wanted.train.steps in (None, options.train.steps)
    ]
    opened = [run for name, options in alike if (run := _opened(checkpoints_dir / name, options))]
    usable = [run for run in opened if _is_as_long(wanted, run) and (run.is_finished or not run.networks_only)]
    order = sorted(usable, key=lambda run: (not run.is_finished, run.name != wanted.run.name, -run.step, run.name))
    return order[0] if order else None


def free_name(name: str, checkpoints_dir: Path) -> str:
    """Return the name for a new run: this one, or it and a number where its folder has the steps of another run."""
    number = 1
    while _has_steps(checkpoints_dir / (tried := name if number == 1 else f"{name}_{number}")):
        number += 1
    return tried


def _has_steps(folder: Path) -> bool:
    return folder.is_dir() and bool(checkpoint.steps(folder))


def _stored(checkpoints_dir: Path) -> Sequence[tuple[str, Pix2PixOptions]]:
    """Return the options of all runs of pix2pix; what cannot be read is no run that could be used."""
    found = []
    for file in sorted(checkpoints_dir.glob("*/options.yaml")):
        try:
            options = stored_options(load_yaml(file), str(file))
        except OptionError:
            continue
        if isinstance(options, Pix2PixOptions):
            found.append((file.parent.name, options))
    return found


def _opened(folder: Path, options: Pix2PixOptions) -> Run | None:
    """Return a run as far as it came; None where no step is kept."""
    content, _ = checkpoint.newest_sound(folder)
    if content is None:
        return None
    pairs = content["description"].get("pairs", 0)
    return Run(folder.name, options, content["step"], pairs, not content["optimizers"])


def _is_as_long(wanted: Pix2PixOptions, run: Run) -> bool:
    """Tell whether the numbers of steps agree; where none is given it follows from the pairs that the run has."""
    train = wanted.train
    epochs = train.n_epochs + train.n_epochs_decay
    return run.options.train.steps == (train.steps or math.ceil(epochs * run.pairs / train.batch_size))
