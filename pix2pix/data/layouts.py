"""Find the files that make a pair."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pix2pix.data.arrays import Array
from pix2pix.data.batch import RawPair
from pix2pix.data.io import IMAGE_SUFFIXES, find_images, natural_sort_key, read_image
from pix2pix.data.limits import MAX_PIXELS
from pix2pix.errors import ImageError, UserError, format_path


@dataclass(frozen=True)
class FilePairs:
    """Pairs in files: A and B in one file side by side, in a file each, or (photos) one image that is both."""

    layout: str
    names: tuple[str, ...]
    paths: tuple[tuple[Path, ...], ...]
    photos: bool = False
    max_pixels: int = MAX_PIXELS

    def __len__(self) -> int:
        return len(self.names)

    def files(self, index: int) -> tuple[Path, ...]:
        """The file of A and that of B, which may be the same."""
        paths = self.paths[index]
        return paths * 2 if len(paths) == 1 else paths

    def read(self, index: int) -> RawPair:
        """Read A as source and B as target.

        Raises:
            ImageError: a file cannot be read, its width is odd, A and B differ in size, or a photo has other channels
                than 1, 3 or 4.
        """
        images = _read_all(self.paths[index], self.max_pixels)
        if self.photos:
            _refuse_other_channels(images[0], self.paths[index][0])
            return RawPair(images[0], images[0], self.names[index])
        if len(images) == 1:
            return RawPair(*_halves(images[0], self.paths[index][0]), self.names[index])
        a, b = images
        if a.shape[:2] != b.shape[:2]:
            sizes = [
                f"{format_path(path)} is {image.shape[0]}x{image.shape[1]}"
                for path, image in zip(self.paths[index], images, strict=True)
            ]
            raise ImageError(f"{' but '.join(sizes)}: the images of a pair need one size: resize one of them")
        return RawPair(a, b, self.names[index])


def _read_all(paths: Iterable[Path], max_pixels: int) -> list[Array]:
    """The images of a pair; one error for all that cannot be read."""
    images, faults = [], []
    for path in paths:
        try:
            images.append(read_image(path, max_pixels))
        except ImageError as error:
            faults.append(str(error))
    if faults:
        raise ImageError("; ".join(faults))
    return images


def _refuse_other_channels(photo: Array, path: Path) -> None:
    if photo.shape[2] not in (1, 3, 4):
        raise ImageError(
            f"{format_path(path)}: {photo.shape[2]} channels, where photos have 1, 3 or 4: keep three of them"
        )


def _halves(image: Array, path: Path) -> tuple[Array, Array]:
    width = image.shape[1]
    if width % 2:
        raise ImageError(f"{format_path(path)}: {width} pixels wide, where A|B side by side needs an even width")
    return image[:, : width // 2], image[:, width // 2 :]


class PairListing(NamedTuple):
    """The pairs that a phase has, its files that belong to none, each with the reason, and the folders of both."""

    pairs: FilePairs
    faults: tuple[str, ...]
    folders: tuple[Path, ...]


def list_pairs(root: Path, folder: str, *, photos: bool, max_pixels: int = MAX_PIXELS) -> PairListing | None:
    """List the pairs of a phase in natural order of their names; None where the root has no such phase.

    With `photos`, every image is a pair of its own, and a root without any phase is a folder for "train".

    Raises:
        UserError: a folder holds no images, or two folders of partners where side-by-side images are expected; or one
            side of the phase is there without the other.
    """
    if photos:
        whole = folder == "train" and not any((root / phase).is_dir() for phase in ("train", "val", "test"))
        place = root if whole else root / folder
        return _one_folder(place, photos=True, max_pixels=max_pixels) if place.is_dir() else None
    if lone := _lone_folders(root, folder):
        raise UserError("; ".join(lone))
    for a, b in _two_sides(folder):
        if (root / a).is_dir() and (root / b).is_dir():
            return _two_folders(root / a, root / b, max_pixels)
    if (root / folder).is_dir():
        return _one_folder(root / folder, photos=False, max_pixels=max_pixels)
    return None


def list_candidate_folders(root: Path, folder: str) -> tuple[Path, ...]:
    """Where the images of a phase may lie."""
    return (root / folder, *(root / side for both in _two_sides(folder) for side in both))


def _lone_folders(root: Path, folder: str) -> list[str]:
    """A sentence for each folder of one side of a phase that lacks that of the other."""
    both = [(root / a, root / b) for a, b in _two_sides(folder)]
    return [
        f"{format_path(one)} has no partner folder {format_path(other)}: put the partners of its images there"
        for a, b in both
        for one, other in ((a, b), (b, a))
        if one.is_dir() and not other.is_dir()
    ]


def _two_sides(folder: str) -> tuple[tuple[str, str], ...]:
    return (f"{folder}/A", f"{folder}/B"), (f"{folder}A", f"{folder}B"), (f"A/{folder}", f"B/{folder}")


def index_by_name(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The images of a folder by their name inside it, without suffix and in composed Unicode (macOS decomposes it).

    Files that share a name are left out; a sentence for each such name says so.

    Raises:
        UserError: the folder holds no images.
    """
    files = _named(folder)
    return {name: same[0] for name, same in files.items() if len(same) == 1}, _twice(files)


def match_partners(folder_a: Path, folder_b: Path) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """The two files of each name that both folders have, in natural order, and a sentence for each fault of others.

    Raises:
        UserError: a folder holds no images.
    """
    a, b = _named(folder_a), _named(folder_b)
    faults = [*_twice(a), *_twice(b), *_alone(a, b, folder_b), *_alone(b, a, folder_a)]
    names = sorted(a.keys() & b.keys(), key=natural_sort_key)
    return {name: (a[name][0], b[name][0]) for name in names if len(a[name]) == len(b[name]) == 1}, faults


def _named(folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = defaultdict(list)
    for file in find_images(folder):
        files[unicodedata.normalize("NFC", file.relative_to(folder).with_suffix("").as_posix())].append(file)
    if not files:
        raise UserError(f"{format_path(folder)}: no images: files ending in {', '.join(IMAGE_SUFFIXES)} are needed")
    return files


def _twice(files: Mapping[str, list[Path]]) -> list[str]:
    """A sentence for each name that several files have."""
    return [
        f"{' and '.join(_told_apart(same))} have one name: keep one of them, whatever the suffix"
        for same in files.values()
        if len(same) > 1
    ]


def _told_apart(files: list[Path]) -> list[str]:
    """The files as they go into a message; in escaped form where only the form of their Unicode differs."""
    texts = [format_path(file) for file in files]
    return (
        texts if len({unicodedata.normalize("NFC", text) for text in texts}) == len(texts) else list(map(ascii, texts))
    )


def _one_folder(folder: Path, *, photos: bool, max_pixels: int) -> PairListing:
    files, faults = index_by_name(folder)
    if not photos:
        check_not_partners(folder, files)
    names = tuple(sorted(files, key=natural_sort_key))
    layout = f"{'photos' if photos else 'side-by-side A|B images'} in {format_path(folder)}"
    pairs = FilePairs(layout, names, tuple((files[name],) for name in names), photos, max_pixels)
    return PairListing(pairs, tuple(faults), (folder,))


def _two_folders(folder_a: Path, folder_b: Path, max_pixels: int) -> PairListing:
    found, faults = match_partners(folder_a, folder_b)
    layout = f"A in {format_path(folder_a)}, B of the same names in {format_path(folder_b)}"
    pairs = FilePairs(layout, tuple(found), tuple(found.values()), max_pixels=max_pixels)
    return PairListing(pairs, tuple(faults), (folder_a, folder_b))


def _alone(files: Mapping[str, list[Path]], others: Mapping[str, list[Path]], folder: Path) -> list[str]:
    """A sentence for each file without a partner, with a likely one where case is all that differs."""
    alike = {name.casefold(): others[name][0] for name in others if name not in files}
    faults = []
    for name in sorted(files.keys() - others.keys(), key=natural_sort_key):
        if len(files[name]) > 1:
            continue  # `_twice` says so
        near = alike.get(name.casefold())
        hint = f": {format_path(near.name)} differs in case alone, rename it" if near else ": partners need equal names"
        faults.append(f"{format_path(files[name][0])} has no partner in {format_path(folder)}{hint}")
    return faults


def check_not_partners(folder: Path, names: Iterable[str]) -> None:
    """Refuse two folders of equal names: they are two sides of pairs, and would be cut in halves."""
    inside: dict[str, set[str]] = {}
    for name in names:
        top, slash, rest = name.partition("/")
        inside.setdefault(top + slash, set()).add(rest if slash else name)
    if len(inside) == 2 and all(inside) and len({frozenset(rest) for rest in inside.values()}) == 1:
        raise UserError(
            f"{format_path(folder)} holds {' and '.join(map(format_path, inside))} "
            "with images of equal names: call them A/ and B/ "
            "if those are partners, or put A|B images side by side into one folder"
        )
