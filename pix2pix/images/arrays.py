"""Images as arrays (H, W, C), of any number of channels: their size and their channels."""

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.uint8]


def resize(array: Array, size: tuple[int, int]) -> Array:
    """Resize to (height, width): what shrinks by area averaging, which is antialiased, then what grows bicubically."""
    shrunk = (min(size[0], array.shape[0]), min(size[1], array.shape[1]))
    return _interpolate(_interpolate(array, shrunk, cv2.INTER_AREA), size, cv2.INTER_CUBIC)


def _interpolate(array: Array, size: tuple[int, int], method: int) -> Array:
    if array.shape[:2] == size:
        return array
    resized = cv2.resize(array, (size[1], size[0]), interpolation=method)
    return np.asarray(resized, dtype=np.uint8).reshape(*size, array.shape[2])  # cv2 drops a single channel


def convert_channels(array: Array, channels: int) -> Array:
    """Give the image 1, 3 or 4 channels.

    Colour becomes grey as Rec. 601 luminance; grey is repeated; alpha is dropped (the colours beneath it stay), and a
    new one is opaque.
    """
    if array.shape[2] == channels:
        return array
    colour = array[..., :3]
    if channels == 1:
        luminance: NDArray[np.float64] = colour @ np.array([0.299, 0.587, 0.114])
        return luminance.round().astype(np.uint8)[..., np.newaxis]
    colour = np.broadcast_to(colour, (*array.shape[:2], 3))
    if channels == 4:
        return np.dstack([colour, np.full(array.shape[:2], 255, np.uint8)])
    return colour.copy()
