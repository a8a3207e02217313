"""Image files and image arrays: the only place that knows files, uint8 and EXIF.

Arrays are uint8 (H, W, C) with C in 1, 3, 4; tensors are float32 in [-1, 1] with channels before height and width.
"""

import io
import os
import re
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from pix2pix.errors import UserError

Array = NDArray[np.uint8]

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


def to_tensor(array: Array) -> Tensor:
    """(H, W, C) uint8 to (C, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(array.transpose(2, 0, 1).astype(np.float32, order="C")) / 127.5 - 1


def to_array(image: Tensor) -> Array:
    """(C, H, W) in [-1, 1] to (H, W, C) uint8: rounded, and clipped where it lies outside."""
    scaled = ((image.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.asarray(scaled.permute(1, 2, 0).contiguous().cpu(), dtype=np.uint8)


def resize(array: Array, size: tuple[int, int]) -> Array:
    """Resize to (height, width): what shrinks by area averaging, which is antialiased, then what grows bicubically."""
    shrunk = (min(size[0], array.shape[0]), min(size[1], array.shape[1]))
    return _interpolate(_interpolate(array, shrunk, cv2.INTER_AREA), size, cv2.INTER_CUBIC)


def _interpolate(array: Array, size: tuple[int, int], method: int) -> Array:
    if array.shape[:2] == size:
        return array
    resized = cv2.resize(array, (size[1], size[0]), interpolation=method)
    return np.asarray(resized, dtype=np.uint8).reshape(*size, array.shape[2])  # cv2 drops a single channel


def convert_channels(array: Array, channels: int) -> Array:
    """Give the image 1, 3 or 4 channels.

    Colour becomes grey as Rec. 601 luminance; grey is repeated; alpha is dropped (the colours beneath it stay), and a
    new one is opaque.
    """
    if array.shape[2] == channels:
        return array
    colour = array[..., :3]
    if channels == 1:
        luminance: NDArray[np.float64] = colour @ np.array([0.299, 0.587, 0.114])
        return luminance.round().astype(np.uint8)[..., np.newaxis]
    colour = np.broadcast_to(colour, (*array.shape[:2], 3))
    if channels == 4:
        return np.dstack([colour, np.full(array.shape[:2], 255, np.uint8)])
    return colour.copy()


def reflect_to_multiple(image: Tensor, multiple: int) -> tuple[Tensor, tuple[slice, slice]]:
    """Pad (N, C, H, W) on all sides to the next multiple in height and width by mirroring, again and again if small.

    A side of one pixel is repeated. Returns the padded image and the slices (rows, columns) that cut the image out:
    padded[..., rows, columns] equals image. Nothing to pad gives the same tensor.
    """
    image, rows = _reflect(image, -2, multiple)
    image, columns = _reflect(image, -1, multiple)
    return image, (rows, columns)


def _reflect(image: Tensor, dimension: int, multiple: int) -> tuple[Tensor, slice]:
    length = image.shape[dimension]
    missing = -length % multiple
    before = missing // 2
    if missing:
        shown_by = np.pad(np.arange(length), (before, missing - before), mode="reflect")
        image = image.index_select(dimension, torch.from_numpy(shown_by).to(image.device))
    return image, slice(before, before + length)
