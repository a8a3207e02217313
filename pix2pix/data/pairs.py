"""Aligned pairs of images as they lie on disk: which file belongs to which, and which pairs a phase holds."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from pix2pix.data.records import Pairs, RawPair
from pix2pix.errors import UserError
from pix2pix.images import IMAGE_SUFFIXES, Array, ImageError, convert_channels, find_images, natural_order, read, shown

Phase = Literal["train", "val", "test"]
Direction = Literal["AtoB", "BtoA"]

GENERATED = {"train": range(400), "val": range(400, 450), "test": range(450, 550)}
_GENERATED_SEED = 0
_LISTED = 5  # names in a message


def open_pairs(
    dataroot: str,
    phase: Phase,
    *,
    direction: Direction,
    val_fraction: float,
    max_dataset_size: int | None = None,
    input_nc: int | None = None,
    output_nc: int | None = None,
    size: tuple[int, int] = (256, 256),
) -> Pairs:
    """The pairs of one phase in natural order of their names; direction "BtoA" makes B the source.

    Without a folder for val, the share val_fraction of train is kept out for it, and none if that is 0. input_nc and
    output_nc convert the source and the target; None takes the channels of the first pair for all. max_dataset_size
    keeps the first pairs; size is that of generated ones.

    Raises:
        UserError: if no layout is recognised, or partners or images are missing.
    """
    pairs, is_split = _open_phase(dataroot, phase, size)
    first = pairs.read(0)
    chosen = list(range(len(pairs)))
    layout = pairs.layout
    if is_split:
        held_out = _held_out(pairs.names, val_fraction)
        chosen = [index for index in chosen if (pairs.names[index] in held_out) == (phase == "val")]
        layout += f" ({len(chosen)} of {len(pairs)}: {phase} by --val_fraction {val_fraction:g})"
    swapped = direction == "BtoA"
    source, target = (first.target, first.source) if swapped else (first.source, first.target)
    return _Selected(
        pairs,
        layout,
        tuple(chosen[:max_dataset_size]),
        swapped,
        _Channels("source", "--input_nc", source.shape[2], input_nc),
        _Channels("target", "--output_nc", target.shape[2], output_nc),
    )


def _open_phase(dataroot: str, phase: Phase, size: tuple[int, int]) -> tuple[Pairs, bool]:
    """All pairs from which the phase is taken, as (A, B), and whether train and val share them."""
    if dataroot == "generated":
        return _Generated(phase, size), False
    root = Path(dataroot)
    is_split = phase != "test" and _recognised(root, "val") is None
    folder = "train" if is_split else phase
    pairs = _recognised(root, folder)
    if pairs is None:
        raise UserError(
            f"--dataroot {shown(root)}: no {folder} pairs found: put A|B images side by side into {folder}/, or A and "
            f"B under equal names into {folder}A/ and {folder}B/, {folder}/A/ and {folder}/B/, or A/{folder}/ and "
            f"B/{folder}/"
        )
    return pairs, is_split


def _recognised(root: Path, folder: str) -> Pairs | None:
    for a, b in ((f"{folder}/A", f"{folder}/B"), (f"{folder}A", f"{folder}B"), (f"A/{folder}", f"B/{folder}")):
        if (root / a).is_dir() and (root / b).is_dir():
            return _two_folders(root / a, root / b)
    return _side_by_side(root / folder) if (root / folder).is_dir() else None


def _held_out(names: Sequence[str], fraction: float) -> set[str]:
    """The names kept for validation: a choice by hash, so that the order of the files and other runs play no part."""
    count = round(fraction * len(names))
    if fraction > 0 and len(names) >= 2:
        count = max(count, 1)
    return set(sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())[:count])


def _by_name(folder: Path) -> dict[str, Path]:
    """The images of a folder by their name inside it, without suffix and in composed Unicode (macOS decomposes it)."""
    files = find_images(folder)
    if not files:
        raise UserError(f"{shown(folder)}: no images: files ending in {', '.join(IMAGE_SUFFIXES)} are needed")
    names = [unicodedata.normalize("NFC", file.relative_to(folder).with_suffix("").as_posix()) for file in files]
    count = Counter(names)
    if len(count) < len(names):
        twice = [file for file, name in zip(files, names, strict=True) if count[name] > 1]
        raise UserError(f"several images of one name: {_some(twice)}: keep one of each, whatever the suffix")
    return dict(zip(names, files, strict=True))


def _some(files: Sequence[Path]) -> str:
    more = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
    return ", ".join(shown(file) for file in files[:_LISTED]) + more


def _refuse_partners(folder: Path, names: Iterable[str]) -> None:
    """Refuse two folders of equal names: they are two sides of pairs, and would be cut in halves."""
    inside: dict[str, set[str]] = {}
    for name in names:
        top, slash, rest = name.partition("/")
        inside.setdefault(top + slash, set()).add(rest if slash else name)
    if len(inside) == 2 and all(inside) and len({frozenset(rest) for rest in inside.values()}) == 1:
        raise UserError(
            f"{shown(folder)} holds {' and '.join(inside)} with images of equal names: call them A/ and B/ if those "
            "are partners, or put A|B images side by side into one folder"
        )


def _side_by_side(folder: Path) -> Pairs:
    files = _by_name(folder)
    _refuse_partners(folder, files)
    names = tuple(sorted(files, key=natural_order))
    return _SideBySide(f"side-by-side A|B images in {shown(folder)}", names, tuple(files[name] for name in names))


def _two_folders(folder_a: Path, folder_b: Path) -> Pairs:
    a, b = _by_name(folder_a), _by_name(folder_b)
    alone = [files[name] for files in (a, b) for name in files if name not in a or name not in b]
    if alone:
        raise UserError(f"without a partner: {_some(alone)}: {shown(folder_a)} and {shown(folder_b)} need equal names")
    names = tuple(sorted(a, key=natural_order))
    layout = f"A in {shown(folder_a)}, B of the same names in {shown(folder_b)}"
    return _TwoFolders(layout, names, tuple(a[name] for name in names), tuple(b[name] for name in names))


@dataclass(frozen=True)
class _SideBySide:
    layout: str
    names: tuple[str, ...]
    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> RawPair:
        image = read(self.files[index])
        width = image.shape[1]
        if width % 2:
            raise ImageError(
                f"{shown(self.files[index])}: {width} pixels wide, where A|B side by side needs an even width"
            )
        return RawPair(image[:, : width // 2], image[:, width // 2 :], self.names[index])


@dataclass(frozen=True)
class _TwoFolders:
    layout: str
    names: tuple[str, ...]
    files_a: tuple[Path, ...]
    files_b: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> RawPair:
        a, b = read(self.files_a[index]), read(self.files_b[index])
        if a.shape[:2] != b.shape[:2]:
            sizes = [
                f"{shown(file)} is {image.shape[0]}x{image.shape[1]}"
                for file, image in ((self.files_a[index], a), (self.files_b[index], b))
            ]
            raise ImageError(f"{' but '.join(sizes)}: the images of a pair need one size: resize one of them")
        return RawPair(a, b, self.names[index])


@dataclass(frozen=True)
class _Generated:
    phase: Phase
    size: tuple[int, int]

    @property
    def layout(self) -> str:
        return f"{len(self)} generated facades, A photo and B labels, {self.size[0]}x{self.size[1]}"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.phase}_{number:04d}" for number in range(1, len(self) + 1))

    def __len__(self) -> int:
        return len(GENERATED[self.phase])

    def read(self, index: int) -> RawPair:
        from pix2pix.data.generated import generate  # those who bring their own images need not load it

        photo, labels = generate(_GENERATED_SEED, GENERATED[self.phase][index], size=self.size)
        return RawPair(photo, labels, self.names[index])


class _Channels(NamedTuple):
    """How many channels one side has: those wished for, or else those of the first pair."""

    side: str
    flag: str
    first: int
    wished: int | None

    def apply(self, image: Array, name: str, layout: str) -> Array:
        if self.wished is not None:
            return convert_channels(image, self.wished)
        if image.shape[2] != self.first:
            raise ImageError(
                f"{shown(name)} among {layout}: the {self.side} has {image.shape[2]} channels, that of the first pair "
                f"{self.first}: make them alike, or convert all with {self.flag} {self.first}"
            )
        return image


@dataclass(frozen=True)
class _Selected:
    pairs: Pairs
    layout: str
    indices: tuple[int, ...]
    swapped: bool
    source: _Channels
    target: _Channels

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.pairs.names[index] for index in self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int) -> RawPair:
        a, b, name = self.pairs.read(self.indices[index])
        source, target = (b, a) if self.swapped else (a, b)
        return RawPair(self.source.apply(source, name, self.layout), self.target.apply(target, name, self.layout), name)
