"""Arrays of numpy as image files: what 8-bit formats cannot hold."""

import math
import os
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from pix2pix.images.arrays import Array, kept, kept_as
from pix2pix.images.refusals import ImageError, check_size

_FEW_CHANNELS, _MANY_CHANNELS = (1, 2, 3, 4), 64  # lengths that are taken for channels first, and for sides after them
_LONGEST_HEADER = 10_000  # bytes: numpy's own limit
_BLOCK = 2**22  # values that are converted at a time, so that a file of doubles is not in memory beside its floats


def read_npy(file: BinaryIO, max_pixels: int) -> Array:
    """Read (H, W) or (H, W, C) from an NPY file: its header alone until that is found to be true.

    Raises:
        ImageError: for other shapes and types, more than max_pixels, and a file that is cut off.
    """
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ImageError(f"NPY version {version} is for records: an array of numbers is needed")
    shape, columns_first, dtype = _header(file, version)
    kept_as(dtype)  # refuses objects, which could run code, before anything of them is read
    _check_shape(shape)
    check_size(shape[0], shape[1], math.prod(shape[2:]), dtype, max_pixels)
    count = math.prod(shape)
    if os.fstat(file.fileno()).st_size - file.tell() < count * dtype.itemsize:
        raise ImageError(f"is cut off: it holds less than {shape} of {dtype}, which its header promises: make it anew")
    values = np.empty(count, kept_as(dtype))
    for start in range(0, count, _BLOCK):
        part = values[start : start + _BLOCK]
        part[:] = kept(np.fromfile(file, dtype, len(part)))
    array = values.reshape(shape, order="F" if columns_first else "C")
    return np.ascontiguousarray(array if array.ndim == 3 else array[..., np.newaxis])


def _header(file: BinaryIO, version: tuple[int, int]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    start, width = file.tell(), 2 if version == (1, 0) else 4
    size = int.from_bytes(file.read(width), "little")
    if size > _LONGEST_HEADER:
        raise ImageError(f"a header of {size} bytes, where a hundred do: make it anew with numpy.save")
    file.seek(start)
    try:
        return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    except Exception as error:  # of Python's parser as well, which gives up in many ways
        raise ImageError("its header is damaged: make it anew with numpy.save") from error


def write_npy(file: BinaryIO, array: Array) -> None:
    """Write (H, W, C); `read_npy` takes at most 4 rows before more than 64 columns and channels for channels first."""
    np.save(file, array, allow_pickle=False)


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3):
        raise ImageError(f"an array of shape {shape}, where (H, W) or (H, W, C) is needed: store one image a file")
    if len(shape) == 3 and shape[0] in _FEW_CHANNELS and min(shape[1:]) > _MANY_CHANNELS:
        raise ImageError(f"an array of shape {shape}, where (H, W, C) is needed: put its channels last, or use .tif")
