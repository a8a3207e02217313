"""Images as arrays (H, W, C) and as tensors in [-1, 1]: resize, convert channels, pad."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from pix2pix.errors import ImageError

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


def storage_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type among DTYPES that stores a file's values.

    Raises:
        ImageError: the type is complex, object, record or text.
    """
    if dtype.newbyteorder("=").name not in _KEPT_AS:
        raise ImageError(f"has values of type {dtype}: convert it to one of {', '.join(DTYPES)}")
    return np.dtype(_KEPT_AS[dtype.newbyteorder("=").name])


def to_storage_dtype(array: NDArray[Any]) -> Array:
    """Convert values to one of DTYPES; True becomes 255.

    Raises:
        ImageError: for NaN, infinity and integers out of range.
    """
    dtype = storage_dtype(array.dtype)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    low, high = array.min().item(), array.max().item()  # NaN, if there is any
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max)
        if not (-limit <= low and high <= limit):
            raise ImageError("has values that are NaN, infinite, or too large for float32: replace them")
    elif low < np.iinfo(dtype).min or high > np.iinfo(dtype).max:
        raise ImageError(f"has values from {low} to {high}, out of the range of {dtype}: convert it to float32")
    return array.astype(dtype, copy=False)


def apply_exif_orientation(array: Array, orientation: int) -> Array:
    """Rotate and flip the image by EXIF orientation 1 to 8; other numbers change nothing."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def opaque_alpha(dtype: np.dtype[Any]) -> float:
    """Return the alpha of an opaque pixel: the largest integer, or 1."""
    return 1.0 if dtype.kind == "f" else int(np.iinfo(dtype).max)


def fit_size(size: Sequence[int], longest: int) -> tuple[int, int]:
    """Scale (height, width) to a longer side of `longest`; no side is below 1."""
    height, width = (max(1, round(side * longest / max(size))) for side in size)
    return height, width


def resize(array: Array, size: tuple[int, int]) -> Array:
    """Resize to (height, width): area averaging where it shrinks, bicubic interpolation where it grows.

    Integers are rounded and clipped. 32-bit integers are exact to 1 part in 2**24, since OpenCV's weights are floats.
    """
    shrunk = (min(size[0], array.shape[0]), min(size[1], array.shape[1]))
    return _interpolate(_interpolate(array, shrunk, cv2.INTER_AREA), size, cv2.INTER_CUBIC)


def _interpolate(array: Array, size: tuple[int, int], method: int) -> Array:
    if array.shape[:2] == size:
        return array
    if array.dtype in (np.int32, np.uint32):  # not supported by OpenCV
        limits = np.iinfo(array.dtype)
        exact = _interpolate(array.astype(np.float64), size, method)
        return exact.round().clip(limits.min, limits.max).astype(array.dtype)
    groups = [array[..., first : first + _TOGETHER] for first in range(0, array.shape[2], _TOGETHER)]
    parts = [cv2.resize(np.ascontiguousarray(group), (size[1], size[0]), interpolation=method) for group in groups]
    # OpenCV drops a single channel
    parts = [part.reshape(*size, group.shape[2]) for part, group in zip(parts, groups, strict=True)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def resize_nearest(array: Array, size: tuple[int, int]) -> Array:
    """Resize to (height, width) by nearest neighbor: no values are mixed."""
    if array.shape[:2] == size:
        return array
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, array.shape[:2], strict=True)
    )
    nearest: Array = array[rows[:, np.newaxis], columns]
    return nearest


def convert_channels(array: Array, channels: int) -> Array:
    """Convert the image to another number of channels; its dtype stays.

    1 is repeated; 3 and 4 become 1 by Rec. 601 luminance; 1 and 3 become 4 with opaque alpha; otherwise the first
    channels are kept.

    Raises:
        ImageError: there are fewer channels than needed, and not 1 or 3.
    """
    present = array.shape[2]
    if present == channels:
        return array
    if channels == 4 and present in (1, 3):
        color = np.broadcast_to(array, (*array.shape[:2], 3))
        return np.dstack([color, np.full(array.shape[:2], opaque_alpha(array.dtype), array.dtype)])
    if present == 1:
        return np.repeat(array, channels, axis=2)
    if channels == 1 and present in (3, 4):
        luminance: NDArray[np.float64] = array[..., :3] @ _REC_601
        return (luminance if array.dtype.kind == "f" else luminance.round()).astype(array.dtype)[..., np.newaxis]
    if channels < present:
        return array[..., :channels].copy()
    raise ImageError(
        f"has {present} channels, but {channels} are needed: only images of 1 and 3 channels can be extended"
    )


def to_tensor(array: Array, low: Sequence[float] = (0.0,), high: Sequence[float] = (255.0,)) -> Tensor:
    """Map (H, W, C) of any type to (C, H, W) float32 in [-1, 1], clipped: `low` becomes -1 and `high` 1.

    low and high have one value per channel, or one for all. A channel with low = high becomes -1.
    """
    type_ = np.float32 if array.dtype.itemsize == 1 else np.float64
    below = np.array(low, type_).reshape(-1, 1, 1)
    above = np.subtract(array.transpose(2, 0, 1), below, dtype=type_, order="C")  # a copy, whatever the array
    half = (torch.tensor(high, dtype=torch.float64) - torch.tensor(low, dtype=torch.float64)) / 2
    half = torch.where(half == 0, torch.inf, half).float().reshape(-1, 1, 1)
    return torch.from_numpy(above.astype(np.float32, copy=False)).div_(half).sub_(1).clamp_(-1, 1)


def encode_by_table(arrays: Sequence[Array], table: Tensor) -> Tensor:
    """Map 8-bit images (H, W, C) of one size to (N, nc, H, W) by a table (nc, 256): faster than `to_tensor`."""
    height, width = arrays[0].shape[:2]
    made = torch.empty((len(arrays), len(table), height, width))
    for image, array in zip(made.numpy(), arrays, strict=True):
        # cv2.split is fast for few channels
        planes = cv2.split(array) if array.shape[2] <= 4 else np.ascontiguousarray(array.transpose(2, 0, 1))
        for channel, (plane, values) in enumerate(zip(planes, table.numpy(), strict=False)):
            cv2.LUT(plane, values, image[channel])
    return made


def to_array(
    image: Tensor, dtype: str = "uint8", low: Sequence[float] = (0.0,), high: Sequence[float] = (255.0,)
) -> Array:
    """Map (C, H, W) in [-1, 1] to (H, W, C), the inverse of `to_tensor`: clipped, and rounded for integers."""
    type_ = torch.float32 if dtype == "uint8" else torch.float64
    below = torch.tensor(low, dtype=torch.float64).reshape(-1, 1, 1)
    half = (torch.tensor(high, dtype=torch.float64).reshape(-1, 1, 1) - below) / 2
    unit = image.detach().cpu().to(type_).clamp(-1, 1) + 1
    values = (unit * half.to(type_) + below.to(type_)).permute(1, 2, 0).contiguous().numpy()
    return cast_values(values, dtype)


def cast_values(values: Array, dtype: str) -> Array:
    """Convert values to another type: for integers rounded, and clipped to the range of the type."""
    if np.issubdtype(dtype, np.floating):
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.rint(values).clip(limits.min, limits.max).astype(dtype)


def resize_to_height(image: Tensor, height: int) -> Tensor:
    """Resize (N, C, H, W) to a height, keeping the aspect ratio."""
    size = height, max(1, round(image.shape[-1] * height / image.shape[-2]))
    return F.interpolate(image, size, mode="bilinear", antialias=True)


def pad_to_multiple(image: Tensor, multiple: int) -> tuple[Tensor, tuple[slice, slice]]:
    """Pad (N, C, H, W) by reflection, repeatedly if needed, to the next multiple in height and width.

    A side of one pixel is repeated. Returns the padded image and the slices (rows, columns) of the original:
    padded[..., rows, columns] equals image. The same tensor is returned if no padding is needed.
    """
    image, rows = _reflect(image, -2, multiple)
    image, columns = _reflect(image, -1, multiple)
    return image, (rows, columns)


def _reflect(image: Tensor, dimension: int, multiple: int) -> tuple[Tensor, slice]:
    shown_by, inside = reflect_indices(image.shape[dimension], multiple)
    if len(shown_by) > image.shape[dimension]:
        image = image.index_select(dimension, torch.from_numpy(shown_by).to(image.device))
    return image, inside


def reflect_indices(length: int, multiple: int) -> tuple[NDArray[np.intp], slice]:
    """Return the source index of each padded pixel along a side, and the slice of the original."""
    missing = -length % multiple
    before = missing // 2
    shown_by = np.pad(np.arange(length), (before, missing - before), mode="reflect")
    return shown_by, slice(before, before + length)
