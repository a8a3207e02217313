"""Pictures beside the content, as callers have them: files, PIL images, arrays and tensors become arrays, or masks."""

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pix2pix import images
from pix2pix.errors import UserError
from pix2pix.images import Array, ImageError
from pix2pix.images.arrays import kept
from pix2pix.images.refusals import MAX_PIXELS

Picture: TypeAlias = Image.Image | npt.NDArray[Any] | Tensor | str | Path


def style_picture(picture: Picture, longest: int) -> Tensor:
    """Return a style picture as (1, 3, H, W) in [-1, 1], its longer side as wished.

    An array is (H, W) or (H, W, C) of 8 or 16 bits, or floats from 0 to 1; a tensor ([1,] C, H, W) is in [-1, 1].

    Raises:
        UserError: it cannot be used.
    """
    array = _array(picture, "style", images_of=(-1.0, 1.0))
    return images.rgb_tensor(images.resize(array, images.fitted(array.shape[:2], longest)))[None]


def mask(picture: Picture, size: tuple[int, int]) -> Tensor:
    """Return a mask as (1, 1, H, W) in [0, 1]: an array as of a style picture, or bool; a tensor is in [0, 1].

    Raises:
        UserError: it is of another size than the content, black everywhere, or cannot be used.
    """
    array = _array(picture, "masks", images_of=(0.0, 1.0), max_pixels=max(MAX_PIXELS, size[0] * size[1]))
    if array.shape[:2] != size:
        (height, width), (content_height, content_width) = array.shape[:2], size
        raise UserError(
            f"masks: {_called(picture)} is {height}x{width} and the content {content_height}x{content_width}; "
            "both need one size"
        )
    grey = (images.rgb_tensor(images.convert_channels(array, 1))[None] + 1) / 2
    if not grey.any():
        raise UserError(f"masks: {_called(picture)} is black everywhere; white is where its style is painted")
    return grey


def _array(picture: Picture, role: str, images_of: tuple[float, float], max_pixels: int = MAX_PIXELS) -> Array:
    """Return a picture (H, W, 3) of uint8, uint16 or floats from 0 to 1; tensors have the range that is told."""
    if isinstance(picture, str | Path):
        try:
            return images.read_rgb_array(picture, max_pixels)
        except ImageError as error:
            raise UserError(f"{role}: {error}") from error
    if isinstance(picture, Image.Image) and picture.width * picture.height > 0:
        array = images.from_pil(picture)
    elif isinstance(picture, np.ndarray) and picture.ndim in (2, 3) and picture.size > 0:
        array = picture if picture.ndim == 3 else picture[..., np.newaxis]
    elif isinstance(picture, Tensor) and _is_picture(picture):
        low, high = images_of
        flat = picture.detach().cpu().float().reshape(-1, *picture.shape[-2:])
        array = ((flat - low) / (high - low)).clamp(0, 1).permute(1, 2, 0).contiguous().numpy()
    else:
        shape = tuple(picture.shape) if isinstance(picture, np.ndarray | Tensor) else getattr(picture, "size", "")
        raise UserError(
            f"{role}: got {type(picture).__name__} {shape}; a file, a PIL image, an array (H, W[, C]) or a float "
            "tensor ([1,] C, H, W) is needed"
        )
    try:
        return images.as_rgb(kept(array))
    except ImageError as error:
        raise UserError(f"{role}: {error}") from error


def _is_picture(tensor: Tensor) -> bool:
    is_single = tensor.ndim in (2, 3) or (tensor.ndim == 4 and len(tensor) == 1)
    return is_single and (tensor.is_floating_point() or tensor.dtype == torch.bool) and tensor.numel() > 0


def _called(picture: Picture) -> str:
    return images.shown(picture) if isinstance(picture, str | Path) else "one of them"
