"""Find, read and write image files of any depth; writes are atomic."""

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
    """Find all image files below the folder, by suffix, in natural order ("2" before "10").

    Hidden files and folders and linked folders are skipped.

    Raises:
        ImageError: a folder cannot be listed.
    """
    return _sorted(path for path in _visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES)


def find_other_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Find all files that `find_images` skips for their suffix, except those of file managers.

    Raises:
        ImageError: a folder cannot be listed.
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
    """Return a sort key that compares digits as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


_FEW_CHANNELS, _MANY_CHANNELS = (1, 2, 3, 4), 64  # axis lengths that suggest (C, H, W)
_LONGEST_HEADER = 10_000  # bytes: numpy's own limit
_BLOCK = 2**22  # values converted at a time, to limit memory


def read_npy(file: BinaryIO, max_pixels: int) -> Array:
    """Read (H, W) or (H, W, C) from an NPY file, checking its header first.

    Raises:
        ImageError: for other shapes and types, more than max_pixels, and truncated files.
    """
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ImageError(f"NPY version {version} is for records: an array of numbers is needed")
    shape, columns_first, dtype = _header(file, version)
    storage_dtype(dtype)  # refuses pickled objects, which could run code
    _check_shape(shape)
    check_size(shape[0], shape[1], math.prod(shape[2:]), dtype, max_pixels)
    count = math.prod(shape)
    if os.fstat(file.fileno()).st_size - file.tell() < count * dtype.itemsize:
        raise ImageError(f"is truncated: its header says {shape} of {dtype}, and the file is shorter: write it again")
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
        raise ImageError(f"has a header of {size} bytes, far above the usual hundred: write it again with numpy.save")
    file.seek(start)
    try:
        return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    except Exception as error:  # Python's parser raises many types
        raise ImageError("its header is damaged: write it again with numpy.save") from error


def write_npy(file: BinaryIO, array: Array) -> None:
    """Write (H, W, C); `read_npy` refuses up to 4 rows with over 64 columns and channels, which look channels first."""
    np.save(file, array, allow_pickle=False)


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3):
        raise ImageError(f"an array of shape {shape}, but (H, W) or (H, W, C) is needed: store one image per file")
    if len(shape) == 3 and shape[0] in _FEW_CHANNELS and min(shape[1:]) > _MANY_CHANNELS:
        raise ImageError(f"an array of shape {shape}, but (H, W, C) is needed: put channels last, or use .tif")


_QUALITY_50 = 3688  # the sum of ITU-T T.81, table K.1: luminance at quality 50


def estimate_jpeg_quality(path: Path) -> float | None:
    """Estimate the quality (1 to 100) of a JPEG file from its quantization tables; None for other files."""
    try:
        with path.open("rb") as file, JpegImageFile(file) as image:  # Image.open refuses large images
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
_WEBP = slice(8, 12)  # the format of a RIFF file


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
    """Read a PNG, JPEG, WebP, TIFF or NPY file as (H, W, C) of one of DTYPES, in EXIF orientation.

    The format is detected by content. Gray and 1-bit images (0 and 255) have 1 channel; PNG, WebP and TIFF images with
    transparency (RGBA, gray with alpha, a palette or a color key) have 4; palettes, CMYK, YCbCr and Lab become RGB. NPY
    files have (H, W) or (H, W, C). float64 and float16 become float32, bool uint8 (0 and 255), int8 int16, 64-bit
    integers 32-bit. Animations give their first frame; color profiles are ignored.

    Raises:
        ImageError: the file cannot be read, or has more than max_pixels or 8 bytes for each of them.
    """
    try:
        with _open(Path(path)) as file:
            return _decode(file, max_pixels)
    except (OSError, ValueError, ImageError) as error:
        raise ImageError(f"{format_path(path)}: {_cause(error)}") from error


def open_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Array | TiffReader:
    """Read an image, or return a reader of windows for a TIFF file that is too large.

    Raises:
        ImageError: it can be read neither whole nor by windows.
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
        raise ImageError("a pipe or device, not a file: remove it")  # opening it would block
    return path.open("rb")


def _decode(file: BinaryIO, max_pixels: int) -> Array:
    start = file.read(12)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata, and casts checked later
            return _reader(start)(file, max_pixels)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("needs more memory than available: make it smaller") from error
    except Exception as error:  # decoders raise many types for damaged files
        if isinstance(error, OSError) and error.strerror:
            raise
        raise ImageError(f"damaged: write it again{_words(error)}") from error


def _words(error: Exception) -> str:
    """Return the decoder's message if it is readable."""
    words = _cause(error)
    return "" if words == type(error).__name__ or "<" in words else f" ({words})"


def _reader(start: bytes) -> _Reader:
    for magic, reader in _READERS.items():
        if start.startswith(magic) and (magic != b"RIFF" or start[_WEBP] == b"WEBP"):
            return reader
    raise ImageError("not a PNG, JPEG, WebP, TIFF or NPY image: convert or remove it")


def _cause(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def write_image(path: str | os.PathLike[str], array: Array, texts: Mapping[str, str] | None = None) -> None:
    """Write the image atomically in the format of the path's suffix.

    PNG (uint8 and uint16 of 1, 3 or 4 channels), TIFF, NPY and WebP (uint8; 1 channel becomes 3) are lossless; JPEG
    (uint8 of 1 or 3 channels) has quality 95. `texts` by keyword are written to PNG files only.

    Raises:
        ImageError: the suffix is unknown, the format does not support the array, or it cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise ImageError(f"{format_path(path)}: unknown suffix: choose one of {', '.join(IMAGE_SUFFIXES)}")
    if not _FORMATS[suffix].holds(array):
        able = " or ".join(name for name in (".png", ".tif", ".npy") if _FORMATS[name].holds(array))
        what = f"{array.dtype} of shape {array.shape}"
        raise ImageError(
            f"{format_path(path)}: a {suffix} file cannot store {what}: choose {able or ', '.join(DTYPES)}"
        )
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
    except Exception as error:  # encoders raise several types
        raise ImageError(f"cannot write {format_path(path)}: {_cause(error)}") from error
