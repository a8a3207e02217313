"""Resized pairs, kept from their first reading on at the depth of their files, in memory or on disk.

All lies in one file that has no name: it goes with the last process that has it open, however that ends. Processes
share it by fork, or by pickling while one is spawned. Pairs are written by calls, not through the mapping: where a disk
is full, a call fails with an error, which ends the keeping, and a write through the mapping would kill the process.
Windows has no such call, nor that sharing, but it allocates the whole file at once: there, one process writes through
the mapping.
"""

import mmap
import multiprocessing
import os
import tempfile
import weakref
from collections.abc import Callable
from multiprocessing import reduction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pix2pix.data.records import RawPair
from pix2pix.images import Array

_USED, _FAILED = 0, 1  # places in the state: bytes used, and whether a write has failed
_OFFSET, _HEIGHT, _WIDTH, _READY = range(4)  # columns of the table, one row per pair
_ALIGNED = 16  # bytes


class Format(NamedTuple):
    """What all images of one side have in common."""

    channels: int
    dtype: str


class Cache:
    """Up to `capacity` bytes of `count` pairs whose sides have these formats.

    With a folder they lie on its disk, else in memory. What does not fit is not kept. Writing the same pair twice, or
    by two processes at once, does no harm.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, count: int, capacity: int, sides: tuple[Format, Format], folder: Path | None = None) -> None:
        head = _aligned(8 * (2 + 4 * count))
        self._open(_nameless(folder), multiprocessing.Lock(), count, head + capacity, sides)
        os.ftruncate(self._file, head + capacity)  # takes no room yet
        self._map()
        self._write(np.zeros(head, np.uint8), 0)
        self._state[_USED] = head

    def _open(self, file: int, lock: Any, count: int, size: int, sides: tuple[Format, Format]) -> None:
        self._file, self._lock, self._count, self._size, self._sides = file, lock, count, size, sides
        weakref.finalize(self, os.close, file)

    def _map(self) -> None:
        self._memory = mmap.mmap(self._file, self._size)
        self._state = np.frombuffer(self._memory, np.int64, 2)
        self._table = np.frombuffer(self._memory, np.int64, 4 * self._count, 16).reshape(self._count, 4)

    def __reduce__(self) -> tuple[Callable[..., "Cache"], tuple[Any, ...]]:
        return _attached, (reduction.DupFd(self._file), self._lock, self._count, self._size, self._sides)

    @property
    def failed(self) -> bool:
        """Whether a write has failed, so that no further pair is kept."""
        return bool(self._state[_FAILED])

    def get(self, index: int) -> tuple[Array, Array] | None:
        """Return source and target of a pair, read-only, if it is kept."""
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
        """Keep a pair, if there is room and the disk takes it."""
        images = raw.source, raw.target
        if self.failed or formats(raw) != self._sides:
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
        self._table[index, _READY] = 1  # last: who sees it sees the images too

    def _write(self, image: Array, offset: int) -> None:
        rest = np.ascontiguousarray(image).reshape(-1).view(np.uint8)
        if not hasattr(os, "pwrite"):
            self._memory[offset : offset + rest.size] = rest.data
            return
        while rest.size:
            written = os.pwrite(self._file, rest.data, offset)
            rest, offset = rest[written:], offset + written

    def _reserved(self, index: int, raw: RawPair) -> int | None:
        """The place of a pair: that of its first writer, so that a second one writes the same there."""
        if not self._lock.acquire(block=False):  # waiting for a process that died would never end
            return None
        try:
            shape, used, needed = raw.source.shape[:2], int(self._state[_USED]), pair_bytes(raw)
            row = self._table[index]
            if not row[_OFFSET] and used + needed <= self._size:
                self._state[_USED] = used + needed
                row[:_READY] = used, *shape
            return int(row[_OFFSET]) if row[_OFFSET] and tuple(row[_HEIGHT:_READY]) == shape else None
        finally:
            self._lock.release()


def is_shareable() -> bool:
    """Tell whether several processes can have the same cache."""
    return hasattr(reduction, "DupFd")


def pair_bytes(raw: RawPair) -> int:
    """The room that a pair takes."""
    return _aligned(raw.source.nbytes) + _aligned(raw.target.nbytes)


def formats(raw: RawPair) -> tuple[Format, Format]:
    """Channels and depth of both sides."""
    return Format(raw.source.shape[2], raw.source.dtype.name), Format(raw.target.shape[2], raw.target.dtype.name)


def _attached(file: Any, lock: Any, count: int, size: int, sides: tuple[Format, Format]) -> Cache:
    cache = Cache.__new__(Cache)
    cache._open(file.detach(), lock, count, size, sides)
    cache._map()
    return cache


def _nameless(folder: Path | None) -> int:
    """Open an empty file: in memory, or in the system's temporary folder where it has no such files."""
    if folder is None and hasattr(os, "memfd_create"):
        return os.memfd_create("pix2pix")
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.dup(file.fileno())


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
