"""Batches of pairs: the run's n-th is a function of (seed, n), with any number of workers."""

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

_POLL_SECONDS = 1.0  # torch looks whether the workers live when it has waited so long for an item


class LoaderError(UserError):
    """The worker processes that load images died or hang."""

    exit_status = 1


def load_items(
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


class Sample(NamedTuple):
    """Which pair is shown in which epoch: what its augmentation is drawn from."""

    epoch: int
    pair: int


@dataclass(frozen=True)
class ResizedPairs(Dataset[list[RawPair] | UserError]):
    """The pairs of samples as training resizes them; a user's mistake is returned, not raised: see `loaded`."""

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
        """Read a pair, or find it in the cache, whose images are not to be written to."""
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
    """The batches of samples, augmented, and padded to the multiple by reflection."""

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
    """The samples of the batch of a step (from 0) when there are count pairs; `offset` is the number of the first.

    Batches follow each other through the epochs' permutations and over their borders: every batch is full, and every
    epoch shows each pair once.
    """
    numbers = range(offset + step * batch_size, offset + (step + 1) * batch_size)
    return [Sample(n // count, int(_permutation(count, seed, n // count)[n % count])) for n in numbers]


@lru_cache(maxsize=4)  # at the border of two epochs, of photos and of styles
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
    """Endless augmented batches from start_step on; close() ends the workers.

    What is no multiple of `multiple` in height or width is padded by reflection, so that a network fits. Of the samples
    of a step, process `rank` of `ranks` has its slice. They go on after the `shown` first ones; None: after those that
    the steps before would have shown, were they all like this one. A cache changes nothing but the time they take, and
    one of a device the place where they lie. Others lie in pinned memory if `pinned`. `say` is told once when the cache
    has no room left.

    Raises:
        UserError: on reaching an image that cannot be used, or images of unequal size in one batch.
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
    """Batches that the loader makes; say once when the cache takes no more."""
    told, cache = False, assembly.resized.cache
    with closing(load_items(assembly, order, num_workers, timeout)) as batches:
        for batch in batches:
            if cache and cache.failed and not told:
                told = True
                say("cache: no room is left for it, so pairs that are not in it yet are read each time")
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
    """Batches made on the device, endless; workers load the pairs that are not there yet."""

    def made(batch: list[Sample]) -> PairBatch:
        windows = [augment.window(cache.first, epoch, pair) for epoch, pair in batch]
        images = cache.batch([pair for _, pair in batch], windows)
        source, target = (pad_to_multiple(image, multiple)[0] for image in images)
        return PairBatch(source, target, [reader.pairs.names[pair] for _, pair in batch])

    if not cache.is_full:
        missing = ([sample for sample in batch if sample.pair not in cache] for batch in order(step))
        asked, awaited = itertools.tee(missing)  # loaders ask ahead, when more is missing than in the end
        with closing(load_items(reader, asked, num_workers, timeout)) as read:
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
    """The first pairs (all, without a limit) in order, as batches of one: resized, neither cropped nor flipped.

    Of these, process `rank` of `ranks` has the share [rank::ranks].
    """
    for index in range(len(pairs))[:limit][rank::ranks]:
        yield _to_pair(
            resize_pair(pairs.read(index), preprocess, load_size, crop_size, training=False, codec=codec), codec
        )


def _to_pair(raw: RawPair, codec: PairCodec) -> PairBatch:
    return PairBatch(codec.source.encode_batch([raw.source]), codec.target.encode_batch([raw.target]), [raw.name])
