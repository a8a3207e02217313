"""Label maps: palettes, the class of each pixel, and the colors of classes."""

import re
from collections.abc import Sequence
from itertools import count
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pix2pix.data.arrays import Array
from pix2pix.errors import UserError

Color = tuple[int, ...]

_MAX_BYTES = 1_000_000
_MAX_COLOURS = 256  # indices of one byte
_LINE = re.compile(r"(-?[0-9]{1,9})[\s,]+(-?[0-9]{1,9})[\s,]+(-?[0-9]{1,9})(?:[\s,]+(.*))?")


class Palette(NamedTuple):
    """The names of the classes and their colors, RGB in 0..255; a class's index is its position.

    `ignored` are the classes excluded from metrics and from training of segmenters.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignored: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, list[Any]]:
        """Return plain values for a checkpoint."""
        return {"names": list(self.names), "colours": list(self.colors), "ignored": list(self.ignored)}


_FACADES: dict[str, Color] = {  # measured on the label maps of pix2pix's facades set
    "background": (0, 0, 222),
    "facade": (0, 48, 255),
    "window": (0, 128, 255),
    "door": (0, 207, 255),
    "cornice": (32, 255, 224),  # the hood above a window
    "sill": (112, 255, 142),
    "balcony": (192, 255, 63),
    "blind": (255, 240, 0),
    "deco": (255, 159, 0),
    "molding": (255, 80, 0),  # a band across the house
    "pillar": (255, 0, 0),
    "shop": (174, 0, 0),
}
_CITYSCAPES: dict[str, Color] = {  # the 19 classes of training by trainId, then the other colors
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
    "unlabeled": (0, 0, 0),
    "dynamic": (111, 74, 0),
    "ground": (81, 0, 81),
    "parking": (250, 170, 160),
    "rail track": (230, 150, 140),
    "guard rail": (180, 165, 180),
    "bridge": (150, 100, 100),
    "tunnel": (150, 120, 90),
    "caravan": (0, 0, 90),
    "trailer": (0, 0, 110),
}
_CAMVID: dict[str, Color] = {  # label_colors.txt
    "Animal": (64, 128, 64),
    "Archway": (192, 0, 128),
    "Bicyclist": (0, 128, 192),
    "Bridge": (0, 128, 64),
    "Building": (128, 0, 0),
    "Car": (64, 0, 128),
    "CartLuggagePram": (64, 0, 192),
    "Child": (192, 128, 64),
    "Column_Pole": (192, 192, 128),
    "Fence": (64, 64, 128),
    "LaneMkgsDriv": (128, 0, 192),
    "LaneMkgsNonDriv": (192, 0, 64),
    "Misc_Text": (128, 128, 64),
    "MotorcycleScooter": (192, 0, 192),
    "OtherMoving": (128, 64, 64),
    "ParkingBlock": (64, 192, 128),
    "Pedestrian": (64, 64, 0),
    "Road": (128, 64, 128),
    "RoadShoulder": (128, 128, 192),
    "Sidewalk": (0, 0, 192),
    "SignSymbol": (192, 128, 128),
    "Sky": (128, 128, 128),
    "SUVPickupTruck": (64, 128, 192),
    "TrafficCone": (0, 0, 64),
    "TrafficLight": (0, 64, 64),
    "Train": (192, 64, 128),
    "Tree": (128, 128, 0),
    "Truck_Bus": (192, 128, 192),
    "Tunnel": (64, 0, 64),
    "VegetationMisc": (192, 192, 0),
    "Void": (0, 0, 0),
    "Wall": (64, 192, 0),
}
PALETTES = {
    "facades": Palette(tuple(_FACADES), tuple(_FACADES.values())),
    "cityscapes": Palette(tuple(_CITYSCAPES), tuple(_CITYSCAPES.values()), ignored=tuple(_CITYSCAPES)[19:]),
    "camvid": Palette(tuple(_CAMVID), tuple(_CAMVID.values()), ignored=("Void",)),
}


def load_palette(name_or_path: str) -> Palette:
    """Return a palette of PALETTES by name, or read one from a UTF-8 file.

    Each line of the file is a class: `R G B name`, separated by spaces, tabs or commas; without a name, its index is
    the name. Blank lines and comments after `#` are skipped.

    Raises:
        UserError: there is no such palette, or a line is invalid.
    """
    if name_or_path in PALETTES:
        return PALETTES[name_or_path]
    place = f"palette {name_or_path!r}"
    classes: dict[Color, str] = {}
    for number, line in enumerate(_text(name_or_path, place).splitlines(), start=1):
        if content := line.partition("#")[0].strip():
            color, name = _class(content, f"{place}, line {number}")
            if color in classes:
                raise UserError(f"{place}, line {number}: got {_short(content)} twice; give each color once")
            classes[color] = name or str(len(classes))
    if not 2 <= len(classes) <= _MAX_COLOURS:
        raise UserError(f"{place}: got {len(classes)} in all; 2 to {_MAX_COLOURS} `R G B name` lines are needed")
    return Palette(tuple(classes.values()), tuple(classes))


def infer_palette(colors: Sequence[Color]) -> Palette:
    """Return the palette of these colors, named by a known palette with all of them, else by index."""
    for known in PALETTES.values():
        names = dict(zip(known.colors, known.names, strict=True))
        if set(colors) <= set(names):
            named = tuple(names[color] for color in colors)
            return Palette(named, tuple(colors), tuple(name for name in named if name in known.ignored))
    return Palette(tuple(map(str, range(len(colors)))), tuple(colors))


def _text(path: str, place: str) -> str:
    known = ", ".join(PALETTES)
    try:
        if not Path(path).is_file():
            raise UserError(f"{place}: no such palette or file; choose {known}, or a file of `R G B name` lines")
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{place}: {error.strerror}; choose {known}, or a file that can be read") from error
    if len(content) > _MAX_BYTES:
        raise UserError(f"{place}: larger than 1 MB; a text file of `R G B name` lines is needed")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: not UTF-8 text; a text file of `R G B name` lines is needed") from error


def _class(content: str, place: str) -> tuple[Color, str]:
    match = _LINE.fullmatch(content)
    if match is None:
        raise UserError(f"{place}: got {_short(content)}; write `R G B name`, such as `128 64 128 road`")
    red, green, blue = (int(value) for value in match.group(1, 2, 3))
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise UserError(f"{place}: got {_short(content)}; R, G and B are from 0 to 255")
    return (red, green, blue), match.group(4) or ""


def _short(content: str) -> str:
    return repr(content if len(content) <= 60 else f"{content[:57]}...")


Classes = NDArray[np.int64]

_CHUNK = 2**12  # pixels at a time, for the CPU cache
_FAR = 64  # distance from every color: JPEG moves few pixels that far


def find_nearest_class(image: Array, palette: Sequence[Color]) -> Classes:
    """Return the index (H, W) of the palette color nearest to each pixel of (H, W, C), the first of equals."""
    colors = np.array(palette, np.float64)
    origin = colors.min(axis=0)  # keeps squares of large values exact
    colors -= origin
    pixels = image.reshape(-1, colors.shape[1])
    # |x - p|^2 = |x|^2 - 2 (x.p - |p|^2 / 2): the nearest color has the largest bracket, exact for integers
    offset = (colors**2).sum(axis=1) / 2
    classes = [
        ((pixels[start : start + _CHUNK] - origin) @ colors.T - offset).argmax(axis=1)
        for start in range(0, len(pixels), _CHUNK)
    ]
    return np.concatenate(classes).reshape(image.shape[:2])


def is_far_from_palette(image: Array, palette: Sequence[Color], nearest_classes: Classes) -> NDArray[np.bool_]:
    """Return a mask (H, W) of the pixels of (H, W, C) that are far from every color of the palette."""
    nearest = np.array(palette, np.float64)[nearest_classes]
    far: NDArray[np.bool_] = ((image - nearest) ** 2).sum(axis=2) > _FAR**2
    return far


def mark_unknown_classes(numbers: Array, count: int) -> Classes:
    """Return class indices (H, W, 1) as (H, W), with `count` for those outside of 0..count - 1."""
    classes = numbers[..., 0].astype(np.int64)
    return np.where((classes >= 0) & (classes < count) & (classes == numbers[..., 0]), classes, count)


def color_classes(classes: Classes, palette: Sequence[Color]) -> Array:
    """Return the colors (H, W, C) of classes (H, W); black for the index one past the last."""
    return np.array([*palette, np.zeros_like(palette[0])])[classes]


_SAMPLES = 4096
_COMPARED = 8  # every how many samples the palettes are compared with
_LEVELS = 8  # per channel: finer differences are noise or compression
_COUNTED = 12  # channels whose levels fit an exact number
_NEAR = 16  # of 255: compression moves most colors of a label map by less
_LIKELY = 0.6  # share of pixels near its colors from which a palette is suggested; in photos it is at most 0.2


class PixelSample(NamedTuple):
    """The most common color, in levels, its share, the number of distinct colors, and a likely palette."""

    color: tuple[int, ...]
    share: float
    distinct: int
    palette: str | None


def sample_pixels(image: Array) -> PixelSample:
    """Sample some thousand pixels of an image (H, W, C), evenly spaced."""
    flat = image.reshape(-1, image.shape[2])
    least = max(len(flat) // _SAMPLES, 1)
    step = next(step for step in count(least) if gcd(step, image.shape[1]) == 1)  # so that every column is sampled
    flat = flat[::step, :_COUNTED].astype(np.float64)
    low, high = (0, 255) if image.dtype == np.uint8 else (flat.min(), flat.max())
    levels = ((flat - low) / max(high - low, 1e-12) * (_LEVELS - 1)).round()
    radix = float(_LEVELS) ** np.arange(flat.shape[1])
    _, first, times = np.unique(levels @ radix, return_counts=True, return_index=True)
    most = times.argmax()
    color = tuple(map(int, levels[first[most]]))
    distinct = len(np.unique(flat @ np.pi ** np.arange(flat.shape[1])))
    is_rgb = image.dtype == np.uint8 and image.shape[2] == 3
    return PixelSample(
        color, float(times[most] / len(flat)), distinct, _likely_palette(flat[::_COMPARED]) if is_rgb else None
    )


def _likely_palette(flat: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str | None:
    shares = {}
    for name, palette in PALETTES.items():
        colors = np.array(palette.colors, np.float64)
        squares = (flat**2).sum(axis=1)[:, None] + (colors**2).sum(axis=1) - 2 * flat @ colors.T
        shares[name] = float((squares.min(axis=1) < _NEAR**2).mean())
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= _LIKELY else None
