"""Photographs and style images for the style methods: found, validated, and as batches."""

import itertools
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pix2pix.config.style import ContentStyleOptions, PhotoOptions
from pix2pix.data.arrays import Array, resize
from pix2pix.data.batch import ContentStyleBatch, PhotoBatch
from pix2pix.data.codec import read_rgb_array, rgb_to_tensor
from pix2pix.data.dataset import GENERATED, GENERATED_SEED, select_validation_names
from pix2pix.data.io import IMAGE_SUFFIXES, find_images
from pix2pix.data.limits import MAX_PIXELS
from pix2pix.data.loader import Sample, batch_samples, load_items
from pix2pix.data.validate import map_ordered
from pix2pix.errors import UserError, format_path

Progress = Callable[[Iterable[str | None], int, str], Iterable[str | None]]  # (items, count, phase) -> items


@dataclass(frozen=True)
class PhotoSet:
    """Photographs by relative path from `root`; `layout` describes their origin.

    With a `side` they are generated facades, squares of `side` pixels.
    """

    root: Path
    names: tuple[str, ...]
    layout: str
    max_pixels: int = MAX_PIXELS
    side: int | None = None

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> Array:
        """Read a photograph as (H, W, 3) of uint8, uint16 or float32, read-only.

        Raises:
            ImageError: as `read_rgb_array`.
        """
        if self.side is not None:
            return _facade(self.names[index], self.side)
        return read_rgb_array(self.root / self.names[index], self.max_pixels)

    def fault(self, index: int) -> str | None:
        """Return the fault of a photograph, or None."""
        try:
            self.read(index)
        except UserError as error:
            return str(error)
        return None

    def first(self, count: int | None) -> "PhotoSet":
        """Return the set with only the first photographs; None returns all."""
        return replace(self, names=self.names[:count])

    def without(self, names: Collection[str]) -> "PhotoSet":
        """Return the set without the photographs of these names."""
        left_out = set(names)
        return replace(self, names=tuple(name for name in self.names if name not in left_out))


class PhotoData(NamedTuple):
    """The training data of a style method; styles are None if they do not come from --styles.

    `skipped` has the names left out of each phase ("train", "val", "styles"), `faults` the reasons.
    """

    train: PhotoSet
    val: PhotoSet
    styles: PhotoSet | None
    skipped: Mapping[str, Sequence[str]]
    faults: tuple[str, ...] = ()


def open_photo_data(data: PhotoOptions, progress: Progress) -> PhotoData:
    """Find photographs and style images and, with data.check, read each of them once.

    Raises:
        UserError: there are none; or some are faulty and skip_bad is not set, or all are.
    """
    found = _listed(data)
    skipped: dict[str, list[str]] = {}
    faults: list[str] = []
    for phase, photos in found.items():
        if not len(photos) or not data.check or photos.side is not None:
            continue
        faults_by_photo = progress(map_ordered(photos.fault, len(photos)), len(photos), phase)
        bad = {name: fault for name, fault in zip(photos.names, faults_by_photo, strict=True) if fault is not None}
        skipped[phase] = list(bad)
        faults += bad.values()
        if len(bad) == len(photos) and phase != "val":
            raise UserError(f"no image of {phase} can be used: {next(iter(bad.values()))}")
    if faults and not data.skip_bad:
        others = f" (and {len(faults) - 1} more fault{'s' * (len(faults) > 2)})" * (len(faults) > 1)
        raise UserError(f"{faults[0]}{others}; --skip_bad leaves them out")
    return _without(found, skipped, tuple(faults))


def reopen_photo_data(data: PhotoOptions, skipped: Mapping[str, Sequence[str]]) -> PhotoData:
    """Find the photographs of a resumed run, without those left out at its start.

    Raises:
        UserError: there are none.
    """
    return _without(_listed(data), skipped)


def _without(
    found: Mapping[str, PhotoSet], skipped: Mapping[str, Sequence[str]], faults: tuple[str, ...] = ()
) -> PhotoData:
    kept = {phase: photos.without(skipped.get(phase, ())) for phase, photos in found.items()}
    return PhotoData(kept["train"], kept["val"], kept.get("styles"), skipped, faults)


def _listed(data: PhotoOptions) -> dict[str, PhotoSet]:
    """Return the photographs of each phase, and the style images if there are any."""
    train, val = _generated(data) if data.dataroot == "generated" else _find_train_and_val(data)
    found = {"train": train.first(data.max_dataset_size), "val": val}
    if isinstance(data, ContentStyleOptions):
        found["styles"] = _tree("--styles", Path(data.styles), data.max_pixels)
    return found


def _find_train_and_val(data: PhotoOptions) -> tuple[PhotoSet, PhotoSet]:
    """Return training and validation photographs: those of train/ and val/, or shares of one folder tree."""
    root = Path(data.dataroot)
    inside = [phase for phase in ("train", "val", "test") if (root / phase).is_dir()]
    if inside and "train" not in inside:
        raise UserError(
            f"--dataroot {format_path(root)}: has {inside[0]}/ but no train/: put the training photos into train/"
        )
    train = _tree("--dataroot", root / "train" if inside else root, data.max_pixels)
    if "val" in inside:
        return train, _tree("--dataroot", root / "val", data.max_pixels)
    kept_out = select_validation_names(train.names, data.val_fraction)
    learned = train.without(kept_out)
    validated = train.without(learned.names)

    def label(share: PhotoSet, phase: str) -> PhotoSet:
        said = f"({len(share)} of {len(train)}: {phase} by --val_fraction {data.val_fraction:g})"
        return replace(share, layout=f"{share.layout} {said}")

    return label(learned, "train"), label(validated, "val")


def _tree(flag: str, folder: Path, max_pixels: int) -> PhotoSet:
    """Find all photographs below a folder, in natural order of their names."""
    if not folder.is_dir():
        raise UserError(f"{flag} {format_path(folder)} is no folder: a folder tree of photos is needed")
    names = tuple(path.relative_to(folder).as_posix() for path in find_images(folder))
    if not names:
        raise UserError(
            f"{flag} {format_path(folder)}: no photos: files ending in {', '.join(IMAGE_SUFFIXES)} are needed"
        )
    return PhotoSet(folder, names, f"photos in {format_path(folder)}", max_pixels)


def _generated(data: PhotoOptions) -> tuple[PhotoSet, PhotoSet]:
    train, val = (
        PhotoSet(
            Path(data.dataroot),
            tuple(f"facade_{number}" for number in GENERATED[phase]),
            f"{len(GENERATED[phase])} generated facades",
            side=data.load_size,
        )
        for phase in ("train", "val")
    )
    return train, val


@lru_cache(maxsize=512)  # all of them: drawing is slow
def _facade(name: str, side: int) -> Array:
    from pix2pix.data.generated import generate  # slow import

    photo, _ = generate(GENERATED_SEED, int(name.removeprefix("facade_")), size=(side, side))
    photo.setflags(write=False)
    return photo


_LONGEST = 4  # aspect ratio above which validation uses the middle of a photo
_OF_STYLES = 2**32  # added to the seed: styles must not follow the order of photos

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
) -> Generator[PhotoBatch | ContentStyleBatch, None, None]:
    """Yield endless batches from start_step on, with style images if there are any; close() ends the workers.

    Photographs and style images follow independent permutations, each shown once per epoch. Process `rank` of `ranks`
    gets its slice of each batch. `shown` is the number of samples before start_step; None: start_step batches of this
    size. Batches are in pinned memory if `pinned`.

    Raises:
        UserError: a photograph cannot be used.
        LoaderError: a worker died, or gave no batch within `loader_timeout` seconds.
    """
    whole, mine = batch_size * ranks, slice(rank * batch_size, (rank + 1) * batch_size)
    offset = 0 if shown is None else shown - start_step * whole

    def drawn(step: int) -> _Drawn:
        photos = batch_samples(step, whole, len(found.train), seed, offset)[mine]
        if found.styles is None:
            return photos, []
        return photos, batch_samples(step, whole, len(found.styles), seed + _OF_STYLES, offset)[mine]

    made = _BatchBuilder(found.train, found.styles, data.load_size, data.crop_size, data.flip, seed)
    batches: Generator[PhotoBatch | ContentStyleBatch, None, None]
    batches = load_items(made, map(drawn, itertools.count(start_step)), data.num_workers, data.loader_timeout)
    with closing(batches):
        for batch in batches:
            yield _pinned(batch) if pinned else batch


def _pinned(batch: PhotoBatch | ContentStyleBatch) -> PhotoBatch | ContentStyleBatch:
    if isinstance(batch, PhotoBatch):
        return PhotoBatch(batch.content.pin_memory(), batch.name)
    return ContentStyleBatch(batch.content.pin_memory(), batch.style.pin_memory(), batch.name)


@dataclass(frozen=True)
class _BatchBuilder(Dataset[PhotoBatch | ContentStyleBatch | UserError]):
    """Builds batches of samples; a UserError is returned, not raised: see `load_items`."""

    train: PhotoSet
    styles: PhotoSet | None
    load_size: int
    crop_size: tuple[int, int]
    flip: bool
    seed: int

    def __getitem__(self, drawn: _Drawn) -> PhotoBatch | ContentStyleBatch | UserError:
        photos, styles = drawn
        names = [self.train.names[sample.pair] for sample in photos]
        try:
            content = self._stacked(self.train, photos, self.seed)
            if self.styles is None:
                return PhotoBatch(content, names)
            return ContentStyleBatch(content, self._stacked(self.styles, styles, self.seed + _OF_STYLES), names)
        except UserError as error:
            return error

    def _stacked(self, photos: PhotoSet, batch: Sequence[Sample], seed: int) -> Tensor:
        return torch.stack([rgb_to_tensor(self._part(photos.read(one.pair), one, seed)) for one in batch])

    def _part(self, photo: Array, sample: Sample, seed: int) -> Array:
        """Return a random crop of the photo scaled to a shorter side of load_size, mirrored with probability 1/2.

        It is cut out before resizing: a photo of one row of pixels would become immense.
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


def iterate_photos(
    found: PhotoData, data: PhotoOptions, *, rank: int = 0, ranks: int = 1, limit: int | None = None
) -> Iterator[PhotoBatch | ContentStyleBatch]:
    """Yield the first photographs (all without a limit) for validation, in order, as batches of one, not mirrored.

    They are resized to a shorter side of crop_size, like the style image of each, taken in turn. Process `rank` of
    `ranks` gets [rank::ranks].

    Raises:
        UserError: a photograph cannot be used.
    """
    side = min(data.crop_size)
    for index in range(len(found.val))[:limit][rank::ranks]:
        content, name = _whole(found.val.read(index), side), [found.val.names[index]]
        if found.styles is None:
            yield PhotoBatch(content, name)
        else:
            yield ContentStyleBatch(content, _whole(found.styles.read(index % len(found.styles)), side), name)


def _whole(photo: Array, side: int) -> Tensor:
    """Return the photo, or its middle if it is very long, as (1, 3, H, W) with a shorter side of `side`."""
    shorter = min(photo.shape[:2])
    length = [min(pixels, _LONGEST * shorter) for pixels in photo.shape[:2]]
    top, left = ((pixels - kept) // 2 for pixels, kept in zip(photo.shape[:2], length, strict=True))
    middle = photo[top : top + length[0], left : left + length[1]]
    return rgb_to_tensor(resize(middle, (round(length[0] * side / shorter), round(length[1] * side / shorter))))[None]
