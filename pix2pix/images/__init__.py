"""Image files, arrays and tensors: the only place that knows files, depths and EXIF."""

from pix2pix.images.arrays import DTYPES, Array, convert_channels, fitted, resize, resize_nearest
from pix2pix.images.canvas import ArrayCanvas, Maker, Pixels, Place, shrunken
from pix2pix.images.captions import Captioned, captioned_grid
from pix2pix.images.encoding import Codec, Encoding
from pix2pix.images.files import open_pixels, read, write
from pix2pix.images.folders import IMAGE_SUFFIXES, find_images, find_others, natural_order
from pix2pix.images.jpeg import jpeg_quality
from pix2pix.images.large_tiff import LargeTiff, NewTiff
from pix2pix.images.pictures import from_pil, to_pil
from pix2pix.images.refusals import MAX_PIXELS, ImageError, shown
from pix2pix.images.rgb import as_rgb, read_rgb, read_rgb_array, rgb_encoding, rgb_tensor
from pix2pix.images.tensors import of_height, reflect_to_multiple, reflected, to_array, to_tensor

__all__ = [
    "DTYPES",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Array",
    "ArrayCanvas",
    "Captioned",
    "Codec",
    "Encoding",
    "ImageError",
    "LargeTiff",
    "Maker",
    "NewTiff",
    "Pixels",
    "Place",
    "as_rgb",
    "captioned_grid",
    "convert_channels",
    "find_images",
    "find_others",
    "fitted",
    "from_pil",
    "jpeg_quality",
    "natural_order",
    "of_height",
    "open_pixels",
    "read",
    "read_rgb",
    "read_rgb_array",
    "reflect_to_multiple",
    "reflected",
    "resize",
    "resize_nearest",
    "rgb_encoding",
    "rgb_tensor",
    "shown",
    "shrunken",
    "to_array",
    "to_pil",
    "to_tensor",
    "write",
]
