"""Make data sets from images: side-by-side pairs, edges, a split."""

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

PARTIAL = ".partial"  # content of a new folder until it is complete


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Yield a folder whose content is moved to `out` at the end; on failure nothing is left.

    A killed process leaves PARTIAL in `out`, which marks it as unfinished.

    Raises:
        UserError: `out` is not an empty folder, or cannot be written.
    """
    filling = out / PARTIAL
    missing: list[Path] = []
    try:
        missing += [place for place in (out, *out.parents) if not place.exists()]
        if filling.is_dir():
            raise UserError(
                f"--out {format_path(out)} has {PARTIAL}: a command was interrupted, or is still writing; "
                "delete the folder if none is, or choose another"
            )
        if not missing and (not out.is_dir() or any(out.iterdir())):
            raise UserError(
                f"--out {format_path(out)} exists and is not an empty folder; choose another, nothing is overwritten"
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
    """Remove folders, innermost first, if they exist and are empty."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


_SIDES = ("A", "B")
_PNG_SIDE = 1_000_000  # libpng's limit


class ImageToWrite(NamedTuple):
    """An image to make, and its path in the new folder, with the suffix of its original."""

    path: Path
    make: Callable[[], Array]


class FileToCopy(NamedTuple):
    """A file to copy, and its path in the new folder."""

    file: Path
    path: Path


def plan_pairs(folder_a: Path, folder_b: Path, max_pixels: int) -> tuple[list[ImageToWrite], list[str]]:
    """Plan pairs A|B of images of equal names in both folders, with a sentence for each fault.

    Raises:
        UserError: a folder has no images, or both are the same.
    """
    if folder_a.resolve() == folder_b.resolve():
        raise UserError(f"--a and --b are the same folder, {format_path(folder_a)}: pairs need two")
    pairs, faults = match_partners(folder_a, folder_b)
    return [
        ImageToWrite(a.relative_to(folder_a), partial(_read_pair, a, b, max_pixels)) for a, b in pairs.values()
    ], faults


def plan_edges(
    folder: Path, low: float, high: float, blur: float, max_pixels: int
) -> tuple[list[ImageToWrite], list[str]]:
    """Plan pairs edges|photo of the photos of a folder, with a sentence for each fault.

    Raises:
        UserError: the folder has no images.
    """
    files, faults = index_by_name(folder)
    return [
        ImageToWrite(file.relative_to(folder), partial(_read_sketch, file, low, high, blur, max_pixels))
        for file in files.values()
    ], faults


class SplitPlan(NamedTuple):
    """The files to copy, the faults of others, and whether they are partners in A/ and B/."""

    copies: list[FileToCopy]
    faults: list[str]
    in_sides: bool


def plan_split(folder: Path, val: float, test: float) -> SplitPlan:
    """Plan a split of the images of a folder, or of the partners in its A/ and B/, with a sentence for each fault.

    Raises:
        UserError: a folder has no images, no image is in train, it is split already, has images beside A/ and B/, or
            has partners in two folders of other names.
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
        raise UserError(
            f"{format_path(folder)}: none of {len(copies)} images would be in train: lower --val and --test"
        )
    return SplitPlan(copies, faults, in_sides)


def choose_phase(name: str, val: float, test: float) -> Path:
    """Choose train, val or test by the name alone, so that new images do not move others."""
    place = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) / 2**64
    return Path("test" if place < test else "val" if place < test + val else "train")


def join_side_by_side(a: Array, b: Array, names: tuple[str, str] = ("A", "B")) -> Array:
    """Join two images (H, W, C), A left and B right; gray is converted to the color of the other.

    Raises:
        ImageError: they differ in size, type or channels; `names` are used in the message.
    """
    if a.shape[:2] != b.shape[:2]:
        sizes = [f"{name} is {image.shape[0]}x{image.shape[1]}" for name, image in zip(names, (a, b), strict=True)]
        raise ImageError(f"{' but '.join(sizes)}: the images of a pair need equal sizes: resize one of them")
    channels = (a.shape[2], b.shape[2])
    if a.dtype != b.dtype:
        unlike = f"{names[0]} is {a.dtype} but {names[1]} {b.dtype}"
    elif channels[0] != channels[1] and set(channels) != {1, 3}:
        unlike = f"{names[0]} has {channels[0]} channels but {names[1]} {channels[1]}"
    else:
        return np.concatenate([convert_channels(image, max(channels)) for image in (a, b)], axis=1)
    raise ImageError(f"{unlike}: a file needs equal ones: convert one, or train from two folders")


def draw_edges(photo: Array, low: float, high: float, blur: float) -> Array:
    """Draw the edges of a photo (H, W, 1, 3 or 4), uint8 or uint16, in black on white: (H, W, 1) uint8.

    Source: Canny, A Computational Approach to Edge Detection, 1986, on gray, with thresholds for gradients in 0..255.

    Raises:
        ImageError: the channels or the type are not supported.
    """
    if photo.dtype not in (np.uint8, np.uint16) or photo.shape[2] not in (1, 3, 4):
        raise ImageError(
            f"{photo.shape[2]} channels of {photo.dtype}: edges need 1, 3 or 4 channels of uint8 or uint16: convert it"
        )
    gray = convert_channels(photo, 1)[..., 0]
    if gray.dtype == np.uint16:
        gray = (gray / 257).round().astype(np.uint8)
    if blur:
        gray = np.asarray(cv2.GaussianBlur(gray, (0, 0), blur), dtype=np.uint8)
    return np.invert(np.asarray(cv2.Canny(gray, low, high), dtype=np.uint8))[..., np.newaxis]


def find_problem(drawing: ImageToWrite, folder: Path) -> str | None:
    """Return why an image cannot be made or written, or None; `folder` is used for a trial."""
    try:
        image = drawing.make()
        path = drawing.path.with_suffix(choose_suffix(image, drawing.path.suffix))
        if path.suffix != ".png":  # PNG stores whatever `choose_suffix` gives it
            _rehearse(image, path, folder)
    except UserError as error:
        return str(error)
    return None


def write_item(item: ImageToWrite | FileToCopy, folder: Path) -> None:
    """Write an image below the folder, as PNG if possible, or copy a file.

    Raises:
        UserError: it cannot be written.
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
    except ImageError as error:  # it names the path in the partial folder
        raise UserError(str(error).replace(format_path(path), format_path(path.relative_to(folder)))) from error


def choose_suffix(image: Array, suffix: str) -> str:
    """Choose the format of an image made from one of this suffix: PNG, else NPY for NPY, else TIFF."""
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
            f"{format_path(folder)} is split already, it has {format_path(found)}: "
            "train from it, or split what is inside"
        )


def _refuse_loose(folder: Path) -> None:
    """Refuse images beside A/ and B/."""
    loose = [file for file in find_images(folder) if file.relative_to(folder).parts[0] not in _SIDES]
    if loose:
        more = f" and {len(loose) - 1} more" if len(loose) > 1 else ""
        raise UserError(f"{format_path(loose[0])}{more} beside A/ and B/: put partners into both, or remove the images")


def _rehearse(image: Array, path: Path, folder: Path) -> None:
    """Write and read the image in a temporary file.

    Raises:
        ImageError: its format cannot store it, or it cannot be read again.
    """
    probe = folder / f"probe{path.suffix}"
    try:
        write_image(probe, image)
        read_image(probe, max_pixels=image.size)
    except ImageError as error:
        cause = str(error).removeprefix("cannot write ").removeprefix(f"{format_path(probe)}: ")
        raise ImageError(f"{format_path(path)} could not be read again, train from two folders: {cause}") from error
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
