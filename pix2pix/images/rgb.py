"""Any picture as RGB, for what knows no depth but that of people's eyes: backbones, and pictures to stylise."""

import os

import numpy as np
from torch import Tensor

from pix2pix.images.arrays import Array, convert_channels
from pix2pix.images.encoding import Encoding
from pix2pix.images.files import read
from pix2pix.images.refusals import MAX_PIXELS, ImageError, shown
from pix2pix.images.tensors import to_tensor

_WHITE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
_SUFFIXES = {"uint8": ".png", "uint16": ".png", "float32": ".tif"}
_BRIGHTEST = 16.0  # of floats: highlights may go beyond white, but 0 to 255 is another scale


def read_rgb(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Tensor:
    """Read a picture as (3, H, W) in [-1, 1]: grey is repeated, alpha left out, floats are taken as 0 to 1.

    Raises:
        ImageError: as `read_rgb_array`.
    """
    return rgb_tensor(read_rgb_array(path, max_pixels))


def rgb_tensor(array: Array) -> Tensor:
    """Return (H, W, C) of uint8, uint16, or floats from 0 to 1, as (C, H, W) in [-1, 1]."""
    return to_tensor(array, high=(_WHITE[array.dtype.name],))


def rgb_encoding(dtype: str) -> Encoding:
    """Return how pictures (H, W, 3) of uint8, uint16, or floats from 0 to 1, are tensors and files."""
    return Encoding("photo", 3, dtype, high=(_WHITE[dtype],), suffix=_SUFFIXES[dtype])


def read_rgb_array(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Array:
    """Read a picture as (H, W, 3) of uint8, uint16 or float32: grey is repeated, alpha left out.

    Raises:
        ImageError: it cannot be read whole, has other channels than 1, 3 or 4, another depth, or values not finite or
            far beyond 1.
    """
    array = read(path, max_pixels)
    try:
        return as_rgb(array)
    except ImageError as error:
        raise ImageError(f"{shown(path)}: {error}") from error


def as_rgb(array: Array) -> Array:
    """Return a picture (H, W, C) as (H, W, 3) of its own type in native order: grey is repeated, alpha left out.

    Raises:
        ImageError: it has other channels than 1, 3 or 4, is not of uint8, uint16 or float32, or has values not finite
            or far beyond 1.
    """
    if array.shape[2] not in (1, 3, 4) or array.dtype.name not in _WHITE:
        raise ImageError(
            f"{array.dtype} with {array.shape[2]} channels; "
            "a picture of uint8, uint16 or float32, grey or RGB, is needed"
        )
    if not np.isfinite(array).all():
        raise ImageError("holds NaN or infinite values; numbers from 0 to 1 are needed")
    if array.dtype.name == "float32" and array.max() > _BRIGHTEST:
        raise ImageError(f"holds values up to {array.max():g}; floats from 0 to 1 are needed, or 8 or 16 bits")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    rgb = convert_channels(array, 1 if array.shape[2] == 1 else 3)
    return convert_channels(rgb, 3)
