"""PNG, JPEG and WebP files with Pillow and OpenCV, and PIL images."""

import os
import zlib
from collections.abc import Callable, Mapping
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from pix2pix.data.arrays import Array, apply_exif_orientation, opaque_alpha, to_storage_dtype
from pix2pix.data.limits import check_bytes, check_size
from pix2pix.errors import ImageError

_HEADER_END = 33  # 8 bytes of signature and 25 of the first chunk


def add_png_text(png: bytes, texts: Mapping[str, str]) -> bytes:
    """Insert texts by keyword (1 to 79 Latin letters) after the header of a PNG, as UTF-8 iTXt chunks."""
    made = [png[:_HEADER_END]]
    for keyword, text in texts.items():
        chunk = b"iTXt" + keyword.encode("latin-1") + b"\0" * 5 + text.encode(errors="backslashreplace")
        made += [(len(chunk) - 4).to_bytes(4, "big"), chunk, zlib.crc32(chunk).to_bytes(4, "big")]
    return b"".join([*made, png[_HEADER_END:]])


# Image.open would refuse large images regardless of `max_pixels`.
_OPENERS: Mapping[str, Callable[[BinaryIO], Image.Image]] = {
    "JPEG": jpeg_factory,
    "WebP": WebPImageFile,
}
_METADATA = 2**20  # most bytes beside the pixels
_ROWS = 256  # reordered at a time
_PIXELS = 2**22  # converted at a time
_ORIENTATION = 0x0112
_MODES = {("uint8", 1): "L", ("uint8", 3): "RGB", ("uint8", 4): "RGBA"} | {
    ("uint16", 1): "I;16",
    ("int32", 1): "I",
    ("float32", 1): "F",
}


def read_jpeg_or_webp(kind: str, file: BinaryIO, max_pixels: int) -> Array:
    """Read a JPEG or WebP file.

    Raises:
        ImageError: for more than max_pixels. Decoders raise other types for damaged files.
    """
    check_bytes(os.fstat(file.fileno()).st_size - _METADATA, max_pixels)
    with _opened(kind, file) as image:
        check_size(image.height, image.width, 4, "uint8", max_pixels)
        image.load()
        array, orientation = _array(image), image.getexif().get(_ORIENTATION, 1)
    del image  # its pixels
    return apply_exif_orientation(array, orientation)


def _opened(kind: str, file: BinaryIO) -> Image.Image:
    try:
        return _OPENERS[kind](file)
    except Image.DecompressionBombError as error:  # Pillow's own limit, in WebP files
        raise ImageError(
            f"more pixels than Pillow opens as {kind}: make it smaller, or a PNG, and raise --max_pixels"
        ) from error


def read_png(file: BinaryIO, max_pixels: int) -> Array:
    """Read a PNG file.

    Pillow reduces 16-bit colors to 8 bits, and fills truncated pixels with black; OpenCV does neither, but ignores the
    EXIF orientation.

    Raises:
        ImageError: for more than max_pixels, and damaged or truncated pixels. Decoders raise other types for damaged
            files.
    """
    check_bytes(os.fstat(file.fileno()).st_size - _METADATA, max_pixels)
    with PngImageFile(file) as image:
        check_size(image.height, image.width, 4, "uint16", max_pixels)
        image.verify()  # checksums, which load() ignores
    file.seek(0)
    with PngImageFile(file) as image:
        is_deep = "16" in str(image.tile[0].args)  # such as RGB;16B
        image.load()  # also for the metadata after the pixels
        key, orientation = image.info.get("transparency"), image.getexif().get(_ORIENTATION, 1)
        array = None if is_deep or _ends_black(image) else _array(image)
    del image  # its pixels
    if array is None:
        array = _decode_png(file)
        array = _keyed(array, key) if array.shape[2] == 1 else array
    return apply_exif_orientation(array, orientation)


def _ends_black(image: Image.Image) -> bool:
    """Return whether the pixels may be truncated: interlaced, or zeros in the last row."""
    last = image.crop((0, image.height - 1, image.width, image.height))
    return "interlace" in image.info or not np.asarray(last).any()


def _decode_png(file: BinaryIO) -> Array:
    file.seek(0)
    array = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ImageError("the pixels of this PNG are damaged or truncated: write it again")
    if array.ndim == 2:
        return array[..., np.newaxis]
    order = cv2.COLOR_BGR2RGB if array.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    for top in range(0, len(array), _ROWS):  # to limit memory
        array[top : top + _ROWS] = cv2.cvtColor(array[top : top + _ROWS], order)
    return array


def _keyed(array: Array, key: object) -> Array:
    """Turn the transparent gray level, if any, into an alpha channel."""
    if key is None:
        return array
    visible = (array != np.array(key)).any(axis=2, keepdims=True)
    color = np.broadcast_to(array, (*array.shape[:2], 3))
    return np.dstack([color, visible * array.dtype.type(opaque_alpha(array.dtype))])


def from_pil(image: Image.Image) -> Array:
    """Convert a PIL image of any mode like `read_image`, in EXIF orientation.

    I;16 becomes uint16, I int32 and F float32, of 1 channel.

    Raises:
        ImageError: for NaN and infinity.
    """
    image.load()  # rotates TIFF files and removes their orientation
    return apply_exif_orientation(_array(image), image.getexif().get(_ORIENTATION, 1))


def _array(image: Image.Image) -> Array:
    """Return the pixels of a loaded image, a few rows at a time to limit memory."""
    if image.mode[0] in "IF":
        return _keyed(to_storage_dtype(np.asarray(image))[..., np.newaxis], image.info.get("transparency"))
    mode = "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
    array = np.empty((image.height, image.width, len(mode)), np.uint8)
    count = max(1, _PIXELS // max(1, image.width))
    for top in range(0, image.height, count):
        is_whole = count >= image.height
        rows = image if is_whole else image.crop((0, top, image.width, min(top + count, image.height)))
        if rows.mode == "La":  # premultiplied gray, which Pillow cannot convert
            rows = rows.convert("LA")
        converted = rows if rows.mode == mode else rows.convert(mode)
        array[top : top + count] = np.asarray(converted).reshape(rows.height, rows.width, len(mode))
    return array


def to_pil(array: Array) -> Image.Image:
    """Convert an array to a PIL image: L, RGB or RGBA of uint8; 1 channel also to I;16, I (int32) and F (float32).

    Raises:
        ImageError: PIL has no such mode.
    """
    if (array.dtype.name, array.shape[2]) not in _MODES:
        raise ImageError(f"PIL has no mode for {array.shape[2]} channels of {array.dtype}: use the array")
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def write_png(file: BinaryIO, array: Array) -> None:
    """Write uint8 or uint16 of 1, 3 or 4 channels."""
    if array.dtype == np.uint8:
        to_pil(array).save(file, "PNG")
        return
    to_bgr = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    order = to_bgr.get(array.shape[2])
    encoded = cv2.imencode(".png", array if order is None else cv2.cvtColor(array, order))[1]
    file.write(encoded.tobytes())


def write_jpeg(file: BinaryIO, array: Array) -> None:
    """Write uint8 of 1 or 3 channels at quality 95."""
    to_pil(array).save(file, "JPEG", quality=95, subsampling=0)


def write_webp(file: BinaryIO, array: Array) -> None:
    """Write uint8 of 1, 3 or 4 channels losslessly; 1 becomes 3."""
    to_pil(array).save(file, "WEBP", lossless=True, exact=True)
