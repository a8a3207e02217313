"""Light and photograph a painted facade.

What the plan leaves open (materials, colors, weather, sun, camera) is drawn from the random generator.
"""

from typing import NamedTuple

import cv2
import numpy as np

from pix2pix.data.generated.paint import (
    DRAW_FUNCTIONS,
    Array,
    Color,
    Look,
    Picture,
    Random,
    Tile,
    clouds,
    rgb,
    shade,
    sky,
    tinted,
)
from pix2pix.data.generated.plan import Plan, part_mask, pixel_box

_OVERSAMPLING = 2
_SKY = -1.0  # the relief of what no sun of ours lights


class Light(NamedTuple):
    """The sun: how much of the light is its own, its color, and the shadow that a unit of relief throws."""

    share: float
    color: Color
    across: float
    down: float


def render(plan: Plan, size: tuple[int, int], rng: Random) -> Picture:
    """Photograph a plan: size is (H, W), the result (H, W, 3) RGB. Its edges lie on those of the label map."""
    look, light = draw_look(rng), draw_light(rng)
    scale = _OVERSAMPLING * min(size)
    canvas = _canvas(plan, size, rng)
    for part in plan.parts:
        rows, columns = (slice(_OVERSAMPLING * s.start, _OVERSAMPLING * s.stop) for s in pixel_box(part, min(size)))
        tile = Tile(canvas.color[rows, columns], canvas.relief[rows, columns], scale)
        stream = np.random.default_rng(int(rng.integers(2**63)))  # a part's draws are its own, at any resolution
        if not tile.relief.size:
            continue
        covered = part_mask(part, *tile.relief.shape)
        behind = None if covered.all() else (tile.color[~covered], tile.relief[~covered])
        DRAW_FUNCTIONS[part.kind, part.detail](tile, look, stream)
        if behind:
            tile.color[~covered], tile.relief[~covered] = behind
    small = cv2.resize(canvas.color, size[::-1], interpolation=cv2.INTER_AREA)
    color = small.astype(np.float32) / np.float32(255)
    relief = np.asarray(cv2.resize(canvas.relief, size[::-1], interpolation=cv2.INTER_AREA), np.float32)
    return _camera(_lit(color, relief, _stains(relief, rng), light), rng)


def draw_look(rng: Random) -> Look:
    """Draw the materials and colors of a house."""
    material = str(rng.choice(["plaster", "brick", "stone"], p=[0.55, 0.27, 0.18]))
    wall = _pick(rng, _WALLS[material])
    stone = _pick(rng, _WALLS["stone"])
    dark_frame = rng.random() < 0.3
    other_base = rng.random() < 0.6
    return Look(
        material=material,
        base_material=str(rng.choice(["stone", "banded", "plaster"])) if other_base else material,
        wall=wall,
        base=stone if other_base else shade(wall, rng.uniform(0.85, 1.0)),
        trim=_pick(rng, _TRIMS) if rng.random() < 0.75 else shade(wall, 1.15),
        frame=_pick(rng, _DARK if dark_frame else _WHITES),
        glass=_pick(rng, [(0.78, 0.90, 1.0), (0.85, 0.95, 0.95), (0.9, 0.92, 0.95)]),
        shutter=_pick(rng, [(0.16, 0.33, 0.25), (0.36, 0.22, 0.14), (0.30, 0.40, 0.50), (0.55, 0.57, 0.52)]),
        door=_pick(rng, [(0.30, 0.18, 0.10), (0.12, 0.25, 0.20), (0.38, 0.10, 0.10), (0.15, 0.20, 0.32)]),
        rail=_pick(rng, [(0.10, 0.10, 0.11), (0.16, 0.20, 0.18), (0.22, 0.16, 0.12)]),
        railing=str(rng.choice(["iron", "balusters", "parapet"], p=[0.6, 0.2, 0.2])),
        roof=_pick(rng, [(0.58, 0.29, 0.20), (0.50, 0.24, 0.18), (0.34, 0.35, 0.38), (0.42, 0.30, 0.24)]),
        shop=_pick(
            rng, [(0.12, 0.22, 0.18), (0.35, 0.10, 0.10), (0.14, 0.18, 0.30), (0.80, 0.77, 0.70), (0.2, 0.2, 0.2)]
        ),
        awning=_pick(rng, [(0.60, 0.14, 0.13), (0.15, 0.35, 0.25), (0.18, 0.28, 0.48), (0.75, 0.55, 0.2)]),
        mullions=(int(rng.integers(1, 3)), int(rng.integers(1, 4))),
        awnings=rng.random() < 0.5,
    )


def draw_light(rng: Random) -> Light:
    """Draw the weather: from an overcast sky that throws no shadows to a low sun."""
    share = rng.uniform(0.35, 0.65) if rng.random() < 0.75 else rng.uniform(0.0, 0.12)
    warmth = rng.uniform(0.0, 0.16)
    side = 1.0 if rng.random() < 0.5 else -1.0
    color = rgb(1 + warmth, 1.0, 1 - warmth)
    return Light(share, color, side * rng.uniform(0.3, 1.1), rng.uniform(0.6, 1.3))


_WALLS = {
    "plaster": [
        *((0.85, 0.78, 0.62), (0.88, 0.70, 0.50), (0.80, 0.62, 0.55), (0.83, 0.82, 0.77), (0.66, 0.72, 0.64)),
        *((0.72, 0.50, 0.38), (0.64, 0.70, 0.76), (0.86, 0.80, 0.72), (0.78, 0.70, 0.48)),
    ],
    "brick": [(0.58, 0.31, 0.24), (0.50, 0.28, 0.22), (0.68, 0.42, 0.30), (0.74, 0.60, 0.42)],
    "stone": [(0.74, 0.70, 0.61), (0.64, 0.62, 0.58), (0.76, 0.66, 0.52), (0.58, 0.56, 0.54)],
}
_TRIMS = [(0.88, 0.86, 0.80), (0.80, 0.76, 0.67), (0.72, 0.69, 0.63), (0.90, 0.84, 0.72)]
_WHITES = [(0.93, 0.93, 0.91), (0.88, 0.86, 0.80)]
_DARK = [(0.34, 0.20, 0.11), (0.16, 0.17, 0.18), (0.16, 0.27, 0.22)]


def _pick(rng: Random, colors: list[tuple[float, float, float]]) -> Color:
    """Return one of the colors, a little off."""
    color = np.array(colors[rng.integers(len(colors))]) + rng.normal(0, 0.02, 3)
    return np.asarray(np.clip(color * rng.uniform(0.9, 1.08), 0.03, 0.97), np.float32)


def _canvas(plan: Plan, size: tuple[int, int], rng: Random) -> Tile:
    """Paint the background: the sky, neighboring houses as high as they like, and the street."""
    height, width = (_OVERSAMPLING * side for side in size)
    scale = float(_OVERSAMPLING * min(size))
    relief = np.full((height, width), _SKY, np.float32)
    above = sky(rng, (size[0] // 2, size[1] // 2))  # nothing in it is sharp
    color = cv2.resize(above, (width, height), interpolation=cv2.INTER_LINEAR)
    canvas = Tile(np.asarray(color), relief, scale)
    for left in (0.0, plan.width / 2):
        if rng.random() < 0.75:
            top = rng.uniform(0.05, 0.5) * plan.height
            house = canvas.part(left, top, left + plan.width / 2, plan.height)
            paint = shade(_pick(rng, _WALLS["plaster"]), 0.85)
            house.fill(paint, -0.03)
            house.band(0, 0.07).fill(_pick(rng, [(0.50, 0.28, 0.22), (0.36, 0.36, 0.38)]), -0.05)
            for storey in np.arange(0.14, house.height, 0.22):
                for x in np.arange(0.01, house.width, 0.13):
                    house.part(x, storey, x + 0.05, storey + 0.11).fill(shade(paint, 0.55), -0.045)
    street = canvas.band(plan.street, plan.height)
    if street.relief.size:
        gray = shade(rgb(1.0, 0.98, 0.95), rng.uniform(0.38, 0.6))
        kerb = 0.45 * street.height
        street.relief[:] = 0.0
        for ground, tone in ((street, 1.0), (street.band(kerb, street.height), 0.72)):
            ground.color[:] = tinted(tone + 0.2 * clouds(rng, ground.relief.shape, (2, 8)), gray)
        street.band(kerb, kerb + 0.006).fill(shade(gray, 1.15))
    return canvas


def _stains(relief: Array, rng: Random) -> Array:
    """Return how much light dirt leaves, (H, W): streaks of rain and broad patches."""
    strength = rng.uniform(0.1, 0.5)
    streaks = clouds(rng, relief.shape, (2, 40), 2).clip(0, 1)
    patches = clouds(rng, relief.shape, (3, 3), 3).clip(0, 1)
    return np.asarray(1 - strength * (0.35 * streaks + 0.3 * patches), np.float32)


def _lit(color: Array, relief: Array, stains: Array, light: Light) -> Array:
    """Light a picture: sun on slopes that face it, shadows of what stands out, dusk in what lies deep."""
    height, width = relief.shape
    scale = min(relief.shape)
    earth = ((1 + relief) / 0.95).clip(0, 1)  # 0 in the sky
    relief = relief.clip(-0.05, 0.05)
    smooth = cv2.GaussianBlur(relief, (0, 0), 0.5 + 0.012 * scale)
    dusk = 1 - (10 * (smooth - relief)).clip(0, 0.35)
    shadow = np.zeros_like(relief)
    for step in (0.006, 0.014, 0.024, 0.036, 0.050):
        thrown = _moved(relief, light.across * step * scale, light.down * step * scale)
        np.maximum(shadow, thrown - relief - np.float32(0.8 * step), out=shadow)
    soft = cv2.GaussianBlur((shadow * 150).clip(0, 1), (0, 0), 0.3 + 0.003 * scale)
    side = np.sign(light.across)
    slope = relief - _moved(relief, side, 1.0)
    sun = (1 - soft) * (1 + (12 * slope).clip(-0.35, 0.35)) * np.float32(light.share)
    fall = np.linspace(1.06, 0.92, height, dtype=np.float32)[:, None]
    fall = fall + np.linspace(0.06 * side, -0.06 * side, width, dtype=np.float32)
    bounced = dusk * fall * np.float32(1 - light.share)
    tints = zip(light.color, (0.97, 1.0, 1.04), strict=True)
    channels = [1 + earth * ((warm * sun + np.float32(cool) * bounced) * stains - 1) for warm, cool in tints]
    return np.asarray(cv2.multiply(color, cv2.merge(channels)), np.float32)


def _moved(image: Array, across: float, down: float) -> Array:
    """Return an image (H, W) moved by so many pixels, its border repeated."""
    shift = np.array([[1, 0, across], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(image, shift, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.float32)


def _camera(scene: Array, rng: Random) -> Picture:
    """Take the picture: white balance, exposure, contrast, vignetting, a soft lens and a noisy sensor."""
    height, width = scene.shape[:2]
    balance = rgb(*rng.uniform(0.95, 1.05, 3) * rng.uniform(0.92, 1.14))
    contrast, blur = rng.uniform(1.0, 1.25), rng.uniform(0.3, 0.6)
    strength, grain = rng.uniform(0.0, 0.16), np.float32(rng.uniform(0.004, 0.016))
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)
    vignette = 1 - np.float32(strength) * (x**2 + y**2)
    picture = cv2.GaussianBlur(scene, (0, 0), blur)
    picture = cv2.multiply(picture, cv2.merge([vignette * gain for gain in balance]))
    noise = grain * rng.standard_normal((height, width), np.float32) + np.float32(0.45 * (1 - contrast))
    picture = cv2.scaleAdd(picture, contrast, cv2.merge([noise] * 3))
    return np.asarray(cv2.convertScaleAbs(picture.clip(0, 1), alpha=255), np.uint8)
