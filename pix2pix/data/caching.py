"""Where the resized pairs of a training are kept: on the GPU, in memory, on disk, or nowhere."""

import math
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch

from pix2pix import ranks
from pix2pix.data.cache import Cache, formats, is_shareable, pair_bytes
from pix2pix.data.on_device import DeviceCache
from pix2pix.data.records import RawPair
from pix2pix.images import Codec, shown
from pix2pix.options import DataOptions

_GIB = 2**30
_OF_THE_GPU = 0.25  # of its free memory: networks and activations come after
_OF_THE_DISK = 0.5  # of its free room: checkpoints are written there too


class Caching(NamedTuple):
    """The cache, if there is one, and a phrase saying which."""

    cache: Cache | DeviceCache | None
    said: str


def open_cache(
    data: DataOptions, count: int, first: RawPair, codec: Codec, device: torch.device, folder: Path | None
) -> Caching:
    """Choose by the size of the first pair, resized, and make the cache; `folder` is for the disk, None: a temporary.

    Pairs that may differ in size are kept in memory alone, as many as fit.
    """
    if data.cache == "off":
        return Caching(None, "off")
    needed, budget = count * pair_bytes(first), int(data.cache_gb * _GIB)
    one_size, is_auto = data.preprocess == "resize_and_crop", data.cache == "auto"
    held = f"{count} pairs in {_gib(needed)}"
    on_host = data.augment or any(encoding.table is None for encoding in codec)
    if is_auto and one_size and not on_host and _fits_on(device, needed):
        return Caching(DeviceCache(count, first, codec, device), f"{held} of the GPU's memory")
    if data.num_workers and not is_shareable():
        return Caching(None, "off, as processes cannot share one on this system; --num_workers 0 has one")
    if data.cache == "disk" or (is_auto and one_size and needed > budget):
        folder = folder or Path(tempfile.gettempdir())
        free = shutil.disk_usage(folder).free
        if needed * ranks.count() > _OF_THE_DISK * free:
            each = f" for each of {ranks.count()} processes" * (ranks.count() > 1)
            place = f"{_gib(free)} free in {shown(folder)}"
            return Caching(None, f"off, as {held}{each} take more than half of the {place}")
        return _made(count, needed, first, f"{held} of disk, until the training ends", folder)
    if one_size and needed <= budget:
        return _made(count, needed, first, f"{held} of memory")
    return _made(count, budget, first, f"as many of {count} pairs as fit in {data.cache_gb:g} GiB of memory")


def _gib(size: int) -> str:
    return f"{math.ceil(size / _GIB * 100) / 100:g} GiB"


def _fits_on(device: torch.device, needed: int) -> bool:
    return device.type == "cuda" and needed <= _OF_THE_GPU * torch.cuda.mem_get_info(device)[0]


def _made(count: int, capacity: int, first: RawPair, said: str, folder: Path | None = None) -> Caching:
    try:
        return Caching(Cache(count, capacity, formats(first), folder), said)
    except OSError as error:
        return Caching(None, f"off, as the system refuses {said}: {error.strerror or error}")
