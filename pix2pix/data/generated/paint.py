"""Paint each part of a facade: color and relief."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Picture = NDArray[np.uint8]  # (H, W, 3), RGB
Color = NDArray[np.float32]  # (3,), RGB in [0, 1]


def rgb(red: float, green: float, blue: float) -> Color:
    """Return a color."""
    return np.array((red, green, blue), np.float32)


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[float, float], octaves: int = 3) -> Array:
    """Return smooth noise of about unit range around 0; `cells` are the (rows, columns) of its coarsest octave."""
    noise = np.zeros((2, 2), np.float32)
    for octave in range(octaves):
        rows, columns = (2 + int(2**octave * n) for n in cells)
        grid = rng.random((rows, columns), np.float32) - 0.5
        noise = cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_LINEAR) + grid * 0.5**octave
    return np.asarray(cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def masonry(
    rng: np.random.Generator, shape: tuple[int, int], course: float, length: float, joint: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Return (tone, joints), both (H, W): one random number in [-1, 1] a block, and where mortar is.

    Sizes are in pixels; every second course is shifted by half a block.
    """
    y, x = np.arange(shape[0]), np.arange(shape[1])
    row = (y / course).astype(int)
    shifted = np.arange(2)[:, None] * length / 2 + x  # positions in even and in odd courses
    block = (shifted / length).astype(int)
    tones = rng.uniform(-1, 1, (int(row[-1]) + 1, int(block.max()) + 1)).astype(np.float32)
    courses = np.stack([tones[i, block[i % 2]] for i in range(len(tones))])
    flat = (y % course < joint)[:, None]
    upright = (shifted % length < joint)[row % 2]
    return courses[row], flat | upright


def tinted(tone: Array, color: Color) -> Picture:
    """Return the picture (H, W, 3) of a tone (H, W) >= 0 in one color."""
    return np.asarray(cv2.merge([cv2.convertScaleAbs(tone, alpha=255 * channel) for channel in color.tolist()]))


def sky(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return a sky: clear, cloudy, overcast or of the evening, lighter towards the horizon."""
    zenith, horizon, cover = (
        ((0.33, 0.53, 0.82), (0.72, 0.83, 0.93), rng.uniform(0.0, 0.5)),
        ((0.40, 0.58, 0.83), (0.78, 0.86, 0.93), rng.uniform(0.6, 1.0)),
        ((0.72, 0.75, 0.79), (0.87, 0.88, 0.89), 0.4),
        ((0.50, 0.57, 0.74), (0.96, 0.82, 0.68), rng.uniform(0.2, 0.6)),
    )[rng.choice(4, p=[0.35, 0.3, 0.2, 0.15])]
    depth = np.linspace(0, 1.4, shape[0], dtype=np.float32).clip(0, 1)[:, None, None]
    gradient = (1 - depth) * rgb(*zenith) + depth * rgb(*horizon)
    cloud = clouds(rng, shape, (5, 3), 4) * 2.2 * cover
    cloud = cloud.clip(0, 1)[..., None]
    return np.asarray(255 * (gradient + cloud * (np.float32(0.97) - gradient)), np.uint8)


class Tile(NamedTuple):
    """A rectangle of the picture: views of its color and its relief (h, w); lengths are in plan units."""

    color: Picture
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
        return Tile(self.color[y0:y1, x0:x1], self.relief[y0:y1, x0:x1], self.scale)

    def fill(self, color: Color, relief: float | None = None) -> None:
        """Fill the tile with a color, and lay it at a height above the wall."""
        end = self.relief.shape[::-1]
        cv2.rectangle(self.color, (0, 0), end, (255 * color).tolist(), cv2.FILLED)  # faster than broadcasting
        if relief is not None:
            self.relief[:] = relief

    def band(self, top: float, bottom: float) -> "Tile":
        """Return a strip of full width."""
        return self.part(0, top, self.width, bottom)

    def bars(self, pitch: float, thickness: float, color: Color, relief: float) -> None:
        """Fill upright stripes, `thickness` of every `pitch`."""
        columns = (np.arange(self.relief.shape[1]) / self.scale) % pitch < thickness
        self.color[:, columns] = 255 * color
        self.relief[:, columns] = relief

    def slats(self, pitch: float, thickness: float, color: Color) -> None:
        """Color lying stripes, `thickness` of every `pitch`."""
        rows = (np.arange(self.relief.shape[0]) / self.scale) % pitch < thickness
        self.color[rows] = 255 * color

    def inset(self, margin: float) -> "Tile":
        """Return the tile without a border of the given thickness."""
        return self.part(margin, margin, self.width - margin, self.height - margin)


def shade(color: Color, factor: float) -> Color:
    """Return a color darkened (factor < 1) or lightened."""
    return np.asarray(np.clip(color * factor, 0, 1), np.float32)


Random = np.random.Generator


class Look(NamedTuple):
    """What the label map does not determine: materials, colors and fittings of one house."""

    material: str
    base_material: str
    wall: Color
    base: Color
    trim: Color
    frame: Color
    glass: Color
    shutter: Color
    door: Color
    rail: Color
    railing: str
    roof: Color
    shop: Color
    awning: Color
    mullions: tuple[int, int]
    awnings: bool


def wall(tile: Tile, look: Look, rng: Random) -> None:
    """Paint plaster, brick or stone over the whole tile."""
    surface(tile, look.wall, look.material, rng)


def base(tile: Tile, look: Look, rng: Random) -> None:
    """Paint the ground floor's wall on its plinth."""
    surface(tile, look.base, look.base_material, rng)
    tile.band(tile.height - 0.022, tile.height).fill(shade(look.base, 0.78), 0.007)


def surface(tile: Tile, color: Color, material: str, rng: Random) -> None:
    """Cover a tile with a material: color varies within and between its blocks, joints lie deeper."""
    shape = tile.relief.shape
    course, length, spread, groove = _MATERIALS[material]
    tone = np.linspace(1.03, 0.97, shape[0], dtype=np.float32)[:, None]
    tone = tone + np.float32(0.1) * clouds(rng, shape, (4 * tile.height, 4 * tile.width), 4)
    tile.relief[:] = 0.0
    if course:
        blocks, joints = masonry(rng, shape, course * tile.scale, length * tile.scale, 0.0036 * tile.scale)
        tone += np.float32(spread) * blocks
        tone[joints] *= 1 - groove
        tile.relief[joints] = -0.004
    tile.color[:] = tinted(tone, color)


_MATERIALS = {  # course, length (units; 0: seamless), spread of tones, darkness of joints
    "plaster": (0.0, 0.0, 0.0, 0.0),
    "brick": (0.016, 0.040, 0.13, 0.20),
    "stone": (0.045, 0.095, 0.06, 0.16),
    "banded": (0.034, 9.0, 0.02, 0.20),
    "tiles": (0.015, 0.017, 0.10, 0.22),
    "slate": (0.018, 0.030, 0.08, 0.15),
}


def glass(tile: Tile, look: Look, rng: Random) -> None:
    """Paint a pane: a reflected sky above a dark room, slanting streaks, sometimes curtains or a lamp."""
    height, width = tile.relief.shape
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, width, dtype=np.float32)[None]
    skyline = rng.uniform(0.1, 0.9) + rng.uniform(-0.3, 0.3) * x
    reflected = np.clip((skyline - y) * 5, 0, 1) * rng.uniform(0.15, 0.7)
    tone = 0.17 + 0.1 * y + 0.55 * reflected
    streak = np.abs(x + 0.5 * y - rng.uniform(0.2, 1.2)) < rng.uniform(0.05, 0.2)
    tone += 0.08 * streak
    kind = rng.random()
    if kind < 0.35:
        drawn = np.abs(x - 0.5) > rng.uniform(0.15, 0.4)
        tone = np.where(drawn, (0.65 + 0.09 * np.cos(40 * x)) * (1 - 0.2 * y), tone)
    lamp = 0.35 <= kind < 0.43
    if lamp:
        tone = 0.6 * tone + 0.8 - 0.4 * y
    tile.color[:] = tinted(tone, rgb(0.86, 0.66, 0.36) if lamp else look.glass)
    tile.relief[:] = -0.016


def window(tile: Tile, look: Look, rng: Random) -> None:
    """Paint a recessed pane with its frame and mullions."""
    glass(tile, look, rng)
    frame, relief = 0.006, -0.013
    columns, rows = look.mullions
    if tile.width > 0.1:
        columns += 1
    for column in range(columns + 1):
        x = (tile.width - frame) * column / columns
        tile.part(x, 0, x + frame, tile.height).fill(look.frame, relief)
    for y in (0.0, tile.height - frame, *(tile.height * 0.3 * row for row in range(1, rows))):
        tile.band(y, y + frame).fill(look.frame, relief)


def dormer(tile: Tile, look: Look, rng: Random) -> None:
    """Paint a window that stands out of the roof."""
    window(tile, look, rng)
    tile.relief[:] += 0.03


def sill(tile: Tile, look: Look, rng: Random) -> None:
    """Paint a ledge, bright on top."""
    tile.fill(shade(look.trim, 0.9), 0.014)
    tile.band(0, 0.4 * tile.height).fill(shade(look.trim, 1.08))


def profile(tile: Tile, look: Look, rng: Random) -> None:
    """Paint a moulded band: it steps out towards its upper edge."""
    for step, (tone, relief) in enumerate(((1.06, 0.024), (0.95, 0.019), (1.0, 0.012), (0.86, 0.006))):
        tile.band(tile.height * step / 4, tile.height).fill(shade(look.trim, tone), relief)


def eaves(tile: Tile, look: Look, rng: Random) -> None:
    """Paint a moulded band; a thick one carries a row of dentils."""
    profile(tile, look, rng)
    if tile.height > 0.03 and look.mullions[1] > 1:
        row = tile.part(0, 0.55 * tile.height, tile.width, 0.8 * tile.height)
        row.bars(0.022, 0.01, shade(look.trim, 0.72), 0.0)


def balcony(tile: Tile, look: Look, rng: Random) -> None:
    """Paint a slab with a railing: iron bars that one sees through, balusters, or a closed parapet."""
    slab = min(0.014, 0.3 * tile.height)
    rail = tile.band(0, tile.height - slab)
    if look.railing == "parapet":
        rail.fill(shade(look.trim, 0.95), 0.035)
        rail.inset(0.008).fill(shade(look.trim, 0.88), 0.03)
    else:
        pitch, bar = (0.013, 0.005) if look.railing == "iron" else (0.02, 0.012)
        color = look.rail if look.railing == "iron" else look.trim
        rail.bars(pitch, bar, color, 0.035)
        rail.band(0, 0.007).fill(color, 0.037)
    tile.band(tile.height - slab, tile.height).fill(shade(look.trim, 0.93), 0.042)


def shutter(tile: Tile, look: Look, rng: Random) -> None:
    """Paint a leaf with slats in a frame."""
    tile.fill(look.shutter, 0.006)
    tile.inset(0.005).slats(0.009, 0.0045, shade(look.shutter, 0.72))
    middle = tile.height / 2
    tile.band(middle - 0.004, middle + 0.004).fill(look.shutter, 0.006)


def roller(tile: Tile, look: Look, rng: Random) -> None:
    """Paint a blind let down in front of the pane."""
    cloth = shade(rgb(0.86, 0.84, 0.78), rng.uniform(0.8, 1.1))
    tile.fill(cloth, -0.011)
    tile.slats(0.011, 0.003, shade(cloth, 0.85))
    tile.band(tile.height - 0.004, tile.height).fill(shade(look.frame, 0.8), -0.009)


def door(tile: Tile, look: Look, rng: Random) -> None:
    """Paint two panelled leaves under a fanlight, with a step."""
    tile.fill(shade(look.door, 0.9), -0.014)
    light = 0.24 * tile.height
    glass(tile.part(0.006, 0.006, tile.width - 0.006, light), look, rng)
    for leaf in range(2):
        left = tile.width * leaf / 2
        for top, bottom in ((0.28, 0.52), (0.56, 0.66), (0.7, 0.92)):
            panel = tile.part(left + 0.008, top * tile.height, left + tile.width / 2 - 0.008, bottom * tile.height)
            panel.fill(shade(look.door, 1.18), -0.018)
    middle = tile.width / 2
    tile.part(middle - 0.0015, light, middle + 0.0015, tile.height).fill(shade(look.door, 0.5))
    tile.band(0.955 * tile.height, tile.height).fill(shade(look.base, 0.8), 0.01)


def deco(tile: Tile, look: Look, rng: Random) -> None:
    """Paint a carved panel: a frame with a swag of relief inside."""
    tile.fill(look.trim, 0.012)
    inner = tile.inset(min(0.006, 0.15 * tile.height))
    height, width = inner.relief.shape
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, width, dtype=np.float32)
    swag = np.abs(y - 0.25 - 0.4 * np.abs(np.sin(2 * np.pi * x))) < 0.16
    inner.color[:] = tinted(np.where(swag, 1.1, 0.72).astype(np.float32), look.trim)
    inner.relief[:] = np.where(swag, 0.014, 0.002)


def pillar(tile: Tile, look: Look, rng: Random) -> None:
    """Paint a fluted shaft with base and capital."""
    tile.fill(shade(look.trim, 0.97), 0.012)
    for place in (0.3, 0.6):
        groove = tile.part(place * tile.width, 0.03, place * tile.width + 0.003, tile.height - 0.03)
        groove.fill(shade(look.trim, 0.8), 0.007)
    for top in (0.0, tile.height - 0.022):
        tile.band(top, top + 0.022).fill(shade(look.trim, 1.05), 0.017)


def shop(tile: Tile, look: Look, rng: Random) -> None:
    """Paint a shop window under its sign, sometimes with an awning."""
    tile.fill(look.shop, -0.004)
    sign, plinth = 0.2 * tile.height, 0.12 * tile.height
    pane = tile.part(0.008, sign, tile.width - 0.008, tile.height - plinth)
    glass(pane, look, rng)
    goods = tinted(clouds(rng, pane.relief.shape, (3, 5), 2).clip(0, 1), rgb(*rng.uniform(0.4, 1.0, 3)))
    pane.color[:] = cv2.addWeighted(pane.color, 0.75, goods, 0.5, 0)
    for x in np.linspace(0, pane.width, max(2, round(pane.width / 0.09)) + 1)[1:-1]:
        pane.part(x - 0.003, 0, x + 0.003, pane.height).fill(look.shop, -0.006)
    ink = shade(look.shop, 2.6) if look.shop.mean() < 0.35 else shade(look.shop, 0.25)
    x = 0.2 * tile.width
    while x < 0.78 * tile.width:
        letter = rng.uniform(0.006, 0.012)
        tile.part(x, 0.3 * sign, x + letter, 0.72 * sign).fill(ink)
        x += letter + (0.005 if rng.random() < 0.85 else 0.015)
    if look.awnings:
        cloth = tile.band(0.9 * sign, 0.9 * sign + 0.24 * tile.height)
        cloth.fill(look.awning)
        cloth.bars(0.03, 0.015, rgb(0.93, 0.91, 0.86), 0.0)
        cloth.relief[:] = np.linspace(0.01, 0.05, cloth.relief.shape[0], dtype=np.float32)[:, None]


def roof(tile: Tile, look: Look, rng: Random) -> None:
    """Paint courses of tiles or slate, lying back behind the wall."""
    warm = look.roof[0] > 1.25 * look.roof[2]
    surface(tile, look.roof, "tiles" if warm else "slate", rng)
    tile.relief[:] -= 0.012
    tile.band(0, 0.008).fill(shade(look.roof, 0.75), 0.0)


DRAW_FUNCTIONS: dict[tuple[str, str], Callable[[Tile, Look, Random], None]] = {  # (kind, detail) of a part
    ("facade", ""): wall,
    ("facade", "base"): base,
    ("facade", "roof"): roof,
    ("window", ""): window,
    ("window", "dormer"): dormer,
    ("door", ""): door,
    ("cornice", ""): profile,
    ("sill", ""): sill,
    ("balcony", ""): balcony,
    ("blind", "shutter"): shutter,
    ("blind", "roller"): roller,
    ("deco", ""): deco,
    ("molding", ""): eaves,
    ("pillar", ""): pillar,
    ("shop", ""): shop,
}
