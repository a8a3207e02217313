"""Stop a training early, after a signal or a loading error, in all processes after the same step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from types import FrameType
from typing import Generic

from pix2pix import distributed
from pix2pix.errors import UserError
from pix2pix.training.checkpointing import Batch

_NO_BATCH = 1000  # larger than any signal number


class BatchIterator(Generic[Batch]):
    """Iterates over the batches of some steps, and reports after each step whether to stop.

    All processes must stop after the same step, or some would wait forever. So batches are loaded one step ahead, and
    while a step is computed the processes exchange whether each has the next batch and whether a signal was received.
    """

    def __init__(self, batches: Iterator[Batch], received: list[signal.Signals], count: int):
        self.batches, self.received = islice(batches, count), received
        self.is_distributed = distributed.world_size() > 1
        self.status = 0
        if self.is_distributed:
            self._look_ahead()
            self.status = self.get_status()

    def take(self) -> Batch:
        """Return the batch of the next step.

        Raises:
            UserError: this or another process cannot load it.
        """
        if not self.is_distributed:
            return next(self.batches)
        if self.status == _NO_BATCH:
            distributed.run_on_each(self._raise_error)
        batch = self.ahead
        assert batch is not None
        assert not isinstance(batch, UserError)
        self._look_ahead()
        return batch

    def stop(self) -> signal.Signals | None:
        """Return the signal after which to stop, or None."""
        if not self.is_distributed:
            return self.received[0] if self.received else None
        self.status = self.get_status()
        return signal.Signals(self.status) if self.status not in (0, _NO_BATCH) else None

    def _look_ahead(self) -> None:
        self.ahead: Batch | UserError | None
        try:
            self.ahead = next(self.batches, None)
        except UserError as error:
            self.ahead = error
        failed = isinstance(self.ahead, UserError)
        self.get_status = distributed.start_max(_NO_BATCH if failed else max(self.received, default=0))

    def _raise_error(self) -> None:
        if isinstance(self.ahead, UserError):
            raise self.ahead


@contextmanager
def catch_signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGINT and SIGTERM, so that a step can finish; a second SIGINT interrupts at once."""
    received: list[signal.Signals] = []

    def record(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, record) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
