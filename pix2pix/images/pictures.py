"""PNG, JPEG and WebP files, and whatever else Pillow has open: as arrays at their own depth."""

import os
import re
import zlib
from collections.abc import Callable, Mapping
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from pix2pix.images.arrays import Array, kept, opaque, upright
from pix2pix.images.refusals import ImageError, check_bytes, check_size

# Not by Image.open, which refuses large images before `max_pixels` is asked.
_OPENERS: Mapping[str, Callable[[BinaryIO], Image.Image]] = {
    "PNG": PngImageFile,
    "JPEG": jpeg_factory,
    "WebP": WebPImageFile,
}
_METADATA = 2**20  # what a file may hold beside its pixels
_PNG_SIGNATURE = 8  # bytes
_PNG_BIT_DEPTH = 24  # its place in the header: Pillow reduces 16-bit colour to 8 without a word
_PNG_PIXELS = (b"IHDR", b"IDAT", b"IEND")
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # not those that stand among the data of pixels
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
_MOST_SCANS = 50  # encoders make a dozen; each of a few bytes costs a pass over all pixels
_ORIENTATION = 0x0112
_MODES = {("uint8", 1): "L", ("uint8", 3): "RGB", ("uint8", 4): "RGBA"} | {
    ("uint16", 1): "I;16",
    ("int32", 1): "I",
    ("float32", 1): "F",
}


def read_picture(kind: str, file: BinaryIO, max_pixels: int) -> Array:
    """Read a PNG, JPEG or WebP file.

    Raises:
        ImageError: for more than max_pixels. Decoders raise whatever they like for damaged files.
    """
    check_bytes(os.fstat(file.fileno()).st_size - _METADATA, max_pixels)
    deep = kind == "PNG" and file.read(_PNG_BIT_DEPTH + 1)[_PNG_BIT_DEPTH:] == b"\x10"
    file.seek(0)
    if kind == "JPEG":
        _check_scans(file.read())
        file.seek(0)
    with _opened(kind, file) as image:
        check_size(image.height, image.width, 4, "uint16" if deep else "uint8", max_pixels)
        return _read_deep_png(file, image) if deep else from_pil(image)


def _check_scans(content: bytes) -> None:
    scans, marker = 0, _JPEG_MARKER.search(content, 2)
    while marker and marker[0] != _JPEG_END:
        scans += marker[0] == _JPEG_SCAN
        if scans > _MOST_SCANS:
            raise ImageError(f"a JPEG of more than {_MOST_SCANS} scans: save it anew")
        length = int.from_bytes(content[marker.end() : marker.end() + 2], "big")
        marker = _JPEG_MARKER.search(content, marker.end() + length)


def _opened(kind: str, file: BinaryIO) -> Image.Image:
    try:
        return _OPENERS[kind](file)
    except Image.DecompressionBombError as error:  # Pillow's own limit, which WebP asks for here as well
        raise ImageError(
            f"more pixels than Pillow opens as {kind}: make it smaller, or a PNG, and raise --max_pixels"
        ) from error


def _read_deep_png(file: BinaryIO, image: Image.Image) -> Array:
    image.load()  # for what it refuses: OpenCV gives the rest of a file that is cut off as black
    file.seek(0)
    array = cv2.imdecode(np.frombuffer(_pixels_alone(file.read()), np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ImageError("the pixels of this PNG are damaged: make it anew")
    if array.ndim == 2:
        array = array[..., np.newaxis]
    else:
        array = cv2.cvtColor(array, cv2.COLOR_BGR2RGB if array.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return upright(_keyed(array, image), image.getexif().get(_ORIENTATION, 1))


def _pixels_alone(content: bytes) -> bytes:
    """The PNG file without what OpenCV would apply, print warnings about or unpack: profiles, texts, animation."""
    chunks, position = [content[:_PNG_SIGNATURE]], _PNG_SIGNATURE
    while position < len(content):
        end = position + 12 + int.from_bytes(content[position : position + 4], "big")
        name = content[position + 4 : position + 8]
        if name in _PNG_PIXELS:
            if zlib.crc32(content[position + 4 : end - 4]).to_bytes(4, "big") != content[end - 4 : end]:
                raise ImageError(f"the checksum of {name.decode()} is wrong: make it anew")
            chunks.append(content[position:end])
        position = end
    return b"".join(chunks)


def _keyed(array: Array, image: Image.Image) -> Array:
    """Make the one colour that a 16-bit file calls transparent an alpha channel."""
    if "transparency" not in image.info:
        return array
    visible = (array != np.array(image.info["transparency"])).any(axis=2, keepdims=True)
    colour = np.broadcast_to(array, (*array.shape[:2], 3))
    return np.dstack([colour, visible * array.dtype.type(opaque(array.dtype))])


def from_pil(image: Image.Image) -> Array:
    """Return a PIL image of any mode as `read` would, turned upright by its EXIF orientation.

    I;16 becomes uint16, I int32 and F float32, of 1 channel.

    Raises:
        ImageError: for NaN and infinity.
    """
    image.load()  # which turns a TIFF file, and then it has no orientation any more
    orientation = image.getexif().get(_ORIENTATION, 1)
    if image.mode[0] in "IF":
        return upright(_keyed(kept(np.asarray(image))[..., np.newaxis], image), orientation)
    if image.mode == "La":  # grey multiplied by its alpha, which Pillow turns into nothing else
        image = image.convert("LA")
    mode = "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
    array = np.array(image if image.mode == mode else image.convert(mode))
    return upright(array[..., np.newaxis] if mode == "L" else array, orientation)


def to_pil(array: Array) -> Image.Image:
    """Return the array as a PIL image: L, RGB or RGBA of uint8; of 1 channel also I;16, I (int32) and F (float32).

    Raises:
        ImageError: for arrays of other channels and types.
    """
    if (array.dtype.name, array.shape[2]) not in _MODES:
        raise ImageError(f"PIL has no image of {array.shape[2]} channels of {array.dtype}: use the array instead")
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
    """Write uint8 of 1, 3 or 4 channels without loss; 1 becomes 3."""
    to_pil(array).save(file, "WEBP", lossless=True, exact=True)
