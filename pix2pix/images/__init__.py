"""Image files, arrays and tensors: the only place that knows files, depths and EXIF."""

from pix2pix.images.arrays import Array, convert_channels, resize
from pix2pix.images.files import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    ImageError,
    find_images,
    from_pil,
    natural_order,
    read,
    shown,
    to_pil,
    write,
)
from pix2pix.images.tensors import reflect_to_multiple, to_array, to_tensor

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Array",
    "ImageError",
    "convert_channels",
    "find_images",
    "from_pil",
    "natural_order",
    "read",
    "reflect_to_multiple",
    "resize",
    "shown",
    "to_array",
    "to_pil",
    "to_tensor",
    "write",
]
