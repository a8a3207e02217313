"""The choice between the whole image at once and tiles, by the memory that there is."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
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
TILES = (1024, 512, 256)  # pixels a side that "auto" tries: larger ones compute less at their borders
_SHARE = 0.5  # of the free memory, for the estimate is one
BUDGET = 3 * 2**29  # bytes of features that tiles aim at, so that the process stays below 4 GB
MEMORY = Path("/proc/meminfo")  # of Linux; what it calls free leaves out the files that it keeps at hand
GROUP = Path("/sys/fs/cgroup")  # a container's own limit
_UNKNOWN = 4 * 2**30  # bytes of memory where the system does not tell

__all__ = ["SMALLEST", "Tile", "free_memory", "translate"]


def translate(
    generator: Callable[[Tensor], Tensor],
    stages: Sequence[Stage],
    multiple: int,
    canvas: Canvas,
    tile: Tile,
    device: torch.device,
    layout: torch.memory_format,
) -> None:
    """Translate a canvas, mirrored to a multiple, whole or in tiles of `tile` pixels a side: the result is the same.

    "auto" takes the whole where half of the free memory suffices, and tiles where not; a number takes tiles of images
    larger than that; "off" always the whole. Statistics of images are those of the whole image; dropout is drawn for
    the whole of its features. Input comes to the generator on the device, laid out in memory as `layout`. Norms and
    dropouts are to be switched as they should be, and no gradient is to be kept.

    Raises:
        UserError: there is no memory for the smallest tiles.
    """
    image = Padded(canvas, multiple, device, layout)
    everything = whole(image.size)
    if tile == "off":
        image.write(everything, generator(image.read(everything)))
        return
    features = Features(stages, image.size, canvas.count * _itemsize(stages, device))
    free = int(free_memory(device) * _SHARE)
    if tile == "auto":
        fits = canvas.count * math.prod(image.size) <= TILES[0] ** 2 or features.whole().peak <= free
    else:
        fits = max(image.size) <= tile
    if canvas.is_in_memory and fits and _is_translated_whole(generator, image):
        return
    budget = BUDGET if canvas.is_in_memory else BUDGET // 2  # who reads a file by windows expects little
    Passes(features, planned(features, tile, min(free, budget)), image).run()


def planned(features: Features, tile: Tile, budget: int) -> Plan:
    """Choose what is kept, and for "auto" the largest tile that stays within the budget, or else the smallest."""
    for side in TILES if isinstance(tile, str) else (tile,):
        plan = chosen(features, side, budget)
        if plan.peak <= budget:
            break
    return plan


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by PyTorch, for what comes
        return torch.cuda.mem_get_info(device)[0] + kept
    try:
        available = 1024 * int(MEMORY.read_text(encoding="ascii").partition("MemAvailable:")[2].split()[0])
    except (OSError, IndexError):  # not on Windows, nor on a Mac
        return _UNKNOWN
    try:
        limit, used = (int((GROUP / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        files = int((GROUP / "memory.stat").read_text(encoding="ascii").partition("\ninactive_file ")[2].split()[0])
    except (OSError, IndexError, ValueError):  # no container, or one without a limit
        return available
    return min(available, limit - used + files)


def _is_translated_whole(generator: Callable[[Tensor], Tensor], image: Padded) -> bool:
    """Translate an image at once, and tell whether there was memory for that."""
    everything = whole(image.size)
    drawn_on = [image.device] if image.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(drawn_on):  # tiles that take over draw the same
            image.write(everything, generator(image.read(everything)))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _LOG.warning("out of memory: going on with tiles")
        return False
    return True


def _itemsize(stages: Sequence[Stage], device: torch.device) -> int:
    """Bytes of one feature."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type).itemsize
    first = stages[0].operation
    assert isinstance(first, nn.Conv2d)
    return first.weight.itemsize
