"""Compressed strips and tiles of TIFF files: refused before they become more than they should hold.

tifffile's own decoders have no limit; imagecodecs, where it is installed, decodes no more than a part should hold.
"""

import lzma
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, BinaryIO

from pix2pix.images.refusals import ImageError, check_bytes

_DEFLATE, _LZMA, _PACKBITS, _ZSTD = (8, 32946, 50013), 34925, 32773, (34926, 50000)
_PACKBITS_MEMORY = 9  # bytes for each one that tifffile unpacks: it keeps them in a list
_MORE_BYTES = 2**16  # than twice its pixels': what a strip that hardly compresses may take


def check_compression(page: Any, max_pixels: int) -> None:
    """Refuse parts that are too large for memory, and what Python itself would decode without a limit."""
    if page.compression in _ZSTD and find_spec("imagecodecs") is None:
        raise ImageError("a compression that needs another package (zstd): pip install imagecodecs")
    check_bytes(_bytes_of_a_part(page) * (_PACKBITS_MEMORY if page.compression == _PACKBITS else 1), max_pixels)


def check_part(file: BinaryIO, page: Any, offset: int, count: int) -> None:
    """Refuse a strip or tile that is left out, lies outside the file, or becomes more bytes than it should hold."""
    if count == 0 or offset + count > os.fstat(file.fileno()).st_size:
        raise ImageError("is cut off, or a part of the image is missing: make it anew")
    limit = _bytes_of_a_part(page)
    if page.compression != 1 and count > 2 * limit + _MORE_BYTES:
        raise ImageError("a part of the image takes many more bytes than its pixels: make it anew")
    file.seek(offset)
    if page.compression in (*_DEFLATE, _LZMA, _PACKBITS) and _decoded_bytes(page, file.read(count), limit) > limit:
        raise ImageError("a part of the image inflates to more than its size: make it anew")


def _bytes_of_a_part(page: Any) -> int:
    """How much a strip or a tile holds: a tile may be larger than the image."""
    return int(math.prod(page.chunks) * page.dtype.itemsize)


def _decoded_bytes(page: Any, data: bytes, limit: int) -> int:
    """How many bytes data become, exact up to a limit."""
    if page.compression in _DEFLATE:
        return len(zlib.decompressobj().decompress(data, limit + 1))
    if page.compression == _LZMA:
        stream = lzma.LZMADecompressor()
        length = len(stream.decompress(data, limit + 1))
        return limit + 1 if stream.unused_data else length  # another stream may follow
    length = position = 0
    while position < len(data) and length <= limit:
        head = data[position]  # that many bytes and one more; from 129 on, one byte 257 - head times; 128 is none
        length += head + 1 if head < 128 else 257 - head if head > 128 else 0
        position += head + 2 if head < 128 else 2 if head > 128 else 1
    return length


@contextmanager
def decoding() -> Iterator[None]:
    """Name the package that a compression needs, where decoding fails for want of it."""
    try:
        yield
    except Exception as error:  # of several types, for what tifffile's own decoders and predictors lack
        if "imagecodecs" in str(error):
            raise ImageError(f"a compression that needs another package ({error}): pip install imagecodecs") from error
        raise
