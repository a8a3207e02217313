"""Canvases: a source that is read, and a translation that is written, by windows (tensors, arrays, large files)."""

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pix2pix.data.arrays import Array, fit_size, reflect_indices
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.networks.receptive_field import Interval, Window


class Canvas(Protocol):
    """A source and its translation, accessed by windows in the coordinates of the image."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    @property
    def count(self) -> int:
        """The batch size N."""
        ...

    @property
    def is_in_memory(self) -> bool:
        """Whether the whole source is in memory; then the translation may be, too."""
        ...

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Return a window (N, C, h, w) of the source in [-1, 1]."""
        ...

    def write(self, rows: slice, columns: slice, image: Tensor) -> None:
        """Write a window (N, C', h, w) of the translation; a window may be written twice."""
        ...


class TensorCanvas:
    """A source (N, C, H, W) and its translation, `output`, of `channels` channels in float32."""

    is_in_memory = True

    def __init__(self, source: Tensor, channels: int):
        self.source = source
        self.output = torch.empty(len(source), channels, *source.shape[-2:], device=source.device)

    @property
    def count(self) -> int:
        """The batch size."""
        return len(self.source)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.source.shape[-2:]
        return height, width

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Return a window of the source."""
        return self.source[..., rows, columns]

    def write(self, rows: slice, columns: slice, image: Tensor) -> None:
        """Write a window of the translation."""
        self.output[..., rows, columns] = image


class PaddedCanvas:
    """A canvas padded by reflection to a multiple of the generator, as `pad_to_multiple` does."""

    def __init__(self, canvas: Canvas, multiple: int, device: torch.device, layout: torch.memory_format):
        self.canvas, self.device, self.layout = canvas, device, layout
        (self._rows, self._inner_rows), (self._columns, self._inner_columns) = (
            reflect_indices(length, multiple) for length in canvas.size
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, padding included."""
        return len(self._rows), len(self._columns)

    def read(self, window: Window) -> Tensor:
        """Return a window of the padded source, on the device and in the layout."""
        rows, columns = (
            index[span.start : span.stop] for index, span in zip((self._rows, self._columns), window, strict=True)
        )
        bounds = [slice(int(index.min()), int(index.max()) + 1) for index in (rows, columns)]
        x = self.canvas.read(*bounds).to(self.device)
        for dimension, index, bound in zip((-2, -1), (rows, columns), bounds, strict=True):
            if len(index) != bound.stop - bound.start or (index[1:] < index[:-1]).any():  # partly reflected
                x = x.index_select(dimension, torch.from_numpy(index - bound.start).to(self.device))
        return x.contiguous(memory_format=self.layout)

    def write(self, window: Window, image: Tensor) -> None:
        """Write the part of a window of the padded translation that lies inside the image."""
        (from_rows, to_rows), (from_columns, to_columns) = (
            _intersect(span, inner) for span, inner in zip(window, (self._inner_rows, self._inner_columns), strict=True)
        )
        if to_rows.start < to_rows.stop and to_columns.start < to_columns.stop:
            self.canvas.write(to_rows, to_columns, image[..., from_rows, from_columns])


def _intersect(span: Interval, inner: slice) -> tuple[slice, slice]:
    """Return the intersection as a slice of the span, and as a slice of the inner part."""
    start, stop = max(span.start, inner.start), min(span.stop, inner.stop)
    return slice(start - span.start, stop - span.start), slice(start - inner.start, stop - inner.start)


_ROWS = 32  # of the smaller image that are computed at a time


class ImageReader(Protocol):
    """Returns arrays (h, w, C) for slices of rows and columns: an array (H, W, C), or an open file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels."""
        ...

    def __getitem__(self, window: tuple[slice, slice], /) -> Array:
        """Return a window."""
        ...


class ImageWriter(Protocol):
    """Accepts arrays (h, w, C) for slices of rows and columns: an array (H, W, C), or an open file."""

    def __setitem__(self, window: tuple[slice, slice], array: Array, /) -> None:
        """Write a window."""
        ...


WriterFactory = Callable[[tuple[int, int, int], str], ImageWriter]  # of a shape (H, W, C) and a dtype


class ArrayCanvas:
    """A source with the values of its file, encoded by windows, and its translation, decoded by windows.

    `make` creates the writer from the shape (H, W, C) and dtype of the translation when its first window is written.
    """

    count = 1

    def __init__(self, source: ImageReader, codec: PairCodec, make: WriterFactory):
        self.source, self.codec, self._make = source, codec, make
        self._writer: ImageWriter | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.source.shape[0], self.source.shape[1]

    @property
    def is_in_memory(self) -> bool:
        """Whether the source is an array."""
        return isinstance(self.source, np.ndarray)

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Return a window (1, nc, h, w) of the source in [-1, 1]."""
        encoding = self.codec.source
        return encoding.encode(encoding.accept(self.source[rows, columns]))[None]

    def write(self, rows: slice, columns: slice, image: Tensor) -> None:
        """Write a window (1, nc, h, w) of the translation."""
        target = self.codec.target
        image = image[0].float().cpu()
        array = target.decode(image, self.read(rows, columns)[0] if target.kind == "chroma" else image)
        if self._writer is None:
            self._writer = self._make((*self.size, array.shape[2]), target.dtype)
        self._writer[rows, columns] = array


def shrink_image(pixels: ImageReader, encoding: ImageCodec, longest: int) -> Array:
    """Return the image shrunk so that no side is longer than `longest`, reading a few rows at a time."""
    height, width = pixels.shape[:2]
    if max(height, width) <= longest:
        return pixels[0:height, 0:width]
    new_height, new_width = fit_size((height, width), longest)
    ends = [*range(0, new_height, _ROWS), new_height]
    bands = []
    for first, last in pairwise(ends):
        band = pixels[first * height // new_height : last * height // new_height, 0:width]
        bands.append(encoding.resize(band, (last - first, new_width)))
    return np.concatenate(bands)
