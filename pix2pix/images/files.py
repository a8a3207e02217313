"""Image files: known by their content, read at their own depth, written whole or not at all."""

import io
import os
import secrets
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pix2pix.images.arrays import DTYPES, Array
from pix2pix.images.folders import IMAGE_SUFFIXES
from pix2pix.images.large_tiff import LargeTiff
from pix2pix.images.npy import read_npy, write_npy
from pix2pix.images.pictures import read_picture, read_png, write_jpeg, write_png, write_webp
from pix2pix.images.refusals import MAX_PIXELS, ImageError, TooLargeError, shown
from pix2pix.images.texts import with_texts
from pix2pix.images.tiff import read_tiff, write_tiff

_Reader = Callable[[BinaryIO, int], Array]
_READERS: Mapping[bytes, _Reader] = {
    b"\x89PNG\r\n\x1a\n": read_png,
    b"\xff\xd8\xff": partial(read_picture, "JPEG"),
    b"RIFF": partial(read_picture, "WebP"),
    b"II*\0": read_tiff,
    b"MM\0*": read_tiff,
    b"II+\0": read_tiff,
    b"MM\0+": read_tiff,
    b"\x93NUMPY": read_npy,
}
_WEBP = slice(8, 12)  # where a RIFF file says what it holds


class _Format(NamedTuple):
    write: Callable[[BinaryIO, Array], None]
    dtypes: tuple[str, ...] = DTYPES
    channels: tuple[int, ...] | None = None  # any number

    def holds(self, array: Array) -> bool:
        return (
            array.ndim == 3
            and array.size > 0
            and array.dtype.name in self.dtypes
            and (self.channels is None or array.shape[2] in self.channels)
        )


_JPEG = _Format(write_jpeg, ("uint8",), (1, 3))
_TIFF = _Format(write_tiff)
_FORMATS: Mapping[str, _Format] = {
    ".png": _Format(write_png, ("uint8", "uint16"), (1, 3, 4)),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _Format(write_webp, ("uint8",), (1, 3, 4)),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".npy": _Format(write_npy),
}


def read(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Array:
    """Read a PNG, JPEG, WebP, TIFF or NPY file, known by its content, as (H, W, C) of one of DTYPES, turned upright.

    Grey and 1-bit images (0 and 255) have 1 channel; PNG, WebP and TIFF images with any transparency (RGBA, grey with
    alpha, a palette or a colour key) have 4; palettes, CMYK, YCbCr and Lab become RGB. NPY files hold (H, W) or
    (H, W, C). Doubles and half floats become float32, bool uint8 (0 and 255), int8 int16, 64-bit whole numbers 32-bit
    ones. Animations give their first frame; colour profiles are ignored.

    Raises:
        ImageError: for what cannot be read whole; and, undecoded, more than max_pixels or 8 bytes for each of them.
    """
    try:
        with _open(Path(path)) as file:
            return _decode(file, max_pixels)
    except (OSError, ValueError, ImageError) as error:
        raise ImageError(f"{shown(path)}: {_cause(error)}") from error


def open_pixels(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Array | LargeTiff:
    """Read an image; of a TIFF file that is too large for that, give windows when they are asked for.

    Raises:
        ImageError: for what can be read neither whole nor by windows.
    """
    try:
        return read(path, max_pixels)
    except ImageError as error:
        is_tiff = Path(path).suffix.lower() in (".tif", ".tiff")
        if not is_tiff or not isinstance(error.__cause__, TooLargeError):
            raise
    return LargeTiff(path, max_pixels)


def _open(path: Path) -> BinaryIO:
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ImageError("a pipe or a device, where a file is needed: take it away")  # opening it would wait for ever
    return path.open("rb")


def _decode(file: BinaryIO, max_pixels: int) -> Array:
    start = file.read(12)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on metadata that is not used, and casts that are checked
            return _reader(start)(file, max_pixels)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("needs more memory than there is: make it smaller") from error
    except Exception as error:  # decoders raise some ten unrelated types for damaged files
        if isinstance(error, OSError) and error.strerror:
            raise
        raise ImageError(f"damaged: make it anew{_words(error)}") from error


def _words(error: Exception) -> str:
    """The decoder's own, where it has any that are no code."""
    words = _cause(error)
    return "" if words == type(error).__name__ or "<" in words else f" ({words})"


def _reader(start: bytes) -> _Reader:
    for magic, reader in _READERS.items():
        if start.startswith(magic) and (magic != b"RIFF" or start[_WEBP] == b"WEBP"):
            return reader
    raise ImageError("not a PNG, JPEG, WebP, TIFF or NPY image: convert it, or take it away")


def _cause(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def write(path: str | os.PathLike[str], array: Array, texts: Mapping[str, str] | None = None) -> None:
    """Write the image in the format of the path's suffix: the whole file or nothing.

    PNG (uint8 and uint16 of 1, 3 or 4 channels), TIFF and NPY keep every value; so does WebP (uint8), which turns 1
    channel into 3; JPEG (uint8 of 1 or 3 channels) is of quality 95. An NPY file of at most 4 rows and more than 64
    columns and channels is not read back: it looks like (C, H, W). `texts` by keyword go into PNG files alone.

    Raises:
        ImageError: for another suffix, what the format cannot hold, and whatever hinders writing.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise ImageError(f"{shown(path)}: images are written as {', '.join(IMAGE_SUFFIXES)}: choose one of them")
    if not _FORMATS[suffix].holds(array):
        able = " or ".join(name for name in (".png", ".tif", ".npy") if _FORMATS[name].holds(array))
        what = f"{array.dtype} of shape {array.shape}"
        raise ImageError(f"{shown(path)}: a {suffix} file cannot hold {what}: choose {able or ', '.join(DTYPES)}")
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        encoded = io.BytesIO()
        _FORMATS[suffix].write(encoded, array)
        try:
            content = encoded.getvalue()
            temporary.write_bytes(with_texts(content, texts) if texts and suffix == ".png" else content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except Exception as error:  # encoders raise several unrelated types
        raise ImageError(f"cannot write {shown(path)}: {_cause(error)}") from error
