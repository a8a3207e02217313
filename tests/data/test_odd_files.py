import errno
import io
import lzma
import os
import pickle
import struct
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pix2pix.data.arrays import DTYPES
from pix2pix.data.io import read_image
from pix2pix.errors import ImageError

NOT_AN_IMAGE = "not a PNG, JPEG, WebP, TIFF or NPY image"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
CORNER = np.zeros((8, 16, 3), np.uint8)  # white in its upper left corner
CORNER[:4, :4] = 255


def noise(height, width, channels, dtype="uint8"):
    limit = 255 if dtype == "uint8" else 65535
    shape = (height, width) if channels == 0 else (height, width, channels)
    return np.random.default_rng(7).integers(0, limit, shape, dtype="uint16", endpoint=True).astype(dtype)


def pil(image, format_, **options):
    encoded = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(encoded, format_, **options)
    return encoded.getvalue()


def npy(array):
    encoded = io.BytesIO()
    np.save(encoded, array)
    return encoded.getvalue()


def npy_header(text):
    header = text.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def tiff(array, **options):
    encoded = io.BytesIO()
    tifffile.imwrite(encoded, array, **options)
    return encoded.getvalue()


def pages(*arrays):
    """A page each, of (array, options)."""
    encoded = io.BytesIO()
    with tifffile.TiffWriter(encoded) as writer:
        for array, options in arrays:
            writer.write(array, metadata=None, **options)
    return encoded.getvalue()


def raw_tiff(tags, data=b"", following=0):
    """A little-endian TIFF of one page: {tag: number}; the data follow its directory; `following` is the next page."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following) + data


def grey_tags(height, width, bits, offset, count, **more):
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: offset, 277: 1, 278: height, 279: count}
    return tags | {int(tag[1:]): value for tag, value in more.items()}


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(height, width, bits, colour, data=b"", before=b"", interlace=0):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace))
    return SIGNATURE + header + before + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def deep_png(array, colour, before=b""):
    """16 bits a channel, each row unfiltered."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    return png(*array.shape[:2], 16, colour, rows, before)


def bomb(side):
    """A PNG of zeros, of side x side pixels in some kilobytes."""
    deflate = zlib.compressobj(9)
    rows = bytes(side // 8 + 1) * 100
    data = b"".join(deflate.compress(rows) for _ in range(side // 100)) + deflate.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return SIGNATURE + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def inflating(size):
    """A zlib stream of `size` zeros, made of one megabyte of them again and again; its checksum is wrong."""
    deflate = zlib.compressobj(9, wbits=-15)
    megabyte = deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\x9c" + megabyte * (size // 2**20) + b"\x03\0" + bytes(4)


def early(length=None):
    """A PNG of 20 x 8, of pixels 1, that holds so many of its 180 bytes."""
    return png(20, 8, 8, 0, ((b"\0" + b"\1" * 8) * 20)[:length])


def compressed(number, data, height=20, width=40):
    """A 16-bit grey TIFF of one strip."""
    return raw_tiff(grey_tags(height, width, 16, 122, len(data), t259=number), data)


def tiled(side):
    """A TIFF of 2x2 in a tile of side x side."""
    tags = {256: 2, 257: 2, 258: 16, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 134, 325: 8}
    return raw_tiff(tags, bytes(8))


def turned_by(name, data):
    """A PNG of 2 x 1."""
    return png(1, 2, 8, 0, b"\0\1\2", chunk(name, data))


def exif(orientation):
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">HH", orientation, 0) + bytes(4)


def exif_text(orientation):
    content = b"Exif\0\0" + exif(orientation)
    return b"\nexif\n%8d\n%s\n" % (len(content), content.hex().encode())


def text_bomb(name, before):
    return png(1, 1, 8, 0, b"\0\0", chunk(name, before + inflating(300 * 2**20)))


def without_segment(jpeg, marker):
    start = jpeg.index(b"\xff" + marker)
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big") :]


def deep_oriented(orientation):
    return deep_png(CORNER.astype(np.uint16) * 257, 2, chunk(b"eXIf", exif(orientation)))


def corner(orientation, top=255):
    """Shape and the white corner's place (row, column) of CORNER as EXIF turns it."""
    shape = (8, 16, 3) if orientation < 5 else (16, 8, 3)
    rows, columns = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return shape, {(-1 if rows else 0, -1 if columns else 0): [top] * 3}


def animation(format_):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("#ff0000", "#00ff00")]
    return pil(
        frames[0], format_, save_all=True, append_images=frames[1:], **({"lossless": True} if format_ == "WEBP" else {})
    )


def flipped(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def palette(**options):
    image = Image.new("P", (6, 4), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    return pil(image, "PNG", **options)


def overview():
    full, small = noise(64, 64, 0, "uint16"), noise(32, 32, 0, "uint16")
    return pages((small, {"subfiletype": 1}), (full, {}), (small, {}), (small, {"subfiletype": 1}))


def deep(height, width, channels):
    return noise(height, width, channels, "uint16")


FIVE = np.random.default_rng(1).normal(size=(6, 7, 5)).astype(np.float32)
GREY = {"photometric": "minisblack"}
RGB = {"photometric": "rgb"}
HUGE = {"height": 8192, "width": 8192, "bits": 16, "offset": 8, "count": 2**27}


def ok(dtype, shape):
    return dtype, shape, {}


def at(dtype, shape, value, place=(0, 0)):
    return dtype, shape, {place: value}


# What read gives: dtype, shape and the values of some pixels, or words of the refusal.
CASES = {
    # no images
    "empty.png": (lambda: b"", NOT_AN_IMAGE),
    "text.png": (lambda: b"hello\n", NOT_AN_IMAGE),
    "drawing.svg.png": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", NOT_AN_IMAGE),
    "animation.gif": (lambda: pil(noise(4, 4, 3), "GIF"), NOT_AN_IMAGE),
    "bitmap.png": (lambda: pil(noise(4, 4, 3), "BMP"), NOT_AN_IMAGE),
    "jpeg2000.jpg": (lambda: pil(noise(4, 4, 3), "JPEG2000"), NOT_AN_IMAGE),
    "photo.heic.jpg": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64), NOT_AN_IMAGE),
    "sound.webp": (lambda: b"RIFF\x24\0\0\0WAVEfmt " + bytes(32), NOT_AN_IMAGE),
    "pickle.npy": (lambda: pickle.dumps(noise(4, 4, 3)), NOT_AN_IMAGE),
    # cut off, damaged, misnamed
    "signature.png": (lambda: SIGNATURE, ""),
    "cut.png": (lambda: pil(noise(64, 64, 3), "PNG")[:3000], "damaged"),
    "cut deep.png": (lambda: deep_png(deep(64, 64, 3), 2)[:9000], "damaged"),
    "end cut.png": (lambda: pil(noise(64, 64, 3), "PNG")[:-6], ""),
    "no end.png": (lambda: pil(noise(64, 64, 3), "PNG")[:-12], "truncated"),
    "cut.jpg": (lambda: pil(noise(64, 64, 3), "JPEG")[:1500], "truncated"),
    "cut.webp": (lambda: pil(noise(64, 64, 3), "WEBP", lossless=True)[:3000], ""),
    "cut.tif": (lambda: pil(noise(64, 64, 3), "TIFF")[:3000], ""),
    "cut deep.tif": (lambda: tiff(FIVE, planarconfig="separate", **GREY)[:900], ""),
    "cut zlib.tif": (lambda: flipped(tiff(deep(64, 64, 0), compression="zlib"), 1500), ""),
    "cut.npy": (lambda: npy(noise(64, 64, 3))[:3000], "is truncated"),
    "cut header.npy": (lambda: npy(noise(4, 4, 3))[:40], ""),
    "really a png.jpg": (lambda: pil(noise(5, 7, 3), "PNG"), ok("uint8", (5, 7, 3))),
    "really an npy.tif": (lambda: npy(noise(5, 7, 3)), ok("uint8", (5, 7, 3))),
    "garbage after.jpg": (lambda: pil(noise(5, 7, 3), "JPEG") + bytes(range(256)) * 9, ok("uint8", (5, 7, 3))),
    "header checksum.png": (lambda: flipped(pil(noise(5, 7, 3), "PNG"), 30), "checksum in b'IHDR'"),
    "pixel checksum.png": (lambda: flipped(pil(noise(5, 7, 3), "PNG"), -14), "checksum in b'IDAT'"),
    "deep pixel checksum.png": (lambda: flipped(deep_png(deep(5, 7, 3), 2), -14), "checksum in b'IDAT'"),
    "no header.png": (lambda: SIGNATURE + chunk(b"IEND", b""), "damaged"),
    "two headers.png": (
        lambda: deep_png(deep(5, 7, 3), 2)[:33] + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)),
        "damaged",
    ),
    "pixels truncated.png": (lambda: early(10 * 9), "truncated"),
    "last row missing.png": (lambda: early(-9), "truncated"),
    "last byte of pixels missing.png": (lambda: early(-1), "truncated"),
    "interlaced column.png": (lambda: png(3, 1, 8, 0, b"\0\7\0\7\0\7", interlace=1), ok("uint8", (3, 1, 1))),
    "black.png": (lambda: pil(np.zeros((5, 7, 3), np.uint8), "PNG"), ok("uint8", (5, 7, 3))),
    "deep pixels truncated.png": (lambda: png(2, 2, 16, 0, b"\0\1\1\1\1"), "truncated"),
    "no palette.png": (lambda: png(1, 1, 8, 3, b"\0\0"), "no palette.png: "),
    "turned by text.png": (
        lambda: turned_by(b"tEXt", b"Raw profile type exif\0" + exif_text(6)),
        ok("uint8", (2, 1, 1)),
    ),
    "turned by packed text.png": (
        lambda: turned_by(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(exif_text(6))),
        ok("uint8", (2, 1, 1)),
    ),
    "turned by XMP.png": (
        lambda: turned_by(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'),
        ok("uint8", (2, 1, 1)),
    ),
    "turned after the pixels.png": (
        lambda: turned_by(b"tEXt", b"Comment\0")[:-12] + chunk(b"eXIf", exif(6)) + chunk(b"IEND", b""),
        ok("uint8", (2, 1, 1)),
    ),
    "damaged text.png": (lambda: turned_by(b"zTXt", b"Raw profile type exif\0\0no zlib"), ok("uint8", (1, 2, 1))),
    "no pages.tif": (lambda: b"II*\0\0\0\0\0", "a TIFF file without pages"),
    "loop.tif": (lambda: raw_tiff(grey_tags(2, 2, 16, 130, 8), bytes(8), following=8), "a loop of pages"),
    # the modes of 8-bit files
    "1.png": (lambda: pil(Image.new("1", (6, 4), 1), "PNG"), at("uint8", (4, 6, 1), [255])),
    "P.png": (palette, at("uint8", (4, 6, 3), [200, 100, 50])),
    "P transparent.png": (lambda: palette(transparency=1), at("uint8", (4, 6, 4), [200, 100, 50, 0])),
    "LA.png": (lambda: pil(Image.new("LA", (6, 4), (9, 77)), "PNG"), at("uint8", (4, 6, 4), [9, 9, 9, 77])),
    "L key.png": (lambda: pil(Image.new("L", (6, 4), 9), "PNG", transparency=9), at("uint8", (4, 6, 4), [9, 9, 9, 0])),
    "RGB key.png": (
        lambda: pil(Image.new("RGB", (6, 4), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
        at("uint8", (4, 6, 4), [1, 2, 3, 0]),
    ),
    "RGBA.png": (lambda: pil(Image.new("RGBA", (6, 4), (1, 2, 3, 4)), "PNG"), at("uint8", (4, 6, 4), [1, 2, 3, 4])),
    "L.jpg": (lambda: pil(Image.new("L", (6, 4), 128), "JPEG"), at("uint8", (4, 6, 1), [128])),
    "progressive.jpg": (lambda: pil(noise(32, 48, 3), "JPEG", progressive=True), ok("uint8", (32, 48, 3))),
    "profile.jpg": (lambda: pil(noise(8, 8, 3), "JPEG", icc_profile=b"no profile" * 99), ok("uint8", (8, 8, 3))),
    "CMYK.jpg": (
        lambda: pil(Image.new("CMYK", (6, 4), (0, 0, 0, 0)), "JPEG"),
        at("uint8", (4, 6, 3), [255, 255, 255]),
    ),
    "CMYK not of Adobe.jpg": (
        lambda: without_segment(pil(Image.new("CMYK", (6, 4), (0, 0, 0, 0)), "JPEG"), b"\xee"),
        ok("uint8", (4, 6, 3)),
    ),
    "two pictures.jpg": (
        lambda: pil(Image.new("L", (6, 4), 128), "MPO", save_all=True, append_images=[Image.new("L", (6, 4))]),
        at("uint8", (4, 6, 1), [128]),
    ),
    "animation.png": (lambda: animation("PNG"), at("uint8", (4, 6, 3), [255, 0, 0])),
    "animation.webp": (lambda: animation("WEBP"), at("uint8", (4, 6, 3), [255, 0, 0])),
    "one pixel.png": (lambda: pil(noise(1, 1, 3), "PNG"), ok("uint8", (1, 1, 3))),
    "long.png": (lambda: pil(noise(1, 20000, 3), "PNG"), ok("uint8", (1, 20000, 3))),
    "tall.tif": (
        lambda: tiff(FIVE[:, :1].repeat(3000, axis=0), planarconfig="contig", **GREY),
        ok("float32", (18000, 1, 5)),
    ),
    **{f"{i} turned deep.png": (lambda i=i: deep_oriented(i), ("uint16", *corner(i, 65535))) for i in range(1, 9)},
    # 16-bit PNG
    "I;16.png": (lambda: pil(deep(5, 7, 0), "PNG"), at("uint16", (5, 7, 1), deep(5, 7, 0)[:1, 0].tolist())),
    "RGB 16.png": (lambda: deep_png(deep(5, 7, 3), 2), at("uint16", (5, 7, 3), deep(5, 7, 3)[0, 0].tolist())),
    "RGBA 16.png": (lambda: deep_png(deep(5, 7, 4), 6), at("uint16", (5, 7, 4), deep(5, 7, 4)[0, 0].tolist())),
    "LA 16.png": (
        lambda: deep_png(np.full((5, 7, 2), [[[500, 900]]]), 4),
        at("uint16", (5, 7, 4), [500, 500, 500, 900]),
    ),
    "RGB 16 key.png": (
        lambda: deep_png(deep(5, 7, 3), 2, chunk(b"tRNS", deep(5, 7, 3)[0, 0].astype(">u2").tobytes())),
        (
            "uint16",
            (5, 7, 4),
            {(0, 0): [*deep(5, 7, 3)[0, 0].tolist(), 0], (0, 1): [*deep(5, 7, 3)[0, 1].tolist(), 65535]},
        ),
    ),
    "L 16 key.png": (
        lambda: deep_png(np.array([[[300], [301]]]), 0, chunk(b"tRNS", struct.pack(">H", 300))),
        ("uint16", (1, 2, 4), {(0, 0): [300, 300, 300, 0], (0, 1): [301, 301, 301, 65535]}),
    ),
    # TIFF
    "F.tif": (lambda: pil(np.full((4, 6), 1.5, np.float32), "TIFF"), at("float32", (4, 6, 1), [1.5])),
    "five channels.tif": (
        lambda: tiff(FIVE, planarconfig="contig", **GREY),
        at("float32", (6, 7, 5), FIVE[0, 0].tolist()),
    ),
    "planar.tif": (
        lambda: tiff(FIVE.transpose(2, 0, 1), planarconfig="separate", **GREY),
        at("float32", (6, 7, 5), FIVE[0, 0].tolist()),
    ),
    "planar RGB.tif": (
        lambda: tiff(noise(6, 7, 3).transpose(2, 0, 1), planarconfig="separate", **RGB),
        at("uint8", (6, 7, 3), noise(6, 7, 3)[0, 0].tolist()),
    ),
    "tiled big.tif": (
        lambda: tiff(deep(40, 50, 3), bigtiff=True, tile=(16, 16), compression="zlib", **RGB),
        at("uint16", (40, 50, 3), deep(40, 50, 3)[39, 49].tolist(), (39, 49)),
    ),
    "big endian.tif": (
        lambda: tiff(deep(5, 7, 0), byteorder=">"),
        at("uint16", (5, 7, 1), [int(deep(5, 7, 0)[0, 0])]),
    ),
    "doubles.tif": (lambda: tiff(np.full((4, 6), 1.5)), at("float32", (4, 6, 1), [1.5])),
    "int8.tif": (lambda: tiff(np.full((4, 6), -9, np.int8)), at("int16", (4, 6, 1), [-9])),
    "white is zero.tif": (
        lambda: tiff(np.full((4, 6), 5, np.uint16), photometric="miniswhite"),
        at("uint16", (4, 6, 1), [65530]),
    ),
    "white is zero int.tif": (
        lambda: tiff(np.full((4, 6), 5, np.int16), photometric="miniswhite"),
        at("int16", (4, 6, 1), [-6]),
    ),
    "white is zero 8.tif": (
        lambda: tiff(np.full((4, 6), 5, np.uint8), photometric="miniswhite"),
        at("uint8", (4, 6, 1), [250]),
    ),
    "white is zero float.tif": (
        lambda: tiff(np.ones((4, 6), np.float32), photometric="miniswhite"),
        "colors stored as MINISWHITE of float32: convert it to RGB",
    ),
    "fax.tif": (lambda: pil(Image.new("1", (6, 4), 1), "TIFF", compression="group4"), at("uint8", (4, 6, 1), [255])),
    "LZW.tif": (lambda: pil(noise(5, 7, 3), "TIFF", compression="tiff_lzw"), ok("uint8", (5, 7, 3))),
    "JPEG.tif": (lambda: pil(noise(16, 16, 3), "TIFF", compression="jpeg"), ok("uint8", (16, 16, 3))),
    "LZW 16.tif": (
        lambda: pil(deep(5, 7, 0), "TIFF", compression="tiff_lzw"),
        "pip install imagecodecs",
    ),
    "CMYK.tif": (lambda: pil(Image.new("CMYK", (6, 4), (0, 0, 0, 255)), "TIFF"), at("uint8", (4, 6, 3), [0, 0, 0])),
    "CMYK 16.tif": (
        lambda: tiff(np.full((4, 6, 4), [65535, 0, 0, 13107], np.uint16), photometric="separated"),
        at("uint16", (4, 6, 3), [0, 52428, 52428]),
    ),
    "Lab.tif": (lambda: pil(Image.new("LAB", (6, 4), (255, 128, 128)), "TIFF"), at("uint8", (4, 6, 3), [255] * 3)),
    "Lab 16.tif": (lambda: tiff(deep(4, 6, 3), photometric="cielab"), "colors stored as CIELAB of uint16: convert it"),
    "LA 16.tif": (
        lambda: tiff(np.full((4, 6, 2), [3, 4], np.uint16), planarconfig="contig", extrasamples=["unassalpha"], **GREY),
        at("uint16", (4, 6, 4), [3, 3, 3, 4]),
    ),
    "two channels.tif": (
        lambda: tiff(np.full((4, 6, 2), [3, 4], np.uint8), planarconfig="contig", extrasamples=["unspecified"], **GREY),
        at("uint8", (4, 6, 2), [3, 4]),
    ),
    "alpha.tif": (lambda: pil(Image.new("RGBA", (6, 4), (1, 2, 3, 4)), "TIFF"), at("uint8", (4, 6, 4), [1, 2, 3, 4])),
    "complex.tif": (
        lambda: tiff(np.zeros((4, 6), np.complex64)),
        "has values of type complex64: convert it to one of uint8,",
    ),
    "NaN.tif": (lambda: tiff(np.full((4, 6), np.nan, np.float32)), "has values that are NaN, infinite"),
    "odd bits.tif": (lambda: raw_tiff(grey_tags(2, 2, 200, 130, 100), bytes(100)), "samples of 200 bits"),
    **{
        f"{i} turned.tif": (
            lambda i=i: tiff(CORNER.astype(np.uint16) * 257, extratags=[(274, 3, 1, i, True)], **RGB),
            ("uint16", *corner(i, 65535)),
        )
        for i in range(1, 9)
    },
    **{
        f"{i} turned 8.tif": (
            lambda i=i: tiff(CORNER, extratags=[(274, 3, 1, i, True)], **RGB),
            ("uint8", *corner(i)),
        )
        for i in range(1, 9)
    },
    "three pages.tif": (
        lambda: pages(*[(deep(8, 9, 0), {})] * 3),
        "3 pages of one size",
    ),
    "three pages 8.tif": (lambda: pages(*[(noise(8, 9, 3), RGB)] * 3), "3 pages of one size"),
    "stack.tif": (lambda: tiff(noise(5, 8, 9)), "5 pages of one size"),
    "overviews.tif": (overview, at("uint16", (64, 64, 1), deep(64, 64, 0)[:1, 0].tolist())),
    "thumbnail first.tif": (
        lambda: pages((noise(8, 9, 3), {"subfiletype": 1, **RGB}), (noise(32, 40, 3), RGB)),
        at("uint8", (32, 40, 3), noise(32, 40, 3)[0, 0].tolist()),
    ),
    "ImageJ channels.tif": (
        lambda: tiff(deep(5, 8, 9), imagej=True, metadata={"axes": "CYX"}),
        at("uint16", (8, 9, 5), deep(5, 8, 9)[:, 0, 0].tolist()),
    ),
    "OME channels.tif": (
        lambda: tiff(noise(5, 8, 9), ome=True, metadata={"axes": "CYX"}),
        at("uint8", (8, 9, 5), noise(5, 8, 9)[:, 0, 0].tolist()),
    ),
    "ImageJ slices.tif": (lambda: tiff(deep(5, 8, 9), imagej=True, metadata={"axes": "ZYX"}), "5 pages of one size"),
    # NPY
    "grey.npy": (lambda: npy(deep(5, 7, 0)), ok("uint16", (5, 7, 1))),
    "columns first.npy": (
        lambda: npy(np.asfortranarray(FIVE)),
        at("float32", (6, 7, 5), FIVE[2, 3].tolist(), (2, 3)),
    ),
    "big endian.npy": (lambda: npy(np.full((4, 6), 258, ">u2")), at("uint16", (4, 6, 1), [258])),
    "bool.npy": (lambda: npy(np.ones((4, 6), bool)), at("uint8", (4, 6, 1), [255])),
    "int64.npy": (lambda: npy(np.full((4, 6), -7)), at("int32", (4, 6, 1), [-7])),
    "uint64.npy": (lambda: npy(np.full((4, 6), 2**32 - 1, np.uint64)), at("uint32", (4, 6, 1), [2**32 - 1])),
    "float16.npy": (lambda: npy(np.full((4, 6), 0.5, np.float16)), at("float32", (4, 6, 1), [0.5])),
    "large int64.npy": (lambda: npy(np.full((4, 6), 2**31)), "convert it to float32"),
    "NaN.npy": (lambda: npy(np.full((4, 6), np.nan)), "has values that are NaN, infinite"),
    "infinite.npy": (lambda: npy(np.full((4, 6), -np.inf, np.float32)), "has values that are NaN, infinite"),
    "too large.npy": (lambda: npy(np.full((4, 6), 1e300)), "has values that are NaN, infinite"),
    "objects.npy": (lambda: npy(np.array([[None, {}]])), "has values of type object"),
    "records.npy": (lambda: npy(np.zeros((4, 6), "u1,f4")), "has values of type [('f0', 'u1'), ('f1', '<f4')]"),
    "text.npy": (lambda: npy(np.full((4, 6), "a")), "has values of type <U1"),
    "complex.npy": (lambda: npy(np.zeros((4, 6), complex)), "has values of type complex128"),
    "channels first.npy": (lambda: npy(noise(3, 99, 98)), "an array of shape (3, 99, 98), but (H, W, C) is needed"),
    "four axes.npy": (lambda: npy(noise(4, 9, 9)[None]), "an array of shape (1, 4, 9, 9), but (H, W) or (H, W, C)"),
    "one axis.npy": (lambda: npy(np.zeros(9)), "an array of shape (9,), but (H, W) or (H, W, C) is needed"),
    "no pixels.npy": (lambda: npy(np.zeros((0, 6, 3))), "0x6 with 3 channels has no values"),
    "eval.npy": (lambda: npy_header("{'descr': f(), 'shape': (4, 4)}"), "its header is damaged"),
    "nested.npy": (lambda: npy_header("(" * 110), "its header is damaged"),
    "long header.npy": (
        lambda: b"\x93NUMPY\2\0" + struct.pack("<I", 2**31),
        "a header of 2147483648 bytes",
    ),
    "version 3.npy": (lambda: b"\x93NUMPY\x03\x00" + npy(noise(4, 4, 3))[8:], "NPY version (3, 0) is for records"),
    # bombs and claims
    "100 Mpx.png": (
        lambda: bomb(10_000),
        "10000x10000 are more than 67108864 pixels",
    ),
    "400 Mpx.png": (
        lambda: bomb(20_000),
        "20000x20000 are more than 67108864 pixels",
    ),
    "zTXt bomb.png": (lambda: text_bomb(b"zTXt", b"Comment\0\0"), "too large"),
    "iTXt bomb.png": (lambda: text_bomb(b"iTXt", b"Comment\0\1\0\0\0"), "too large"),
    "iCCP bomb.png": (lambda: text_bomb(b"iCCP", b"profile\0\0"), "too large"),
    "exif bomb.png": (lambda: text_bomb(b"zTXt", b"Raw profile type exif\0\0"), "too large"),
    "strip bomb.tif": (lambda: compressed(8, inflating(60 * 2**20)), "decodes to more"),
    "long PackBits bomb.tif": (lambda: compressed(32773, b"\x81\0" * 4_000_000), "many more bytes"),
    "PackBits bomb.tif": (lambda: compressed(32773, b"\x81\0" * 30_000), "decodes to more"),
    "PackBits.tif": (
        lambda: compressed(32773, b"\x80" + (b"\x81\1\x7f" + b"\1" * 128) * 6 + b"\xc1\1"),
        at("uint16", (20, 40, 1), [257], (19, 39)),
    ),
    "LZMA bomb.tif": (
        lambda: compressed(34925, lzma.compress(bytes(2**22))),
        "decodes to more",
    ),
    "second LZMA stream.tif": (
        lambda: compressed(34925, lzma.compress(bytes(99)) + lzma.compress(bytes(2**22))),
        "decodes to more",
    ),
    "LZMA.tif": (lambda: tiff(deep(20, 40, 0), compression="lzma"), ok("uint16", (20, 40, 1))),
    "huge tile.tif": (lambda: tiled(2**15), "2147483648 bytes are more than 536870912"),
    "268 Mpx.webp": (
        lambda: b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xfe\x3f\0" * 2,
        "more pixels than Pillow opens",
    ),
    "claim.tif": (lambda: raw_tiff(grey_tags(**HUGE)), "is truncated"),
    "claim 8.tif": (lambda: raw_tiff(grey_tags(**HUGE | {"bits": 8})), ""),
    "left out.tif": (lambda: raw_tiff(grey_tags(**HUGE | {"count": 0})), ""),
    "larger claim.tif": (lambda: raw_tiff(grey_tags(**HUGE | {"height": 8193})), "raise --max_pixels"),
    "larger claim 8.tif": (lambda: raw_tiff(grey_tags(**HUGE | {"height": 8193, "bits": 8})), "raise --max_pixels"),
    "claim.npy": (
        lambda: npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (8192, 8192), }"),
        "is truncated",
    ),
    "deep claim.npy": (
        lambda: npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (8192, 8192, 20), }"),
        "5368709120 bytes are more than 536870912",
    ),
    "absurd claim.npy": (
        lambda: npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999, 9999999999), }"),
        "raise --max_pixels",
    ),
}


def check(outcome, expected):
    """An outcome is what `read` gave, or the words of its refusal."""
    if isinstance(expected, str):
        assert isinstance(outcome, str), f"read as {outcome.dtype} {outcome.shape}"
        assert expected in outcome
        assert "\n" not in outcome
        return
    assert not isinstance(outcome, str), outcome
    dtype, shape, pixels = expected
    assert (outcome.dtype, outcome.shape) == (dtype, shape)
    for place, value in pixels.items():
        assert outcome[place].tolist() == pytest.approx(value, abs=3 if dtype == "uint8" else 0)


def outcome_of(path, **options):
    try:
        return read_image(path, **options)
    except ImageError as error:
        return str(error)


def test_there_are_more_than_forty():
    assert len(CASES) > 40


@pytest.mark.parametrize("name", CASES)
def test_odd_files_become_the_documented_array_or_are_refused_by_name(tmp_path, name, caplog):
    build, expected = CASES[name]
    path = tmp_path / name
    path.write_bytes(build())
    outcome = outcome_of(path)
    check(outcome, expected)
    if isinstance(outcome, str):
        assert outcome.startswith(f"{path}: ")
    assert caplog.records == []


@pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="imagecodecs decodes Zstandard")
@pytest.mark.parametrize("number", [34926, 50000])
def test_zstandard_needs_another_package(tmp_path, number):
    (tmp_path / "a.tif").write_bytes(compressed(number, bytes(9)))
    assert outcome_of(tmp_path / "a.tif").endswith("pip install imagecodecs")


def test_lack_of_memory_is_not_called_damage(tmp_path, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    (tmp_path / "a.npy").write_bytes(npy(FIVE))
    monkeypatch.setattr(np, "empty", full)
    assert "a.npy: needs more memory" in outcome_of(tmp_path / "a.npy")


def test_a_disk_that_fails_is_named(tmp_path, monkeypatch):
    def failing(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "a.npy").write_bytes(npy(FIVE))
    monkeypatch.setattr(np, "fromfile", failing)
    assert outcome_of(tmp_path / "a.npy") == f"{tmp_path}/a.npy: Input/output error"


@pytest.mark.parametrize("seed", range(3))
def test_interlaced_pixels_are_read_or_end_early(tmp_path, seed):
    height, width = np.random.default_rng(seed).integers(1, 12, 2).tolist()
    image = noise(height, width, 3)
    parts = [image[y::down, x::right] for y, x, down, right in ADAM7]
    data = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    (tmp_path / "whole.png").write_bytes(png(height, width, 8, 2, data, interlace=1))
    last = 1 + 3 * [part.shape[1] for part in parts if part.size][-1]
    (tmp_path / "early.png").write_bytes(png(height, width, 8, 2, data[:-last], interlace=1))
    assert np.array_equal(read_image(tmp_path / "whole.png"), image)
    assert isinstance(outcome_of(tmp_path / "early.png"), str)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    assert "x.png: a pipe or device" in outcome_of(tmp_path / "x.png")


def test_folders_and_links_to_nowhere_are_refused(tmp_path):
    (tmp_path / "x.png").mkdir()
    (tmp_path / "y.png").symlink_to(tmp_path / "missing.png")
    assert outcome_of(tmp_path / "x.png") == f"{tmp_path}/x.png: Is a directory"
    assert outcome_of(tmp_path / "y.png") == f"{tmp_path}/y.png: No such file or directory"


def test_names_with_nul_and_newline_make_one_line(tmp_path):
    path = tmp_path / "a\nb.png"
    path.write_bytes(b"")
    assert outcome_of(path).startswith(f"{str(path)!r}: {NOT_AN_IMAGE}")
    assert outcome_of("a\0.png") == r"'a\x00.png': embedded null byte"


def test_a_chain_of_pages_that_ends_in_a_loop_is_refused(tmp_path):
    page = raw_tiff(grey_tags(2, 2, 16, 8, 8))[8:-4]
    content = b"II*\0" + struct.pack("<I", 8)
    for _ in range(300):
        content += page + struct.pack("<I", len(content) + len(page) + 4)
    (tmp_path / "a.tif").write_bytes(content[:-4] + struct.pack("<I", 8 + 200 * (len(page) + 4)))
    assert "a loop of pages" in outcome_of(tmp_path / "a.tif")


def test_the_limit_of_pixels_can_be_raised_beyond_that_of_pillow(tmp_path):
    (tmp_path / "a.png").write_bytes(png(14_000, 14_000, 1, 0))
    assert "14000x14000 are more than 67108864 pixels" in outcome_of(tmp_path / "a.png")
    assert "truncated" in outcome_of(tmp_path / "a.png", max_pixels=14_000**2)


def test_a_file_larger_than_its_pixels_can_be_is_refused_unread(tmp_path):
    with (tmp_path / "a.webp").open("wb") as file:
        file.write(b"RIFF\0\0\0\0WEBP")
        file.truncate(2**32)
    assert "raise --max_pixels" in outcome_of(tmp_path / "a.webp")


BOMBS = {
    name: build for name, (build, _) in CASES.items() if any(word in name for word in ("bomb", "Mpx", "claim"))
} | {
    "large bomb.tif": lambda: compressed(8, inflating(2**29), 400, 1000),
    "large LZMA bomb.tif": lambda: compressed(34925, lzma.compress(bytes(2**27), preset=0)),
}


def memory(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux to tell the peak of memory")
@pytest.mark.parametrize("name", BOMBS)
def test_no_bomb_takes_more_memory_than_8_bytes_a_pixel_and_100_megabytes(tmp_path, name):
    (tmp_path / name).write_bytes(BOMBS[name]())
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is measured again
    before = memory("VmRSS")
    outcome_of(tmp_path / name, max_pixels=10**6)
    assert memory("VmHWM") - before < 8 * 10**6 + 10**8


SOUND = [
    *[(noise(6, 6, 3), "PNG", {}), (noise(6, 6, 3), "JPEG", {}), (noise(6, 6, 3), "WEBP", {"lossless": True})],
    *[(noise(6, 6, 3), "TIFF", {}), (noise(6, 6, 3), "TIFF", {"compression": "tiff_lzw"})],
]


def sound_files():
    yield from (pil(image, format_, **options) for image, format_, options in SOUND)
    yield deep_png(deep(6, 6, 3), 2)
    yield tiff(FIVE, planarconfig="contig", compression="zlib", **GREY)
    yield tiff(deep(3, 6, 6), imagej=True, metadata={"axes": "CYX"})
    yield npy(FIVE)


def damaged(data):
    content = bytearray(data.draw(st.sampled_from(list(sound_files()))))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8)):
        content[position] = data.draw(st.integers(0, 255))
    return bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)


def prefixed(data):
    """Random bytes that pass for a format."""
    magic = data.draw(
        st.sampled_from([b"", SIGNATURE, b"\xff\xd8\xff", b"RIFF....WEBP", b"II*\0", b"MM\0+", b"\x93NUMPY"])
    )
    return magic + data.draw(st.binary(max_size=200))


def an_array_or_an_image_error(folder, content):
    path = folder / "damaged"
    path.write_bytes(content)
    outcome = outcome_of(path, max_pixels=10**6)
    if isinstance(outcome, str):
        assert outcome.startswith(f"{path}: ")
        assert "\n" not in outcome
    else:
        assert outcome.ndim == 3
        assert outcome.size
        assert outcome.dtype in DTYPES


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path_factory, data):
    content = damaged(data) if data.draw(st.booleans()) else prefixed(data)
    an_array_or_an_image_error(tmp_path_factory.getbasetemp(), content)


@pytest.mark.slow
@settings(deadline=None, max_examples=2000)
@given(data=st.data())
def test_two_thousand_damaged_and_random_files_are_read_or_refused(tmp_path_factory, data):
    content = damaged(data) if data.draw(st.booleans()) else prefixed(data)
    an_array_or_an_image_error(tmp_path_factory.getbasetemp(), content)
