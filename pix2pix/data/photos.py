"""Photographs and style pictures for the style methods: found, validated, and as batches."""

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

Progress = Callable[[Iterable[str | None], int, str], Iterable[str | None]]  # hands through so many photos of a phase


@dataclass(frozen=True)
class PhotoSet:
    """Photographs by their names, paths from `root` with slashes; `layout` is a phrase saying where they come from.

    Those of a `side` are no files, but the built-in facades, drawn as squares of so many pixels.
    """

    root: Path
    names: tuple[str, ...]
    layout: str
    max_pixels: int = MAX_PIXELS
    side: int | None = None

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> Array:
        """Read a photograph as (H, W, 3) of uint8, uint16 or float32, not to be written to.

        Raises:
            ImageError: as `read_rgb_array`.
        """
        if self.side is not None:
            return _facade(self.names[index], self.side)
        return read_rgb_array(self.root / self.names[index], self.max_pixels)

    def fault(self, index: int) -> str | None:
        """Say what is wrong with a photograph."""
        try:
            self.read(index)
        except UserError as error:
            return str(error)
        return None

    def first(self, count: int | None) -> "PhotoSet":
        """Keep the first photographs; None keeps all."""
        return replace(self, names=self.names[:count])

    def without(self, names: Collection[str]) -> "PhotoSet":
        """Leave out the photographs of these names."""
        left_out = set(names)
        return replace(self, names=tuple(name for name in self.names if name not in left_out))


class PhotoData(NamedTuple):
    """What a training of a stylising translator learns from; styles are None where it is told its styles otherwise.

    `skipped` names those left out by phase ("train", "val", "styles"), `faults` says why.
    """

    train: PhotoSet
    val: PhotoSet
    styles: PhotoSet | None
    skipped: Mapping[str, Sequence[str]]
    faults: tuple[str, ...] = ()


def open_photo_data(data: PhotoOptions, progress: Progress) -> PhotoData:
    """Find the photographs and the style pictures, and read each of them once, if data.check.

    Raises:
        UserError: there are none; or some are faulty and skip_bad is not set, or all are.
    """
    found = _listed(data)
    skipped: dict[str, list[str]] = {}
    faults: list[str] = []
    for phase, photos in found.items():
        if not len(photos) or not data.check or photos.side is not None:
            continue
        told = progress(map_ordered(photos.fault, len(photos)), len(photos), phase)
        bad = {name: fault for name, fault in zip(photos.names, told, strict=True) if fault is not None}
        skipped[phase] = list(bad)
        faults += bad.values()
        if len(bad) == len(photos) and phase != "val":
            raise UserError(f"no picture of {phase} can be used: {next(iter(bad.values()))}")
    if faults and not data.skip_bad:
        others = f" (and {len(faults) - 1} more fault{'s' * (len(faults) > 2)})" * (len(faults) > 1)
        raise UserError(f"{faults[0]}{others}; --skip_bad leaves them out, and names each")
    return _without(found, skipped, tuple(faults))


def reopen_photo_data(data: PhotoOptions, skipped: Mapping[str, Sequence[str]]) -> PhotoData:
    """Find the photographs of a run that is resumed: what was left out at its start stays so.

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
    """All photographs by phase, and the style pictures if there are any of their own."""
    train, val = _generated(data) if data.dataroot == "generated" else _both(data)
    found = {"train": train.first(data.max_dataset_size), "val": val}
    if isinstance(data, ContentStyleOptions):
        found["styles"] = _tree("--styles", Path(data.styles), data.max_pixels)
    return found


def _both(data: PhotoOptions) -> tuple[PhotoSet, PhotoSet]:
    """The photographs to learn from and to validate on: those of train/ and val/, or shares of one tree."""
    root = Path(data.dataroot)
    inside = [phase for phase in ("train", "val", "test") if (root / phase).is_dir()]
    if inside and "train" not in inside:
        raise UserError(
            f"--dataroot {format_path(root)}: holds {inside[0]}/ without train/: "
            "put the photos to learn from into train/"
        )
    train = _tree("--dataroot", root / "train" if inside else root, data.max_pixels)
    if "val" in inside:
        return train, _tree("--dataroot", root / "val", data.max_pixels)
    kept_out = select_validation_names(train.names, data.val_fraction)
    learnt = train.without(kept_out)
    validated = train.without(learnt.names)

    def told(share: PhotoSet, phase: str) -> PhotoSet:
        said = f"({len(share)} of {len(train)}: {phase} by --val_fraction {data.val_fraction:g})"
        return replace(share, layout=f"{share.layout} {said}")

    return told(learnt, "train"), told(validated, "val")


def _tree(flag: str, folder: Path, max_pixels: int) -> PhotoSet:
    """All photographs below a folder, in natural order of their names."""
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


@lru_cache(maxsize=512)  # all there are: drawing one takes longer than reading ten
def _facade(name: str, side: int) -> Array:
    from pix2pix.data.generated import generate  # those who bring their own photos need not load it

    photo, _ = generate(GENERATED_SEED, int(name.removeprefix("facade_")), size=(side, side))
    photo.setflags(write=False)
    return photo


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
) -> Generator[PhotoBatch | ContentStyleBatch, None, None]:
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
        photos = batch_samples(step, whole, len(found.train), seed, offset)[mine]
        if found.styles is None:
            return photos, []
        return photos, batch_samples(step, whole, len(found.styles), seed + _OF_STYLES, offset)[mine]

    made = _Made(found.train, found.styles, data.load_size, data.crop_size, data.flip, seed)
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
class _Made(Dataset[PhotoBatch | ContentStyleBatch | UserError]):
    """The batches of samples; a user's mistake is returned, not raised: see `loaded`."""

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


def iterate_photos(
    found: PhotoData, data: PhotoOptions, *, rank: int = 0, ranks: int = 1, limit: int | None = None
) -> Iterator[PhotoBatch | ContentStyleBatch]:
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
            yield PhotoBatch(content, name)
        else:
            yield ContentStyleBatch(content, _whole(found.styles.read(index % len(found.styles)), side), name)


def _whole(photo: Array, side: int) -> Tensor:
    """Return all of a photo, or the middle if it is very long, as (1, 3, H, W) whose shorter side is `side`."""
    shorter = min(photo.shape[:2])
    length = [min(pixels, _LONGEST * shorter) for pixels in photo.shape[:2]]
    top, left = ((pixels - kept) // 2 for pixels, kept in zip(photo.shape[:2], length, strict=True))
    middle = photo[top : top + length[0], left : left + length[1]]
    return rgb_to_tensor(resize(middle, (round(length[0] * side / shorter), round(length[1] * side / shorter))))[None]
