"""Arrays as tensors: float32 in [-1, 1] with channels before height and width."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from pix2pix.images.arrays import Array


def to_tensor(array: Array, low: Sequence[float] = (0.0,), high: Sequence[float] = (255.0,)) -> Tensor:
    """(H, W, C) of any type to (C, H, W) float32 in [-1, 1], clipped: `low` becomes -1 and `high` 1.

    low and high hold one value per channel, or one for all. A channel in which they are equal becomes -1.
    """
    type_ = np.float32 if array.dtype.itemsize == 1 else np.float64
    below = np.array(low, type_).reshape(-1, 1, 1)
    above = np.subtract(array.transpose(2, 0, 1), below, dtype=type_, order="C")  # a copy, whatever the array
    half = (torch.tensor(high, dtype=torch.float64) - torch.tensor(low, dtype=torch.float64)) / 2
    half = torch.where(half == 0, torch.inf, half).float().reshape(-1, 1, 1)
    return torch.from_numpy(above.astype(np.float32, copy=False)).div_(half).sub_(1).clamp_(-1, 1)


def look_up(arrays: Sequence[Array], table: Tensor) -> Tensor:
    """8-bit images (H, W, C) of one size to (N, nc, H, W) by a table (nc, 256): the tensors of `to_tensor`, faster."""
    height, width = arrays[0].shape[:2]
    made = torch.empty((len(arrays), len(table), height, width))
    for image, array in zip(made.numpy(), arrays, strict=True):
        # OpenCV takes channels apart fast, if they are few
        planes = cv2.split(array) if array.shape[2] <= 4 else np.ascontiguousarray(array.transpose(2, 0, 1))
        for channel, (plane, values) in enumerate(zip(planes, table.numpy(), strict=False)):
            cv2.LUT(plane, values, image[channel])
    return made


def to_array(
    image: Tensor, dtype: str = "uint8", low: Sequence[float] = (0.0,), high: Sequence[float] = (255.0,)
) -> Array:
    """(C, H, W) in [-1, 1] to (H, W, C): the way back. It is clipped to low and high, and rounded for whole numbers."""
    type_ = torch.float32 if dtype == "uint8" else torch.float64
    below = torch.tensor(low, dtype=torch.float64).reshape(-1, 1, 1)
    half = (torch.tensor(high, dtype=torch.float64).reshape(-1, 1, 1) - below) / 2
    unit = image.detach().cpu().to(type_).clamp(-1, 1) + 1
    values = (unit * half.to(type_) + below.to(type_)).permute(1, 2, 0).contiguous().numpy()
    return to_type(values, dtype)


def to_type(values: Array, dtype: str) -> Array:
    """Return the values in another type: for whole numbers rounded, and clipped to what the type holds."""
    if np.issubdtype(dtype, np.floating):
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.rint(values).clip(limits.min, limits.max).astype(dtype)


def of_height(image: Tensor, height: int) -> Tensor:
    """Resize (N, C, H, W) to a height, in its proportions, for people to look at."""
    size = height, max(1, round(image.shape[-1] * height / image.shape[-2]))
    return F.interpolate(image, size, mode="bilinear", antialias=True)


def reflect_to_multiple(image: Tensor, multiple: int) -> tuple[Tensor, tuple[slice, slice]]:
    """Pad (N, C, H, W) on all sides to the next multiple in height and width by mirroring, again and again if small.

    A side of one pixel is repeated. Returns the padded image and the slices (rows, columns) that cut the image out:
    padded[..., rows, columns] equals image. Nothing to pad gives the same tensor.
    """
    image, rows = _reflect(image, -2, multiple)
    image, columns = _reflect(image, -1, multiple)
    return image, (rows, columns)


def _reflect(image: Tensor, dimension: int, multiple: int) -> tuple[Tensor, slice]:
    shown_by, inside = reflected(image.shape[dimension], multiple)
    if len(shown_by) > image.shape[dimension]:
        image = image.index_select(dimension, torch.from_numpy(shown_by).to(image.device))
    return image, inside


def reflected(length: int, multiple: int) -> tuple[NDArray[np.intp], slice]:
    """Return which pixel of a side each pixel of the padded side shows, and where the side itself lies in it."""
    missing = -length % multiple
    before = missing // 2
    shown_by = np.pad(np.arange(length), (before, missing - before), mode="reflect")
    return shown_by, slice(before, before + length)
