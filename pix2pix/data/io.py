"""Read, write and find image files: each at its own depth, written whole or not at all."""

import io
import math
import os
import re
import secrets
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy
from PIL.JpegImagePlugin import JpegImageFile

from pix2pix.data.arrays import DTYPES, Array, storage_dtype, to_storage_dtype
from pix2pix.data.limits import MAX_PIXELS, check_size
from pix2pix.data.pillow import add_png_text, read_jpeg_or_webp, read_png, write_jpeg, write_png, write_webp
from pix2pix.data.tiff import TiffReader, read_tiff, write_tiff
from pix2pix.errors import ImageError, TooLargeError, format_path

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".npy")
_OF_FILE_MANAGERS = ("thumbs.db", "desktop.ini")


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """All image files below the folder, known by their suffix, in natural order ("2" before "10").

    Hidden files and folders are passed over, and so are linked folders inside it, which could form a loop.

    Raises:
        ImageError: if the folder or one inside it cannot be listed.
    """
    return _sorted(path for path in _visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES)


def find_other_files(folder: str | os.PathLike[str]) -> list[Path]:
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
        raise ImageError(f"{format_path(error.filename)}: {error.strerror}: a folder of images is needed") from error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in files if not name.startswith("."))


def _sorted(paths: Iterator[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: natural_sort_key(path.as_posix()))


def natural_sort_key(name: str) -> tuple[list[str | int], str]:
    """A sort key that compares runs of digits as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


_FEW_CHANNELS, _MANY_CHANNELS = (1, 2, 3, 4), 64  # lengths that are taken for channels first, and for sides after them
_LONGEST_HEADER = 10_000  # bytes: numpy's own limit
_BLOCK = 2**22  # values that are converted at a time, so that a file of doubles is not in memory beside its floats


def read_npy(file: BinaryIO, max_pixels: int) -> Array:
    """Read (H, W) or (H, W, C) from an NPY file: its header alone until that is found to be true.

    Raises:
        ImageError: for other shapes and types, more than max_pixels, and a file that is cut off.
    """
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ImageError(f"NPY version {version} is for records: an array of numbers is needed")
    shape, columns_first, dtype = _header(file, version)
    storage_dtype(dtype)  # refuses objects, which could run code, before anything of them is read
    _check_shape(shape)
    check_size(shape[0], shape[1], math.prod(shape[2:]), dtype, max_pixels)
    count = math.prod(shape)
    if os.fstat(file.fileno()).st_size - file.tell() < count * dtype.itemsize:
        raise ImageError(f"is cut off: it holds less than {shape} of {dtype}, which its header promises: make it anew")
    values = np.empty(count, storage_dtype(dtype))
    for start in range(0, count, _BLOCK):
        part = values[start : start + _BLOCK]
        part[:] = to_storage_dtype(np.fromfile(file, dtype, len(part)))
    array = values.reshape(shape, order="F" if columns_first else "C")
    return np.ascontiguousarray(array if array.ndim == 3 else array[..., np.newaxis])


def _header(file: BinaryIO, version: tuple[int, int]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    start, width = file.tell(), 2 if version == (1, 0) else 4
    size = int.from_bytes(file.read(width), "little")
    if size > _LONGEST_HEADER:
        raise ImageError(f"a header of {size} bytes, where a hundred do: make it anew with numpy.save")
    file.seek(start)
    try:
        return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    except Exception as error:  # of Python's parser as well, which gives up in many ways
        raise ImageError("its header is damaged: make it anew with numpy.save") from error


def write_npy(file: BinaryIO, array: Array) -> None:
    """Write (H, W, C); `read_npy` takes at most 4 rows before more than 64 columns and channels for channels first."""
    np.save(file, array, allow_pickle=False)


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3):
        raise ImageError(f"an array of shape {shape}, where (H, W) or (H, W, C) is needed: store one image a file")
    if len(shape) == 3 and shape[0] in _FEW_CHANNELS and min(shape[1:]) > _MANY_CHANNELS:
        raise ImageError(f"an array of shape {shape}, where (H, W, C) is needed: put its channels last, or use .tif")


_QUALITY_50 = 3688  # the sum of ITU-T T.81, table K.1: luminance at quality 50


def estimate_jpeg_quality(path: Path) -> float | None:
    """The quality (1 to 100) that the usual encoders call what a JPEG file was saved at; None for other files."""
    try:
        with path.open("rb") as file, JpegImageFile(file) as image:  # not Image.open, which refuses large images
            table = image.quantization.get(0)
    except (OSError, ValueError, SyntaxError, struct.error):
        return None
    if table is None:
        return None
    scale = 100 * float(np.sum(table)) / _QUALITY_50
    return max(1.0, min(100.0, (200 - scale) / 2 if scale <= 100 else 5000 / scale))


_Reader = Callable[[BinaryIO, int], Array]
_READERS: Mapping[bytes, _Reader] = {
    b"\x89PNG\r\n\x1a\n": read_png,
    b"\xff\xd8\xff": partial(read_jpeg_or_webp, "JPEG"),
    b"RIFF": partial(read_jpeg_or_webp, "WebP"),
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


def read_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Array:
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
        raise ImageError(f"{format_path(path)}: {_cause(error)}") from error


def open_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Array | TiffReader:
    """Read an image; of a TIFF file that is too large for that, give windows when they are asked for.

    Raises:
        ImageError: for what can be read neither whole nor by windows.
    """
    try:
        return read_image(path, max_pixels)
    except ImageError as error:
        is_tiff = Path(path).suffix.lower() in (".tif", ".tiff")
        if not is_tiff or not isinstance(error.__cause__, TooLargeError):
            raise
    return TiffReader(path, max_pixels)


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


def write_image(path: str | os.PathLike[str], array: Array, texts: Mapping[str, str] | None = None) -> None:
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
        raise ImageError(f"{format_path(path)}: images are written as {', '.join(IMAGE_SUFFIXES)}: choose one of them")
    if not _FORMATS[suffix].holds(array):
        able = " or ".join(name for name in (".png", ".tif", ".npy") if _FORMATS[name].holds(array))
        what = f"{array.dtype} of shape {array.shape}"
        raise ImageError(f"{format_path(path)}: a {suffix} file cannot hold {what}: choose {able or ', '.join(DTYPES)}")
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        encoded = io.BytesIO()
        _FORMATS[suffix].write(encoded, array)
        try:
            content = encoded.getvalue()
            temporary.write_bytes(add_png_text(content, texts) if texts and suffix == ".png" else content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except Exception as error:  # encoders raise several unrelated types
        raise ImageError(f"cannot write {format_path(path)}: {_cause(error)}") from error
