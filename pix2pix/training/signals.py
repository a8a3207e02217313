"""How a run ends early, by a signal or for want of a batch: all processes after the same step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from types import FrameType
from typing import Generic

from pix2pix import distributed
from pix2pix.errors import UserError
from pix2pix.training.checkpointing import Batch

_NO_BATCH = 1000  # larger than any signal's number


class BatchIterator(Generic[Batch]):
    """The batches of some steps, and after each of them the signal that ends the run, if one does.

    Several processes must not stop after different steps, or one would wait for the others for ever. So batches are
    taken one step ahead, and while a step is computed the processes tell each other whether they have the next one and
    whether a signal came. The answer is there when the step has ended.
    """

    def __init__(self, batches: Iterator[Batch], received: list[signal.Signals], count: int):
        self.batches, self.received = islice(batches, count), received
        self.together = distributed.world_size() > 1
        self.verdict = 0
        if self.together:
            self._look_ahead()
            self.verdict = self.answer()

    def take(self) -> Batch:
        """Return the batch of the next step.

        Raises:
            UserError: it cannot be had, by this process or by another.
        """
        if not self.together:
            return next(self.batches)
        if self.verdict == _NO_BATCH:
            distributed.run_on_each(self._complain)
        batch = self.ahead
        assert batch is not None
        assert not isinstance(batch, UserError)
        self._look_ahead()
        return batch

    def stop(self) -> signal.Signals | None:
        """Return the signal after which no further step is made."""
        if not self.together:
            return self.received[0] if self.received else None
        self.verdict = self.answer()
        return signal.Signals(self.verdict) if self.verdict not in (0, _NO_BATCH) else None

    def _look_ahead(self) -> None:
        self.ahead: Batch | UserError | None
        try:
            self.ahead = next(self.batches, None)
        except UserError as error:
            self.ahead = error
        failed = isinstance(self.ahead, UserError)
        self.answer = distributed.start_max(_NO_BATCH if failed else max(self.received, default=0))

    def _complain(self) -> None:
        if isinstance(self.ahead, UserError):
            raise self.ahead


@contextmanager
def catch_signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGINT and SIGTERM instead of dying in the middle of a step; the second SIGINT interrupts at once."""
    received: list[signal.Signals] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
