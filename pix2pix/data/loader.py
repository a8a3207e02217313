"""Batches of pairs: the n-th is a function of (seed, n) for any number of workers."""

import itertools
import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pix2pix.data.arrays import Array, pad_to_multiple
from pix2pix.data.batch import PairBatch, PairSource, RawPair
from pix2pix.data.cache import GpuCache, PairCache
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.data.transforms import Augment, Preprocess, Size, resize_pair
from pix2pix.errors import UserError, format_path

Item = TypeVar("Item")

_POLL_SECONDS = 1.0  # interval at which torch checks that workers are alive


class LoaderError(UserError):
    """A worker process died or hangs."""

    exit_status = 1


def load_items(
    dataset: Dataset[Item | UserError], order: Iterable[Any], num_workers: int = 0, timeout: float = 60
) -> Generator[Item, None, None]:
    """Yield the items of these keys in order; close() ends the workers. An item may take up to `timeout` seconds.

    Raises:
        UserError: an item is a UserError; datasets return it, since torch would wrap a raised one in a traceback.
        LoaderError: a worker died or hangs.
    """
    loader = DataLoader(
        dataset,
        batch_size=None,  # an item is a batch
        sampler=order,
        num_workers=num_workers,
        collate_fn=_as_it_is,
        worker_init_fn=_start_worker,
        multiprocessing_context=("fork" if sys.platform == "linux" else "spawn") if num_workers else None,
        timeout=min(timeout, _POLL_SECONDS) if num_workers else 0,
        generator=torch.Generator(),  # or it would draw from the global one
    )
    children = multiprocessing.active_children()
    with _unchanged_signals():
        iterator = iter(loader)
    if hasattr(iterator, "_workers_done_event"):
        # Torch ends workers through this event. A worker killed while it holds the event's lock would leave torch
        # waiting for it forever (once in 367 kills at random moments). The event has no public name.
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
    for number in (signal.SIGINT, signal.SIGTERM):  # only the main process handles them
        signal.signal(number, signal.SIG_IGN)


def _await(iterator: Iterator[Item | UserError], timeout: float) -> Item | UserError:
    """Return the next item, or a LoaderError if a worker died or hangs.

    The error is returned, not raised, since its traceback would keep the iterator and the workers alive.
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
                    "a worker process loading images died, probably out of memory: "
                    "lower --num_workers (0 loads in the main process), or allow more shared memory"
                )
            if not str(error).startswith("DataLoader timed out"):
                raise
        if time.monotonic() >= end:
            return LoaderError(
                f"no batch within --loader_timeout {timeout:g} s: check the disk of --dataroot, "
                "raise it, or use --num_workers 0"
            )


@contextmanager
def _unchanged_signals() -> Iterator[None]:
    """Restore the SIGCHLD handler: torch's own would interrupt a training step when a worker dies."""
    number = getattr(signal, "SIGCHLD", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield  # torch installs none here
        return
    previous = signal.getsignal(number)
    yield
    signal.signal(number, previous)


class Sample(NamedTuple):
    """The index of a pair and its epoch, which seed its augmentation."""

    epoch: int
    pair: int


@dataclass(frozen=True)
class ResizedPairs(Dataset[list[RawPair] | UserError]):
    """Reads and resizes the pairs of samples; a UserError is returned, not raised: see `load_items`."""

    pairs: PairSource
    codec: PairCodec
    preprocess: Preprocess
    load_size: Size
    crop_size: Size
    cache: PairCache | None = None

    def __getitem__(self, samples: Sequence[Sample]) -> list[RawPair] | UserError:
        try:
            return [self.read(sample.pair) for sample in samples]
        except UserError as error:
            return error

    def read(self, index: int) -> RawPair:
        """Read and resize a pair, or return it from the cache (read-only)."""
        kept = self.cache.get(index) if self.cache else None
        if kept is not None:
            return RawPair(*kept, self.pairs.names[index])
        raw = self.pairs.read(index)
        raw = resize_pair(raw, self.preprocess, self.load_size, self.crop_size, training=True, codec=self.codec)
        if self.cache:
            self.cache.put(index, raw)
        return raw


@dataclass(frozen=True)
class BatchBuilder(Dataset[PairBatch | UserError]):
    """Builds batches of samples: augmented, and padded to the multiple by reflection."""

    resized: ResizedPairs
    augment: Augment
    multiple: int

    def __getitem__(self, samples: Sequence[Sample]) -> PairBatch | UserError:
        try:
            raws = [self.augment(self.resized.read(pair), epoch, pair) for epoch, pair in samples]
            names = [raw.name for raw in raws]
            codec = self.resized.codec
            source = self._stacked(codec.source, [raw.source for raw in raws], names)
            return PairBatch(source, self._stacked(codec.target, [raw.target for raw in raws], names), names)
        except UserError as error:
            return error

    def _stacked(self, encoding: ImageCodec, arrays: list[Array], names: list[str]) -> Tensor:
        if len({array.shape for array in arrays}) == 1:
            return pad_to_multiple(encoding.encode_batch(arrays), self.multiple)[0]
        padded = [pad_to_multiple(encoding.encode_batch([array]), self.multiple)[0] for array in arrays]
        if len({image.shape for image in padded}) > 1:
            sizes = [
                f"{format_path(name)} {image.shape[2]}x{image.shape[3]}"
                for name, image in zip(names, padded, strict=True)
            ]
            raise UserError(
                f"images of one batch differ in size: {', '.join(sizes)}: "
                "use --batch_size 1 or a --preprocess with crop"
            )
        return torch.cat(padded)


def batch_samples(step: int, batch_size: int, count: int, seed: int, offset: int = 0) -> list[Sample]:
    """Return the samples of the batch of a step (from 0) for `count` pairs; `offset` is the number of the first sample.

    Batches continue across epochs, each a permutation: every batch is full, and every epoch has each pair once.
    """
    numbers = range(offset + step * batch_size, offset + (step + 1) * batch_size)
    return [Sample(n // count, int(_permutation(count, seed, n // count)[n % count])) for n in numbers]


@lru_cache(maxsize=4)  # two epochs, for photos and styles
def _permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,))).permutation(count)


def training_batches(
    pairs: PairSource,
    codec: PairCodec,
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
    loader_timeout: float = 60,
    cache: PairCache | GpuCache | None = None,
    pinned: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Generator[PairBatch, None, None]:
    """Yield endless augmented batches from start_step on; close() ends the workers.

    Images are padded by reflection to a multiple of `multiple`. Process `rank` of `ranks` gets its slice of each
    batch. `shown` is the number of samples before start_step; None: start_step batches of this size. A cache changes
    only the speed, and a GPU cache the device of batches; others are in pinned memory if `pinned`. `say` is called
    once if the cache is full.

    Raises:
        UserError: an image cannot be used, or images of a batch differ in size.
        LoaderError: a worker died, or gave no batch within `loader_timeout` seconds.
    """
    whole, mine = batch_size * ranks, slice(rank * batch_size, (rank + 1) * batch_size)
    offset = 0 if shown is None else shown - start_step * whole

    def order(first: int) -> Iterator[list[Sample]]:
        return (batch_samples(step, whole, len(pairs), seed, offset)[mine] for step in itertools.count(first))

    reader = ResizedPairs(
        pairs, codec, preprocess, load_size, crop_size, cache if isinstance(cache, PairCache) else None
    )
    if isinstance(cache, GpuCache):
        yield from _from_device(cache, reader, augment, multiple, order, start_step, num_workers, loader_timeout)
    else:
        assembly = BatchBuilder(reader, augment, multiple)
        yield from _from_host(assembly, order(start_step), num_workers, loader_timeout, pinned, say)


def _from_host(
    assembly: BatchBuilder,
    order: Iterator[list[Sample]],
    num_workers: int,
    timeout: float,
    pinned: bool,
    say: Callable[[str], None],
) -> Iterator[PairBatch]:
    """Yield batches of the loader; say once that the cache is full."""
    is_reported, cache = False, assembly.resized.cache
    with closing(load_items(assembly, order, num_workers, timeout)) as batches:
        for batch in batches:
            if cache and cache.failed and not is_reported:
                is_reported = True
                say("cache: the disk is full, so further pairs are read each time")
            yield PairBatch(batch.source.pin_memory(), batch.target.pin_memory(), batch.name) if pinned else batch


def _from_device(
    cache: GpuCache,
    reader: ResizedPairs,
    augment: Augment,
    multiple: int,
    order: Callable[[int], Iterator[list[Sample]]],
    step: int,
    num_workers: int,
    timeout: float,
) -> Iterator[PairBatch]:
    """Yield batches built on the device; workers load the pairs missing there."""

    def made(batch: list[Sample]) -> PairBatch:
        windows = [augment.window(cache.first, epoch, pair) for epoch, pair in batch]
        images = cache.batch([pair for _, pair in batch], windows)
        source, target = (pad_to_multiple(image, multiple)[0] for image in images)
        return PairBatch(source, target, [reader.pairs.names[pair] for _, pair in batch])

    if not cache.is_full:
        missing = ([sample for sample in batch if sample.pair not in cache] for batch in order(step))
        requested, awaited = itertools.tee(missing)  # loaders prefetch
        with closing(load_items(reader, requested, num_workers, timeout)) as read:
            for batch, samples_, raws in zip(order(step), awaited, read, strict=False):
                for sample, raw in zip(samples_, raws, strict=True):
                    cache.put(sample.pair, raw)
                yield made(batch)
                step += 1
                if cache.is_full:
                    break
    yield from map(made, order(step))


def iterate_pairs(
    pairs: PairSource,
    codec: PairCodec,
    *,
    preprocess: Preprocess,
    load_size: Size,
    crop_size: Size,
    limit: int | None = None,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[PairBatch]:
    """Yield the first pairs (all without a limit) in order, as batches of one: resized, not cropped or flipped.

    Process `rank` of `ranks` gets [rank::ranks].
    """
    for index in range(len(pairs))[:limit][rank::ranks]:
        yield _to_pair(
            resize_pair(pairs.read(index), preprocess, load_size, crop_size, training=False, codec=codec), codec
        )


def _to_pair(raw: RawPair, codec: PairCodec) -> PairBatch:
    return PairBatch(codec.source.encode_batch([raw.source]), codec.target.encode_batch([raw.target]), [raw.name])
