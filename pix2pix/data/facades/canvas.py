"""The canvas of a picture: a tile of it has a colour map, a relief map, and lengths in plan units."""

from typing import NamedTuple

import cv2
import numpy as np

from pix2pix.data.facades.textures import Array, Colour, Picture


class Tile(NamedTuple):
    """A rectangle of the picture: views of its colour and its relief (h, w); lengths are in plan units."""

    colour: Picture
    relief: Array
    scale: float

    @property
    def width(self) -> float:
        """Width in plan units."""
        return int(self.relief.shape[1]) / self.scale

    @property
    def height(self) -> float:
        """Height in plan units."""
        return int(self.relief.shape[0]) / self.scale

    def part(self, left: float, top: float, right: float, bottom: float) -> "Tile":
        """Return the tile within this one, as views; at least a pixel wide and high where it lies inside."""
        x0, y0 = (max(0, round(edge * self.scale)) for edge in (left, top))
        x1, y1 = (max(low + 1, round(edge * self.scale)) for low, edge in ((x0, right), (y0, bottom)))
        return Tile(self.colour[y0:y1, x0:x1], self.relief[y0:y1, x0:x1], self.scale)

    def fill(self, colour: Colour, relief: float | None = None) -> None:
        """Fill the tile with a colour, and lay it at a height above the wall."""
        end = self.relief.shape[::-1]
        cv2.rectangle(self.colour, (0, 0), end, (255 * colour).tolist(), cv2.FILLED)  # faster than broadcasting
        if relief is not None:
            self.relief[:] = relief

    def band(self, top: float, bottom: float) -> "Tile":
        """Return a strip of full width."""
        return self.part(0, top, self.width, bottom)

    def bars(self, pitch: float, thickness: float, colour: Colour, relief: float) -> None:
        """Fill upright stripes, `thickness` of every `pitch`."""
        columns = (np.arange(self.relief.shape[1]) / self.scale) % pitch < thickness
        self.colour[:, columns] = 255 * colour
        self.relief[:, columns] = relief

    def slats(self, pitch: float, thickness: float, colour: Colour) -> None:
        """Colour lying stripes, `thickness` of every `pitch`."""
        rows = (np.arange(self.relief.shape[0]) / self.scale) % pitch < thickness
        self.colour[rows] = 255 * colour

    def inset(self, margin: float) -> "Tile":
        """Return the tile without a border of the given thickness."""
        return self.part(margin, margin, self.width - margin, self.height - margin)


def shade(colour: Colour, factor: float) -> Colour:
    """Return a colour darkened (factor < 1) or lightened."""
    return np.asarray(np.clip(colour * factor, 0, 1), np.float32)
