"""Image files: the only place that knows formats, EXIF and who may write where."""

import io
import os
import re
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pix2pix.errors import UserError
from pix2pix.images.arrays import Array

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MAX_PIXELS = 178_956_970  # where Pillow itself refuses to open a file: 512 MiB at three bytes a pixel
_JPEG: tuple[str, Mapping[str, Any]] = ("JPEG", {"quality": 95, "subsampling": 0})
_ENCODERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
}
_PNG_BIT_DEPTH = 24  # offset of the header's bit depth: Pillow reduces 16-bit colour to 8 without a word


class ImageError(UserError):
    """An image file or folder that cannot be used as it is."""


def shown(path: str | os.PathLike[str]) -> str:
    """The path as it goes into a one-line message: escaped where it holds a line break or another unprintable."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def read(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Array:
    """Read an 8-bit PNG, JPEG or WebP file, known by its content, turned upright by its EXIF orientation.

    Grey and 1-bit images have 1 channel; those with any transparency (RGBA, grey with alpha, a palette or a colour key)
    have 4; all others (RGB, palette, CMYK) have 3. Animations give their first frame; colour profiles are ignored.

    Raises:
        ImageError: for what cannot be read whole, 16 bits a channel, or more than max_pixels (refused undecoded).
    """
    try:
        content = Path(path).read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on size, which is checked below, and on metadata that is not used
            with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as image:
                if image.width * image.height > max_pixels:
                    raise ValueError(f"{image.height}x{image.width} are more than {max_pixels} pixels: make it smaller")
                if image.format == "PNG" and content[_PNG_BIT_DEPTH] == 16:
                    raise ValueError("16 bits a channel, where 8 are read: convert it to 8 bits")
                return from_pil(image)
    except Exception as error:  # decoders raise some ten unrelated types for damaged files
        raise ImageError(f"{shown(path)}: {_cause(error)}") from error


def from_pil(image: Image.Image) -> Array:
    """Return an 8-bit PIL image of any mode as `read` would, turned upright by its EXIF orientation.

    Raises:
        ImageError: for 16-bit and float modes, which a conversion would clip.
    """
    if image.mode[0] in "IF":
        raise ImageError(f"mode {image.mode}, where 8 bits a channel are read: scale it to 8 bits")
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        return np.array(image.convert("RGBA"))
    if image.mode in ("1", "L"):
        return np.array(image.convert("L"))[..., np.newaxis]
    return np.array(image.convert("RGB"))


def to_pil(array: Array) -> Image.Image:
    """Return an array of 1, 3 or 4 channels as a PIL image of mode L, RGB or RGBA."""
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def _cause(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a PNG, JPEG or WebP image: convert it, or take it away"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def write(path: str | os.PathLike[str], array: Array) -> None:
    """Write the image in the format of the path's suffix: the whole file or nothing.

    PNG and WebP keep every value (WebP turns 1 channel into 3); JPEG, at quality 95, has no alpha.

    Raises:
        ImageError: for another suffix, what the format cannot hold, and whatever hinders writing.
    """
    path = Path(path)
    if path.suffix.lower() not in _ENCODERS:
        raise ImageError(f"{shown(path)}: images are written as {', '.join(IMAGE_SUFFIXES)}: choose one of them")
    name, settings = _ENCODERS[path.suffix.lower()]
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        encoded = io.BytesIO()
        to_pil(array).save(encoded, name, **settings)
        try:
            temporary.write_bytes(encoded.getvalue())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot write {shown(path)}: {_cause(error)}") from error


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """All image files below the folder, in natural order ("2" before "10").

    Hidden files and folders are passed over, and so are linked folders inside it, which could form a loop.

    Raises:
        ImageError: if the folder or one inside it cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise ImageError(f"{shown(error.filename)}: {error.strerror}: a folder of images is needed") from error

    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names = (name for name in files if not name.startswith("."))
        found += [Path(place, name) for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    return sorted(found, key=lambda path: natural_order(path.as_posix()))


def natural_order(name: str) -> tuple[list[str | int], str]:
    """A sort key that compares runs of digits as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name
