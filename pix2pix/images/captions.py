"""Pictures in rows, each with its name above it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pix2pix.images.arrays import Array, resize
from pix2pix.images.refusals import shown

_GAP = 8  # pixels around tiles
_LARGEST_LETTERS, _SMALLEST_LETTERS = 24, 8
_LETTERS_ACROSS = 16  # of a tile, where captions are short enough


class Captioned(NamedTuple):
    """A picture (H, W, 3) of uint8 and the name to stand above it."""

    caption: str
    image: Array


def captioned_grid(rows: Sequence[Sequence[Captioned]]) -> Array:
    """Lay pictures out in rows, on white: (H, W, 3) uint8.

    All get tiles of the size of the first; others are resized to fit into theirs. Letters are as large as the longest
    caption lets them be; what is too long for the smallest ones ends with "...".
    """
    height, width = rows[0][0].image.shape[:2]
    font = _font([tile.caption for row in rows for tile in row], width)
    strip = round(font.size * 1.5)
    across, down = max(map(len, rows)), len(rows)
    grid = Image.new("RGB", (across * (width + _GAP) + _GAP, down * (height + strip + _GAP) + _GAP), "white")
    draw = ImageDraw.Draw(grid)
    for row, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            left, top = _GAP + column * (width + _GAP), _GAP + row * (height + strip + _GAP)
            draw.text((left, top), _shortened(_letters(tile.caption), font, width), "#202020", font)
            grid.paste(Image.fromarray(_fitted(tile.image, height, width)), (left, top + strip))
    return np.asarray(grid)


def _font(captions: Sequence[str], width: int) -> ImageFont.FreeTypeFont:
    """Return the largest letters in which every caption is no wider than a tile."""
    size = min(_LARGEST_LETTERS, max(_SMALLEST_LETTERS, round(2 * width / _LETTERS_ACROSS)))
    while True:
        font = ImageFont.load_default(size)
        assert isinstance(font, ImageFont.FreeTypeFont)
        if size == _SMALLEST_LETTERS or max(font.getlength(_letters(caption)) for caption in captions) <= width:
            return font
        size -= 1


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, or as many of its first letters as fit."""
    if font.getlength(text) <= width:
        return text
    fitting = (f"{text[:end]}..." for end in range(len(text) - 1, 0, -1))
    return next((short for short in fitting if font.getlength(short) <= width), "")


def _letters(caption: str) -> str:
    """The text in letters that the font has."""
    return shown(caption).encode("ascii", "backslashreplace").decode()


def _fitted(image: Array, height: int, width: int) -> Array:
    scale = min(height / image.shape[0], width / image.shape[1])
    return resize(image, (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))))
