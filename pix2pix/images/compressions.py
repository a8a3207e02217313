"""Compressed strips and tiles of TIFF files: refused before they become more than they should hold."""

import lzma
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, BinaryIO

from pix2pix.images.refusals import ImageError

_ZSTD = (34926, 50000)
_LZMA_MEMORY = 2**28  # the strongest setting of xz asks for a quarter
_MORE_BYTES = 2**16  # than twice its pixels': what a strip that hardly compresses may take


def _inflated(data: bytes, limit: int) -> int:
    return len(zlib.decompressobj().decompress(data, limit + 1))


def _inflated_lzma(data: bytes, limit: int) -> int:
    length = 0
    while data and length <= limit:  # streams may follow each other
        stream = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
        length += len(stream.decompress(data, limit + 1 - length))
        data = stream.unused_data
    return length


def _unpacked(data: bytes, limit: int) -> int:
    length = position = 0
    while position < len(data) and length <= limit:
        head = data[position]  # that many bytes and one more; from 129 on, one byte 257 - head times; 128 is none
        length += head + 1 if head < 128 else 257 - head if head > 128 else 0
        position += head + 2 if head < 128 else 2 if head > 128 else 1
    return length


# What tifffile decodes without a limit: the compression's number, and how many bytes data become, at least when within
# the limit.
_LENGTHS: Mapping[int, Callable[[bytes, int], int]] = {
    **dict.fromkeys((8, 32946, 50013), _inflated),
    34925: _inflated_lzma,
    32773: _unpacked,
}


def check_compression(page: Any) -> None:
    """Refuse what Python itself would decode without a limit, where it decodes it."""
    if page.compression in _ZSTD and find_spec("imagecodecs") is None:
        raise ImageError("a compression that needs another package (zstd): pip install imagecodecs")


def bytes_of_a_part(page: Any) -> int:
    """How much a strip or a tile holds: a tile may be larger than the image."""
    return int(math.prod(page.chunks) * page.dtype.itemsize)


def check_part(file: BinaryIO, page: Any, offset: int, count: int) -> None:
    """Refuse a strip or tile that becomes more bytes than it should hold."""
    limit = bytes_of_a_part(page)
    if count > 2 * limit + _MORE_BYTES:
        raise ImageError("a part of the image takes many more bytes than its pixels: make it anew")
    if page.compression in _LENGTHS:
        file.seek(offset)
        if _LENGTHS[page.compression](file.read(count), limit) > limit:
            raise ImageError("a part of the image inflates to more than its size: make it anew")


@contextmanager
def decoding() -> Iterator[None]:
    """Name the package that a compression needs, where decoding fails for want of it."""
    try:
        yield
    except Exception as error:  # of several types, for what tifffile's own decoders and predictors lack
        if "imagecodecs" in str(error):
            raise ImageError(f"a compression that needs another package ({error}): pip install imagecodecs") from error
        raise
