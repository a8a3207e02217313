"""PNG, JPEG and WebP files, and whatever else Pillow has open: as arrays at their own depth."""

import io
import math
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, NamedTuple

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
    "JPEG": jpeg_factory,
    "WebP": WebPImageFile,
}
_METADATA = 2**20  # what a file may hold beside its pixels
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = (b"IHDR", b"IDAT", b"IEND")
_PNG_MEANING = (b"PLTE", b"tRNS", b"eXIf")  # of the pixels; profiles, texts and animation are not even unpacked
# Texts that may hold the orientation: the keyword, with what says that an iTXt is not compressed.
_PNG_TURNING = {
    b"zTXt": b"Raw profile type exif\0\0",
    b"tEXt": b"Raw profile type exif\0",
    b"iTXt": b"XML:com.adobe.xmp\0\0\0",
}
_LONGEST_TEXT = 2**20  # bytes: what Pillow unpacks
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each colour type
# Of Adam7's seven passes: the first row and column, and the steps from them.
_PNG_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_PNG_BLOCK = 2**14  # bytes inflated at a time: at most 1032 times as many
_PNG_ROWS = 256  # reordered at a time
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
    """Read a JPEG or WebP file.

    Raises:
        ImageError: for more than max_pixels. Decoders raise whatever they like for damaged files.
    """
    check_bytes(os.fstat(file.fileno()).st_size - _METADATA, max_pixels)
    if kind == "JPEG":
        _check_scans(file.read())
        file.seek(0)
    with _opened(kind, file) as image:
        check_size(image.height, image.width, 4, "uint8", max_pixels)
        return from_pil(image)


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


class _Chunk(NamedTuple):
    name: bytes
    data: memoryview
    whole: memoryview  # with its length and checksum


def read_png(file: BinaryIO, max_pixels: int) -> Array:
    """Read a PNG file.

    Raises:
        ImageError: for more than max_pixels, and pixels that are damaged or end early. Decoders raise whatever they
            like for damaged files.
    """
    check_bytes(os.fstat(file.fileno()).st_size - _METADATA, max_pixels)
    wanted = _PNG_PIXELS + _PNG_MEANING
    chunks = [chunk for chunk in _chunks(file.read()) if chunk.name in wanted or _turns(chunk)]
    if [place for place, chunk in enumerate(chunks) if chunk.name == b"IHDR"] != [0]:
        raise ImageError("a PNG file is to begin with its one header: make it anew")
    deep = bytes(chunks[0].data[8:9]) == b"\x10"
    with PngImageFile(io.BytesIO(_joined(chunks))) as image:
        check_size(image.height, image.width, 4, "uint16" if deep else "uint8", max_pixels)
        image.load()  # before all else, for what it refuses: OpenCV gives the rest of a file that is cut off as black
        _check_end(image, chunks)
        if not deep:
            return from_pil(image)
        key, orientation = image.info.get("transparency"), image.getexif().get(_ORIENTATION, 1)
    del image  # its pixels, of 8 bits
    return upright(_keyed(_decode_deep(chunks), key), orientation)


def _chunks(content: bytes) -> Iterator[_Chunk]:
    view, position, name = memoryview(content), len(_PNG_SIGNATURE), b""
    while position < len(view) and name != b"IEND":
        end = position + 12 + int.from_bytes(view[position : position + 4], "big")
        name = bytes(view[position + 4 : position + 8])
        if end > len(view):
            raise ImageError("the file is truncated: make it anew")
        if name in _PNG_PIXELS and zlib.crc32(view[position + 4 : end - 4]).to_bytes(4, "big") != view[end - 4 : end]:
            raise ImageError(f"the checksum of {name.decode()} is wrong: make it anew")
        yield _Chunk(name, view[position + 8 : end - 4], view[position:end])
        position = end


def _turns(chunk: _Chunk) -> bool:
    start = _PNG_TURNING.get(chunk.name)
    if start is None or chunk.data[: len(start)] != start:
        return False
    if chunk.name != b"zTXt":
        return len(chunk.data) <= _LONGEST_TEXT
    try:
        return len(zlib.decompressobj().decompress(chunk.data[len(start) :], _LONGEST_TEXT + 1)) <= _LONGEST_TEXT
    except zlib.error:
        return False


def _joined(chunks: list[_Chunk]) -> bytes:
    return b"".join([_PNG_SIGNATURE, *(chunk.whole for chunk in chunks)])


def _check_end(image: PngImageFile, chunks: list[_Chunk]) -> None:
    """Refuse pixels that end early, whose rest is black: where the last row is not, nothing need be inflated again."""
    last = image.crop((0, image.height - 1, image.width, image.height))
    if "interlace" not in image.info and np.asarray(last).any():
        return
    promised = _promised_bytes(chunks[0].data)
    inflate, held = zlib.decompressobj(), 0
    for chunk in chunks:
        for start in range(0, len(chunk.data) if chunk.name == b"IDAT" and held < promised else 0, _PNG_BLOCK):
            held += len(inflate.decompress(chunk.data[start : start + _PNG_BLOCK]))
            if held >= promised:
                return
    raise ImageError(f"the pixels end early, after {held} of {promised} bytes: make it anew")


def _promised_bytes(header: memoryview) -> int:
    """How many bytes the pixels are, with a filter's number before each row."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    passes = _PNG_PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = [(math.ceil((height - y) / down), math.ceil((width - x) / right)) for y, x, down, right in passes]
    bits = depth * _PNG_CHANNELS[colour]
    return sum(rows * (1 + math.ceil(columns * bits / 8)) for rows, columns in sizes if rows > 0 and columns > 0)


def _decode_deep(chunks: list[_Chunk]) -> Array:
    pixels = _joined([chunk for chunk in chunks if chunk.name in _PNG_PIXELS])  # OpenCV would turn by the others
    array = cv2.imdecode(np.frombuffer(pixels, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ImageError("the pixels of this PNG are damaged: make it anew")
    if array.ndim == 2:
        return array[..., np.newaxis]
    order = cv2.COLOR_BGR2RGB if array.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    for start in range(0, len(array), _PNG_ROWS):  # so that two whole arrays are never held
        array[start : start + _PNG_ROWS] = cv2.cvtColor(array[start : start + _PNG_ROWS], order)
    return array


def _keyed(array: Array, key: object) -> Array:
    """Make the one colour that a 16-bit file calls transparent, if any, an alpha channel."""
    if key is None:
        return array
    visible = (array != np.array(key)).any(axis=2, keepdims=True)
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
        return upright(_keyed(kept(np.asarray(image))[..., np.newaxis], image.info.get("transparency")), orientation)
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
