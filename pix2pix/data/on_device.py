"""Resized 8-bit pairs on the device, cropped, mirrored and normalised there: the host only sends where and how."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pix2pix.data.records import RawPair
from pix2pix.data.window import Window
from pix2pix.images import Array, Codec


class DeviceCache:
    """Pairs of one size, as uint8, of encodings that are tables: of each value, whatever lies beside it."""

    def __init__(self, count: int, first: RawPair, codec: Codec, device: torch.device) -> None:
        self._first, self._device = first, device
        self._sides = tuple(
            _Side(count, image, encoding.table, device)
            for image, encoding in zip((first.source, first.target), codec, strict=True)
            if encoding.table is not None
        )
        self._missing = set(range(count))

    @property
    def is_full(self) -> bool:
        """Whether every pair is there."""
        return not self._missing

    def __contains__(self, index: int) -> bool:
        return index not in self._missing

    @property
    def first(self) -> RawPair:
        """A pair of the size of all."""
        return self._first

    def put(self, index: int, raw: RawPair) -> None:
        """Keep a pair."""
        if index in self._missing:
            for side, image in zip(self._sides, (raw.source, raw.target), strict=True):
                side.put(index, image)
            self._missing.remove(index)

    def batch(self, indices: Sequence[int], windows: Sequence[Window]) -> tuple[Tensor, Tensor]:
        """Sources and targets (N, nc, H, W) of the pairs of these indices, each through its window, of one size."""
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
        """Look up all pixels by index; plan (N, 4) holds index, first row, first column, and 1 if mirrored."""
        index, top, left, mirrored = (column[:, None] for column in plan.unbind(1))
        height, width = (torch.arange(length, device=plan.device) for length in size)
        columns = left + torch.where(mirrored == 1, width.flip(0), width)  # (N, W)
        channel = torch.arange(len(self._table), device=plan.device)[None, :, None, None]
        rows = (top + height)[:, None, :, None]  # (N, 1, H, 1)
        values = self._images[index[..., None, None], channel, rows, columns[:, None, None]]  # (N, nc, H, W)
        return self._table[channel, values.long()]
