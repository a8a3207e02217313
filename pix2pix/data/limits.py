"""Limits on the size of images, checked before decoding."""

import math

import numpy as np
from numpy.typing import DTypeLike

from pix2pix.errors import ImageError, TooLargeError

MAX_PIXELS = 2**26  # 8192 x 8192
_BYTES_A_PIXEL = 8  # four channels of 16 bits; images of fewer pixels may have more channels


def check_size(height: int, width: int, channels: int, dtype: DTypeLike, max_pixels: int) -> None:
    """Check the size in a header before decoding.

    Raises:
        ImageError: for no pixels, more than max_pixels, or more than 8 bytes for each of them.
    """
    size = math.prod((height, width, channels)) * np.dtype(dtype).itemsize
    if size <= 0:
        raise ImageError(f"{height}x{width} with {channels} channels has no values: remove it")
    if height * width > max_pixels:
        raise TooLargeError(
            f"{height}x{width} are more than {max_pixels} pixels: make it smaller, or raise --max_pixels"
        )
    check_bytes(size, max_pixels)


def check_bytes(size: int, max_pixels: int) -> None:
    """Check the size in bytes.

    Raises:
        ImageError: it is more than 8 times max_pixels.
    """
    limit = _BYTES_A_PIXEL * max_pixels
    if size > limit:
        raise TooLargeError(
            f"{size} bytes are more than {limit}, {_BYTES_A_PIXEL} for each of {max_pixels} pixels: "
            "make it smaller, or raise --max_pixels"
        )
