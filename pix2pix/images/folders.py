"""Folders of images: which files they hold, and in what order."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pix2pix.images.refusals import ImageError, shown

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".npy")
_OF_FILE_MANAGERS = ("thumbs.db", "desktop.ini")


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """All image files below the folder, known by their suffix, in natural order ("2" before "10").

    Hidden files and folders are passed over, and so are linked folders inside it, which could form a loop.

    Raises:
        ImageError: if the folder or one inside it cannot be listed.
    """
    return _sorted(path for path in _visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES)


def find_others(folder: str | os.PathLike[str]) -> list[Path]:
    """All files that `find_images` passes over for their suffix, in the same order, but not what file managers leave.

    Raises:
        ImageError: if the folder or one inside it cannot be listed.
    """
    return _sorted(
        path
        for path in _visible(folder)
        if path.suffix.lower() not in IMAGE_SUFFIXES and path.name.lower() not in _OF_FILE_MANAGERS
    )


def _visible(folder: str | os.PathLike[str]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise ImageError(f"{shown(error.filename)}: {error.strerror}: a folder of images is needed") from error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in files if not name.startswith("."))


def _sorted(paths: Iterator[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: natural_order(path.as_posix()))


def natural_order(name: str) -> tuple[list[str | int], str]:
    """A sort key that compares runs of digits as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name
