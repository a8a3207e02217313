"""Random floor plans of town houses, and their label maps in the colours of CMP Facades.

Lengths are in units of the image's shorter side, y points down: a plan knows no pixels.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pix2pix.data.facades.bays import Part, bay_parts
from pix2pix.palettes import PALETTES

PALETTE = dict(zip(PALETTES["facades"].names, PALETTES["facades"].colours, strict=True))


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
    """Paint the label map of a plan: size is (H, W), the result (H, W, 3) RGB in colours of PALETTE only."""
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
            centre = body.left + (body.right - body.left) * place
            bottom = eaves - 0.025
            parts.append(Part("window", centre - half, bottom - rise, centre + half, bottom, detail="dormer"))
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
    rhythm = rng.choice(["even", "centre", "ends", "alternating"])
    if rhythm == "centre":
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
