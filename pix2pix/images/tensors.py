"""Arrays as tensors: float32 in [-1, 1] with channels before height and width."""

import numpy as np
import torch
from torch import Tensor

from pix2pix.images.arrays import Array


def to_tensor(array: Array) -> Tensor:
    """(H, W, C) uint8 to (C, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(array.transpose(2, 0, 1).astype(np.float32, order="C")) / 127.5 - 1


def to_array(image: Tensor) -> Array:
    """(C, H, W) in [-1, 1] to (H, W, C) uint8: rounded, and clipped where it lies outside."""
    scaled = ((image.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.asarray(scaled.permute(1, 2, 0).contiguous().cpu(), dtype=np.uint8)


def reflect_to_multiple(image: Tensor, multiple: int) -> tuple[Tensor, tuple[slice, slice]]:
    """Pad (N, C, H, W) on all sides to the next multiple in height and width by mirroring, again and again if small.

    A side of one pixel is repeated. Returns the padded image and the slices (rows, columns) that cut the image out:
    padded[..., rows, columns] equals image. Nothing to pad gives the same tensor.
    """
    image, rows = _reflect(image, -2, multiple)
    image, columns = _reflect(image, -1, multiple)
    return image, (rows, columns)


def _reflect(image: Tensor, dimension: int, multiple: int) -> tuple[Tensor, slice]:
    length = image.shape[dimension]
    missing = -length % multiple
    before = missing // 2
    if missing:
        shown_by = np.pad(np.arange(length), (before, missing - before), mode="reflect")
        image = image.index_select(dimension, torch.from_numpy(shown_by).to(image.device))
    return image, slice(before, before + length)
