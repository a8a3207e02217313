"""The loop owns the clock: batches, rates, averages, logs, validation, checkpoints, signals."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pix2pix import distributed
from pix2pix.config.parse import TrainingOptions
from pix2pix.errors import UserError
from pix2pix.methods.base import Method
from pix2pix.runtime.device import NonFiniteError
from pix2pix.runtime.optim import set_learning_rate
from pix2pix.seeds import step_seed
from pix2pix.training.checkpointing import (
    Batch,
    TrainState,
    add_step_to_error,
    average_logged,
    save_checkpoint,
    save_on_failure,
)
from pix2pix.training.logging import Logger
from pix2pix.training.signals import BatchIterator, catch_signals
from pix2pix.training.validation import validate


def fit(
    method: Method[Batch],
    batches: Iterator[Batch],
    validation: Callable[[], Iterable[Batch]],
    options: TrainingOptions,
    logger: Logger,
    folder: Path | None,
    progress: TrainState,
) -> signal.Signals | None:
    """Train from the step after `progress.step` to the last; return the signal that ended it early, if one did.

    `batches` begins with the batch of the next step. Every random choice of a step is a function of (seed, step, rank),
    so that a run cut anywhere and resumed equals one that was not. Nothing is written where `folder` is None.

    Raises:
        NonFiniteError: a loss or gradient is NaN or infinite; names the loss, the step and the batch's files.
        CheckpointError: a checkpoint cannot be written.
        UserError: an image cannot be used; the steps before are saved.
    """
    run, total = options.run, options.train.steps or 0
    last = min(total, run.stop_at_step or total)
    pace = Throughput()
    with catch_signals() as received, save_on_failure(method, options, progress, folder):
        _begin_alike(method, options, progress)
        steps = BatchIterator(batches, received, last - progress.step)
        for step in range(progress.step + 1, last + 1):
            with pace.step():
                rate = _make(step, method, pace.awaited(steps), options, progress)
            logger.step(step)
            if step % run.log_every == 0 or step == total:
                logger.scalars(step, average_logged(progress) | {"lr": rate} | pace.lap())
            is_time = step % run.val_every == 0 or step == total
            improved = is_time and validate(method, validation(), options, logger, progress)
            stopped_by = steps.stop()
            if folder is not None and (step % run.save_every == 0 or improved or step == last or stopped_by):
                save_checkpoint(method, options, progress, folder, best=improved)
            if stopped_by:
                return stopped_by
    return None


@dataclass
class Throughput:
    """How fast the steps are since the last line of the log."""

    images: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Count the block as a step."""
        began = time.monotonic()
        yield
        self.seconds += time.monotonic() - began

    def awaited(self, steps: BatchIterator[Batch]) -> Batch:
        """Take the next batch, and count the time that this needs as waiting."""
        began = time.monotonic()
        batch = steps.take()
        self.waited, self.images = (
            self.waited + time.monotonic() - began,
            self.images + len(batch.name) * distributed.world_size(),
        )
        return batch

    def lap(self) -> dict[str, float]:
        """Return images per second, of all processes, and the share of the time (0 to 1) spent waiting; begin anew."""
        speed = {"images_per_second": self.images / self.seconds, "data_wait": self.waited / self.seconds}
        self.images, self.seconds, self.waited = 0, 0.0, 0.0
        return speed


def _begin_alike(method: Method[Any], options: TrainingOptions, progress: TrainState) -> None:
    """Let all processes have the same weights, and begin their average."""
    for network in method.networks.values():
        distributed.broadcast(network.state_dict().values())
    if options.train.ema is not None and progress.ema is None:
        progress.ema = {name: value.detach().clone() for name, value in method.generator.state_dict().items()}


def _make(step: int, method: Method[Batch], batch: Batch, options: TrainingOptions, progress: TrainState) -> float:
    """Make one step; return its learning rate."""
    rate = _set_rate(method, step, options.train.steps or 0)
    torch.manual_seed(step_seed(options.run.seed, step, distributed.rank()))
    try:
        scalars = method.training_step(batch)
    except NonFiniteError as error:  # in all processes
        names = [name for names in distributed.gather(batch.name) for name in names]
        raise add_step_to_error(str(error), step, names) from error
    except UserError as error:
        if distributed.world_size() == 1:
            raise
        raise distributed.OutOfSyncError(str(error)) from error  # the others wait in the middle of this step
    progress.unread.append((step, batch.name, scalars))
    if progress.ema is not None and options.train.ema is not None:
        _average(progress.ema, method.generator.state_dict(), min(options.train.ema, step / (step + 10)))
    progress.step = step
    progress.shown += len(batch.name) * distributed.world_size()
    return rate


def _set_rate(method: Method[Any], step: int, total: int) -> float:
    rate = method.learning_rate(step, total)
    for optimizer in method.optimizers.values():
        set_learning_rate(optimizer, rate)
    return rate


@torch.no_grad()
def _average(ema: dict[str, Tensor], weights: dict[str, Tensor], decay: float) -> None:
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    average([ema[name] for name in weights], list(weights.values()), 0)
