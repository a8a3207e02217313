"""The receptive field of each stage of a generator: the window of its input that a window of its output needs.

Per axis, with kernel k, stride s and padding p: output o of a convolution reads inputs o s - p to o s - p + k - 1;
input i of a transposed convolution is added to outputs i s - p to i s - p + k - 1.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pix2pix.networks.norm import AdaIN, Norm

# operations that combine positions; pools must be 2x2 without padding
Operation = nn.Conv2d | nn.ConvTranspose2d | nn.Upsample | nn.MaxPool2d
Normalization = Norm | AdaIN  # may need statistics of all positions; all other layers are pointwise


class Stage(NamedTuple):
    """A convolution, upsampling or pool of a generator, with the pointwise layers before and after it.

    There is at most one norm, and a Dropout is the last layer.
    """

    inputs: tuple[int, ...]  # stages whose outputs are concatenated; -1 is the image
    before: tuple[nn.Module, ...]
    operation: Operation
    after: tuple[nn.Module, ...]
    added: int | None = None  # the stage whose output is added to this one's


def list_stages(layers: Sequence[nn.Module], inputs: tuple[int, ...], place: int) -> list[Stage]:
    """Split layers into stages, each with one operation and the layers after it; `place` is the index of the first.

    The first stage reads `inputs`, every other one the stage before it.
    """
    layers = _flatten(layers)
    places = [number for number, layer in enumerate(layers) if isinstance(layer, Operation)]
    stages = []
    for number, end in zip(places, [*places, len(layers)][1:], strict=True):
        operation = layers[number]
        assert isinstance(operation, Operation)
        before = tuple(layers[: places[0]]) if number == places[0] else ()
        stages.append(Stage(inputs, before, operation, tuple(layers[number + 1 : end])))
        inputs = (place + len(stages) - 1,)
    return stages


def _flatten(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """Return the layers, with each nn.Sequential replaced by its layers."""
    return [x for layer in layers for x in (_flatten(layer) if isinstance(layer, nn.Sequential) else [layer])]


class Interval(NamedTuple):
    """The positions from start to stop - 1 along an axis."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """The number of positions."""
        return self.stop - self.start


Window = tuple[Interval, Interval]  # rows and columns
Size = tuple[int, int]


def full_window(size: Size) -> Window:
    """Return the window of the whole map."""
    return Interval(0, size[0]), Interval(0, size[1])


def output_size(operation: Operation, size: Size) -> Size:
    """Return the output height and width of an operation for (N, C, *size)."""
    height, width = (_output_length(operation, length, axis) for axis, length in enumerate(size))
    return height, width


def input_interval(operation: Operation, span: Interval, length: int, axis: int) -> Interval:
    """Return the receptive field of the interval `span` of the output in an input of this length."""
    if isinstance(operation, nn.Upsample):  # two neighbors; "nearest" needs only one
        return Interval(max((span.start - 1) // 2, 0), min((span.stop - 2) // 2 + 2, length))
    if isinstance(operation, nn.MaxPool2d):
        return Interval(2 * span.start, 2 * span.stop)
    kernel, stride, padding = operation.kernel_size[axis], operation.stride[axis], _padding(operation, axis)
    if isinstance(operation, nn.ConvTranspose2d):
        first = -((kernel - 1 - padding - span.start) // stride)
        return Interval(max(first, 0), min((span.stop - 1 + padding) // stride + 1, length))
    start, stop = span.start * stride - padding, (span.stop - 1) * stride - padding + kernel
    if operation.padding_mode == "reflect":
        mirrored = _reflect(Interval(start, stop), length)
        return Interval(int(mirrored.min()), int(mirrored.max()) + 1)
    return Interval(max(start, 0), min(stop, length))


def input_window(operation: Operation, window: Window, size: Size) -> Window:
    """Return the receptive field of a window of the output in an input of this size."""
    (rows, columns), (height, width) = window, size
    return input_interval(operation, rows, height, 0), input_interval(operation, columns, width, 1)


def compute_window(operation: Operation, read: Callable[[Window], Tensor], window: Window, size: Size) -> Tensor:
    """Compute a window of the output for an input of this size, of which `read` returns windows.

    Only the borders of the map are padded; inside, neighboring positions are read.
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
    x = _pad(x, operation, window, (rows, columns), size)
    return F.conv2d(x, operation.weight, operation.bias, operation.stride)


def split_windows(size: Size, side: int) -> list[Window]:
    """Split a map into windows of nearly equal size, with sides of at most `side`, row by row."""
    rows, columns = (_split(length, side) for length in size)
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


def _pad(x: Tensor, operation: nn.Conv2d, window: Window, read: Window, size: Size) -> Tensor:
    """Pad what was read where the window exceeds the map."""
    zeros: list[int] = []
    for axis, (span, part, length) in enumerate(zip(window, read, size, strict=True)):
        start = span.start * operation.stride[axis] - _padding(operation, axis)
        stop = (span.stop - 1) * operation.stride[axis] - _padding(operation, axis) + operation.kernel_size[axis]
        if operation.padding_mode == "reflect":
            if start < 0 or stop > length:
                x = x.index_select(axis + 2, (_reflect(Interval(start, stop), length) - part.start).to(x.device))
        else:
            zeros = [part.start - start, stop - part.stop, *zeros]  # F.pad begins with the last axis
    return F.pad(x, zeros) if any(zeros) else x


def _reflect(span: Interval, length: int) -> Tensor:
    """Return the positions of a span, reflected into 0 to length - 1."""
    return length - 1 - (length - 1 - torch.arange(span.start, span.stop).abs()).abs()


def _cut(x: Tensor, window: Window, origin: tuple[int, int]) -> Tensor:
    rows, columns = (slice(span.start - first, span.stop - first) for span, first in zip(window, origin, strict=True))
    return x[..., rows, columns]


def _split(length: int, side: int) -> list[Interval]:
    count = -(-length // side)
    ends = [length * number // count for number in range(count + 1)]
    return [Interval(start, stop) for start, stop in pairwise(ends)]
