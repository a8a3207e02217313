"""What stands in the bays of a house: windows and what belongs to them, doors, shops, balconies."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """One labelled shape of a house; `kind` is its label, `detail` what of that kind it is."""

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
        balconies=str(rng.choice(["none", "centre", "column", "ends", "gallery"], p=[0.4, 0.2, 0.15, 0.15, 0.1])),
        ground=str(rng.choice(["shop", "door", "doors"], p=[0.4, 0.4, 0.2])),
    )


def _balcony_bays(style: str, count: int) -> set[int]:
    middle = {(count - 1) // 2, count // 2}
    return {"none": set(), "centre": middle, "column": middle, "ends": {0, count - 1}, "gallery": set()}[style]


Box = tuple[float, float, float, float]


def _upper_bay(
    rng: np.random.Generator, style: _Style, cell: Box, accent: str, storey: int, balcony: bool
) -> list[Part]:
    left, top, right, bottom = cell
    width, height = right - left, bottom - top
    window_width = min(width * style.window_width, 0.13)
    sill = bottom - 0.2 * height
    head = sill - style.window_height * height
    centre, half = (left + right) / 2, window_width / 2
    if accent == "wide":
        half *= 1.5
    centres = [centre - 0.62 * window_width, centre + 0.62 * window_width] if accent == "pair" else [centre]
    half = min(half, 0.42 * width / len(centres))
    parts = []
    for x in centres:
        box = (x - half, head, x + half, sill)
        arched = style.arched_storey == storey
        parts += _window(rng, style, box, arched, shutters=width > 4.2 * half and len(centres) == 1)
    outer = (centres[0] - half, centres[-1] + half)
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
        width, centre = right - left, (left + right) / 2
        arched = style.arched_storey == 0
        if bay in doors and (bays > 1 or style.ground != "shop"):
            half = min(0.05, 0.32 * width)
            shape = "arch" if arched else "rectangle"
            parts.append(Part("door", centre - half, top + 0.2 * height, centre + half, bottom, shape, layer=3))
            if not arched and style.hoods:
                hood = (centre - 1.25 * half, top + 0.1 * height, centre + 1.25 * half, top + 0.185 * height)
                parts.append(Part("deco", *hood, layer=5))
        elif style.ground == "shop":
            inset = 0.05 * width
            parts.append(Part("shop", left + inset, top + 0.12 * height, right - inset, bottom, layer=3))
        else:
            half = min(width * style.window_width, 0.13) / 2
            box = (centre - half, top + 0.22 * height, centre + half, top + 0.7 * height)
            parts += _window(rng, style, box, arched, shutters=width > 4.2 * half)
    return parts
