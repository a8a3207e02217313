"""TIFF files of any depth and number of channels with tifffile, whole or in windows.

tifffile's own decoders have no size limit; imagecodecs, if installed, has.
"""

import itertools
import lzma
import math
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from inspect import signature
from itertools import product
from logging import getLogger
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from pix2pix.data.arrays import Array, apply_exif_orientation, storage_dtype, to_storage_dtype
from pix2pix.data.limits import MAX_PIXELS, check_bytes, check_size
from pix2pix.data.pillow import from_pil
from pix2pix.errors import ImageError, format_path

_DEFLATE, _LZMA, _PACKBITS, _ZSTD = (8, 32946, 50013), 34925, 32773, (34926, 50000)
_PACKBITS_MEMORY = 9  # bytes of memory per byte that tifffile unpacks
_MORE_BYTES = 2**16  # beyond twice its pixels', which a strip may take


def check_compression(page: Any, max_pixels: int) -> None:
    """Refuse parts that are too large, and compressions decoded without a limit."""
    if page.compression in _ZSTD and find_spec("imagecodecs") is None:
        raise ImageError("a compression that needs another package (zstd): pip install imagecodecs")
    check_bytes(_bytes_of_a_part(page) * (_PACKBITS_MEMORY if page.compression == _PACKBITS else 1), max_pixels)


def check_part(file: BinaryIO, page: Any, offset: int, count: int) -> None:
    """Refuse a strip or tile that is missing, outside of the file, or larger than its size when decoded."""
    if count == 0 or offset + count > os.fstat(file.fileno()).st_size:
        raise ImageError("is truncated, or a part of the image is missing: write it again")
    limit = _bytes_of_a_part(page)
    if page.compression != 1 and count > 2 * limit + _MORE_BYTES:
        raise ImageError("a part of the image has many more bytes than its pixels: write it again")
    file.seek(offset)
    if page.compression in (*_DEFLATE, _LZMA, _PACKBITS) and _decoded_bytes(page, file.read(count), limit) > limit:
        raise ImageError("a part of the image decodes to more than its size: write it again")


def _bytes_of_a_part(page: Any) -> int:
    """Return the decoded size of a strip or tile; a tile may be larger than the image."""
    return int(math.prod(page.chunks) * page.dtype.itemsize)


def _decoded_bytes(page: Any, data: bytes, limit: int) -> int:
    """Return the decoded size of data, exact up to a limit."""
    if page.compression in _DEFLATE:
        return len(zlib.decompressobj().decompress(data, limit + 1))
    if page.compression == _LZMA:
        stream = lzma.LZMADecompressor()
        length = len(stream.decompress(data, limit + 1))
        return limit + 1 if stream.unused_data else length  # another stream may follow
    length = position = 0
    while position < len(data) and length <= limit:
        head = data[position]  # below 128: head + 1 bytes; above: one byte 257 - head times; 128: nothing
        length += head + 1 if head < 128 else 257 - head if head > 128 else 0
        position += head + 2 if head < 128 else 2 if head > 128 else 1
    return length


@contextmanager
def name_missing_codec() -> Iterator[None]:
    """Name the missing package if decoding fails for a compression."""
    try:
        yield
    except Exception as error:  # tifffile raises several types
        if "imagecodecs" in str(error):
            raise ImageError(f"a compression that needs another package ({error}): pip install imagecodecs") from error
        raise


TiffFile = Any  # tifffile is imported on use
TiffPage = Any  # or a series of pages of one image

_MOST_PAGES = 1000  # tifffile follows a loop of pages forever
_NO_VENDORS: dict[str, Any] = dict.fromkeys(
    ("is_lsm", "is_scanimage", "is_ndpi", "is_mmstack", "is_ndtiff"), False
)  # some open others
_NOT_THE_IMAGE = 0b101  # NewSubfileType: a reduced image, or a mask
_WHITE_IS_ZERO, _GREY, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_COLOURS = {_WHITE_IS_ZERO: 1, _GREY: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3, _LAB: 3}
_ALPHA = (1, 2)  # ExtraSamples: premultiplied or not
_ORIENTATION = 274


def read_tiff(file: BinaryIO, max_pixels: int) -> Array:
    """Read the single image of a TIFF file, ignoring overviews and masks.

    Raises:
        ImageError: for more than max_pixels, several images, and unsupported values, colors and compressions.
            Damaged files raise other types.
    """
    with open_tiff(file) as (image, page):
        if _is_ordinary(page) and image is page:
            return _read_ordinary(file, page.index, max_pixels)
        if page.dtype is None:
            raise ImageError(f"samples of {page.bitspersample} bits, format {page.sampleformat}: convert it to float32")
        storage_dtype(page.dtype)
        check_photometric(page)
        height, width = page.imagelength, page.imagewidth
        check_size(height, width, math.prod(image.shape) // max(1, height * width), page.dtype, max_pixels)
        check_compression(page, max_pixels)
        _check_data(file, image, page)
        return apply_exif_orientation(
            convert_photometric(to_storage_dtype(_decoded(image)), page), page.tags.valueof(_ORIENTATION, 1)
        )


@contextmanager
def open_tiff(file: BinaryIO) -> Iterator[tuple[TiffPage, TiffPage]]:
    """Open a file; yield its image, one page or a series of channels, and the page with its tags."""
    import tifffile

    # tifffile would open other files named in OME files; the option against that has no public name.
    option = "_multifile" if "_multifile" in signature(tifffile.TiffFile).parameters else "is_ome"
    with _silence(), tifffile.TiffFile(file, **{**_NO_VENDORS, option: False}) as tiff:
        yield _one_image(tiff)


@contextmanager
def _silence() -> Iterator[None]:
    """Silence tifffile's log, whose warnings about damaged files are errors here, or harmless."""
    logger = getLogger("tifffile")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _one_image(tiff: TiffFile) -> tuple[TiffPage, TiffPage]:
    """Return the largest page, or the pages of one image's channels, and the page with its tags."""
    pages = [page for page in _pages(tiff) if not page.subfiletype & _NOT_THE_IMAGE] or [tiff.pages.first]
    page = max(pages, key=lambda page: page.imagelength * page.imagewidth)
    image = page
    count = sum((other.imagelength, other.imagewidth) == (page.imagelength, page.imagewidth) for other in pages)
    if tiff.is_imagej or tiff.is_ome or tiff.is_shaped:
        series = tiff.series[0]
        if math.prod(series.shape) > math.prod(page.shape):
            image, page, count = series, series.keyframe, 1
    count *= math.prod(length for axis, length in zip(image.axes, image.shape, strict=True) if axis not in "YXSC")
    if count > 1:
        raise ImageError(
            f"{count} pages of one size, but one image per file is needed: store channels as samples or as NPY"
        )
    return image, page


def _pages(tiff: TiffFile) -> Iterator[TiffPage]:
    seen: set[int] = set()
    for index in itertools.count():
        try:
            page = tiff.pages[index]
        except IndexError:
            break
        if page.offset in seen or index == _MOST_PAGES:
            raise ImageError(f"a loop of pages, or more than {_MOST_PAGES} of them, but one image per file is needed")
        seen.add(page.offset)
        yield page
    if not seen:
        raise ImageError("a TIFF file without pages: write it again")


def _is_ordinary(page: TiffPage) -> bool:
    extra = page.samplesperpixel - _COLOURS.get(page.photometric, 0)
    kinds = [(kind,) for kind in _ALPHA]
    has_alpha = extra == 1 and (
        (page.photometric in (_GREY, _RGB) and page.extrasamples[:1] in kinds)
        or (page.photometric == _RGB and not page.extrasamples)  # as written by OpenCV
    )
    return page.bitspersample in (1, 2, 4, 8) and page.sampleformat == 1 and (extra == 0 or has_alpha)


def _read_ordinary(file: BinaryIO, index: int, max_pixels: int) -> Array:
    file.seek(0)
    with TiffImageFile(file) as image:
        image.seek(index)
        check_size(image.height, image.width, 4, "uint8", max_pixels)
        return from_pil(image)


def check_photometric(page: TiffPage) -> None:
    """Refuse color spaces that are not converted to gray or RGB."""
    is_plain = page.photometric in (_GREY, _RGB) or (page.photometric == _WHITE_IS_ZERO and page.dtype.kind in "bui")
    if not is_plain and not (page.photometric == _CMYK and page.samplesperpixel == 4 and page.dtype.kind == "u"):
        name = getattr(page.photometric, "name", page.photometric)
        raise ImageError(f"colors stored as {name} of {page.dtype}: convert it to RGB")


def _check_data(file: BinaryIO, image: TiffPage, page: TiffPage) -> None:
    """Refuse strips and tiles that are missing, or larger than their size when decoded."""
    for part in [page] if image is page else image.pages:
        segments = [] if part is None else list(zip(part.dataoffsets, part.databytecounts, strict=True))
        if len(segments) < (1 if page.is_contiguous else math.prod(page.chunked)):
            raise ImageError("a part of the image is missing: write it again")
        for offset, count in segments:
            check_part(file, page, offset, count)


def _decoded(image: TiffPage) -> Array:
    """Decode the values as (H, W, C)."""
    with name_missing_codec():
        array: Array = image.asarray(maxworkers=1).reshape(image.shape)
    rest = [place for place, axis in enumerate(image.axes) if axis not in "YX"]
    array = np.transpose(array, (image.axes.index("Y"), image.axes.index("X"), *rest))
    return array.reshape(*array.shape[:2], -1)


def convert_photometric(array: Array, page: TiffPage) -> Array:
    """Convert samples to gray or RGB, followed by the other channels."""
    if page.photometric == _WHITE_IS_ZERO:
        array = array.copy()
        array[..., 0] = (~array[..., 0]) if page.dtype.kind == "i" else _largest_value(page) - array[..., 0]
    if page.photometric == _CMYK:
        light = _largest_value(page) - array.astype(np.float64)
        return (light[..., :3] * light[..., 3:] / _largest_value(page)).round().astype(array.dtype)
    if array.shape[2] == 2 and page.extrasamples[:1] in [(kind,) for kind in _ALPHA]:
        return array[..., [0, 0, 0, 1]]
    return array


def _largest_value(page: TiffPage) -> int:
    return int(2**page.bitspersample - 1)


def write_tiff(file: BinaryIO, array: Array) -> None:
    """Write 3 and 4 channels of uint8 and uint16 as RGB, others as gray with extra samples."""
    import tifffile

    channels = array.shape[2]
    layout = choose_tiff_layout(channels, array.dtype)
    tifffile.imwrite(file, array[..., 0] if channels == 1 else array, compression="zlib", **layout)


def choose_tiff_layout(channels: int, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return tifffile's arguments for storing the channels."""
    is_color = channels in (3, 4) and dtype in (np.uint8, np.uint16)
    extra = ["unassalpha"] * (channels - 3) if is_color else ["unspecified"] * (channels - 1)
    return {
        "photometric": "rgb" if is_color else "minisblack",
        "planarconfig": None if channels == 1 else "contig",
        "extrasamples": extra or None,
        "metadata": None,
    }


_CACHE = 2**27  # bytes of decoded strips and tiles, which windows in a row share
_PREMULTIPLIED = 1  # in ExtraSamples


class TiffReader:
    """A reader of windows of a TIFF file: `reader[rows, columns]`, both slices, decodes only the parts it needs.

    Raises:
        ImageError: for what `read_tiff` refuses; and for rotated images, channels in separate planes, and strips or
            tiles of more than 8 bytes for each of max_pixels.
    """

    def __init__(self, path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS):
        self.path = Path(path)
        with _name_file_in_errors(self.path), self.path.open("rb") as file, open_tiff(file) as (image, page):
            self._page, self._contiguous = page, page.is_contiguous and page.fillorder == 1
            is_apart = page.planarconfig != 1 and page.samplesperpixel > 1
            if image is not page or page.dtype is None or page.bitspersample not in (8, 16, 32, 64) or is_apart:
                raise ImageError(
                    "is too large to be read whole: make it one page of 8, 16 or 32 bits with interleaved channels"
                )
            if page.tags.valueof(_ORIENTATION, 1) != 1 or _PREMULTIPLIED in page.extrasamples[:1]:
                raise ImageError("is too large to be rotated or to remove its alpha: store it upright without alpha")
            check_photometric(page)
            if not self._contiguous:
                check_compression(page, max_pixels)
            self.dtype = storage_dtype(page.dtype)
            self._decode = page.decode
        self._parts: OrderedDict[int, Array] = OrderedDict()
        self.shape: tuple[int, int, int] = (page.imagelength, page.imagewidth, self[0:1, 0:1].shape[2])

    def __getitem__(self, window: tuple[slice, slice]) -> Array:
        """Read a window (h, w, C), equal to that of `read_tiff`.

        Raises:
            ImageError: it cannot be read.
        """
        with _name_file_in_errors(self.path), self.path.open("rb") as file:
            array = self._mapped(window) if self._contiguous else self._joined(file, *window)
            return convert_photometric(to_storage_dtype(array), self._page)

    def _mapped(self, window: tuple[slice, slice]) -> Array:
        """Read from contiguous uncompressed pixels."""
        page = self._page
        dtype = page.dtype.newbyteorder(page.parent.byteorder)
        shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
        return np.array(np.memmap(self.path, dtype, "r", page.dataoffsets[0], shape)[window])

    def _joined(self, file: BinaryIO, rows: slice, columns: slice) -> Array:
        """Assemble a window from strips or tiles."""
        page = self._page
        height, width = page.chunks[:2]
        across = -(-page.imagewidth // width)
        array = np.empty((rows.stop - rows.start, columns.stop - columns.start, page.samplesperpixel), page.dtype)
        downs = range(rows.start // height, -(-rows.stop // height))
        overs = range(columns.start // width, -(-columns.stop // width))
        for down, over in product(downs, overs):
            part = self._part(file, down * across + over)
            top, left = down * height, over * width
            first, last = max(top, rows.start), min(top + height, rows.stop)
            begin, end = max(left, columns.start), min(left + width, columns.stop)
            array[first - rows.start : last - rows.start, begin - columns.start : end - columns.start] = part[
                first - top : last - top, begin - left : end - left
            ]
        return array

    def _part(self, file: BinaryIO, number: int) -> Array:
        """Decode a strip or tile (h, w, C), or return it from the cache."""
        if number not in self._parts:
            page = self._page
            offset, count = page.dataoffsets[number], page.databytecounts[number]
            check_part(file, page, offset, count)
            file.seek(offset)
            with name_missing_codec():
                decoded, _, _ = self._decode(file.read(count), number)
            self._parts[number] = decoded[0]
            while len(self._parts) > 1 and sum(part.nbytes for part in self._parts.values()) > _CACHE:
                self._parts.popitem(last=False)
        self._parts.move_to_end(number)
        return self._parts[number]


@contextmanager
def _name_file_in_errors(path: Path) -> Iterator[None]:
    """Name the file in read errors other than MemoryError, for which smaller windows may help."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # decoders raise several types for damaged files
        words = error.strerror if isinstance(error, OSError) else f"damaged: write it again ({error})"
        raise ImageError(f"{format_path(path)}: {error if isinstance(error, ImageError) else words}") from error


class TiffWriter:
    """A writer of an uncompressed TIFF file (H, W, C): `writer[rows, columns] = array` in any order.

    Raises:
        ImageError: it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], shape: tuple[int, int, int], dtype: str):
        import tifffile

        self.path, self.shape, self.dtype = Path(path), shape, np.dtype(dtype)
        flat = shape if shape[2] > 1 else shape[:2]
        try:
            layout = choose_tiff_layout(shape[2], self.dtype)
            place = tifffile.imwrite(self.path, shape=flat, dtype=dtype, returnoffset=True, **layout)
            assert place is not None  # as of compressed pixels
            self._start = place[0]
        except OSError as error:
            raise ImageError(f"cannot write {format_path(path)}: {error.strerror or error}") from error

    def __setitem__(self, window: tuple[slice, slice], array: Array) -> None:
        """Write a window (h, w, C)."""
        rows, columns = window
        pixel = self.shape[2] * self.dtype.itemsize
        try:
            with self.path.open("r+b") as file:
                for row, values in zip(range(rows.start, rows.stop), array, strict=True):
                    file.seek(self._start + (row * self.shape[1] + columns.start) * pixel)
                    file.write(np.ascontiguousarray(values, self.dtype).tobytes())
        except OSError as error:
            raise ImageError(f"cannot write {format_path(self.path)}: {error.strerror or error}") from error
