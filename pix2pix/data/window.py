"""The part of a pair that a training step is shown."""

from random import Random
from typing import NamedTuple

import cv2
import numpy as np

from pix2pix.data.records import RawPair
from pix2pix.errors import UserError
from pix2pix.images import Array, shown


class Window(NamedTuple):
    """The rows and columns of a pair that are shown, and whether from right to left."""

    rows: slice
    columns: slice
    mirrored: bool

    def of(self, raw: RawPair) -> RawPair:
        """Cut it out of both images, as views where nothing is mirrored."""
        source, target = (image[self.rows, self.columns] for image in (raw.source, raw.target))
        if self.mirrored:
            source, target = _mirrored(source), _mirrored(target)
        return RawPair(source, target, raw.name)


def random_crop(raw: RawPair, size: tuple[int, int], draw: Random) -> tuple[slice, slice]:
    """Draw the rows and columns of a crop of (height, width).

    Raises:
        UserError: the pair is smaller.
    """
    height, width = raw.source.shape[:2]
    if height < size[0] or width < size[1]:
        raise UserError(
            f"{shown(raw.name)}: {height}x{width} is too small for --crop_size {size[0]}x{size[1]}: "
            "choose a smaller one, or --preprocess resize_and_crop"
        )
    top = int((height - size[0] + 1) * draw.random())
    left = int((width - size[1] + 1) * draw.random())
    return slice(top, top + size[0]), slice(left, left + size[1])


def _mirrored(array: Array) -> Array:
    if array.shape[2] > 4:
        return array.take(np.arange(array.shape[1])[::-1], axis=1)
    # OpenCV is far faster at few channels; as bytes, since OpenCV 4 has no uint32
    mirrored: Array = np.asarray(cv2.flip(np.ascontiguousarray(array).view(np.uint8), 1))
    return mirrored.view(array.dtype).reshape(array.shape)
