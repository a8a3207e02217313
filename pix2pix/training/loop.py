"""The training loop: load a batch, make a step, log, validate, save."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pix2pix import distributed
from pix2pix.config.parse import TrainingOptions
from pix2pix.errors import UserError
from pix2pix.methods.base import Method, Scalars
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
    state: TrainState,
) -> signal.Signals | None:
    """Train from the step after `state.step` to the last; return the signal that ended the training, or None.

    `batches` begins with the batch of the next step. All random numbers of a step are functions of (seed, step, rank),
    so that a resumed run equals one that was not interrupted. No files are written if `folder` is None.

    Raises:
        NonFiniteError: a loss or gradient is NaN or infinite; names the loss, the step and the batch's files.
        CheckpointError: a checkpoint cannot be written.
        UserError: an image cannot be used; the steps before are saved.
    """
    run, ema = options.run, options.train.ema
    total = options.train.steps or 0
    last = min(total, run.stop_at_step or total)
    throughput = Throughput()

    with catch_signals() as received, save_on_failure(method, options, state, folder):
        for network in method.networks.values():  # the same weights in all processes
            distributed.broadcast(network.state_dict().values())
        if ema is not None and state.ema is None:
            state.ema = {name: value.detach().clone() for name, value in method.generator.state_dict().items()}
        iterator = BatchIterator(batches, received, last - state.step)
        for step in range(state.step + 1, last + 1):
            # train
            with throughput.measure_step():
                batch = throughput.measure_wait(iterator)
                rate = method.learning_rate(step, total)
                for optimizer in method.optimizers.values():
                    set_learning_rate(optimizer, rate)
                torch.manual_seed(step_seed(run.seed, step, distributed.rank()))
                scalars = _training_step(method, batch, step)
                if ema is not None:
                    _update_ema(state, method, min(ema, step / (step + 10)))
                state.step = step
                state.shown += len(batch.name) * distributed.world_size()
                state.unread.append((step, batch.name, scalars))
            logger.step(step)

            # log
            if step % run.log_every == 0 or step == total:
                logger.scalars(step, average_logged(state) | {"lr": rate} | throughput.read_and_reset())

            # validate
            improved = False
            if step % run.val_every == 0 or step == total:
                improved = validate(method, validation(), options, logger, state)

            # save
            stopped_by = iterator.stop()
            if folder is not None and (step % run.save_every == 0 or improved or step == last or stopped_by):
                save_checkpoint(method, options, state, folder, best=improved)
            if stopped_by:
                return stopped_by
    return None


def _training_step(method: Method[Batch], batch: Batch, step: int) -> Scalars:
    """Make a training step; add the step and files to errors."""
    try:
        return method.training_step(batch)
    except NonFiniteError as error:  # raised by all processes
        names = [name for names in distributed.gather(batch.name) for name in names]
        raise add_step_to_error(str(error), step, names) from error
    except UserError as error:
        if distributed.world_size() == 1:
            raise
        raise distributed.OutOfSyncError(str(error)) from error  # the other processes wait inside this step


@torch.no_grad()
def _update_ema(state: TrainState, method: Method[Batch], decay: float) -> None:
    assert state.ema is not None
    weights = method.generator.state_dict()
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    average([state.ema[name] for name in weights], list(weights.values()), 0)


@dataclass
class Throughput:
    """Images and seconds since the last log."""

    images: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    @contextmanager
    def measure_step(self) -> Iterator[None]:
        """Add the time of the block."""
        start = time.monotonic()
        yield
        self.seconds += time.monotonic() - start

    def measure_wait(self, iterator: BatchIterator[Batch]) -> Batch:
        """Return the next batch, and add the time spent waiting for it."""
        start = time.monotonic()
        batch = iterator.take()
        self.waited += time.monotonic() - start
        self.images += len(batch.name) * distributed.world_size()
        return batch

    def read_and_reset(self) -> dict[str, float]:
        """Return images per second of all processes, and the share of time (0 to 1) spent waiting; reset both."""
        values = {"images_per_second": self.images / self.seconds, "data_wait": self.waited / self.seconds}
        self.images, self.seconds, self.waited = 0, 0.0, 0.0
        return values
