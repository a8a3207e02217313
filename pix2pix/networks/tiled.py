"""Translate images of any size in bounded memory, in tiles, with the result of the whole image.

A stage is computed by windows; the features that it reads are kept in memory, or recomputed for each window.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from pix2pix.errors import UserError, is_out_of_memory
from pix2pix.networks.canvas import Canvas, PaddedCanvas
from pix2pix.networks.memory_plan import FeatureSizes, MemoryPlan, choose_plan, needs_statistics
from pix2pix.networks.norm import Dropout
from pix2pix.networks.receptive_field import (
    Interval,
    Normalization,
    Size,
    Stage,
    Window,
    compute_window,
    full_window,
    split_windows,
)

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
SMALLEST_TILE = 64  # side in pixels; if memory runs out, tiles are halved down to this


class Moments:
    """Mean and variance per image and channel, accumulated over parts, in float64.

    Source: Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample variances, 1979.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, torch.zeros(()), torch.zeros(())

    @property
    def variance(self) -> Tensor:
        """The variance of all values, (N, C)."""
        return self.squares / self.count

    def add(self, count: int, mean: Tensor, squares: Tensor) -> None:
        """Merge `count` values with their mean and their sum of squared differences from it, both (N, C)."""
        total = self.count + count
        if self.count == 0:
            self.mean, self.squares = torch.zeros_like(mean), torch.zeros_like(squares)
        difference = mean - self.mean
        self.squares = self.squares + squares + difference**2 * (self.count * count / total)
        self.mean = self.mean + difference * (count / total)
        self.count = total


def compute_moments(x: Tensor) -> tuple[int, Tensor, Tensor]:
    """Return the count, mean and sum of squared differences (N, C) of (N, C, H, W), in float64."""
    count = x.shape[2] * x.shape[3]
    variance, mean = torch.var_mean(x.to(torch.promote_types(x.dtype, torch.float32)), dim=(2, 3), correction=0)
    return count, mean.cpu().double(), variance.cpu().double() * count  # MPS has no float64


class TiledForward:
    """A tiled forward pass of one image; `features` and `statistics` hold the results so far, by stage."""

    def __init__(self, sizes: FeatureSizes, plan: MemoryPlan, image: PaddedCanvas):
        self.stages: Sequence[Stage] = sizes.stages
        self.sizes, self.plan, self.image = sizes, plan, image
        self.features: dict[int, Tensor] = {}
        self.statistics: dict[int, Moments] = {}
        self.halvings = 0

    def run(self) -> None:
        """Compute the stages of the plan; the last one writes the output."""
        passes = self.sizes.passes(self.plan.kept)
        for step, place in enumerate(passes):
            if place != self.sizes.last or needs_statistics(self.stages[place]):
                self._measure_and_store(place)
            if place == self.sizes.last:
                self._write(place)
            read_later = [self.sizes.read_by(later, self.plan.kept) for later in passes[step + 1 :]]
            for gone in self.features.keys() - frozenset().union(*read_later):
                del self.features[gone]

    def _write(self, place: int) -> None:
        def part(place: int, window: Window) -> None:
            self.image.write(window, self._output(place, window))  # decoding needs memory too

        for _ in self._iterate_windows(place, part):
            pass

    def _measure_and_store(self, place: int) -> None:
        moments, is_measured = Moments(), needs_statistics(self.stages[place])

        def part(place: int, window: Window) -> tuple[Tensor, tuple[int, Tensor, Tensor] | None]:
            x = self._compute(place, window)
            return x, compute_moments(self._before_norm(place, x)) if is_measured else None

        features = torch.empty(0)
        for window, (x, found) in self._iterate_windows(place, part):
            if found:
                moments.add(*found)
            if place in self.plan.kept:
                features = self._store(place, features, x, window)
        if is_measured:
            self.statistics[place] = moments
        if place in self.plan.kept:
            self.features[place] = self._finish_in_place(place, features)

    def _store(self, place: int, features: Tensor, x: Tensor, window: Window) -> Tensor:
        """Store a window of the features to keep; out of memory, drop them, to be recomputed where they are read."""
        try:
            return write_window(features, x, window, self.sizes.sizes[place])
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or place in self.sizes.must_be_kept():
                raise
        self.plan = self.plan._replace(kept=self.plan.kept - {place})
        _LOG.warning("out of memory: recomputing more features")
        return torch.empty(0)

    def _finish_in_place(self, place: int, features: Tensor) -> Tensor:
        """Apply the layers after a stage's operation to its kept features, in place."""

        def part(place: int, window: Window) -> Tensor:
            return self._finish(place, _cut(features, window), window)

        for window, x in self._iterate_windows(place, part):
            features = write_window(features, x, window, self.sizes.sizes[place])
        for layer in self.stages[place].after:
            if isinstance(layer, Dropout):
                features = layer(features)  # drawn for all positions, as for the whole image
        return features

    def _output(self, place: int, window: Window) -> Tensor:
        """Return a window of the output of a stage, computed or kept; stage -1 is the image."""
        if place < 0:
            return self.image.read(window)
        if place in self.features:
            return _cut(self.features[place], window)
        return self._finish(place, self._compute(place, window), window)

    def _compute(self, place: int, window: Window) -> Tensor:
        """Compute a window of the output of a stage's operation, before norm, activation and addition."""
        stage = self.stages[place]

        def read(window: Window) -> Tensor:
            if len(stage.inputs) == 1:
                x = self._output(stage.inputs[0], window)
            else:
                x = torch.cat([self._output(number, window) for number in stage.inputs], dim=1)
            for layer in stage.before:
                x = layer(x)
            return x

        return compute_window(stage.operation, read, window, self.sizes.sizes[stage.inputs[0]])

    def _before_norm(self, place: int, x: Tensor) -> Tensor:
        """Apply the layers between a stage's operation and its norm."""
        for layer in self.stages[place].after:
            if isinstance(layer, Normalization):
                break
            x = layer(x)
        return x

    def _finish(self, place: int, x: Tensor, window: Window) -> Tensor:
        """Apply the layers after a stage's operation, except for dropout."""
        stage = self.stages[place]
        for layer in stage.after:
            if isinstance(layer, Normalization) and layer.statistics != "running":
                known = self.statistics[place]
                x = layer.normalize(x, known.mean, known.variance)
            elif not isinstance(layer, Dropout):
                x = layer(x)
        return x if stage.added is None else x + self._output(stage.added, window)

    def _iterate_windows(self, place: int, function: Callable[[int, Window], T]) -> Iterator[tuple[Window, T]]:
        """Yield the result of a function for each window of a stage; out of memory, windows are halved.

        Raises:
            UserError: there is not enough memory for the smallest window.
        """
        todo = split_windows(self.sizes.sizes[place], max(1, self.plan.sides[place] >> self.halvings))[::-1]
        while todo:
            window = todo.pop()
            try:
                value = function(place, window)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                yield window, value
                continue
            self._halve(place, window)  # outside of the except clause, whose traceback holds references to features
            todo = [part for larger in [*todo, window] for part in split_in_four(larger)]

    def _halve(self, place: int, window: Window) -> None:
        longest = max(span.length for span in window)
        tile = longest * self.sizes.sizes[self.sizes.last][0] // self.sizes.sizes[place][0]
        if longest == 1 or tile < 2 * SMALLEST_TILE:
            raise UserError(f"out of memory with tiles of {tile} pixels; use a smaller image or network")
        self.halvings += 1
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _LOG.warning("out of memory: halving the tiles to %d pixels", tile // 2)


def split_in_four(window: Window) -> list[Window]:
    """Split a window in half along both axes, where it is longer than 1."""
    rows, columns = (
        [Interval(start, middle), Interval(middle, stop)]
        if (middle := (start + stop) // 2) > start
        else [Interval(start, stop)]
        for start, stop in window
    )
    return [(row, column) for row in rows for column in columns]


def _cut(features: Tensor, window: Window) -> Tensor:
    rows, columns = (slice(*span) for span in window)
    return features[..., rows, columns]


def write_window(features: Tensor, x: Tensor, window: Window, size: Size) -> Tensor:
    """Write a window into the features of a stage, which are allocated with the first window."""
    if window == full_window(size):
        return x
    if features.numel() == 0:
        features = torch.empty(*x.shape[:2], *size, dtype=x.dtype, device=x.device)
    _cut(features, window).copy_(x)
    return features


Tile = Literal["auto", "off"] | int

TILE_SIZES = (1024, 512, 256)  # sides in pixels that "auto" tries: larger ones have less overlap
_SHARE = 0.5  # of the free memory, since requirements are estimated
MEMORY_BUDGET = 3 * 2**29  # bytes of features, so that the process stays below 4 GB
MEMINFO_FILE = Path("/proc/meminfo")  # Linux
CGROUP_FOLDER = Path("/sys/fs/cgroup")  # the limit of a container
_UNKNOWN = 4 * 2**30  # bytes of memory if unknown


def translate_tiled(
    generator: Callable[[Tensor], Tensor],
    stages: Sequence[Stage],
    multiple: int,
    canvas: Canvas,
    tile: Tile,
    device: torch.device,
    layout: torch.memory_format,
) -> None:
    """Translate a canvas, padded by reflection to a multiple, whole or in tiles of side `tile`, with the same result.

    "auto" uses tiles if half of the free memory does not suffice for the whole image; a number uses tiles for larger
    images; "off" never uses tiles. Statistics are those of the whole image, and dropout is drawn for whole features.
    The generator gets inputs on the device, in the memory layout. The caller sets norms and dropout, and disables
    gradients.

    Raises:
        UserError: there is not enough memory for the smallest tiles.
    """
    image = PaddedCanvas(canvas, multiple, device, layout)
    everything = full_window(image.size)
    if tile == "off":
        image.write(everything, generator(image.read(everything)))
        return
    features = FeatureSizes(stages, image.size, canvas.count * _itemsize(stages, device))
    free = int(free_memory(device) * _SHARE)
    if tile == "auto":
        fits = canvas.count * math.prod(image.size) <= TILE_SIZES[0] ** 2 or features.whole().peak <= free
    else:
        fits = max(image.size) <= tile
    if canvas.is_in_memory and fits and _try_whole(generator, image):
        return
    budget = (
        MEMORY_BUDGET if canvas.is_in_memory else MEMORY_BUDGET // 2
    )  # files that are read by windows should need little memory
    TiledForward(features, make_plan(features, tile, min(free, budget)), image).run()


def make_plan(features: FeatureSizes, tile: Tile, budget: int) -> MemoryPlan:
    """Choose the features to keep, and for "auto" the largest tile within the budget, or else the smallest."""
    for side in TILE_SIZES if isinstance(tile, str) else (tile,):
        plan = choose_plan(features, side, budget)
        if plan.peak <= budget:
            break
    return plan


def free_memory(device: torch.device) -> int:
    """Return the free memory of a device in bytes."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # reusable by PyTorch
        return torch.cuda.mem_get_info(device)[0] + cached
    try:
        available = 1024 * int(MEMINFO_FILE.read_text(encoding="ascii").partition("MemAvailable:")[2].split()[0])
    except (OSError, IndexError):  # not Linux
        return _UNKNOWN
    try:
        limit, used = (
            int((CGROUP_FOLDER / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current")
        )
        files = int(
            (CGROUP_FOLDER / "memory.stat").read_text(encoding="ascii").partition("\ninactive_file ")[2].split()[0]
        )
    except (OSError, IndexError, ValueError):  # no container limit
        return available
    return min(available, limit - used + files)


def _try_whole(generator: Callable[[Tensor], Tensor], image: PaddedCanvas) -> bool:
    """Translate an image at once; return False if there was not enough memory."""
    everything = full_window(image.size)
    drawn_on = [image.device] if image.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(drawn_on):  # tiles must draw the same dropout
            image.write(everything, generator(image.read(everything)))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _LOG.warning("out of memory: using tiles")
        return False
    return True


def _itemsize(stages: Sequence[Stage], device: torch.device) -> int:
    """Return the bytes of one feature."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type).itemsize
    first = stages[0].operation
    assert isinstance(first, nn.Conv2d)
    return first.weight.itemsize
