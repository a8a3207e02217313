"""Make data sets from one's own images: side-by-side pairs, edges, a split."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from pix2pix.data.arrays import Array, convert_channels
from pix2pix.data.io import find_images, read_image, write_image
from pix2pix.data.layouts import check_not_partners, index_by_name, list_candidate_folders, match_partners
from pix2pix.errors import ImageError, UserError, format_path

PARTIAL = ".partial"  # holds what a new folder will hold, until all of it is there


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Give a folder to fill, whose content is `out`'s in the end; if anything fails, `out` and above are as they were.

    Who is killed leaves PARTIAL in `out`: by that, an unfinished data set is told from a whole one.

    Raises:
        UserError: `out` is no empty folder, or cannot be written.
    """
    filling = out / PARTIAL
    missing: list[Path] = []
    try:
        missing += [place for place in (out, *out.parents) if not place.exists()]
        if filling.is_dir():
            raise UserError(
                f"--out {format_path(out)} holds {PARTIAL}: a command was broken off there, or still writes; "
                "delete the folder when none does, or choose another"
            )
        if not missing and (not out.is_dir() or any(out.iterdir())):
            raise UserError(
                f"--out {format_path(out)} exists and is no empty folder; choose another, nothing is written over"
            )
        filling.mkdir(parents=True)
    except OSError as error:
        _remove_empty(missing)
        raise UserError(f"--out {format_path(out)} cannot be written: {error.strerror}") from error
    try:
        yield filling
        for child in list(filling.iterdir()):
            child.rename(out / child.name)
        filling.rmdir()
    except BaseException:
        shutil.rmtree(out if missing else filling, ignore_errors=True)
        _remove_empty(missing)
        raise


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, the innermost first, where they are there and no other command has filled them by now."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


_SIDES = ("A", "B")
_PNG_SIDE = 1_000_000  # libpng's limit


class ImageToWrite(NamedTuple):
    """An image to make; its path inside the new folder still has the suffix of what it is made from."""

    path: Path
    make: Callable[[], Array]


class FileToCopy(NamedTuple):
    """A file to copy, and its path inside the new folder."""

    file: Path
    path: Path


def plan_pairs(folder_a: Path, folder_b: Path, max_pixels: int) -> tuple[list[ImageToWrite], list[str]]:
    """Pairs A|B of the images that have one name in both folders, and what is wrong with others, a sentence each.

    Raises:
        UserError: a folder holds no images, or both are one.
    """
    if folder_a.resolve() == folder_b.resolve():
        raise UserError(f"--a and --b are one folder, {format_path(folder_a)}: pairs need two")
    pairs, faults = match_partners(folder_a, folder_b)
    return [
        ImageToWrite(a.relative_to(folder_a), partial(_read_pair, a, b, max_pixels)) for a, b in pairs.values()
    ], faults


def plan_edges(
    folder: Path, low: float, high: float, blur: float, max_pixels: int
) -> tuple[list[ImageToWrite], list[str]]:
    """Pairs edges|photo of the photos of a folder, and what is wrong with others, a sentence each.

    Raises:
        UserError: the folder holds no images.
    """
    files, faults = index_by_name(folder)
    return [
        ImageToWrite(file.relative_to(folder), partial(_read_sketch, file, low, high, blur, max_pixels))
        for file in files.values()
    ], faults


class SplitPlan(NamedTuple):
    """The files to copy, what is wrong with others, and whether they are partners in A/ and B/ or single images."""

    copies: list[FileToCopy]
    faults: list[str]
    in_sides: bool


def plan_split(folder: Path, val: float, test: float) -> SplitPlan:
    """Where the images of a folder go, or the partners in its A/ and B/, and what is wrong with others.

    Raises:
        UserError: a folder holds no images, or no image falls to train; or it is split already, has images beside A/
            and B/, or partners in two folders of other names.
    """
    _refuse_phases(folder)
    in_sides = _has_sides(folder)
    if in_sides:
        _refuse_loose(folder)
        pairs, faults = match_partners(*(folder / side for side in _SIDES))
        named = [(name, file) for name, both in pairs.items() for file in both]
    else:
        files, faults = index_by_name(folder)
        check_not_partners(folder, files)
        named = list(files.items())
    copies = [FileToCopy(file, choose_phase(name, val, test) / file.relative_to(folder)) for name, file in named]
    if copies and not any(copy.path.parts[0] == "train" for copy in copies):
        raise UserError(f"{format_path(folder)}: none of {len(copies)} images falls to train: lower --val and --test")
    return SplitPlan(copies, faults, in_sides)


def choose_phase(name: str, val: float, test: float) -> Path:
    """The folder train, val or test for a name: a function of the name alone, so that new images move no others."""
    place = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) / 2**64
    return Path("test" if place < test else "val" if place < test + val else "train")


def join_side_by_side(a: Array, b: Array, names: tuple[str, str] = ("A", "B")) -> Array:
    """Join two images (H, W, C), A left and B right; grey beside colour becomes colour.

    Raises:
        ImageError: they differ in size, depth or, otherwise, in channels; `names` are what the message calls them.
    """
    if a.shape[:2] != b.shape[:2]:
        sizes = [f"{name} is {image.shape[0]}x{image.shape[1]}" for name, image in zip(names, (a, b), strict=True)]
        raise ImageError(f"{' but '.join(sizes)}: the images of a pair need one size: resize one of them")
    channels = (a.shape[2], b.shape[2])
    if a.dtype != b.dtype:
        unlike = f"{names[0]} is {a.dtype} but {names[1]} {b.dtype}"
    elif channels[0] != channels[1] and set(channels) != {1, 3}:
        unlike = f"{names[0]} has {channels[0]} channels but {names[1]} {channels[1]}"
    else:
        return np.concatenate([convert_channels(image, max(channels)) for image in (a, b)], axis=1)
    raise ImageError(f"{unlike}: one file holds only what is alike: convert one, or train from two folders")


def draw_edges(photo: Array, low: float, high: float, blur: float) -> Array:
    """Draw the edges of a photo (H, W, 1, 3 or 4), uint8 or uint16, in black on white: (H, W, 1) uint8.

    Canny, A Computational Approach to Edge Detection, 1986, on its grey, with thresholds for gradients of 0..255.

    Raises:
        ImageError: other channels or another depth.
    """
    if photo.dtype not in (np.uint8, np.uint16) or photo.shape[2] not in (1, 3, 4):
        raise ImageError(
            f"{photo.shape[2]} channels of {photo.dtype}: edges are drawn of 1, 3 or 4 channels of uint8 or uint16: "
            "convert it"
        )
    grey = convert_channels(photo, 1)[..., 0]
    if grey.dtype == np.uint16:
        grey = (grey / 257).round().astype(np.uint8)
    if blur:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), blur), dtype=np.uint8)
    return np.invert(np.asarray(cv2.Canny(grey, low, high), dtype=np.uint8))[..., np.newaxis]


def find_problem(drawing: ImageToWrite, folder: Path) -> str | None:
    """What hinders an image from being made and kept, in a sentence, or None; `folder` is to try it in."""
    try:
        image = drawing.make()
        path = drawing.path.with_suffix(choose_suffix(image, drawing.path.suffix))
        if path.suffix != ".png":  # which holds whatever `suffix_for` gives it
            _rehearse(image, path, folder)
    except UserError as error:
        return str(error)
    return None


def write_item(item: ImageToWrite | FileToCopy, folder: Path) -> None:
    """Write an image below the folder, as PNG where that can hold it, or copy a file byte for byte.

    Raises:
        UserError: whatever hinders writing.
    """
    path = folder / item.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(item, FileToCopy):
            shutil.copyfile(item.file, path)
            return
    except OSError as error:
        raise UserError(f"cannot write {format_path(item.path)}: {error.strerror or error}") from error
    image = item.make()
    path = path.with_suffix(choose_suffix(image, path.suffix))
    try:
        write_image(path, image)
    except ImageError as error:  # names the path in the unfinished folder
        raise UserError(str(error).replace(format_path(path), format_path(path.relative_to(folder)))) from error


def choose_suffix(image: Array, suffix: str) -> str:
    """The format to write an image in that is made from one of this suffix: PNG, else NPY for NPY, else TIFF."""
    is_small = max(image.shape[:2]) <= _PNG_SIDE
    if is_small and image.dtype in (np.uint8, np.uint16) and image.shape[2] in (1, 3, 4):
        return ".png"
    return ".npy" if suffix.lower() == ".npy" else ".tif"


def _has_sides(folder: Path) -> bool:
    return all((folder / side).is_dir() for side in _SIDES)


def _refuse_phases(folder: Path) -> None:
    places = [place for phase in ("train", "val", "test") for place in list_candidate_folders(folder, phase)]
    if found := next((place for place in places if place.is_dir()), None):
        raise UserError(
            f"{format_path(folder)} is split already, {format_path(found)} is there: "
            "train from it, or split what is inside"
        )


def _refuse_loose(folder: Path) -> None:
    """Refuse images beside A/ and B/, which would be left behind."""
    loose = [file for file in find_images(folder) if file.relative_to(folder).parts[0] not in _SIDES]
    if loose:
        more = f" and {len(loose) - 1} more" if len(loose) > 1 else ""
        raise UserError(
            f"{format_path(loose[0])}{more} beside A/ and B/: put partners into both, or take the images away"
        )


def _rehearse(image: Array, path: Path, folder: Path) -> None:
    """Write the image and read it again, in a file that does not stay.

    Raises:
        ImageError: its format cannot hold it, or would not be read.
    """
    probe = folder / f"probe{path.suffix}"
    try:
        write_image(probe, image)
        read_image(probe, max_pixels=image.size)
    except ImageError as error:
        cause = str(error).removeprefix("cannot write ").removeprefix(f"{format_path(probe)}: ")
        raise ImageError(f"{format_path(path)} would not be read again, train from two folders: {cause}") from error
    finally:
        probe.unlink(missing_ok=True)


def _read_pair(a: Path, b: Path, max_pixels: int) -> Array:
    return join_side_by_side(read_image(a, max_pixels), read_image(b, max_pixels), (format_path(a), format_path(b)))


def _read_sketch(file: Path, low: float, high: float, blur: float, max_pixels: int) -> Array:
    photo = read_image(file, max_pixels)
    try:
        drawn = draw_edges(photo, low, high, blur)
    except ImageError as error:
        raise ImageError(f"{format_path(file)}: {error}") from error
    deep = drawn.astype(photo.dtype) * (257 if photo.dtype == np.uint16 else 1)
    return join_side_by_side(convert_channels(deep, photo.shape[2]), photo)
