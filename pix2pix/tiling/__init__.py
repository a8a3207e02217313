"""Images of any size through a generator in bounded memory, with the result of the whole image."""

from pix2pix.tiling.canvas import Canvas, TensorCanvas
from pix2pix.tiling.translation import SMALLEST, Tile, free_memory, translate

__all__ = ["SMALLEST", "Canvas", "TensorCanvas", "Tile", "free_memory", "translate"]
