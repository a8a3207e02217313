"""Batches of tensors: the run's n-th sample is a function of (seed, n), whoever loads it and wherever a run resumes."""

import itertools
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pix2pix.data.assembly import Assembly, Resized, Sample
from pix2pix.data.augment import Augment, Preprocess, Size, resized
from pix2pix.data.cache import Cache
from pix2pix.data.loading import loaded
from pix2pix.data.on_device import DeviceCache
from pix2pix.data.records import Pair, Pairs, RawPair
from pix2pix.images import Codec, reflect_to_multiple


def samples(step: int, batch_size: int, count: int, seed: int, offset: int = 0) -> list[Sample]:
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
    loader_timeout: float = 60,
    cache: Cache | DeviceCache | None = None,
    pinned: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Generator[Pair, None, None]:
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
        return (samples(step, whole, len(pairs), seed, offset)[mine] for step in itertools.count(first))

    reader = Resized(pairs, codec, preprocess, load_size, crop_size, cache if isinstance(cache, Cache) else None)
    if isinstance(cache, DeviceCache):
        yield from _from_device(cache, reader, augment, multiple, order, start_step, num_workers, loader_timeout)
    else:
        assembly = Assembly(reader, augment, multiple)
        yield from _from_host(assembly, order(start_step), num_workers, loader_timeout, pinned, say)


def _from_host(
    assembly: Assembly,
    order: Iterator[list[Sample]],
    num_workers: int,
    timeout: float,
    pinned: bool,
    say: Callable[[str], None],
) -> Iterator[Pair]:
    """Batches that the loader makes; say once when the cache takes no more."""
    told, cache = False, assembly.resized.cache
    with closing(loaded(assembly, order, num_workers, timeout)) as batches:
        for batch in batches:
            if cache and cache.failed and not told:
                told = True
                say("cache: no room is left for it, so pairs that are not in it yet are read each time")
            yield Pair(batch.source.pin_memory(), batch.target.pin_memory(), batch.name) if pinned else batch


def _from_device(
    cache: DeviceCache,
    reader: Resized,
    augment: Augment,
    multiple: int,
    order: Callable[[int], Iterator[list[Sample]]],
    step: int,
    num_workers: int,
    timeout: float,
) -> Iterator[Pair]:
    """Batches made on the device, endless; workers load the pairs that are not there yet."""

    def made(batch: list[Sample]) -> Pair:
        windows = [augment.window(cache.first, epoch, pair) for epoch, pair in batch]
        images = cache.batch([pair for _, pair in batch], windows)
        source, target = (reflect_to_multiple(image, multiple)[0] for image in images)
        return Pair(source, target, [reader.pairs.names[pair] for _, pair in batch])

    if not cache.is_full:
        missing = ([sample for sample in batch if sample.pair not in cache] for batch in order(step))
        asked, awaited = itertools.tee(missing)  # loaders ask ahead, when more is missing than in the end
        with closing(loaded(reader, asked, num_workers, timeout)) as read:
            for batch, samples_, raws in zip(order(step), awaited, read, strict=False):
                for sample, raw in zip(samples_, raws, strict=True):
                    cache.put(sample.pair, raw)
                yield made(batch)
                step += 1
                if cache.is_full:
                    break
    yield from map(made, order(step))


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
    return Pair(codec.source.encode_all([raw.source]), codec.target.encode_all([raw.target]), [raw.name])
