"""The generated data set: facades drawn from random floor plans, as pairs of a photo and its label map.

Nothing is downloaded or stored: a pair is a pure function of (seed, index, size).
"""

import numpy as np
from numpy.typing import NDArray

from pix2pix.data.generated.photo import render
from pix2pix.data.generated.plan import PALETTE, draw_plan, paint_labels
from pix2pix.errors import UserError

__all__ = ["PALETTE", "SMALLEST", "generate"]

SMALLEST = 16  # pixels of the shorter side: below it no window is left


def generate(
    seed: int, index: int, size: tuple[int, int] = (256, 256), *, rendering: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return one pair, (photo, labels), both (H, W, 3) uint8 RGB for size (H, W).

    At twice the size it is the same house, drawn finer. `rendering` chooses one of the many photographs
    that fit the label map: another weather, other materials, another camera.

    Raises:
        UserError: a side is shorter than SMALLEST, or seed, index or rendering is negative.
    """
    if min(size) < SMALLEST:
        raise UserError(
            f"generated pictures of {size[0]}x{size[1]} were asked for; choose at least {SMALLEST} pixels for each side"
        )
    if min(seed, index, rendering) < 0:
        raise UserError(
            f"generated pairs were asked for with seed {seed}, index {index}, rendering {rendering}; "
            "choose whole numbers from 0 up"
        )
    height, width = size
    unit = min(size)
    plan = draw_plan(np.random.default_rng([seed, index]), height / unit, width / unit)
    photo = render(plan, size, np.random.default_rng([seed, index, 1 + rendering]))
    return photo, paint_labels(plan, size)
