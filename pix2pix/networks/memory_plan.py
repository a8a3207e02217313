"""Plan which features of a generator are kept in memory, and which are recomputed for each window that reads them.

Memory and operations of a plan are counted without computing features; as many are kept as memory allows.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from torch import nn

from pix2pix.networks.norm import Dropout
from pix2pix.networks.receptive_field import Interval, Normalization, Size, Stage, input_window, output_size

_SMALL = 32  # features of less than 1 / 32 of the budget are always kept
_IMAGE = -1
_Weightless = nn.Upsample | nn.MaxPool2d  # operations without weights, whose time is negligible
_FAR_INSIDE, _LARGE = 2**20, 2**24  # a position far from the borders of a large map


class MemoryPlan(NamedTuple):
    """The stages whose features are kept, the window sizes of each stage, and the cost."""

    kept: frozenset[int]
    tile: int  # side of the output's windows in pixels
    sides: tuple[int, ...]
    peak: int  # bytes
    operations: int  # multiplications


class FeatureSizes:
    """The sizes of a generator's features for an image of `size`, and the cost of computing windows of them."""

    def __init__(self, stages: Sequence[Stage], size: Size, itemsize: int):
        self.stages, self.itemsize = stages, itemsize
        self.sizes: dict[int, Size] = {_IMAGE: size}
        first = stages[0].operation
        assert isinstance(first, nn.Conv2d)
        self.channels: dict[int, int] = {_IMAGE: first.in_channels}
        for place, stage in enumerate(stages):
            operation = stage.operation
            self.sizes[place] = output_size(operation, self.sizes[stage.inputs[0]])
            inputs = sum(self.channels[number] for number in stage.inputs)
            self.channels[place] = inputs if isinstance(operation, _Weightless) else operation.out_channels
        self.last = len(stages) - 1

    def bytes(self, place: int, size: Size | None = None) -> int:
        """Return the bytes of the features of a stage, or of a window of them."""
        height, width = self.sizes[place] if size is None else size
        return height * width * self.channels[place] * self.itemsize

    def must_be_kept(self) -> frozenset[int]:
        """Return the stages with dropout, which is drawn for the whole map, and those at both ends of an addition."""
        added = [(place, stage.added) for place, stage in enumerate(self.stages) if stage.added is not None]
        drawn = [place for place, stage in enumerate(self.stages) if has_dropout(stage)]
        return frozenset([*drawn, *(place for pair in added for place in pair)])

    def passes(self, kept: frozenset[int]) -> list[int]:
        """Return the stages that are computed in a loop of their own: kept, measured, or the output."""
        return [n for n, stage in enumerate(self.stages) if n in kept or needs_statistics(stage) or n == self.last]

    def whole(self) -> MemoryPlan:
        """Return the plan of a forward pass of the whole image."""
        sides = tuple(max(self.sizes[place]) for place in range(len(self.stages)))
        return self.plan(frozenset(range(len(sides))), sides[-1], sides)

    def tiled(self, kept: frozenset[int], tile: int) -> MemoryPlan:
        """Return the plan with output windows of side `tile`, and inner windows as large as the same memory allows."""
        working = self._working(kept)
        allowed = working(self.last, (tile, tile))
        sides = []
        for place in range(len(self.stages)):
            side, longest = math.ceil(tile * self.sizes[place][0] / self.sizes[self.last][0]), max(self.sizes[place])
            while side < longest and working(place, (2 * side, 2 * side)) <= allowed:
                side *= 2
            sides.append(min(side, longest))
        return self.plan(kept, tile, tuple(sides))

    def plan(self, kept: frozenset[int], tile: int, sides: tuple[int, ...]) -> MemoryPlan:
        """Count the memory and operations of a plan."""
        passes, working = self.passes(kept), self._working(kept)
        until: dict[int, int] = {}
        for number in passes:
            until |= dict.fromkeys(self.read_by(number, kept), number)
        peak = 0
        for number in passes:
            held = sum(self.bytes(place) for place in kept if place <= number <= until.get(place, place))
            height, width = self.sizes[number]
            window = working(number, (min(sides[number], height), min(sides[number], width)))
            peak = max(peak, held + max(window, 2 * self.bytes(number) if has_dropout(self.stages[number]) else 0))
        return MemoryPlan(kept, tile, sides, peak, sum(map(self._operations(kept), passes)))

    def read_by(self, place: int, kept: frozenset[int]) -> frozenset[int]:
        """Return the kept stages that computing this one reads."""
        read: set[int] = set()
        stage = self.stages[place]
        for number in (*stage.inputs, *(() if stage.added is None else (stage.added,))):
            if number in kept:
                read.add(number)
            elif number != _IMAGE:
                read |= self.read_by(number, kept)
        return frozenset(read)

    def _operations(self, kept: frozenset[int]) -> Callable[[int], int]:
        @cache
        def operations(place: int) -> int:
            stage = self.stages[place]
            inputs = [number for number in stage.inputs if number != _IMAGE and number not in kept]
            return self._own_operations(place) + sum(map(operations, inputs))

        return operations

    def _own_operations(self, place: int) -> int:
        operation = self.stages[place].operation
        if isinstance(operation, _Weightless):
            return self.bytes(place) // self.itemsize
        read = self.stages[place].inputs[0] if isinstance(operation, nn.ConvTranspose2d) else place
        return operation.weight.numel() * math.prod(self.sizes[read])

    def _working(self, kept: frozenset[int]) -> Callable[[int, Size], int]:
        @cache
        def working(place: int, size: Size) -> int:
            if place == _IMAGE:
                return self.bytes(place, size)
            stage = self.stages[place]
            rows, columns = (Interval(_FAR_INSIDE, _FAR_INSIDE + side) for side in size)
            rows, columns = input_window(stage.operation, (rows, columns), (_LARGE, _LARGE))
            source = self.sizes[stage.inputs[0]]
            part = min(rows.length, source[0]), min(columns.length, source[1])
            held = most = 0
            for number in stage.inputs:
                if number not in kept:
                    most = max(most, held + working(number, part))
                held += self.bytes(number, part)
            return max(most, 2 * held, held + 2 * self.bytes(place, size))

        return working


def needs_statistics(stage: Stage) -> bool:
    """Return whether a stage is normalized by statistics of the image."""
    return any(isinstance(layer, Normalization) and layer.statistics != "running" for layer in stage.after)


def has_dropout(stage: Stage) -> bool:
    """Return whether a stage has active dropout."""
    return any(isinstance(layer, Dropout) and layer.active for layer in stage.after)


def choose_plan(features: FeatureSizes, tile: int, budget: int) -> MemoryPlan:
    """Choose the plan: keep the stage that saves most operations, repeatedly, while memory stays within the budget."""
    places = [n for n, stage in enumerate(features.stages) if not isinstance(stage.operation, nn.Upsample)]
    small = {place for place in places if features.bytes(place) * _SMALL <= budget}
    plan = features.tiled((features.must_be_kept() | small) - {features.last}, tile)
    while True:
        more = [features.tiled(plan.kept | {n}, tile) for n in places if n not in plan.kept and n != features.last]
        better = [p for p in more if p.operations < plan.operations and p.peak <= max(budget, plan.peak)]
        if not better:
            return plan
        plan = min(better, key=lambda p: (p.operations, p.peak))
