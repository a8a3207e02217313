"""Photographs of any size, and style pictures, as batches: the run's n-th is a function of (seed, n)."""

import itertools
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pix2pix.data.assembly import Sample
from pix2pix.data.batches import samples
from pix2pix.data.loading import loaded
from pix2pix.data.photos import PhotoData, PhotoSet
from pix2pix.data.records import ContentStyle, Photos
from pix2pix.errors import UserError
from pix2pix.images import Array, resize, rgb_tensor
from pix2pix.options import PhotoOptions

_LONGEST = 4  # times the shorter side: of a longer photo, one row of a scan say, validation sees the middle
_OF_STYLES = 2**32  # beyond all seeds of users: else as many styles as photos would be drawn in the photos' order

_Drawn = tuple[list[Sample], list[Sample]]  # of photographs and of styles


def photo_batches(
    found: PhotoData,
    data: PhotoOptions,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    shown: int | None = None,
    rank: int = 0,
    ranks: int = 1,
    pinned: bool = False,
) -> Generator[Photos | ContentStyle, None, None]:
    """Endless batches from start_step on, with style pictures if there are any; close() ends the workers.

    Photographs and style pictures go through permutations of their own, each shown once in an epoch of its kind. Of the
    photographs of a step, process `rank` of `ranks` has its slice, and so of the styles. They go on after the `shown`
    first ones; None: after those that the steps before would have shown, were they all like this one. Batches lie in
    pinned memory if `pinned`.

    Raises:
        UserError: on reaching a photograph that cannot be used.
        LoaderError: a worker died, or gave no batch within `loader_timeout` seconds.
    """
    whole, mine = batch_size * ranks, slice(rank * batch_size, (rank + 1) * batch_size)
    offset = 0 if shown is None else shown - start_step * whole

    def drawn(step: int) -> _Drawn:
        photos = samples(step, whole, len(found.train), seed, offset)[mine]
        if found.styles is None:
            return photos, []
        return photos, samples(step, whole, len(found.styles), seed + _OF_STYLES, offset)[mine]

    made = _Made(found.train, found.styles, data.load_size, data.crop_size, data.flip, seed)
    batches: Generator[Photos | ContentStyle, None, None]
    batches = loaded(made, map(drawn, itertools.count(start_step)), data.num_workers, data.loader_timeout)
    with closing(batches):
        for batch in batches:
            yield _pinned(batch) if pinned else batch


def _pinned(batch: Photos | ContentStyle) -> Photos | ContentStyle:
    if isinstance(batch, Photos):
        return Photos(batch.content.pin_memory(), batch.name)
    return ContentStyle(batch.content.pin_memory(), batch.style.pin_memory(), batch.name)


@dataclass(frozen=True)
class _Made(Dataset[Photos | ContentStyle | UserError]):
    """The batches of samples; a user's mistake is returned, not raised: see `loaded`."""

    train: PhotoSet
    styles: PhotoSet | None
    load_size: int
    crop_size: tuple[int, int]
    flip: bool
    seed: int

    def __getitem__(self, drawn: _Drawn) -> Photos | ContentStyle | UserError:
        photos, styles = drawn
        names = [self.train.names[sample.pair] for sample in photos]
        try:
            content = self._stacked(self.train, photos, self.seed)
            if self.styles is None:
                return Photos(content, names)
            return ContentStyle(content, self._stacked(self.styles, styles, self.seed + _OF_STYLES), names)
        except UserError as error:
            return error

    def _stacked(self, photos: PhotoSet, batch: Sequence[Sample], seed: int) -> Tensor:
        return torch.stack([rgb_tensor(self._part(photos.read(one.pair), one, seed)) for one in batch])

    def _part(self, photo: Array, sample: Sample, seed: int) -> Array:
        """Return a random crop of the photo as it is where its shorter side is load_size, mirrored half of the time.

        The part that becomes the crop is cut out first: of a photo of one row of pixels, the whole would be immense.
        """
        height, width = photo.shape[:2]
        scale = min(height, width) / self.load_size
        rows, columns = (max(round(side * scale), 1) for side in self.crop_size)
        seeds = np.random.SeedSequence(seed, spawn_key=tuple(sample)).generate_state(1, np.uint64)
        draw = Random(int(seeds[0]))
        top = int((height - rows + 1) * draw.random())
        left = int((width - columns + 1) * draw.random())
        part = resize(photo[top : top + rows, left : left + columns], self.crop_size)
        return part[:, ::-1] if self.flip and draw.random() < 0.5 else part


def evaluation_photos(
    found: PhotoData, data: PhotoOptions, *, rank: int = 0, ranks: int = 1, limit: int | None = None
) -> Iterator[Photos | ContentStyle]:
    """The first photographs for validation (all, without a limit) in order, as batches of one, never mirrored.

    Their shorter side is that of the crop, in their own proportions; so is that of the style picture beside each, the
    styles in turn. Of these, process `rank` of `ranks` has the share [rank::ranks].

    Raises:
        UserError: on reaching a photograph that cannot be used.
    """
    side = min(data.crop_size)
    for index in range(len(found.val))[:limit][rank::ranks]:
        content, name = _whole(found.val.read(index), side), [found.val.names[index]]
        if found.styles is None:
            yield Photos(content, name)
        else:
            yield ContentStyle(content, _whole(found.styles.read(index % len(found.styles)), side), name)


def _whole(photo: Array, side: int) -> Tensor:
    """Return all of a photo, or the middle if it is very long, as (1, 3, H, W) whose shorter side is `side`."""
    shorter = min(photo.shape[:2])
    length = [min(pixels, _LONGEST * shorter) for pixels in photo.shape[:2]]
    top, left = ((pixels - kept) // 2 for pixels, kept in zip(photo.shape[:2], length, strict=True))
    middle = photo[top : top + length[0], left : left + length[1]]
    return rgb_tensor(resize(middle, (round(length[0] * side / shorter), round(length[1] * side / shorter))))[None]
