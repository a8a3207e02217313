"""A picture of many pairs at a glance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pix2pix.images import Array, convert_channels, resize, to_array, to_tensor

TILE = 150  # pixels of the longer side of an image
COLUMNS = 4
_MARGIN, _CAPTION = 10, 18


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
        draw.text((left, top), _short(tile.caption), "#c00000" if tile.marked else "#202020", font)
        for place, image in enumerate(tile.images):
            sheet.paste(Image.fromarray(_thumbnail(image)), (left + place * (TILE + 2), top + _CAPTION))
    return np.asarray(sheet)


def _short(caption: str) -> str:
    return caption if len(caption) <= 46 else f"{caption[:20]}...{caption[-23:]}"


def _thumbnail(image: Array) -> Array:
    """Fit an image of any depth into a tile; values are stretched where they are not 8 bits."""
    height, width, channels = image.shape
    scale = TILE / max(height, width)
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    if image.dtype != np.uint8:
        image = to_array(to_tensor(image, (float(image.min()),), (float(image.max()),)))
    return resize(convert_channels(image if channels in (1, 3, 4) else image[..., :1], 3), size)
