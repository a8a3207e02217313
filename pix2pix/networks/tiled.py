"""Images of any size through a generator in bounded memory, with the result of the whole image.

A stage is computed by windows from what its inputs are: features that are kept, or computed anew for each window.
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
    Normalisation,
    Size,
    Stage,
    Window,
    compute_window,
    full_window,
    split_windows,
)

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
SMALLEST_TILE = 64  # pixels a side: what memory that runs out halves tiles down to


class Moments:
    """Mean and variance per image and channel of values that come in parts, in float64.

    Source: Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample variances, 1979.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, torch.zeros(()), torch.zeros(())

    @property
    def variance(self) -> Tensor:
        """Variance of all values, (N, C)."""
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
    """Count, mean and sum of squared differences (N, C) of (N, C, H, W), in float64."""
    count = x.shape[2] * x.shape[3]
    variance, mean = torch.var_mean(x.to(torch.promote_types(x.dtype, torch.float32)), dim=(2, 3), correction=0)
    return count, mean.cpu().double(), variance.cpu().double() * count  # an Apple GPU has no doubles


class TiledForward:
    """A generator on its way over one image; `features` and `statistics` hold what is known so far."""

    def __init__(self, sizes: FeatureSizes, plan: MemoryPlan, image: PaddedCanvas):
        self.stages: Sequence[Stage] = sizes.stages
        self.sizes, self.plan, self.image = sizes, plan, image
        self.features: dict[int, Tensor] = {}
        self.statistics: dict[int, Moments] = {}
        self.halvings = 0

    def run(self) -> None:
        """Make all passes; the last one writes the output."""
        passes = self.sizes.passes(self.plan.kept)
        for step, place in enumerate(passes):
            if place != self.sizes.last or needs_statistics(self.stages[place]):
                self._measure_and_keep(place)
            if place == self.sizes.last:
                self._write(place)
            read_later = [self.sizes.read_by(later, self.plan.kept) for later in passes[step + 1 :]]
            for gone in self.features.keys() - frozenset().union(*read_later):
                del self.features[gone]

    def _write(self, place: int) -> None:
        def part(place: int, window: Window) -> None:
            self.image.write(window, self._output(place, window))  # decoding takes memory, too

        for _ in self._each(place, part):
            pass

    def _measure_and_keep(self, place: int) -> None:
        moments, is_measured = Moments(), needs_statistics(self.stages[place])

        def part(place: int, window: Window) -> tuple[Tensor, tuple[int, Tensor, Tensor] | None]:
            x = self._raw(place, window)
            return x, compute_moments(self._before_norm(place, x)) if is_measured else None

        features = torch.empty(0)
        for window, (x, found) in self._each(place, part):
            if found:
                moments.add(*found)
            if place in self.plan.kept:
                features = self._kept(place, features, x, window)
        if is_measured:
            self.statistics[place] = moments
        if place in self.plan.kept:
            self.features[place] = self._all_finished(place, features)

    def _kept(self, place: int, features: Tensor, x: Tensor, window: Window) -> Tensor:
        """Put a window among kept features; out of memory, they are not kept but computed anew where they are read."""
        try:
            return write_window(features, x, window, self.sizes.sizes[place])
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or place in self.sizes.must_be_kept():
                raise
        self.plan = self.plan._replace(kept=self.plan.kept - {place})
        _LOG.warning("out of memory: going on with more that is computed again")
        return torch.empty(0)

    def _all_finished(self, place: int, features: Tensor) -> Tensor:
        """Apply all that stands after a stage's operation to its kept features, in their place."""

        def part(place: int, window: Window) -> Tensor:
            return self._finished(place, _cut(features, window), window)

        for window, x in self._each(place, part):
            features = write_window(features, x, window, self.sizes.sizes[place])
        for layer in self.stages[place].after:
            if isinstance(layer, Dropout):
                features = layer(features)  # drawn for all positions at once, as for the whole image
        return features

    def _output(self, place: int, window: Window) -> Tensor:
        """Compute or look up a window of what a stage hands on; stage -1 is the image."""
        if place < 0:
            return self.image.read(window)
        if place in self.features:
            return _cut(self.features[place], window)
        return self._finished(place, self._raw(place, window), window)

    def _raw(self, place: int, window: Window) -> Tensor:
        """Compute a window of what a stage's operation gives, before norm, activation and addition."""
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
        """Apply what stands between a stage's operation and its norm."""
        for layer in self.stages[place].after:
            if isinstance(layer, Normalisation):
                break
            x = layer(x)
        return x

    def _finished(self, place: int, x: Tensor, window: Window) -> Tensor:
        """Apply all that stands after a stage's operation but the dropout."""
        stage = self.stages[place]
        for layer in stage.after:
            if isinstance(layer, Normalisation) and layer.statistics != "running":
                known = self.statistics[place]
                x = layer.normalised(x, known.mean, known.variance)
            elif not isinstance(layer, Dropout):
                x = layer(x)
        return x if stage.added is None else x + self._output(stage.added, window)

    def _each(self, place: int, function: Callable[[int, Window], T]) -> Iterator[tuple[Window, T]]:
        """Call a function for all windows of a stage, which disjointly cover it; out of memory, windows are halved.

        Raises:
            UserError: there is no memory for the smallest window.
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
            self._halve(place, window)  # out of the except clause, whose traceback would hold on to features
            todo = [part for larger in [*todo, window] for part in split_in_four(larger)]

    def _halve(self, place: int, window: Window) -> None:
        longest = max(span.length for span in window)
        tile = longest * self.sizes.sizes[self.sizes.last][0] // self.sizes.sizes[place][0]
        if longest == 1 or tile < 2 * SMALLEST_TILE:
            raise UserError(
                f"out of memory with tiles of {tile} pixels; take a smaller image or network, or a larger machine"
            )
        self.halvings += 1
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _LOG.warning("out of memory: going on with tiles of half the side, %d pixels", tile // 2)


def split_in_four(window: Window) -> list[Window]:
    """Cut a window in half along both directions, where it is longer than one."""
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
    """Put a window in its place among all features of a stage, which get memory with the first one."""
    if window == full_window(size):
        return x
    if features.numel() == 0:
        features = torch.empty(*x.shape[:2], *size, dtype=x.dtype, device=x.device)
    _cut(features, window).copy_(x)
    return features


Tile = Literal["auto", "off"] | int

TILE_SIZES = (1024, 512, 256)  # pixels a side that "auto" tries: larger ones compute less at their borders
_SHARE = 0.5  # of the free memory, for the estimate is one
MEMORY_BUDGET = 3 * 2**29  # bytes of features that tiles aim at, so that the process stays below 4 GB
MEMINFO_FILE = Path("/proc/meminfo")  # of Linux; what it calls free leaves out the files that it keeps at hand
CGROUP_FOLDER = Path("/sys/fs/cgroup")  # a container's own limit
_UNKNOWN = 4 * 2**30  # bytes of memory where the system does not tell


def translate_tiled(
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
    if canvas.is_in_memory and fits and _is_translated_whole(generator, image):
        return
    budget = MEMORY_BUDGET if canvas.is_in_memory else MEMORY_BUDGET // 2  # who reads a file by windows expects little
    TiledForward(features, make_plan(features, tile, min(free, budget)), image).run()


def make_plan(features: FeatureSizes, tile: Tile, budget: int) -> MemoryPlan:
    """Choose what is kept, and for "auto" the largest tile that stays within the budget, or else the smallest."""
    for side in TILE_SIZES if isinstance(tile, str) else (tile,):
        plan = choose_plan(features, side, budget)
        if plan.peak <= budget:
            break
    return plan


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by PyTorch, for what comes
        return torch.cuda.mem_get_info(device)[0] + kept
    try:
        available = 1024 * int(MEMINFO_FILE.read_text(encoding="ascii").partition("MemAvailable:")[2].split()[0])
    except (OSError, IndexError):  # not on Windows, nor on a Mac
        return _UNKNOWN
    try:
        limit, used = (
            int((CGROUP_FOLDER / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current")
        )
        files = int(
            (CGROUP_FOLDER / "memory.stat").read_text(encoding="ascii").partition("\ninactive_file ")[2].split()[0]
        )
    except (OSError, IndexError, ValueError):  # no container, or one without a limit
        return available
    return min(available, limit - used + files)


def _is_translated_whole(generator: Callable[[Tensor], Tensor], image: PaddedCanvas) -> bool:
    """Translate an image at once, and tell whether there was memory for that."""
    everything = full_window(image.size)
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
