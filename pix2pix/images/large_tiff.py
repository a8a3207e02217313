"""TIFF files too large for memory, read and written by windows."""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pix2pix.images.arrays import Array, kept, kept_as
from pix2pix.images.compressions import check_compression, check_part, decoding
from pix2pix.images.refusals import MAX_PIXELS, ImageError, shown
from pix2pix.images.tiff import check_colours, grey_or_colour, laid_out, opened

_CACHE = 2**27  # bytes of decoded strips and tiles: a band of windows across an image reads the same ones again
_PREMULTIPLIED = 1  # of ExtraSamples
_ORIENTATION = 274


class LargeTiff:
    """The image of a TIFF file, of which `large[rows, columns]`, slices from start to stop, decodes what it needs.

    Raises:
        ImageError: for what `read` refuses; and for images that lie on their side, channels stored apart, and strips or
            tiles of more than 8 bytes for each of max_pixels.
    """

    def __init__(self, path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS):
        self.path = Path(path)
        with _told(self.path), self.path.open("rb") as file, opened(file) as (image, page):
            self._page, self._contiguous = page, page.is_contiguous and page.fillorder == 1
            is_apart = page.planarconfig != 1 and page.samplesperpixel > 1
            if image is not page or page.dtype is None or page.bitspersample not in (8, 16, 32, 64) or is_apart:
                raise ImageError(
                    "is too large to be read whole: make it one page of 8, 16 or 32 bits, channels side by side"
                )
            if page.tags.valueof(_ORIENTATION, 1) != 1 or _PREMULTIPLIED in page.extrasamples[:1]:
                raise ImageError("is too large to be turned or freed of its alpha: store it as it is seen")
            check_colours(page)
            if not self._contiguous:
                check_compression(page, max_pixels)
            self.dtype = kept_as(page.dtype)
            self._decode = page.decode
        self._parts: OrderedDict[int, Array] = OrderedDict()
        self.shape: tuple[int, int, int] = (page.imagelength, page.imagewidth, self[0:1, 0:1].shape[2])

    def __getitem__(self, window: tuple[slice, slice]) -> Array:
        """Read a window (h, w, C), as `read` would give it.

        Raises:
            ImageError: that cannot be done.
        """
        with _told(self.path), self.path.open("rb") as file:
            array = self._mapped(window) if self._contiguous else self._joined(file, *window)
            return grey_or_colour(kept(array), self._page)

    def _mapped(self, window: tuple[slice, slice]) -> Array:
        """Read from pixels that lie in the file one after the other."""
        page = self._page
        dtype = page.dtype.newbyteorder(page.parent.byteorder)
        shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
        return np.array(np.memmap(self.path, dtype, "r", page.dataoffsets[0], shape)[window])

    def _joined(self, file: BinaryIO, rows: slice, columns: slice) -> Array:
        """Put a window together from strips or tiles."""
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
        """Decode a strip or tile (h, w, C), or find it among those decoded last."""
        if number not in self._parts:
            page = self._page
            offset, count = page.dataoffsets[number], page.databytecounts[number]
            check_part(file, page, offset, count)
            file.seek(offset)
            with decoding():
                decoded, _, _ = self._decode(file.read(count), number)
            self._parts[number] = decoded[0]
            while len(self._parts) > 1 and sum(part.nbytes for part in self._parts.values()) > _CACHE:
                self._parts.popitem(last=False)
        self._parts.move_to_end(number)
        return self._parts[number]


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Name the file in errors of reading it, but for want of memory: smaller windows may do."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # decoders raise several unrelated types for damaged files
        words = error.strerror if isinstance(error, OSError) else f"damaged: make it anew ({error})"
        raise ImageError(f"{shown(path)}: {error if isinstance(error, ImageError) else words}") from error


class NewTiff:
    """A TIFF file of this shape (H, W, C), uncompressed, that takes `new[rows, columns] = array` in any order.

    Raises:
        ImageError: for whatever hinders writing.
    """

    def __init__(self, path: str | os.PathLike[str], shape: tuple[int, int, int], dtype: str):
        import tifffile

        self.path, self.shape, self.dtype = Path(path), shape, np.dtype(dtype)
        flat = shape if shape[2] > 1 else shape[:2]
        try:
            layout = laid_out(shape[2], self.dtype)
            place = tifffile.imwrite(self.path, shape=flat, dtype=dtype, returnoffset=True, **layout)
            assert place is not None  # as of compressed pixels
            self._start = place[0]
        except OSError as error:
            raise ImageError(f"cannot write {shown(path)}: {error.strerror or error}") from error

    def __setitem__(self, window: tuple[slice, slice], array: Array) -> None:
        """Put a window (h, w, C) in its place."""
        rows, columns = window
        pixel = self.shape[2] * self.dtype.itemsize
        try:
            with self.path.open("r+b") as file:
                for row, values in zip(range(rows.start, rows.stop), array, strict=True):
                    file.seek(self._start + (row * self.shape[1] + columns.start) * pixel)
                    file.write(np.ascontiguousarray(values, self.dtype).tobytes())
        except OSError as error:
            raise ImageError(f"cannot write {shown(self.path)}: {error.strerror or error}") from error
