"""TIFF files: any depth and number of channels, by tifffile; what is 8-bit and ordinary by Pillow, for its decoders."""

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from logging import getLogger
from typing import Any, BinaryIO

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from pix2pix.images.arrays import Array, kept, kept_as, upright
from pix2pix.images.compressions import check_compression, check_part, decoding
from pix2pix.images.pictures import from_pil
from pix2pix.images.refusals import ImageError, check_size

TiffFile = Any  # tifffile's, which is imported when there is a TIFF file to read
TiffPage = Any  # or a series of pages that are one image

_MOST_PAGES = 1000  # each takes memory, and tifffile follows a chain that ends in a loop for ever
_NO_VENDORS: dict[str, Any] = dict.fromkeys(
    ("is_lsm", "is_scanimage", "is_ndpi", "is_mmstack", "is_ndtiff"), False
)  # some open others
_NOT_THE_IMAGE = 0b101  # of NewSubfileType: a reduced version of another image, or a mask
_WHITE_IS_ZERO, _GREY, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_COLOURS = {_WHITE_IS_ZERO: 1, _GREY: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3, _LAB: 3}
_ALPHA = (1, 2)  # of ExtraSamples: premultiplied or not
_ORIENTATION = 274


def read_tiff(file: BinaryIO, max_pixels: int) -> Array:
    """Read the one image of a TIFF file; its overviews and masks are passed over.

    Raises:
        ImageError: for more than max_pixels, several images, and values, colours and compressions that are not read.
            Damaged files raise whatever the libraries like.
    """
    with opened(file) as (image, page):
        if _is_ordinary(page) and image is page:
            return _read_ordinary(file, page.index, max_pixels)
        if page.dtype is None:
            raise ImageError(f"samples of {page.bitspersample} bits, format {page.sampleformat}: convert it to float32")
        kept_as(page.dtype)
        check_colours(page)
        height, width = page.imagelength, page.imagewidth
        check_size(height, width, math.prod(image.shape) // max(1, height * width), page.dtype, max_pixels)
        check_compression(page, max_pixels)
        _check_data(file, image, page)
        return upright(grey_or_colour(kept(_decoded(image)), page), page.tags.valueof(_ORIENTATION, 1))


@contextmanager
def opened(file: BinaryIO) -> Iterator[tuple[TiffPage, TiffPage]]:
    """Parse a file; give its one image, a page or several that are its channels, and the page that describes it."""
    import tifffile

    # OME files may name other files, which tifffile would open. Its option against that has no public name; without it,
    # such files are read as others are, page by page.
    option = "_multifile" if "_multifile" in signature(tifffile.TiffFile).parameters else "is_ome"
    with _silence(), tifffile.TiffFile(file, **{**_NO_VENDORS, option: False}) as tiff:
        yield _one_image(tiff)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep tifffile's log still: what it says there of damaged files is refused, or harmless."""
    logger = getLogger("tifffile")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _one_image(tiff: TiffFile) -> tuple[TiffPage, TiffPage]:
    """The largest page, or several that are the channels of one image; and the page that describes it."""
    pages = [page for page in _pages(tiff) if not page.subfiletype & _NOT_THE_IMAGE] or [tiff.pages.first]
    page = max(pages, key=lambda page: page.imagelength * page.imagewidth)
    image = page
    count = sum((other.imagelength, other.imagewidth) == (page.imagelength, page.imagewidth) for other in pages)
    if tiff.is_imagej or tiff.is_ome or tiff.is_shaped:
        series = tiff.series[0]
        if math.prod(series.shape) > math.prod(page.shape):
            image, page, count = series, series.keyframe, 1
    count *= math.prod(length for axis, length in zip(image.axes, image.shape, strict=True) if axis not in "YXSC")
    if count > 1:
        raise ImageError(
            f"{count} pages of one size, where one image a file is needed: store channels as samples or as NPY"
        )
    return image, page


def _pages(tiff: TiffFile) -> Iterator[TiffPage]:
    seen: set[int] = set()
    for index in itertools.count():
        try:
            page = tiff.pages[index]
        except IndexError:
            break
        if page.offset in seen or index == _MOST_PAGES:
            raise ImageError(f"a loop of pages, or more than {_MOST_PAGES} of them, where one image a file is needed")
        seen.add(page.offset)
        yield page
    if not seen:
        raise ImageError("a TIFF file without any page: make it anew")


def _is_ordinary(page: TiffPage) -> bool:
    extra = page.samplesperpixel - _COLOURS.get(page.photometric, 0)
    kinds = [(kind,) for kind in _ALPHA]
    has_alpha = extra == 1 and (
        (page.photometric in (_GREY, _RGB) and page.extrasamples[:1] in kinds)
        or (page.photometric == _RGB and not page.extrasamples)  # as OpenCV writes it
    )
    return page.bitspersample in (1, 2, 4, 8) and page.sampleformat == 1 and (extra == 0 or has_alpha)


def _read_ordinary(file: BinaryIO, index: int, max_pixels: int) -> Array:
    file.seek(0)
    with TiffImageFile(file) as image:
        image.seek(index)
        check_size(image.height, image.width, 4, "uint8", max_pixels)
        return from_pil(image)


def check_colours(page: TiffPage) -> None:
    """Refuse colours that do not become grey or RGB here."""
    is_plain = page.photometric in (_GREY, _RGB) or (page.photometric == _WHITE_IS_ZERO and page.dtype.kind in "bui")
    if not is_plain and not (page.photometric == _CMYK and page.samplesperpixel == 4 and page.dtype.kind == "u"):
        name = getattr(page.photometric, "name", page.photometric)
        raise ImageError(f"colours kept as {name} of {page.dtype}: convert it to RGB")


def _check_data(file: BinaryIO, image: TiffPage, page: TiffPage) -> None:
    """Refuse strips and tiles that are left out, which become zeros, or become more bytes than they should hold."""
    for part in [page] if image is page else image.pages:
        segments = [] if part is None else list(zip(part.dataoffsets, part.databytecounts, strict=True))
        if len(segments) < (1 if page.is_contiguous else math.prod(page.chunked)):
            raise ImageError("a part of the image is missing: make it anew")
        for offset, count in segments:
            check_part(file, page, offset, count)


def _decoded(image: TiffPage) -> Array:
    """The values as (H, W, C)."""
    with decoding():
        array: Array = image.asarray(maxworkers=1).reshape(image.shape)
    rest = [place for place, axis in enumerate(image.axes) if axis not in "YX"]
    array = np.transpose(array, (image.axes.index("Y"), image.axes.index("X"), *rest))
    return array.reshape(*array.shape[:2], -1)


def grey_or_colour(array: Array, page: TiffPage) -> Array:
    """Bring what the samples mean to grey or RGB, with the other channels after it."""
    if page.photometric == _WHITE_IS_ZERO:
        array = array.copy()
        array[..., 0] = (~array[..., 0]) if page.dtype.kind == "i" else _largest_value(page) - array[..., 0]
    if page.photometric == _CMYK:
        light = _largest_value(page) - array.astype(np.float64)
        return (light[..., :3] * light[..., 3:] / _largest_value(page)).round().astype(array.dtype)
    if array.shape[2] == 2 and page.extrasamples[:1] in [(kind,) for kind in _ALPHA]:
        return array[..., [0, 0, 0, 1]]
    return array


def _largest_value(page: TiffPage) -> int:
    return int(2**page.bitspersample - 1)


def write_tiff(file: BinaryIO, array: Array) -> None:
    """Write what `read_tiff` reads: 3 and 4 channels of uint8 and uint16 as RGB, all else as grey and more samples."""
    import tifffile

    channels = array.shape[2]
    layout = laid_out(channels, array.dtype)
    tifffile.imwrite(file, array[..., 0] if channels == 1 else array, compression="zlib", **layout)


def laid_out(channels: int, dtype: np.dtype[Any]) -> dict[str, Any]:
    """How tifffile is to store the channels."""
    is_colour = channels in (3, 4) and dtype in (np.uint8, np.uint16)
    extra = ["unassalpha"] * (channels - 3) if is_colour else ["unspecified"] * (channels - 1)
    return {
        "photometric": "rgb" if is_colour else "minisblack",
        "planarconfig": None if channels == 1 else "contig",
        "extrasamples": extra or None,
        "metadata": None,
    }
