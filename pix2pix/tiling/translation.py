"""The choice between the whole image at once and tiles, by the memory that there is."""

import logging
import os
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pix2pix.errors import is_out_of_memory
from pix2pix.layers import Stage
from pix2pix.tiling.canvas import Canvas, Padded
from pix2pix.tiling.passes import SMALLEST, Passes
from pix2pix.tiling.plan import Features, Plan, chosen
from pix2pix.tiling.spans import whole

Tile = Literal["auto", "off"] | int

_LOG = logging.getLogger(__name__)
_TILES = (1024, 512, 256)  # pixels a side that "auto" tries: larger ones compute less at their borders
_SHARE = 0.5  # of the free memory, for the estimate is one
_BUDGET = 2 * 2**30  # bytes of features that tiles aim at, so that the process stays below 4 GB
_UNKNOWN = 4 * 2**30  # bytes of memory where the system does not tell

__all__ = ["SMALLEST", "Tile", "free_memory", "translate"]


def translate(
    generator: nn.Module, stages: Sequence[Stage], multiple: int, canvas: Canvas, tile: Tile, device: torch.device
) -> None:
    """Translate a canvas, mirrored to a multiple, whole or in tiles of `tile` pixels a side: the result is the same.

    "auto" takes the whole where half of the free memory suffices, and tiles where not; a number takes tiles of images
    larger than that; "off" always the whole. Statistics of images are those of the whole image; dropout is drawn for
    the whole of its features. Norms and dropouts are to be switched as they should be, and no gradient is to be kept.

    Raises:
        UserError: there is no memory for the smallest tiles.
    """
    image = Padded(canvas, multiple, device)
    everything = whole(image.size)
    if tile == "off" or (canvas.is_in_memory and max(image.size) <= (_TILES[0] if tile == "auto" else tile)):
        image.write(everything, generator(image.read(everything)))
        return
    features = Features(stages, image.size, _itemsize(stages, device))
    free = int(free_memory(device) * _SHARE)
    if tile == "auto" and canvas.is_in_memory and features.whole().peak <= free:
        output = _unless_out_of_memory(generator, image.read(everything))
        if output is not None:
            image.write(everything, output)
            return
    budget = _BUDGET if canvas.is_in_memory else _BUDGET // 2  # who reads a file by windows expects little
    Passes(features, planned(features, tile, min(free, budget)), image).run()


def planned(features: Features, tile: Tile, budget: int) -> Plan:
    """Choose what is kept, and for "auto" the largest tile that stays within the budget, or else the smallest."""
    for side in _TILES if isinstance(tile, str) else (tile,):
        plan = chosen(features, side, budget)
        if plan.peak <= budget:
            break
    return plan


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows, nor on a Mac
        return _UNKNOWN


def _unless_out_of_memory(generator: nn.Module, x: Tensor) -> Tensor | None:
    try:
        output: Tensor = generator(x)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _LOG.warning("out of memory: going on with tiles")
        return None
    return output


def _itemsize(stages: Sequence[Stage], device: torch.device) -> int:
    """Bytes of one feature."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type).itemsize
    return next(stage.operation.weight for stage in stages if not isinstance(stage.operation, nn.Upsample)).itemsize
