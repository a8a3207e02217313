"""Keep resized pairs in memory, on disk or on the GPU.

The cache is one unnamed file, removed with the last process that has it open. Processes share it by fork, or by
pickling while one is spawned. Pairs are written with os.pwrite, not through the mapping: on a full disk the call fails
with an error and caching stops, while a write through the mapping would kill the process. Windows has neither pwrite
nor this sharing, but allocates the whole file at once: there a single process writes through the mapping.
"""

import math
import mmap
import multiprocessing
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from multiprocessing import reduction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pix2pix import distributed
from pix2pix.config.pix2pix import DataOptions
from pix2pix.data.arrays import Array
from pix2pix.data.batch import RawPair
from pix2pix.data.codec import PairCodec
from pix2pix.data.transforms import CropWindow
from pix2pix.errors import format_path

_USED, _FAILED = 0, 1  # places in the state: bytes used, and whether a write has failed
_OFFSET, _HEIGHT, _WIDTH, _READY = range(4)  # columns of the table, one row per pair
_ALIGNED = 16  # bytes


class ImageFormat(NamedTuple):
    """Channels and type of all images of a side."""

    channels: int
    dtype: str


class PairCache:
    """A cache of up to `capacity` bytes for `count` pairs of the given formats.

    It is in memory, or on disk if a folder is given. Pairs beyond the capacity are not stored. The same pair may be
    written twice, also by two processes at once.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(
        self, count: int, capacity: int, sides: tuple[ImageFormat, ImageFormat], folder: Path | None = None
    ) -> None:
        head = _aligned(8 * (2 + 4 * count))
        self._open(_nameless(folder), multiprocessing.Lock(), count, head + capacity, sides)
        os.ftruncate(self._file, head + capacity)  # a sparse file
        self._map()
        self._write(np.zeros(head, np.uint8), 0)
        self._state[_USED] = head

    def _open(self, file: int, lock: Any, count: int, size: int, sides: tuple[ImageFormat, ImageFormat]) -> None:
        self._file, self._lock, self._count, self._size, self._sides = file, lock, count, size, sides
        weakref.finalize(self, os.close, file)

    def _map(self) -> None:
        self._memory = mmap.mmap(self._file, self._size)
        self._state = np.frombuffer(self._memory, np.int64, 2)
        self._table = np.frombuffer(self._memory, np.int64, 4 * self._count, 16).reshape(self._count, 4)

    def __reduce__(self) -> tuple[Callable[..., "PairCache"], tuple[Any, ...]]:
        return _attached, (reduction.DupFd(self._file), self._lock, self._count, self._size, self._sides)

    @property
    def failed(self) -> bool:
        """Whether a write has failed; no further pairs are stored then."""
        return bool(self._state[_FAILED])

    def get(self, index: int) -> tuple[Array, Array] | None:
        """Return source and target of a pair, read-only, or None."""
        offset, height, width, ready = self._table[index].tolist()
        if not ready:
            return None
        images = []
        for channels, dtype in self._sides:
            image = np.frombuffer(self._memory, dtype, height * width * channels, offset)
            image.flags.writeable = False
            images.append(image.reshape(height, width, channels))
            offset += _aligned(image.nbytes)
        return images[0], images[1]

    def put(self, index: int, raw: RawPair) -> None:
        """Store a pair if there is space."""
        images = raw.source, raw.target
        if self.failed or get_formats(raw) != self._sides:
            return
        offset = self._reserved(index, raw)
        if offset is None:
            return
        try:
            for image in images:
                self._write(image, offset)
                offset += _aligned(image.nbytes)
        except OSError:
            self._state[_FAILED] = 1
            return
        self._table[index, _READY] = 1  # last: a reader that sees it sees the images too

    def _write(self, image: Array, offset: int) -> None:
        rest = np.ascontiguousarray(image).reshape(-1).view(np.uint8)
        if not hasattr(os, "pwrite"):
            self._memory[offset : offset + rest.size] = rest.data
            return
        while rest.size:
            written = os.pwrite(self._file, rest.data, offset)
            rest, offset = rest[written:], offset + written

    def _reserved(self, index: int, raw: RawPair) -> int | None:
        """Return the offset of a pair, the same for every writer, or None if there is no space."""
        if not self._lock.acquire(block=False):  # the holder may have died
            return None
        try:
            shape, used, needed = raw.source.shape[:2], int(self._state[_USED]), count_pair_bytes(raw)
            row = self._table[index]
            if not row[_OFFSET] and used + needed <= self._size:
                self._state[_USED] = used + needed
                row[:_READY] = used, *shape
            return int(row[_OFFSET]) if row[_OFFSET] and tuple(row[_HEIGHT:_READY]) == shape else None
        finally:
            self._lock.release()


def can_share_cache() -> bool:
    """Return whether processes can share a cache."""
    return hasattr(reduction, "DupFd")


def count_pair_bytes(raw: RawPair) -> int:
    """Return the size of a pair in the cache."""
    return _aligned(raw.source.nbytes) + _aligned(raw.target.nbytes)


def get_formats(raw: RawPair) -> tuple[ImageFormat, ImageFormat]:
    """Return channels and type of both sides."""
    return ImageFormat(raw.source.shape[2], raw.source.dtype.name), ImageFormat(
        raw.target.shape[2], raw.target.dtype.name
    )


def _attached(file: Any, lock: Any, count: int, size: int, sides: tuple[ImageFormat, ImageFormat]) -> PairCache:
    cache = PairCache.__new__(PairCache)
    cache._open(file.detach(), lock, count, size, sides)
    cache._map()
    return cache


def _nameless(folder: Path | None) -> int:
    """Open an unnamed file: in memory if the system supports it, else in a folder."""
    if folder is None and hasattr(os, "memfd_create"):
        return os.memfd_create("pix2pix")
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.dup(file.fileno())


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


class GpuCache:
    """A cache on the GPU for uint8 pairs of one size whose codecs are tables."""

    def __init__(self, count: int, first: RawPair, codec: PairCodec, device: torch.device) -> None:
        self._first, self._device = first, device
        self._sides = tuple(
            _Side(count, image, encoding.table, device)
            for image, encoding in zip((first.source, first.target), codec, strict=True)
            if encoding.table is not None
        )
        self._missing = set(range(count))

    @property
    def is_full(self) -> bool:
        """Whether it has all pairs."""
        return not self._missing

    def __contains__(self, index: int) -> bool:
        return index not in self._missing

    @property
    def first(self) -> RawPair:
        """The first pair."""
        return self._first

    def put(self, index: int, raw: RawPair) -> None:
        """Keep a pair."""
        if index in self._missing:
            for side, image in zip(self._sides, (raw.source, raw.target), strict=True):
                side.put(index, image)
            self._missing.remove(index)

    def batch(self, indices: Sequence[int], windows: Sequence[CropWindow]) -> tuple[Tensor, Tensor]:
        """Return sources and targets (N, nc, H, W) of these pairs, cropped to their windows, all of one size."""
        plan = torch.tensor(
            [(index, w.rows.start, w.columns.start, w.mirrored) for index, w in zip(indices, windows, strict=True)]
        )
        if self._device.type == "cuda":
            plan = plan.pin_memory().to(self._device, non_blocking=True)
        rows, columns = windows[0].rows, windows[0].columns
        size = rows.stop - rows.start, columns.stop - columns.start
        source, target = (side.batch(plan, size) for side in self._sides)
        return source, target


class _Side:
    def __init__(self, count: int, image: Array, table: Tensor, device: torch.device) -> None:
        self._images = torch.empty((count, len(table), *image.shape[:2]), dtype=torch.uint8, device=device)
        self._table = table.to(device)

    def put(self, index: int, image: Array) -> None:
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)[: len(self._table)])
        self._images[index] = torch.from_numpy(planes).to(self._images.device)

    def batch(self, plan: Tensor, size: tuple[int, int]) -> Tensor:
        """Gather all pixels; plan (N, 4) has index, first row, first column, and 1 if mirrored."""
        index, top, left, mirrored = (column[:, None] for column in plan.unbind(1))
        height, width = (torch.arange(length, device=plan.device) for length in size)
        columns = left + torch.where(mirrored == 1, width.flip(0), width)  # (N, W)
        channel = torch.arange(len(self._table), device=plan.device)[None, :, None, None]
        rows = (top + height)[:, None, :, None]  # (N, 1, H, 1)
        values = self._images[index[..., None, None], channel, rows, columns[:, None, None]]  # (N, nc, H, W)
        return self._table[channel, values.long()]


_GIB = 2**30
_OF_THE_GPU = 0.25  # of the free memory: networks and activations need the rest
_OF_THE_DISK = 0.5  # of the free space: checkpoints need some too


class CacheChoice(NamedTuple):
    """The cache or None, and its description."""

    cache: PairCache | GpuCache | None
    said: str


def open_cache(
    data: DataOptions, count: int, first: RawPair, codec: PairCodec, device: torch.device, folder: Path | None
) -> CacheChoice:
    """Create the cache, sized by the first resized pair; `folder` is for the disk cache, None a temporary folder.

    Pairs of different sizes are cached in memory only, as many as fit.
    """
    if data.cache == "off":
        return CacheChoice(None, "off")
    needed, budget = count * count_pair_bytes(first), int(data.cache_gb * _GIB)
    one_size, is_auto = data.preprocess == "resize_and_crop", data.cache == "auto"
    held = f"{count} pairs in {_gib(needed)}"
    on_host = data.augment or any(encoding.table is None for encoding in codec)
    if is_auto and one_size and not on_host and _fits_on(device, needed):
        return CacheChoice(GpuCache(count, first, codec, device), f"{held} of the GPU's memory")
    if data.num_workers and not can_share_cache():
        return CacheChoice(None, "off, as processes cannot share one on this system; --num_workers 0 has one")
    if data.cache == "disk" or (is_auto and one_size and needed > budget):
        folder = folder or Path(tempfile.gettempdir())
        free = shutil.disk_usage(folder).free
        if needed * distributed.world_size() > _OF_THE_DISK * free:
            each = f" for each of {distributed.world_size()} processes" * (distributed.world_size() > 1)
            place = f"{_gib(free)} free in {format_path(folder)}"
            return CacheChoice(None, f"off, as {held}{each} take more than half of the {place}")
        return _made(count, needed, first, f"{held} of disk, until the training ends", folder)
    if one_size and needed <= budget:
        return _made(count, needed, first, f"{held} of memory")
    return _made(count, budget, first, f"as many of {count} pairs as fit in {data.cache_gb:g} GiB of memory")


def _gib(size: int) -> str:
    return f"{math.ceil(size / _GIB * 100) / 100:g} GiB"


def _fits_on(device: torch.device, needed: int) -> bool:
    return device.type == "cuda" and needed <= _OF_THE_GPU * torch.cuda.mem_get_info(device)[0]


def _made(count: int, capacity: int, first: RawPair, said: str, folder: Path | None = None) -> CacheChoice:
    try:
        return CacheChoice(PairCache(count, capacity, get_formats(first), folder), said)
    except OSError as error:
        return CacheChoice(None, f"off, as the system refuses {said}: {error.strerror or error}")
