"""Images painted in several styles by region: as a whole, since masks lie over all of it."""

from collections.abc import Callable

import torch
from torch import Tensor

from pix2pix.errors import UserError
from pix2pix.images import reflect_to_multiple
from pix2pix.methods.base import Styles
from pix2pix.runtime import Runtime
from pix2pix.tiling import Canvas


def paint_regions(
    paint: Callable[[Tensor, Tensor], Tensor], canvas: Canvas, styles: Styles, multiple: int, runtime: Runtime
) -> None:
    """Let `paint` make a painting of images (N, 3, H, W) and masks (K, 1, H, W), both mirrored to a multiple.

    Raises:
        UserError: masks and styles differ in number, or a mask is not of the image's size.
    """
    height, width = canvas.size
    count = len(styles.pictures) or len(styles.numbers)
    if len(styles.masks) != count:
        raise UserError(f"got {len(styles.masks)} masks for {count} styles: give one for each, in their order")
    for mask in styles.masks:
        if tuple(mask.shape[-2:]) != (height, width):
            raise UserError(
                f"a mask is {mask.shape[-2]}x{mask.shape[-1]} and the content {height}x{width}: both need one size"
            )
    masks = torch.cat([mask.to(runtime.device) for mask in styles.masks])
    everything = slice(0, height), slice(0, width)
    image, inside = reflect_to_multiple(runtime.place(canvas.read(*everything)), multiple)
    painting = paint(image, reflect_to_multiple(masks, multiple)[0])
    canvas.write(*everything, painting[(..., *inside)])
