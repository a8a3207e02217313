"""All contents in all styles as one picture: contents down, styles across."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pix2pix.gallery import GalleryItem
    from pix2pix.images import Array

_MOST = 12  # contents, and styles
_TILE = 256  # pixels of the longer side


def write_grid(folder: Path, names: Mapping[tuple[str, str], str], items: "Sequence[GalleryItem]") -> str:
    """Write grid.png of items, named by their content and style, and return a sentence on it; gaps stay white."""
    import numpy as np

    from pix2pix.images import Captioned, captioned_grid, write

    made = {item.name: item.images for item in items}
    at = {pair: made[name] for pair, name in names.items() if name in made}
    contents, styles = (list(dict.fromkeys(pair[place] for pair in at))[:_MOST] for place in (0, 1))
    of_content = {content: images for (content, _), images in reversed(at.items())}
    of_style = {style: images for (_, style), images in reversed(at.items())}
    white = np.full_like(_small(of_content[contents[0]]["content"]), 255)  # all tiles get the size of the first

    def tile(caption: str, images: Mapping[str, Path], label: str) -> Captioned:
        return Captioned(caption, _small(images[label]) if label in images else white)

    rows = [[Captioned("", white), *(tile(style, of_style[style], "style") for style in styles)]]
    for content in contents:
        painted = [tile("", at.get((content, style), {}), "output") for style in styles]
        rows.append([tile(content, of_content[content], "content"), *painted])
    write(folder / "grid.png", captioned_grid(rows))
    return f"grid.png: {len(contents)} contents down, {len(styles)} styles across"


def _small(file: Path) -> "Array":
    from pix2pix.images import convert_channels, fitted, read, resize

    array = convert_channels(read(file), 3)
    return resize(array, fitted(array.shape[:2], _TILE))
