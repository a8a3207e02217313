"""Which window of its input each stage of a generator needs for a window of its output.

In each direction alone, with kernel k, stride s and padding p. Output o of a convolution reads the inputs o s - p to
o s - p + k - 1; input i of a transposed one is added to the outputs i s - p to i s - p + k - 1.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pix2pix.networks.norm import AdaIN, Norm

# what mixes neighbouring positions; of the pools only those of 2x2 without padding
Operation = nn.Conv2d | nn.ConvTranspose2d | nn.Upsample | nn.MaxPool2d
Normalisation = Norm | AdaIN  # what may need statistics of all positions; all else is pointwise


class Stage(NamedTuple):
    """A convolution, enlargement or pool of a generator, with what stands before and after it.

    What is before and after is pointwise but for a normalisation's statistics, of which there is one; a Dropout is the
    last.
    """

    inputs: tuple[int, ...]  # the stages whose outputs are joined along the channels; -1 is the image
    before: tuple[nn.Module, ...]
    operation: Operation
    after: tuple[nn.Module, ...]
    added: int | None = None  # the stage whose output is added to this one's


def list_stages(layers: Sequence[nn.Module], inputs: tuple[int, ...], place: int) -> list[Stage]:
    """Cut layers that stand in the order of the data into stages, the first of which is to have this place.

    The first reads `inputs`, each other one the stage before it; what follows an operation belongs to it.
    """
    layers = _flat(layers)
    places = [number for number, layer in enumerate(layers) if isinstance(layer, Operation)]
    stages = []
    for number, end in zip(places, [*places, len(layers)][1:], strict=True):
        operation = layers[number]
        assert isinstance(operation, Operation)
        before = tuple(layers[: places[0]]) if number == places[0] else ()
        stages.append(Stage(inputs, before, operation, tuple(layers[number + 1 : end])))
        inputs = (place + len(stages) - 1,)
    return stages


def _flat(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """The layers with those inside nn.Sequential in its place."""
    return [x for layer in layers for x in (_flat(layer) if isinstance(layer, nn.Sequential) else [layer])]


class Interval(NamedTuple):
    """The positions from start to stop - 1 of one direction."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many they are."""
        return self.stop - self.start


Window = tuple[Interval, Interval]  # rows and columns
Size = tuple[int, int]


def full_window(size: Size) -> Window:
    """The window that is everything."""
    return Interval(0, size[0]), Interval(0, size[1])


def output_size(operation: Operation, size: Size) -> Size:
    """Height and width of what an operation makes of (N, C, *size)."""
    height, width = (_output_length(operation, length, axis) for axis, length in enumerate(size))
    return height, width


def input_interval(operation: Operation, span: Interval, length: int, axis: int) -> Interval:
    """Which positions of an input of this length the positions of `span` of the output are made of."""
    if isinstance(operation, nn.Upsample):  # two neighbours, which of "nearest" are one more than it needs
        return Interval(max((span.start - 1) // 2, 0), min((span.stop - 2) // 2 + 2, length))
    if isinstance(operation, nn.MaxPool2d):
        return Interval(2 * span.start, 2 * span.stop)
    kernel, stride, padding = operation.kernel_size[axis], operation.stride[axis], _padding(operation, axis)
    if isinstance(operation, nn.ConvTranspose2d):
        first = -((kernel - 1 - padding - span.start) // stride)
        return Interval(max(first, 0), min((span.stop - 1 + padding) // stride + 1, length))
    start, stop = span.start * stride - padding, (span.stop - 1) * stride - padding + kernel
    if operation.padding_mode == "reflect":
        mirrored = _mirrored(Interval(start, stop), length)
        return Interval(int(mirrored.min()), int(mirrored.max()) + 1)
    return Interval(max(start, 0), min(stop, length))


def input_window(operation: Operation, window: Window, size: Size) -> Window:
    """Return `needed` of both directions, for an input of this size."""
    (rows, columns), (height, width) = window, size
    return input_interval(operation, rows, height, 0), input_interval(operation, columns, width, 1)


def compute_window(operation: Operation, read: Callable[[Window], Tensor], window: Window, size: Size) -> Tensor:
    """Compute a window of the output for an input of this size, of which `read` returns windows.

    Borders are padded as the operation pads them; inside, the neighbours are read.
    """
    if window == full_window(output_size(operation, size)):
        output: Tensor = operation(read(full_window(size)))
        return output
    rows, columns = input_window(operation, window, size)
    x = read((rows, columns))
    if isinstance(operation, nn.Upsample):
        return _cut(operation(x), window, (2 * rows.start, 2 * columns.start))
    if isinstance(operation, nn.MaxPool2d):
        pooled: Tensor = operation(x)
        return pooled
    if isinstance(operation, nn.ConvTranspose2d):
        (row_stride, column_stride), (above, left) = operation.stride, (_padding(operation, axis) for axis in (0, 1))
        output = F.conv_transpose2d(x, operation.weight, operation.bias, operation.stride)
        return _cut(output, window, (rows.start * row_stride - above, columns.start * column_stride - left))
    x = _padded(x, operation, window, (rows, columns), size)
    return F.conv2d(x, operation.weight, operation.bias, operation.stride)


def split_windows(size: Size, side: int) -> list[Window]:
    """Cut a map into windows of nearly equal sizes, no side longer than `side`, row after row."""
    rows, columns = (_parts(length, side) for length in size)
    return [(row, column) for row in rows for column in columns]


def _output_length(operation: Operation, length: int, axis: int) -> int:
    if isinstance(operation, nn.Upsample):
        return 2 * length
    if isinstance(operation, nn.MaxPool2d):
        return length // 2
    kernel, stride, padding = operation.kernel_size[axis], operation.stride[axis], _padding(operation, axis)
    if isinstance(operation, nn.ConvTranspose2d):
        return (length - 1) * stride - 2 * padding + kernel + operation.output_padding[axis]
    return (length + 2 * padding - kernel) // stride + 1


def _padding(operation: nn.Conv2d | nn.ConvTranspose2d, axis: int) -> int:
    padding = operation.padding[axis]
    assert isinstance(padding, int)  # not "same"
    return padding


def _padded(x: Tensor, operation: nn.Conv2d, window: Window, read: Window, size: Size) -> Tensor:
    """Add to what was read the padding that the window asks for."""
    zeros: list[int] = []
    for axis, (span, part, length) in enumerate(zip(window, read, size, strict=True)):
        start = span.start * operation.stride[axis] - _padding(operation, axis)
        stop = (span.stop - 1) * operation.stride[axis] - _padding(operation, axis) + operation.kernel_size[axis]
        if operation.padding_mode == "reflect":
            if start < 0 or stop > length:
                x = x.index_select(axis + 2, (_mirrored(Interval(start, stop), length) - part.start).to(x.device))
        else:
            zeros = [part.start - start, stop - part.stop, *zeros]  # F.pad begins with the last direction
    return F.pad(x, zeros) if any(zeros) else x


def _mirrored(span: Interval, length: int) -> Tensor:
    """The positions inside 0 to length - 1 that stand for those of a span which passes the ends."""
    return length - 1 - (length - 1 - torch.arange(span.start, span.stop).abs()).abs()


def _cut(x: Tensor, window: Window, origin: tuple[int, int]) -> Tensor:
    rows, columns = (slice(span.start - first, span.stop - first) for span, first in zip(window, origin, strict=True))
    return x[..., rows, columns]


def _parts(length: int, side: int) -> list[Interval]:
    count = -(-length // side)
    ends = [length * number // count for number in range(count + 1)]
    return [Interval(start, stop) for start, stop in pairwise(ends)]
