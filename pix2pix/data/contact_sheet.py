"""A picture of many pairs at a glance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pix2pix.images import Array, convert_channels, resize, shown, to_array, to_tensor

TILE = 150  # pixels of the longer side of an image
COLUMNS = 4
_MARGIN, _GAP, _CAPTION = 10, 2, 18
_ENOUGH = 4  # times as many pixels as a tile has, from which it is averaged
_CLASSES = 64  # distinct values in one channel, at most, that are class numbers rather than brightness
_DARK = 64  # of 255: images that are darker everywhere are brightened


class Tile(NamedTuple):
    """A pair on the sheet: its caption, its images, and whether it is to stand out."""

    caption: str
    images: tuple[Array, ...]
    marked: bool = False


def contact_sheet(tiles: Sequence[Tile]) -> Array:
    """Lay pairs out in rows of COLUMNS, captions above: (H, W, 3) uint8."""
    wide, high = 2 * TILE + 2 * _MARGIN, TILE + _CAPTION + _MARGIN
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * wide + _MARGIN, max(rows, 1) * high + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for number, tile in enumerate(tiles):
        left, top = _MARGIN + number % COLUMNS * wide, _MARGIN + number // COLUMNS * high
        draw.text((left, top), _caption(tile.caption, draw, font), "#c00000" if tile.marked else "#202020", font)
        for place, image in enumerate(tile.images):
            corner = left + place * (TILE + _GAP), top + _CAPTION
            thumbnail = Image.fromarray(_thumbnail(image))
            sheet.paste(thumbnail, corner)
            frame = (corner[0] - 1, corner[1] - 1, corner[0] + thumbnail.width, corner[1] + thumbnail.height)
            draw.rectangle(frame, outline="#c0c0c0")  # white images would end nowhere
    return np.asarray(sheet)


def _caption(text: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text in one line of letters that the font has, its middle left out where it is wider than a pair."""
    text = line = shown(text).encode("ascii", "backslashreplace").decode()
    kept = len(text)
    while draw.textlength(line, font) > 2 * TILE + _GAP:
        kept -= 1
        line = f"{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}"
    return line


def _thumbnail(image: Array) -> Array:
    """Fit an image of any depth into a tile; values are stretched where they would not be seen."""
    height, width, channels = image.shape
    scale = TILE / max(height, width)
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    step = max(max(height, width) // (_ENOUGH * TILE), 1)
    image = image[::step, ::step, : channels if channels in (1, 3, 4) else 1]
    return resize(convert_channels(_visible(image), 3), size)


def _visible(image: Array) -> Array:
    """Class numbers evenly from black to white, deep and very dark images from their smallest value to the largest."""
    values, places = np.unique(image, return_inverse=True) if image.shape[2] == 1 else (np.empty(0), image)
    if 2 <= len(values) <= _CLASSES:
        return (places.reshape(image.shape) * (255 / (len(values) - 1))).round().astype(np.uint8)
    if image.dtype == np.uint8 and (image.max() >= _DARK or image.min() == image.max()):
        return image
    return to_array(to_tensor(image, (float(image.min()),), (float(image.max()),)))
