"""Images as arrays (H, W, C), of any number of channels: their values, their size and their channels."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pix2pix.images.refusals import ImageError

Array = NDArray[Any]
DTYPES = ("uint8", "uint16", "int16", "int32", "uint32", "float32")
_KEPT_AS = {name: name for name in DTYPES} | {
    "bool": "uint8",
    "int8": "int16",
    "int64": "int32",
    "uint64": "uint32",
    "float16": "float32",
    "float64": "float32",
}
_TOGETHER = 4  # OpenCV averages areas of at most four channels
_REC_601 = np.array([0.299, 0.587, 0.114])


def kept_as(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The one of DTYPES in which values of a file's dtype are kept.

    Raises:
        ImageError: for complex numbers, objects, records, text and the like.
    """
    if dtype.newbyteorder("=").name not in _KEPT_AS:
        raise ImageError(f"holds values of type {dtype}, where {', '.join(DTYPES)} are read: convert it to one of them")
    return np.dtype(_KEPT_AS[dtype.newbyteorder("=").name])


def kept(array: NDArray[Any]) -> Array:
    """Return the values in one of DTYPES; True is 255.

    Raises:
        ImageError: for NaN, infinity and whole numbers that do not fit.
    """
    dtype = kept_as(array.dtype)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    low, high = array.min().item(), array.max().item()  # NaN, if there is any
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max)
        if not (-limit <= low and high <= limit):
            raise ImageError(
                "holds NaN or infinite values, or larger ones than float32 has: put numbers in their place"
            )
    elif low < np.iinfo(dtype).min or high > np.iinfo(dtype).max:
        raise ImageError(f"holds values from {low} to {high}, which {dtype} cannot: convert it to float32")
    return array.astype(dtype, copy=False)


def upright(array: Array, orientation: int) -> Array:
    """Turn and mirror the image as EXIF orientation 1 to 8 says; other numbers leave it."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def opaque(dtype: np.dtype[Any]) -> float:
    """The alpha of what hides all behind it: the largest whole number, or 1."""
    return 1.0 if dtype.kind == "f" else int(np.iinfo(dtype).max)


def fitted(size: Sequence[int], longest: int) -> tuple[int, int]:
    """Return a (height, width) in the proportions of another: the longer side is `longest`, none is below 1."""
    height, width = (max(1, round(side * longest / max(size))) for side in size)
    return height, width


def resize(array: Array, size: tuple[int, int]) -> Array:
    """Resize to (height, width): what shrinks by area averaging, which is antialiased, then what grows bicubically.

    Whole numbers are rounded, and clipped where a curve overshoots their type. OpenCV's weights are floats, so that
    32-bit numbers are exact to one part in 2**24.
    """
    shrunk = (min(size[0], array.shape[0]), min(size[1], array.shape[1]))
    return _interpolate(_interpolate(array, shrunk, cv2.INTER_AREA), size, cv2.INTER_CUBIC)


def _interpolate(array: Array, size: tuple[int, int], method: int) -> Array:
    if array.shape[:2] == size:
        return array
    if array.dtype in (np.int32, np.uint32):  # which OpenCV does not interpolate
        limits = np.iinfo(array.dtype)
        exact = _interpolate(array.astype(np.float64), size, method)
        return exact.round().clip(limits.min, limits.max).astype(array.dtype)
    groups = [array[..., first : first + _TOGETHER] for first in range(0, array.shape[2], _TOGETHER)]
    parts = [cv2.resize(np.ascontiguousarray(group), (size[1], size[0]), interpolation=method) for group in groups]
    # OpenCV drops a single channel
    parts = [part.reshape(*size, group.shape[2]) for part, group in zip(parts, groups, strict=True)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def resize_nearest(array: Array, size: tuple[int, int]) -> Array:
    """Resize to (height, width) by the pixel on which the centre of the new one falls: no value is mixed."""
    if array.shape[:2] == size:
        return array
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, array.shape[:2], strict=True)
    )
    nearest: Array = array[rows[:, np.newaxis], columns]
    return nearest


def convert_channels(array: Array, channels: int) -> Array:
    """Give the image another number of channels; its dtype stays.

    One is repeated; 3 and 4 become 1 as Rec. 601 luminance; 3 become 4, and 1 becomes 4, with an alpha that is opaque;
    otherwise the first channels are kept.

    Raises:
        ImageError: for more channels than there are, where these rules make none.
    """
    present = array.shape[2]
    if present == channels:
        return array
    if channels == 4 and present in (1, 3):
        colour = np.broadcast_to(array, (*array.shape[:2], 3))
        return np.dstack([colour, np.full(array.shape[:2], opaque(array.dtype), array.dtype)])
    if present == 1:
        return np.repeat(array, channels, axis=2)
    if channels == 1 and present in (3, 4):
        luminance: NDArray[np.float64] = array[..., :3] @ _REC_601
        return (luminance if array.dtype.kind == "f" else luminance.round()).astype(array.dtype)[..., np.newaxis]
    if channels < present:
        return array[..., :channels].copy()
    raise ImageError(f"has {present} channels, where {channels} are needed: only 1 and 3 channels become more")
