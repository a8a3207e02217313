"""Draw grids of images with captions, contact sheets of pairs, and grids of contents and styles."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pix2pix.data.arrays import Array, convert_channels, resize, to_array, to_tensor
from pix2pix.errors import format_path

if TYPE_CHECKING:
    from pix2pix.data.arrays import Array
    from pix2pix.report.gallery import GalleryItem

_GAP = 8  # pixels around tiles
_LARGEST_LETTERS, _SMALLEST_LETTERS = 24, 8
_LETTERS_ACROSS = 16  # per tile at the largest font size


class CaptionedImage(NamedTuple):
    """An image (H, W, 3) of uint8 and its caption."""

    caption: str
    image: Array


def draw_captioned_grid(rows: Sequence[Sequence[CaptionedImage]]) -> Array:
    """Draw rows of images with captions on white: (H, W, 3) uint8.

    Tiles have the size of the first image, others are resized to fit. The font size fits the longest caption; captions
    that are too long for the smallest size end with "...".
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
    """Return the largest font in which every caption fits its tile."""
    size = min(_LARGEST_LETTERS, max(_SMALLEST_LETTERS, round(2 * width / _LETTERS_ACROSS)))
    while True:
        font = ImageFont.load_default(size)
        assert isinstance(font, ImageFont.FreeTypeFont)
        if size == _SMALLEST_LETTERS or max(font.getlength(_letters(caption)) for caption in captions) <= width:
            return font
        size -= 1


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return the text, shortened to fit."""
    if font.getlength(text) <= width:
        return text
    fitting = (f"{text[:end]}..." for end in range(len(text) - 1, 0, -1))
    return next((short for short in fitting if font.getlength(short) <= width), "")


def _letters(caption: str) -> str:
    """Return the text with characters that the font lacks replaced."""
    return format_path(caption).encode("ascii", "backslashreplace").decode()


def _fitted(image: Array, height: int, width: int) -> Array:
    scale = min(height / image.shape[0], width / image.shape[1])
    return resize(image, (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))))


TILE = 150  # longer side of an image in pixels
COLUMNS = 4
_MARGIN, _SHEET_GAP, _CAPTION = 10, 2, 18
_ENOUGH = 4  # from this many times the pixels of a tile images are averaged
_CLASSES = 64  # at most this many distinct values are class numbers
_DARK = 64  # of 255: images that are darker everywhere are brightened


class PairTile(NamedTuple):
    """A pair on the sheet: its caption, its images, and whether it is highlighted."""

    caption: str
    images: tuple[Array, ...]
    marked: bool = False


def draw_contact_sheet(tiles: Sequence[PairTile]) -> Array:
    """Draw pairs in rows of COLUMNS with captions above: (H, W, 3) uint8."""
    wide, high = 2 * TILE + 2 * _MARGIN, TILE + _CAPTION + _MARGIN
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * wide + _MARGIN, max(rows, 1) * high + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for number, tile in enumerate(tiles):
        left, top = _MARGIN + number % COLUMNS * wide, _MARGIN + number // COLUMNS * high
        draw.text((left, top), _caption(tile.caption, draw, font), "#c00000" if tile.marked else "#202020", font)
        for place, image in enumerate(tile.images):
            corner = left + place * (TILE + _SHEET_GAP), top + _CAPTION
            thumbnail = Image.fromarray(_thumbnail(image))
            sheet.paste(thumbnail, corner)
            frame = (corner[0] - 1, corner[1] - 1, corner[0] + thumbnail.width, corner[1] + thumbnail.height)
            draw.rectangle(frame, outline="#c0c0c0")  # a frame for white images
    return np.asarray(sheet)


def _caption(text: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the text in one line, with the middle left out if it is wider than a pair."""
    text = line = format_path(text).encode("ascii", "backslashreplace").decode()
    kept = len(text)
    while draw.textlength(line, font) > 2 * TILE + _SHEET_GAP:
        kept -= 1
        line = f"{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}"
    return line


def _thumbnail(image: Array) -> Array:
    """Resize an image of any depth to a tile, stretching values that would not be visible."""
    height, width, channels = image.shape
    scale = TILE / max(height, width)
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    step = max(max(height, width) // (_ENOUGH * TILE), 1)
    image = image[::step, ::step, : channels if channels in (1, 3, 4) else 1]
    return resize(convert_channels(_visible(image), 3), size)


def _visible(image: Array) -> Array:
    """Map class numbers evenly from black to white, and deep or dark images from minimum to maximum."""
    values, places = np.unique(image, return_inverse=True) if image.shape[2] == 1 else (np.empty(0), image)
    if 2 <= len(values) <= _CLASSES:
        return (places.reshape(image.shape) * (255 / (len(values) - 1))).round().astype(np.uint8)
    if image.dtype == np.uint8 and (image.max() >= _DARK or image.min() == image.max()):
        return image
    return to_array(to_tensor(image, (float(image.min()),), (float(image.max()),)))


_MOST = 12  # contents, and styles
_TILE = 256  # pixels of the longer side


def write_style_grid(folder: Path, names: Mapping[tuple[str, str], str], items: "Sequence[GalleryItem]") -> str:
    """Write grid.png of items by content and style, and return its description; gaps are white."""
    import numpy as np

    from pix2pix.data.io import write_image

    made = {item.name: item.images for item in items}
    at = {pair: made[name] for pair, name in names.items() if name in made}
    contents, styles = (list(dict.fromkeys(pair[place] for pair in at))[:_MOST] for place in (0, 1))
    of_content = {content: images for (content, _), images in reversed(at.items())}
    of_style = {style: images for (_, style), images in reversed(at.items())}
    white = np.full_like(_small(of_content[contents[0]]["content"]), 255)  # all tiles get the size of the first

    def tile(caption: str, images: Mapping[str, Path], label: str) -> CaptionedImage:
        return CaptionedImage(caption, _small(images[label]) if label in images else white)

    rows = [[CaptionedImage("", white), *(tile(style, of_style[style], "style") for style in styles)]]
    for content in contents:
        painted = [tile("", at.get((content, style), {}), "output") for style in styles]
        rows.append([tile(content, of_content[content], "content"), *painted])
    write_image(folder / "grid.png", draw_captioned_grid(rows))
    return f"grid.png: {len(contents)} contents down, {len(styles)} styles across"


def _small(file: Path) -> "Array":
    from pix2pix.data.arrays import convert_channels, fit_size, resize
    from pix2pix.data.io import read_image

    array = convert_channels(read_image(file), 3)
    return resize(array, fit_size(array.shape[:2], _TILE))
