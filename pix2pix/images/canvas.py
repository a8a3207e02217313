"""Arrays and files as windows of tensors: an image that is read, and its translation that is written, by windows."""

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import numpy as np
from torch import Tensor

from pix2pix.images.arrays import Array, fitted
from pix2pix.images.encoding import Codec, Encoding

_ROWS = 32  # of a smaller image that are made at a time


class Pixels(Protocol):
    """What gives arrays (h, w, C) for slices of rows and columns: an array (H, W, C), or a file that is open."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels."""
        ...

    def __getitem__(self, window: tuple[slice, slice], /) -> Array:
        """Return a window."""
        ...


class Place(Protocol):
    """What takes arrays (h, w, C) for slices of rows and columns."""

    def __setitem__(self, window: tuple[slice, slice], array: Array, /) -> None:
        """Put a window in its place."""
        ...


Maker = Callable[[tuple[int, int, int], str], Place]  # of a shape (H, W, C) and a dtype


class ArrayCanvas:
    """A source as files hold it, which is encoded by windows, and a place for its translation, decoded by windows.

    `make` is called with the shape (H, W, C) and the dtype of the translation when its first window is there.
    """

    count = 1

    def __init__(self, source: Pixels, codec: Codec, make: Maker):
        self.source, self.codec, self._make = source, codec, make
        self._place: Place | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.source.shape[0], self.source.shape[1]

    @property
    def is_in_memory(self) -> bool:
        """Whether the source is an array."""
        return isinstance(self.source, np.ndarray)

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Return a window (1, nc, h, w) of the source in [-1, 1]."""
        encoding = self.codec.source
        return encoding.encode(encoding.accept(self.source[rows, columns]))[None]

    def write(self, rows: slice, columns: slice, image: Tensor) -> None:
        """Put a window (1, nc, h, w) of the translation in its place."""
        target = self.codec.target
        image = image[0].float().cpu()
        array = target.decode(image, self.read(rows, columns)[0] if target.kind == "chroma" else image)
        if self._place is None:
            self._place = self._make((*self.size, array.shape[2]), target.dtype)
        self._place[rows, columns] = array


def shrunken(pixels: Pixels, encoding: Encoding, longest: int) -> Array:
    """Return the image with no side longer than `longest`, read a few rows at a time; a smaller one stays as it is."""
    height, width = pixels.shape[:2]
    if max(height, width) <= longest:
        return pixels[0:height, 0:width]
    new_height, new_width = fitted((height, width), longest)
    ends = [*range(0, new_height, _ROWS), new_height]
    bands = []
    for first, last in pairwise(ends):
        band = pixels[first * height // new_height : last * height // new_height, 0:width]
        bands.append(encoding.resize(band, (last - first, new_width)))
    return np.concatenate(bands)
