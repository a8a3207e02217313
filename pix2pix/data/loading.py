"""Items of a data set in a given order, loaded by worker processes that die, hang and end in good order."""

import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from pix2pix.errors import UserError

Item = TypeVar("Item")

_POLL_SECONDS = 1.0  # torch looks whether the workers live when it has waited so long for an item


class LoaderError(UserError):
    """The worker processes that load images died or hang."""

    exit_status = 1


def loaded(
    dataset: Dataset[Item | UserError], order: Iterable[Any], num_workers: int = 0, timeout: float = 60
) -> Generator[Item, None, None]:
    """The items under these keys, one after the other; close() ends the workers. No item may take `timeout` seconds.

    Raises:
        UserError: an item is one: returned, as torch would wrap a raised one in a traceback's text.
        LoaderError: if a worker dies or hangs.
    """
    loader = DataLoader(
        dataset,
        batch_size=None,  # an item is a batch already
        sampler=order,
        num_workers=num_workers,
        collate_fn=_as_it_is,
        worker_init_fn=_start_worker,
        multiprocessing_context=("fork" if sys.platform == "linux" else "spawn") if num_workers else None,
        timeout=min(timeout, _POLL_SECONDS) if num_workers else 0,
        generator=torch.Generator(),  # else starting would draw from the global one
    )
    children = multiprocessing.active_children()
    with _unchanged_signals():
        iterator = iter(loader)
    if hasattr(iterator, "_workers_done_event"):
        # By this event torch tells workers to end; here they are killed. A worker that is killed while it looks at the
        # event takes the event's lock with it, and torch, which looks too when it finds the worker dead, would wait for
        # the lock for ever (once in 367 kills at random moments). No public name leads to it.
        iterator._workers_done_event = multiprocessing.Event()
    workers = [child for child in multiprocessing.active_children() if child not in children]
    try:
        while True:
            item = _await(iterator, timeout)
            if isinstance(item, UserError):
                raise item
            yield item
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
        del iterator


def _as_it_is(item: Item) -> Item:
    return item


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach all processes: only the main one decides how to end
        signal.signal(number, signal.SIG_IGN)


def _await(iterator: Iterator[Item | UserError], timeout: float) -> Item | UserError:
    """The next item; what torch says of dead or hanging workers becomes a LoaderError.

    It is returned, not raised, since a traceback would hold on to the iterator and with that to the workers.
    """
    end = time.monotonic() + timeout
    while True:
        try:
            return next(iterator)
        except (RuntimeError, OSError, EOFError) as error:
            cut_off = isinstance(error, OSError | EOFError) and not str(error).startswith(
                "Caught"
            )  # while it was sending
            if cut_off or str(error).startswith("DataLoader worker"):
                return LoaderError(
                    "a worker process loading images died, likely for want of memory: "
                    "use fewer --num_workers (0 loads without any), or allow more shared memory"
                )
            if not str(error).startswith("DataLoader timed out"):
                raise
        if time.monotonic() >= end:
            return LoaderError(
                f"no batch within --loader_timeout {timeout:g} s: see whether the disk of --dataroot answers, "
                "give a longer one, or use --num_workers 0"
            )


@contextmanager
def _unchanged_signals() -> Iterator[None]:
    """Take back the SIGCHLD handler that torch installs: by that, a worker's death would break off a training step."""
    number = getattr(signal, "SIGCHLD", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield  # torch installs none here
        return
    previous = signal.getsignal(number)
    yield
    signal.signal(number, previous)
