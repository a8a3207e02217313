"""Label maps: which class of a palette a pixel is, and the colours of classes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pix2pix.images.arrays import Array

Colour = tuple[int, ...]
Classes = NDArray[np.int64]

_CHUNK = 2**12  # pixels at a time, so that their distances stay in the cache
_FAR = 64  # from every colour of a palette: JPEG moves few pixels that far


def nearest_class(image: Array, palette: Sequence[Colour]) -> Classes:
    """Return the places (H, W) in the palette of the colours nearest to (H, W, C); the first of equals."""
    colours = np.array(palette, np.float64)
    origin = colours.min(axis=0)  # so that squares of large values stay exact
    colours -= origin
    pixels = image.reshape(-1, colours.shape[1])
    # |x - p|^2 = |x|^2 - 2 (x.p - |p|^2 / 2): the nearest colour has the largest bracket, exact for whole numbers
    offset = (colours**2).sum(axis=1) / 2
    classes = [
        ((pixels[start : start + _CHUNK] - origin) @ colours.T - offset).argmax(axis=1)
        for start in range(0, len(pixels), _CHUNK)
    ]
    return np.concatenate(classes).reshape(image.shape[:2])


def far_from(image: Array, palette: Sequence[Colour], nearest_classes: Classes) -> NDArray[np.bool_]:
    """Tell which pixels (H, W) of (H, W, C) are of no colour of the palette, nor near the nearest."""
    nearest = np.array(palette, np.float64)[nearest_classes]
    far: NDArray[np.bool_] = ((image - nearest) ** 2).sum(axis=2) > _FAR**2
    return far


def known_class(numbers: Array, count: int) -> Classes:
    """Return the class numbers of (H, W, 1) as (H, W), with `count` for those that are not in 0..count - 1."""
    classes = numbers[..., 0].astype(np.int64)
    return np.where((classes >= 0) & (classes < count) & (classes == numbers[..., 0]), classes, count)


def paint(classes: Classes, palette: Sequence[Colour]) -> Array:
    """Return the colours (H, W, C) of (H, W) classes; black, zeros, for a class one past the last."""
    return np.array([*palette, np.zeros_like(palette[0])])[classes]
