"""Random floor plans of town houses, and their label maps.

Lengths are in units of the image's shorter side, y points down: a plan knows no pixels.
"""

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pix2pix.data.labels import PALETTES


class Part(NamedTuple):
    """One labeled shape of a house; `kind` is its label, `detail` what of that kind it is."""

    kind: str
    left: float
    top: float
    right: float
    bottom: float
    shape: str = "rectangle"
    detail: str = ""
    layer: int = 0


class _Style(NamedTuple):
    """What all windows of a house have in common."""

    window_width: float  # of its bay
    window_height: float  # of its storey
    accent: str  # what wide bays hold: one window, a pair or a wide one
    arched_storey: int  # from the street; -1: none
    sills: bool
    hoods: bool
    shutters: bool
    rollers: float  # the share of windows with a blind let down
    panels: bool
    balconies: str
    ground: str


def bay_parts(rng: np.random.Generator, levels: list[float], edges: list[float]) -> list[Part]:
    """Fill the storeys between `levels` (top to street) and the bays between `edges` (left to right)."""
    style = _draw_style(rng)
    widths = np.diff(edges)
    wide = widths > 1.15 * widths.min() if style.accent != "single" else np.zeros(len(widths), bool)
    parts: list[Part] = []
    storeys = len(levels) - 1
    balcony_bays = _balcony_bays(style.balconies, len(widths))
    for storey in range(1, storeys):
        top, bottom = levels[storeys - 1 - storey : storeys + 1 - storey]
        for bay, (left, right) in enumerate(pairwise(edges)):
            accent = style.accent if wide[bay] else "single"
            balcony = bay in balcony_bays and (storey == 1 or style.balconies == "column")
            parts += _upper_bay(rng, style, (left, top, right, bottom), accent, storey, balcony)
    if style.balconies == "gallery":
        floor = levels[-2]
        parts.append(Part("balcony", edges[0], floor - 0.075, edges[-1], floor - 0.004, layer=6))
    return parts + _ground_floor(rng, style, levels[-2], levels[-1], edges)


def _draw_style(rng: np.random.Generator) -> _Style:
    hoods = rng.random() < 0.45
    return _Style(
        window_width=rng.uniform(0.36, 0.52),
        window_height=rng.uniform(0.5, 0.62),
        accent=str(rng.choice(["single", "pair", "wide"])),
        arched_storey=int(rng.choice([-1, 0, 1, 2], p=[0.5, 0.2, 0.15, 0.15])),
        sills=rng.random() < 0.75,
        hoods=hoods,
        shutters=not hoods and rng.random() < 0.45,
        rollers=0.35 if rng.random() < 0.35 else 0.0,
        panels=rng.random() < 0.25,
        balconies=str(rng.choice(["none", "center", "column", "ends", "gallery"], p=[0.4, 0.2, 0.15, 0.15, 0.1])),
        ground=str(rng.choice(["shop", "door", "doors"], p=[0.4, 0.4, 0.2])),
    )


def _balcony_bays(style: str, count: int) -> set[int]:
    middle = {(count - 1) // 2, count // 2}
    return {"none": set(), "center": middle, "column": middle, "ends": {0, count - 1}, "gallery": set()}[style]


Box = tuple[float, float, float, float]


def _upper_bay(
    rng: np.random.Generator, style: _Style, cell: Box, accent: str, storey: int, balcony: bool
) -> list[Part]:
    left, top, right, bottom = cell
    width, height = right - left, bottom - top
    window_width = min(width * style.window_width, 0.13)
    sill = bottom - 0.2 * height
    head = sill - style.window_height * height
    center, half = (left + right) / 2, window_width / 2
    if accent == "wide":
        half *= 1.5
    centers = [center - 0.62 * window_width, center + 0.62 * window_width] if accent == "pair" else [center]
    half = min(half, 0.42 * width / len(centers))
    parts = []
    for x in centers:
        box = (x - half, head, x + half, sill)
        arched = style.arched_storey == storey
        parts += _window(rng, style, box, arched, shutters=width > 4.2 * half and len(centers) == 1)
    outer = (centers[0] - half, centers[-1] + half)
    if style.panels and storey > 1:
        parts.append(Part("deco", outer[0], bottom - 0.11 * height, outer[1], bottom + 0.07 * height, layer=4))
    if balcony:
        reach = min(0.035, (width - (outer[1] - outer[0])) / 2)
        rail = (outer[0] - reach, sill - 0.3 * height, outer[1] + reach, sill + 0.05 * height)
        parts.append(Part("balcony", *rail, layer=6))
    return parts


def _window(rng: np.random.Generator, style: _Style, box: Box, arched: bool, shutters: bool) -> list[Part]:
    left, top, right, bottom = box
    width = right - left
    parts = [Part("window", *box, "arch" if arched else "rectangle", layer=3)]
    if style.sills:
        parts.append(Part("sill", left - 0.1 * width, bottom, right + 0.1 * width, bottom + 0.016, layer=5))
    if style.hoods and not arched:
        parts.append(Part("cornice", left - 0.14 * width, top - 0.028, right + 0.14 * width, top - 0.004, layer=5))
    if style.shutters and shutters and not arched:
        leaf, gap = 0.46 * width, 0.004
        parts.append(Part("blind", left - gap - leaf, top, left - gap, bottom, detail="shutter", layer=5))
        parts.append(Part("blind", right + gap, top, right + gap + leaf, bottom, detail="shutter", layer=5))
    elif not arched and rng.random() < style.rollers:
        drop = rng.uniform(0.25, 0.9)
        parts.append(Part("blind", left, top, right, top + drop * (bottom - top), detail="roller", layer=4))
    return parts


def _ground_floor(rng: np.random.Generator, style: _Style, top: float, bottom: float, edges: list[float]) -> list[Part]:
    """Doors where the style has them; between them a shop window or a plain one in every bay."""
    bays = len(edges) - 1
    doors = {int(rng.integers(bays))}
    if style.ground == "doors":
        doors = {0, bays - 1}
    elif style.ground == "door" and rng.random() < 0.6:
        doors = {bays // 2}
    height = bottom - top
    parts: list[Part] = []
    for bay, (left, right) in enumerate(pairwise(edges)):
        width, center = right - left, (left + right) / 2
        arched = style.arched_storey == 0
        if bay in doors and (bays > 1 or style.ground != "shop"):
            half = min(0.05, 0.32 * width)
            shape = "arch" if arched else "rectangle"
            parts.append(Part("door", center - half, top + 0.2 * height, center + half, bottom, shape, layer=3))
            if not arched and style.hoods:
                hood = (center - 1.25 * half, top + 0.1 * height, center + 1.25 * half, top + 0.185 * height)
                parts.append(Part("deco", *hood, layer=5))
        elif style.ground == "shop":
            inset = 0.05 * width
            parts.append(Part("shop", left + inset, top + 0.12 * height, right - inset, bottom, layer=3))
        else:
            half = min(width * style.window_width, 0.13) / 2
            box = (center - half, top + 0.22 * height, center + half, top + 0.7 * height)
            parts += _window(rng, style, box, arched, shutters=width > 4.2 * half)
    return parts


PALETTE = dict(zip(PALETTES["facades"].names, PALETTES["facades"].colors, strict=True))


class Plan(NamedTuple):
    """A house: its parts from back to front, on a picture of height x width."""

    height: float
    width: float
    street: float
    parts: tuple[Part, ...]


class _Body(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float


def draw_plan(rng: np.random.Generator, height: float, width: float) -> Plan:
    """Draw one house that fills a picture of height x width (the shorter of them is 1)."""
    street = height - (rng.uniform(0.04, 0.1) if rng.random() < 0.8 else 0.0)
    left, right = (rng.uniform(0.04, 0.13) if rng.random() < 0.5 else 0.0 for _ in range(2))
    body = _Body(left, 0.0, width - right, street)
    parts: list[Part] = []
    if rng.random() < 0.8:
        body, parts = _roof(rng, body)
    band = _Body(body.left, body.top, body.right, body.top + rng.uniform(0.025, 0.05))
    parts.append(Part("molding", *band, layer=2))  # always: it parts the wall from the roof
    levels = _levels(rng, body._replace(top=band.bottom))
    parts.append(Part("facade", body.left, body.top, body.right, levels[-2]))
    parts.append(Part("facade", body.left, levels[-2], body.right, body.bottom, detail="base"))
    edges = _bay_edges(rng, body)
    parts += _pillars(rng, body._replace(top=band.bottom), levels, edges)
    parts += _moldings(rng, body, levels)
    parts += bay_parts(rng, levels, edges)
    return Plan(height, width, street, tuple(sorted(parts, key=lambda part: part.layer)))


def paint_labels(plan: Plan, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Paint the label map of a plan: size is (H, W), the result (H, W, 3) RGB in colors of PALETTE only."""
    number = {kind: index for index, kind in enumerate(PALETTE)}
    classes = np.full(size, number["background"], np.uint8)
    for part in plan.parts:
        region = classes[pixel_box(part, min(size))]
        region[part_mask(part, *region.shape)] = number[part.kind]
    return np.take(np.array(list(PALETTE.values()), np.uint8), classes, axis=0)


def pixel_box(part: Part, scale: float) -> tuple[slice, slice]:
    """Return the rows and columns that a part covers when a unit is `scale` pixels; either may be empty."""
    left, top, right, bottom = (max(0, round(scale * edge)) for edge in part[1:5])
    return slice(top, bottom), slice(left, right)


def part_mask(part: Part, height: int, width: int) -> NDArray[np.bool_]:
    """Return which of the height x width pixels of its box a part covers."""
    if part.shape == "rectangle" or not height or not width:
        return np.ones((height, width), bool)
    across, down = _OUTLINES[part.shape]
    points = np.stack([np.multiply(across, width) - 0.5, np.multiply(down, height) - 0.5], axis=-1)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(bool)


_ARC = np.linspace(np.pi, 0, 17)
_OUTLINES: dict[str, tuple[list[float], list[float]]] = {  # x and y of a polygon in fractions of the part's box
    "arch": ([0.0, *(0.5 + 0.5 * np.cos(_ARC)), 1.0], [1.0, *(0.3 - 0.3 * np.sin(_ARC)), 1.0]),
    "gable": ([0.0, 0.5, 1.0], [1.0, 0.0, 1.0]),
    "hip": ([0.0, 0.12, 0.88, 1.0], [1.0, 0.0, 0.0, 1.0]),
}


def _roof(rng: np.random.Generator, body: _Body) -> tuple[_Body, list[Part]]:
    """Leave sky above the house and perhaps a roof; return the body below it and the roof with its dormers."""
    sky = rng.uniform(0.05, 0.13)
    if rng.random() < 0.3:
        return body._replace(top=sky), []
    wide = body.right - body.left > 1.3
    shape = str(rng.choice(["hip", "rectangle"] if wide else ["hip", "rectangle", "gable"]))
    eaves = sky + (rng.uniform(0.18, 0.24) if shape == "gable" else rng.uniform(0.09, 0.16))
    parts = [Part("facade", body.left, sky, body.right, eaves, shape, "roof")]
    if rng.random() < 0.7:
        count = 1 if shape == "gable" else max(1, round((body.right - body.left) / rng.uniform(0.2, 0.4)))
        half, rise = rng.uniform(0.025, 0.035), 0.55 * (eaves - sky if shape != "gable" else 0.13)
        reach = 0.1 if shape == "hip" else 0.0
        for dormer in range(count):
            place = reach + (1 - 2 * reach) * (dormer + 0.5) / count
            center = body.left + (body.right - body.left) * place
            bottom = eaves - 0.025
            parts.append(Part("window", center - half, bottom - rise, center + half, bottom, detail="dormer"))
    return body._replace(top=eaves), parts


def _levels(rng: np.random.Generator, body: _Body) -> list[float]:
    """Return the heights that part the storeys, from the eaves down to the street."""
    count = max(2, round((body.bottom - body.top) / rng.uniform(0.18, 0.27)))
    weights = np.ones(count)
    weights[0] = rng.uniform(0.75, 1.0)
    weights[-2] *= rng.uniform(1.0, 1.2)
    weights[-1] = rng.uniform(1.05, 1.35)
    steps = np.concatenate([[0], np.cumsum(weights)]) / weights.sum()
    return [float(body.top + (body.bottom - body.top) * step) for step in steps]


def _bay_edges(rng: np.random.Generator, body: _Body) -> list[float]:
    """Return where the bays begin and end, from left to right: symmetric, in one of four rhythms."""
    count = max(1, round((body.right - body.left) / rng.uniform(0.15, 0.26)))
    weights = np.ones(count)
    accent = rng.uniform(1.3, 1.6)
    rhythm = rng.choice(["even", "center", "ends", "alternating"])
    if rhythm == "center":
        weights[(count - 1) // 2 : count // 2 + 1] = accent
    elif rhythm == "ends":
        weights[[0, -1]] = accent
    elif rhythm == "alternating":
        weights[1::2] = accent
    corner = rng.uniform(0.04, 0.2)  # bare wall at both ends
    steps = (corner + np.concatenate([[0], np.cumsum(weights)])) / (2 * corner + weights.sum())
    return [float(body.left + (body.right - body.left) * step) for step in steps]


def _pillars(rng: np.random.Generator, body: _Body, levels: list[float], edges: list[float]) -> list[Part]:
    style = rng.choice(["none", "corners", "bays"], p=[0.5, 0.2, 0.3])
    half = rng.uniform(0.009, 0.014)
    bottom = levels[-2] if rng.random() < 0.6 else body.bottom
    corners = [body.left + half, body.right - half]
    places = {"none": [], "corners": corners, "bays": [*corners, *edges[1:-1]]}[str(style)]
    return [Part("pillar", x - half, body.top, x + half, bottom, layer=1) for x in places]


def _moldings(rng: np.random.Generator, body: _Body, levels: list[float]) -> list[Part]:
    """Draw bands across the house between its storeys, as the style has it."""
    half = rng.uniform(0.007, 0.014)
    bands = levels[-2:-1] if rng.random() < 0.7 else []
    if rng.random() < 0.35:
        bands += levels[1:-2]
    return [Part("molding", body.left, y - half, body.right, y + half, layer=2) for y in bands]
