"""Images read and written window by window: tensors, arrays, large files."""

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
    """What windows come from and go to; rows and columns are those of the image itself."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    @property
    def count(self) -> int:
        """How many images are translated together: N."""
        ...

    @property
    def is_in_memory(self) -> bool:
        """Whether all of the source is in memory, so that its translation may be, too."""
        ...

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Return a window (N, C, h, w) of the source in [-1, 1]."""
        ...

    def write(self, rows: slice, columns: slice, image: Tensor) -> None:
        """Take a window (N, C', h, w) of the translation; the same one may come twice."""
        ...


class TensorCanvas:
    """A source (N, C, H, W) and its translation, `output`, of `channels` channels in float32."""

    is_in_memory = True

    def __init__(self, source: Tensor, channels: int):
        self.source = source
        self.output = torch.empty(len(source), channels, *source.shape[-2:], device=source.device)

    @property
    def count(self) -> int:
        """How many images."""
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
        """Put a window of the translation in its place."""
        self.output[..., rows, columns] = image


class PaddedCanvas:
    """A canvas as the generator sees it: mirrored on all sides to a multiple, as `reflect_to_multiple` does."""

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
            if len(index) != bound.stop - bound.start or (index[1:] < index[:-1]).any():  # some of it is a mirror's
                x = x.index_select(dimension, torch.from_numpy(index - bound.start).to(self.device))
        return x.contiguous(memory_format=self.layout)

    def write(self, window: Window, image: Tensor) -> None:
        """Hand on what of a window of the padded translation lies inside the image."""
        (from_rows, to_rows), (from_columns, to_columns) = (
            _inside(span, inner) for span, inner in zip(window, (self._inner_rows, self._inner_columns), strict=True)
        )
        if to_rows.start < to_rows.stop and to_columns.start < to_columns.stop:
            self.canvas.write(to_rows, to_columns, image[..., from_rows, from_columns])


def _inside(span: Interval, inner: slice) -> tuple[slice, slice]:
    """Where the common part of both lies in the span, and where in the inner part."""
    start, stop = max(span.start, inner.start), min(span.stop, inner.stop)
    return slice(start - span.start, stop - span.start), slice(start - inner.start, stop - inner.start)


_ROWS = 32  # of a smaller image that are made at a time


class ImageReader(Protocol):
    """What gives arrays (h, w, C) for slices of rows and columns: an array (H, W, C), or a file that is open."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels."""
        ...

    def __getitem__(self, window: tuple[slice, slice], /) -> Array:
        """Return a window."""
        ...


class ImageWriter(Protocol):
    """What takes arrays (h, w, C) for slices of rows and columns."""

    def __setitem__(self, window: tuple[slice, slice], array: Array, /) -> None:
        """Put a window in its place."""
        ...


WriterFactory = Callable[[tuple[int, int, int], str], ImageWriter]  # of a shape (H, W, C) and a dtype


class ArrayCanvas:
    """A source as files hold it, which is encoded by windows, and a place for its translation, decoded by windows.

    `make` is called with the shape (H, W, C) and the dtype of the translation when its first window is there.
    """

    count = 1

    def __init__(self, source: ImageReader, codec: PairCodec, make: WriterFactory):
        self.source, self.codec, self._make = source, codec, make
        self._place: ImageWriter | None = None

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
        """Put a window (1, nc, h, w) of the translation in its place."""
        target = self.codec.target
        image = image[0].float().cpu()
        array = target.decode(image, self.read(rows, columns)[0] if target.kind == "chroma" else image)
        if self._place is None:
            self._place = self._make((*self.size, array.shape[2]), target.dtype)
        self._place[rows, columns] = array


def shrink_image(pixels: ImageReader, encoding: ImageCodec, longest: int) -> Array:
    """Return the image with no side longer than `longest`, read a few rows at a time; a smaller one stays as it is."""
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
