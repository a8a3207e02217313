"""What a sample of an image's pixels tells of it: a plain picture, a label map, a photo."""

from itertools import count
from math import gcd
from typing import NamedTuple

import numpy as np

from pix2pix.images import Array
from pix2pix.palettes import PALETTES

_SAMPLES = 4096
_COMPARED = 8  # every so many samples: their distances to all colours of the palettes would take most of the time
_LEVELS = 8  # per channel: finer differences are noise, or compression
_COUNTED = 12  # channels whose levels still fit one exact number
_NEAR = 16  # of 255: compression moves most colours of a label map by less
_LIKELY = 0.6  # share of pixels near its colours from which a palette is meant; in photos it is 0.2 at most


class Look(NamedTuple):
    """The commonest colour, in levels, and its share; the distinct colours; the palette these are likely from."""

    colour: tuple[int, ...]
    share: float
    distinct: int
    palette: str | None


def look_at(image: Array) -> Look:
    """Look at some thousand pixels of an image (H, W, C), evenly spread."""
    flat = image.reshape(-1, image.shape[2])
    least = max(len(flat) // _SAMPLES, 1)
    step = next(step for step in count(least) if gcd(step, image.shape[1]) == 1)  # so that every column has its turn
    flat = flat[::step, :_COUNTED].astype(np.float64)
    low, high = (0, 255) if image.dtype == np.uint8 else (flat.min(), flat.max())
    levels = ((flat - low) / max(high - low, 1e-12) * (_LEVELS - 1)).round()
    radix = float(_LEVELS) ** np.arange(flat.shape[1])
    _, first, times = np.unique(levels @ radix, return_counts=True, return_index=True)
    most = times.argmax()
    colour = tuple(map(int, levels[first[most]]))
    distinct = len(np.unique(flat @ np.pi ** np.arange(flat.shape[1])))
    is_rgb = image.dtype == np.uint8 and image.shape[2] == 3
    return Look(
        colour, float(times[most] / len(flat)), distinct, _likely_palette(flat[::_COMPARED]) if is_rgb else None
    )


def _likely_palette(flat: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str | None:
    shares = {}
    for name, palette in PALETTES.items():
        colours = np.array(palette.colours, np.float64)
        squares = (flat**2).sum(axis=1)[:, None] + (colours**2).sum(axis=1) - 2 * flat @ colours.T
        shares[name] = float((squares.min(axis=1) < _NEAR**2).mean())
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= _LIKELY else None
