"""Batches of tensors: the run's n-th sample is a function of (seed, n), whoever loads it and wherever a run resumes."""

import itertools
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import signal
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pix2pix.data.augment import Augment, Preprocess, Size, resized
from pix2pix.data.records import Pair, Pairs, RawPair
from pix2pix.errors import UserError
from pix2pix.images import Codec, reflect_to_multiple, shown

_POLL_SECONDS = 5  # between looks at the workers while a batch is awaited
_PATIENCE = 12  # looks, then the workers are taken to hang


class LoaderError(UserError):
    """The worker processes that load images died or hang."""


class Sample(NamedTuple):
    """Which pair is shown in which epoch: what its augmentation is drawn from."""

    epoch: int
    pair: int


def samples(step: int, batch_size: int, count: int, seed: int, offset: int = 0) -> list[Sample]:
    """The samples of the batch of a step (from 0) when there are count pairs; `offset` is the number of the first.

    Batches follow each other through the epochs' permutations and over their borders: every batch is full, and every
    epoch shows each pair once.
    """
    numbers = range(offset + step * batch_size, offset + (step + 1) * batch_size)
    return [Sample(n // count, int(_permutation(count, seed, n // count)[n % count])) for n in numbers]


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,))).permutation(count)


def training_batches(
    pairs: Pairs,
    codec: Codec,
    augment: Augment,
    *,
    preprocess: Preprocess,
    load_size: Size,
    crop_size: Size,
    multiple: int,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    shown: int | None = None,
    rank: int = 0,
    ranks: int = 1,
    num_workers: int = 0,
) -> Generator[Pair, None, None]:
    """Endless augmented batches from start_step on; close() ends the workers.

    What is no multiple of `multiple` in height or width is padded by reflection, so that a network fits. Of the samples
    of a step, process `rank` of `ranks` has its slice. They go on after the `shown` first ones; None: after those that
    the steps before would have shown, were they all like this one.

    Raises:
        UserError: on reaching an image that cannot be used, or images of unequal size in one batch.
        LoaderError: if a worker dies or hangs.
    """
    whole, mine = batch_size * ranks, slice(rank * batch_size, (rank + 1) * batch_size)
    offset = 0 if shown is None else shown - start_step * whole
    loader = DataLoader(
        _TrainingSet(pairs, codec, augment, preprocess, load_size, crop_size, multiple),
        batch_sampler=(samples(s, whole, len(pairs), seed, offset)[mine] for s in itertools.count(start_step)),
        num_workers=num_workers,
        collate_fn=_collate,
        worker_init_fn=_start_worker,
        timeout=_POLL_SECONDS if num_workers else 0,
        generator=torch.Generator(),  # else starting would draw from the global one
    )
    children = multiprocessing.active_children()
    with _unchanged_signals():
        iterator = iter(loader)
    workers = [child for child in multiprocessing.active_children() if child not in children]
    if workers:
        event = iterator._workers_done_event  # type: ignore[attr-defined]
        threading.Thread(target=_free_what_the_dead_held, args=(event, workers), daemon=True).start()
    try:
        while True:
            batch = _await(iterator)
            if isinstance(batch, UserError):
                raise batch
            yield batch
    finally:
        del iterator  # the workers end with it, unless they hang
        for worker in workers:
            worker.kill()
            worker.join()


def evaluation_pairs(
    pairs: Pairs,
    codec: Codec,
    *,
    preprocess: Preprocess,
    load_size: Size,
    crop_size: Size,
    limit: int | None = None,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[Pair]:
    """The first pairs (all, without a limit) in order, as batches of one: resized, neither cropped nor flipped.

    Of these, process `rank` of `ranks` has the share [rank::ranks].
    """
    for index in range(len(pairs))[:limit][rank::ranks]:
        yield _to_pair(resized(pairs.read(index), preprocess, load_size, crop_size, training=False, codec=codec), codec)


def _to_pair(raw: RawPair, codec: Codec) -> Pair:
    return Pair(codec.source.encode(raw.source)[None], codec.target.encode(raw.target)[None], [raw.name])


@dataclass(frozen=True)
class _TrainingSet(Dataset[Pair | UserError]):
    """Augmented pairs as batches of one; a user's mistake is returned, as torch would wrap it in a traceback's text."""

    pairs: Pairs
    codec: Codec
    augment: Augment
    preprocess: Preprocess
    load_size: Size
    crop_size: Size
    multiple: int

    def __getitem__(self, sample: Sample) -> Pair | UserError:
        try:
            raw = self.pairs.read(sample.pair)
            raw = resized(raw, self.preprocess, self.load_size, self.crop_size, training=True, codec=self.codec)
            pair = _to_pair(self.augment(raw, sample.epoch, sample.pair), self.codec)
        except UserError as error:
            return error
        source, _ = reflect_to_multiple(pair.source, self.multiple)
        target, _ = reflect_to_multiple(pair.target, self.multiple)
        return Pair(source, target, pair.name)


def _collate(items: Sequence[Pair | UserError]) -> Pair | UserError:
    pairs: list[Pair] = []
    for item in items:
        if isinstance(item, UserError):
            return item
        pairs.append(item)
    if len({pair.source.shape for pair in pairs}) > 1:
        sizes = ", ".join(f"{shown(name)} {_height_x_width(pair.source)}" for pair in pairs for name in pair.name)
        return UserError(f"images of one batch differ in size: {sizes}: use --batch_size 1 or a --preprocess with crop")
    sources, targets, names = zip(*pairs, strict=True)
    return Pair(torch.cat(sources), torch.cat(targets), [name for (name,) in names])


def _height_x_width(image: Tensor) -> str:
    return f"{image.shape[-2]}x{image.shape[-1]}"


def _free_what_the_dead_held(event: Any, workers: list[multiprocessing.process.BaseProcess]) -> None:
    """Wait for a worker's end, then release the lock of the event that all share, lest torch wait for it for ever.

    A worker that is killed while it looks at the event takes the lock with it. Any other time there is none to release.
    """
    multiprocessing.connection.wait([worker.sentinel for worker in workers])
    with suppress(ValueError):
        event._cond.release()


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach all processes: only the main one decides how to end
        signal.signal(number, signal.SIG_IGN)


def _await(iterator: Iterator[Pair | UserError]) -> Pair | UserError:
    """The next batch; what torch says of dead or hanging workers becomes a LoaderError.

    It is returned, not raised, since a traceback would hold on to the iterator and with that to the workers.
    """
    for _ in range(_PATIENCE):
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
    return LoaderError(
        f"no batch within {_POLL_SECONDS * _PATIENCE} s: see whether the disk of --dataroot answers, "
        "or use --num_workers 0"
    )


@contextmanager
def _unchanged_signals() -> Iterator[None]:
    """Take back the SIGCHLD handler that torch installs: by that, a worker's death would break off a training step."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield  # torch installs none here
        return
    previous = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, previous)
