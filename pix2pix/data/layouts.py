"""Find the files of pairs."""

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
    """Pairs in files: A|B side by side in one file, A and B in two files, or (photos) one image for both."""

    layout: str
    names: tuple[str, ...]
    paths: tuple[tuple[Path, ...], ...]
    photos: bool = False
    max_pixels: int = MAX_PIXELS

    def __len__(self) -> int:
        return len(self.names)

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files of A and B, which may be the same."""
        paths = self.paths[index]
        return paths * 2 if len(paths) == 1 else paths

    def read(self, index: int) -> RawPair:
        """Read A as source and B as target.

        Raises:
            ImageError: a file cannot be read, its width is odd, A and B differ in size, or a photo has not 1, 3 or 4
                channels.
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
            raise ImageError(f"{' but '.join(sizes)}: the images of a pair need equal sizes: resize one of them")
        return RawPair(a, b, self.names[index])


def _read_all(paths: Iterable[Path], max_pixels: int) -> list[Array]:
    """Read the images of a pair; one error names all that cannot be read."""
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
            f"{format_path(path)}: {photo.shape[2]} channels, but photos need 1, 3 or 4: keep three of them"
        )


def _halves(image: Array, path: Path) -> tuple[Array, Array]:
    width = image.shape[1]
    if width % 2:
        raise ImageError(f"{format_path(path)}: {width} pixels wide, but A|B side by side needs an even width")
    return image[:, : width // 2], image[:, width // 2 :]


class PairListing(NamedTuple):
    """The pairs of a phase, the faults of files that belong to none, and the folders."""

    pairs: FilePairs
    faults: tuple[str, ...]
    folders: tuple[Path, ...]


def list_pairs(root: Path, folder: str, *, photos: bool, max_pixels: int = MAX_PIXELS) -> PairListing | None:
    """List the pairs of a phase in natural order of their names; None if the root has no such phase.

    With `photos` every image is a pair, and a root without phases is the folder of "train".

    Raises:
        UserError: a folder has no images, has two folders of partners instead of side-by-side images, or one side of
            the phase is missing.
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
    """Return the possible folders of a phase."""
    return (root / folder, *(root / side for both in _two_sides(folder) for side in both))


def _lone_folders(root: Path, folder: str) -> list[str]:
    """Return a sentence for each folder of one side of a phase without the other side."""
    both = [(root / a, root / b) for a, b in _two_sides(folder)]
    return [
        f"{format_path(one)} has no partner folder {format_path(other)}: put the other side of its images there"
        for a, b in both
        for one, other in ((a, b), (b, a))
        if one.is_dir() and not other.is_dir()
    ]


def _two_sides(folder: str) -> tuple[tuple[str, str], ...]:
    return (f"{folder}/A", f"{folder}/B"), (f"{folder}A", f"{folder}B"), (f"A/{folder}", f"B/{folder}")


def index_by_name(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the images of a folder by relative path without suffix, in composed Unicode (macOS decomposes it).

    Files with equal names are excluded, with a sentence for each name.

    Raises:
        UserError: the folder has no images.
    """
    files = _named(folder)
    return {name: same[0] for name, same in files.items() if len(same) == 1}, _find_equal_names(files)


def match_partners(folder_a: Path, folder_b: Path) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Return the two files of each name in both folders, in natural order, and a sentence for each fault.

    Raises:
        UserError: a folder has no images.
    """
    a, b = _named(folder_a), _named(folder_b)
    faults = [
        *_find_equal_names(a),
        *_find_equal_names(b),
        *_find_unpaired(a, b, folder_b),
        *_find_unpaired(b, a, folder_a),
    ]
    names = sorted(a.keys() & b.keys(), key=natural_sort_key)
    return {name: (a[name][0], b[name][0]) for name in names if len(a[name]) == len(b[name]) == 1}, faults


def _named(folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = defaultdict(list)
    for file in find_images(folder):
        files[unicodedata.normalize("NFC", file.relative_to(folder).with_suffix("").as_posix())].append(file)
    if not files:
        raise UserError(f"{format_path(folder)}: no images: files ending in {', '.join(IMAGE_SUFFIXES)} are needed")
    return files


def _find_equal_names(files: Mapping[str, list[Path]]) -> list[str]:
    """Return a sentence for each name of several files."""
    return [
        f"{' and '.join(_distinguish(same))} have the same name without suffix: keep one of them"
        for same in files.values()
        if len(same) > 1
    ]


def _distinguish(files: list[Path]) -> list[str]:
    """Return the files for a message, escaped if only their Unicode form differs."""
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


def _find_unpaired(files: Mapping[str, list[Path]], others: Mapping[str, list[Path]], folder: Path) -> list[str]:
    """Return a sentence for each file without a partner, and suggest one that differs in case only."""
    alike = {name.casefold(): others[name][0] for name in others if name not in files}
    faults = []
    for name in sorted(files.keys() - others.keys(), key=natural_sort_key):
        if len(files[name]) > 1:
            continue  # see `_find_equal_names`
        near = alike.get(name.casefold())
        hint = f": {format_path(near.name)} differs in case only, rename it" if near else ": partners need equal names"
        faults.append(f"{format_path(files[name][0])} has no partner in {format_path(folder)}{hint}")
    return faults


def check_not_partners(folder: Path, names: Iterable[str]) -> None:
    """Refuse two folders with equal names: they are two sides of pairs, not side-by-side images."""
    inside: dict[str, set[str]] = {}
    for name in names:
        top, slash, rest = name.partition("/")
        inside.setdefault(top + slash, set()).add(rest if slash else name)
    if len(inside) == 2 and all(inside) and len({frozenset(rest) for rest in inside.values()}) == 1:
        raise UserError(
            f"{format_path(folder)} has {' and '.join(map(format_path, inside))} "
            "with images of equal names: call them A/ and B/ "
            "if they are partners, or put A|B images side by side into one folder"
        )
