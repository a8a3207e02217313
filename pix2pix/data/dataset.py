"""The pairs of a phase: found, split, and oriented from source to target."""

import hashlib
import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from pix2pix.config.pix2pix import DataOptions
from pix2pix.data.arrays import Array, convert_channels
from pix2pix.data.batch import PairSource, RawPair
from pix2pix.data.codec import PairCodec
from pix2pix.data.layouts import list_pairs
from pix2pix.errors import ImageError, UserError, format_path

Phase = Literal["train", "val", "test"]

GENERATED = {"train": range(400), "val": range(400, 450), "test": range(450, 550)}
GENERATED_SEED = 0


def open_pairs(data: DataOptions, phase: Phase) -> "PairDataset":
    """Open the pairs of a phase in natural order of their names, source first.

    Without a folder for val, a share val_fraction of train is used for it.

    Raises:
        UserError: no layout is recognized, or files belong to no pair and skip_bad is not set.
    """
    pairs, faults, is_split = _open_phase(data, phase)
    if faults and not data.skip_bad:
        raise UserError(format_faults(faults, data))
    chosen = list(range(len(pairs)))
    layout = pairs.layout
    if is_split:
        kept_out = select_validation_names(pairs.names, data.val_fraction)
        chosen = [index for index in chosen if (pairs.names[index] in kept_out) == (phase == "val")]
        layout += f" ({len(chosen)} of {len(pairs)}: {phase} by --val_fraction {data.val_fraction:g})"
    channels = (3, 3) if data.target_kind == "lab" else (data.input_nc, data.output_nc)
    labels = data.source_kind == "labels" or data.source_onehot is not None, data.target_kind == "labels"
    return PairDataset(pairs, layout, tuple(chosen), data.direction == "BtoA", channels, labels, faults)


def format_faults(faults: Sequence[str], data: DataOptions) -> str:
    """Return one sentence for the faults of a data set: the first fault, and what to do."""
    others = "" if len(faults) == 1 else f" (and {len(faults) - 1} more fault{'s' * (len(faults) > 2)})"
    command = shlex.join(["python", "-m", "pix2pix", "check", data.dataroot]) + " --photos" * (
        data.target_kind == "lab"
    )
    return f"{faults[0]}{others}; `{format_path(command)}` lists all, --skip_bad leaves them out"


def _open_phase(data: DataOptions, phase: Phase) -> tuple[PairSource, tuple[str, ...], bool]:
    """Return the pairs (A, B) of the phase's folder, their faults, and whether train and val share it."""
    photos = data.target_kind == "lab"
    if data.dataroot == "generated":
        return _Generated(phase, data.load_size, photos), (), False
    root = Path(data.dataroot)
    val = None if phase == "test" else list_pairs(root, "val", photos=photos, max_pixels=data.max_pixels)
    is_split = phase != "test" and val is None
    folder = "train" if is_split else phase
    listing = val if folder == "val" else list_pairs(root, folder, photos=photos, max_pixels=data.max_pixels)
    if listing is None and photos:
        raise UserError(f"--dataroot {format_path(root)}: no {folder} photos found: put photos into {folder}/")
    if listing is None:
        raise UserError(
            f"--dataroot {format_path(root)}: no {folder} pairs found: put A|B images "
            f"side by side into {folder}/, or A and "
            f"B under equal names into {folder}A/ and {folder}B/, {folder}/A/ and {folder}/B/, or A/{folder}/ and "
            f"B/{folder}/"
        )
    return listing.pairs, listing.faults, is_split


def select_validation_names(names: Sequence[str], fraction: float) -> set[str]:
    """Return the names for validation, chosen by hash: independent of the order of the files."""
    count = round(fraction * len(names))
    if fraction > 0 and len(names) >= 2:
        count = max(count, 1)
    return set(sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())[:count])


@dataclass(frozen=True)
class _Generated:
    phase: Phase
    size: tuple[int, int]
    photos: bool

    @property
    def layout(self) -> str:
        return f"{len(self)} generated facades, A photo and B labels, {self.size[0]}x{self.size[1]}"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.phase}_{number:04d}" for number in range(1, len(self) + 1))

    def __len__(self) -> int:
        return len(GENERATED[self.phase])

    def files(self, index: int) -> tuple[Path, ...]:
        return ()

    def read(self, index: int) -> RawPair:
        from pix2pix.data.generated import generate  # slow import

        photo, labels = generate(GENERATED_SEED, GENERATED[self.phase][index], size=self.size)
        return RawPair(photo, photo if self.photos else labels, self.names[index])


@dataclass(frozen=True)
class PairDataset:
    """The pairs of a phase; `faults` are sentences about files that belong to no pair.

    `channels` are --input_nc and --output_nc, None for those of the files; `labels` says which side has label maps.
    """

    pairs: PairSource
    layout: str
    indices: tuple[int, ...]
    swapped: bool = False
    channels: tuple[int | None, int | None] = (None, None)
    labels: tuple[bool, bool] = (False, False)
    faults: tuple[str, ...] = ()
    codec: PairCodec | None = field(default=None)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the pairs."""
        return tuple(self.pairs.names[index] for index in self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files of a pair, source first; empty for generated pairs."""
        files = self.pairs.files(self.indices[index])
        return files[::-1] if self.swapped else files

    def read(self, index: int) -> RawPair:
        """Read a pair, converted to the channels of the codec if there is one.

        Raises:
            ImageError: an image cannot be read, or does not fit the codec.
        """
        a, b, name = self.pairs.read(self.indices[index])
        places = self.files(index) or (Path(name), Path(name))
        source, target = (b, a) if self.swapped else (a, b)
        return RawPair(self._convert(source, 0, places[0]), self._convert(target, 1, places[1]), name)

    def _convert(self, image: Array, side: int, path: Path) -> Array:
        try:
            image = _converted(image, self.channels[side], self.labels[side])
            return self.codec[side].accept(image) if self.codec else image
        except ImageError as error:
            raise ImageError(f"{format_path(path)}: {error}") from error

    def first(self, count: int | None) -> "PairDataset":
        """Return the data set with only the first pairs; None returns all."""
        return replace(self, indices=self.indices[:count])

    def without(self, names: Collection[str]) -> "PairDataset":
        """Return the data set without the pairs of these names."""
        left_out = set(names)
        kept = tuple(index for index in self.indices if self.pairs.names[index] not in left_out)
        return replace(self, indices=kept)

    def of(self, codec: PairCodec) -> "PairDataset":
        """Return the data set with pairs converted to the codec."""
        return replace(self, codec=codec)


def _converted(image: Array, channels: int | None, is_labels: bool) -> Array:
    """Convert the image to the channels of --input_nc or --output_nc."""
    present = image.shape[2]
    if channels is None or present == channels:
        return image
    if is_labels and (present, channels) != (4, 3):
        raise ImageError(
            f"labels of {present} channels cannot be converted to {channels} without mixing classes: convert it"
        )
    return convert_channels(image, channels)
