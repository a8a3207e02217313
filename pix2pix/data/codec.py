"""Codecs between image files' arrays and tensors in [-1, 1]."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pix2pix.data import color, labels
from pix2pix.data.arrays import Array, convert_channels, encode_by_table, resize, resize_nearest, to_array, to_tensor
from pix2pix.data.color import lab_to_rgb, lightness_to_gray
from pix2pix.data.io import read_image
from pix2pix.data.labels import Color
from pix2pix.data.limits import MAX_PIXELS
from pix2pix.errors import ImageError, UserError, format_path

Kind = Literal["photo", "labels", "onehot", "classes", "lightness", "chroma"]
Range = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class ImageCodec:
    """The codec of one side of the pairs: its kind, channels and type of its files, and the values of -1 and 1.

    `low` and `high` have one value per channel, or one for all; values outside are clipped. The kinds are

    photo: values from low to high.
    labels: as photo, but resized by nearest neighbor; decoded to the nearest color of a palette, if there is one.
    onehot: a channel per color of the palette: 1 for the pixel's color, -1 for the others.
    classes: as onehot, but -1 in all channels for pixels without a class.
    lightness: L of a photo, decoded to a gray image.
    chroma: a and b of a photo, decoded to RGB with the L of the source.

    The palette's colors are file values. Files of 1 channel with a palette of more channels have class indices into
    the palette: encoded as its colors (black for unknown indices), decoded as indices. Files with one channel more
    than the palette have alpha, which is ignored. Lightness and chroma use one range for all channels, the widest.

    Raises:
        UserError: the files have the wrong number of channels for the kind or the palette.
    """

    kind: Kind
    channels: int
    dtype: str = "uint8"
    low: tuple[float, ...] = (0.0,)
    high: tuple[float, ...] = (255.0,)
    palette: tuple[Color, ...] = ()
    suffix: str = ".png"

    def __post_init__(self) -> None:
        if self.kind in ("lightness", "chroma") and self.channels not in (1, 3, 4):
            raise UserError(f"got photos of {self.channels} channels; 1, 3 or 4 are needed for their L, a and b")
        if self.kind in ("onehot", "classes") and not self.palette:
            raise UserError("got labels without a palette; one is needed to show them as one channel per class")
        color = len(self.palette[0]) if self.palette else self.channels
        if self.channels not in (1, color, color + 1):
            raise UserError(
                f"got labels of {self.channels} channels and a palette of {color}: make them {color} "
                "channels, or 1 that holds class numbers"
            )

    @property
    def nc(self) -> int:
        """The number of channels of the tensor."""
        match self.kind:
            case "onehot" | "classes":
                return len(self.palette)
            case "lightness":
                return 1
            case "chroma":
                return 2
        return len(self.palette[0]) if self.palette else self.channels

    @property
    def is_labels(self) -> bool:
        """Whether values are classes, which must not be mixed by resizing."""
        return self.kind in ("labels", "onehot", "classes")

    def accept(self, array: Array) -> Array:
        """Convert an image to the channels of the files.

        Raises:
            ImageError: it has another type, or channels that cannot be converted; labels can only lose or get alpha.
        """
        if array.dtype != self.dtype:
            raise ImageError(f"is {array.dtype}, but training images are {self.dtype}: convert it")
        present = array.shape[2]
        if self.is_labels and present != self.channels and {present, self.channels} != {3, 4}:
            raise ImageError(f"labels of {present} channels, but training labels have {self.channels}: make them equal")
        if self.kind not in ("lightness", "chroma"):
            return convert_channels(array, self.channels)
        if present not in (1, 3, 4):
            raise ImageError(f"has {present} channels; a photo of 1, 3 or 4 is needed for its L, a and b")
        return convert_channels(array, 3)

    def find_unknown_pixels(self, array: Array) -> NDArray[np.bool_]:
        """Return a mask (H, W) of the pixels without a class in the palette; all False without a palette."""
        if not self.palette:
            return np.zeros(array.shape[:2], np.bool_)
        return np.asarray(self._known_classes(array) == len(self.palette))

    def resize(self, array: Array, size: tuple[int, int]) -> Array:
        """Resize to (height, width)."""
        return resize_nearest(array, size) if self.is_labels else resize(array, size)

    def encode(self, array: Array) -> Tensor:
        """Map (H, W, C) of the files to (nc, H, W) in [-1, 1]."""
        match self.kind:
            case "lightness":
                return color.photo_to_lab(array, self._span)[:1] / 50 - 1
            case "chroma":
                return (color.photo_to_lab(array, self._span)[1:] / color.CHROMA).clamp(-1, 1)
            case "onehot" | "classes":
                known = self._known_classes if self.kind == "classes" else self._classes
                classes = torch.from_numpy(known(array))
                return torch.full((self.nc + 1, *classes.shape), -1.0).scatter_(0, classes[None], 1.0)[: self.nc]
        if self.is_numbered:
            array = labels.color_classes(self._classes(array), self.palette)
        return to_tensor(array[..., : self.nc], *self._range)

    def encode_batch(self, arrays: Sequence[Array]) -> Tensor:
        """Encode images of one size to (N, nc, H, W)."""
        if self.table is not None:
            return encode_by_table(arrays, self.table)
        return torch.stack([self.encode(np.array(array)) for array in arrays])  # copies: views may be read-only

    @cached_property
    def table(self) -> Tensor | None:
        """The encoding of each uint8 value of each channel, (nc, 256); None if it is not such a table."""
        if self.kind not in ("photo", "labels") or self.dtype != "uint8" or self.is_numbered:
            return None
        values = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(self.channels, axis=2)
        return self.encode(values)[:, 0]

    def decode(self, image: Tensor, source: Tensor) -> Array:
        """Map (nc, H, W) to an array of the files; `source` is the translated tensor."""
        match self.kind:
            case "lightness":
                return color.lightness_to_image(image, self.dtype, self._span)
            case "chroma":
                return color.colorize(source, image, self.dtype, self._span)
            case "onehot" | "classes":
                return self._of_classes(image.detach().argmax(dim=0).cpu().numpy())
        if self.palette:
            values = to_array(image, "float64", *self._range)
            return self._of_classes(labels.find_nearest_class(values, self.palette))
        return to_array(image, self.dtype, *self._range)

    def picture(self, image: Tensor, source: Tensor) -> Tensor:
        """Map (N, nc, H, W) to RGB images (N, 3, H, W) in [-1, 1] for display."""
        match self.kind:
            case "lightness":
                image = lightness_to_gray((image.float() + 1) * 50) * 2 - 1
            case "chroma":
                image = lab_to_rgb(color.join_lab(source.float(), image.float())).clamp(0, 1) * 2 - 1
            case "onehot" | "classes":
                colors = to_tensor(np.array(self.palette)[:, np.newaxis], *self._range)[..., 0].to(image.device)
                painted = colors[:, image.argmax(dim=1)].movedim(0, 1)
                image = torch.where(image.amax(dim=1, keepdim=True) > -1, painted, -1.0)  # of no class: black
        return image[:, :3] if image.shape[1] > 2 else image[:, :1].expand(-1, 3, -1, -1)

    def to_unit(self, array: Array) -> Array:
        """Map (H, W, C) of the files to float32 in [0, 1]: low becomes 0 and high 1."""
        return np.asarray((to_tensor(array, *self._file_range).permute(1, 2, 0) + 1) / 2)

    def from_unit(self, unit: Array) -> Array:
        """Map (H, W, C) in [0, 1] to an array of the files."""
        image = torch.from_numpy(np.array(unit.transpose(2, 0, 1), dtype=np.float64, order="C"))
        return to_array(image * 2 - 1, self.dtype, *self._file_range)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "ImageCodec":
        """Return the codec of `to_dict`.

        Raises:
            UserError: it has keys unknown to this version.
        """
        unknown = ", ".join(sorted(set(stored) - {field.name for field in fields(cls)}))
        if unknown:
            raise UserError(f"the codec has {unknown}, unknown to this version: use a newer one")
        low, high, palette = tuple(stored["low"]), tuple(stored["high"]), tuple(map(tuple, stored["palette"]))
        return cls(**{**stored, "low": low, "high": high, "palette": palette})

    @property
    def is_numbered(self) -> bool:
        """Whether files have class indices into the palette."""
        return bool(self.palette) and self.channels < len(self.palette[0])

    @property
    def _span(self) -> color.Span:
        return (min(self.low),), (max(self.high),)

    @property
    def _file_range(self) -> Range:
        return self._span if self.kind in ("lightness", "chroma") else (self.low, self.high)

    @property
    def _range(self) -> Range:
        """The values encoded as -1 and 1 in photos and labels; for class indices, those of the palette colors."""
        width = len(self.palette[0]) if self.palette else self.channels
        return ((0.0,), (255.0,)) if self.is_numbered else (self.low[:width], self.high[:width])

    def _classes(self, array: Array) -> labels.Classes:
        if self.is_numbered:
            return labels.mark_unknown_classes(array, len(self.palette))
        return labels.find_nearest_class(array[..., : len(self.palette[0])], self.palette)

    def _known_classes(self, array: Array) -> labels.Classes:
        """Return the class indices (H, W); pixels without a class get len(palette)."""
        classes = self._classes(array)
        if self.is_numbered:
            return classes
        far = labels.is_far_from_palette(array[..., : len(self.palette[0])], self.palette, classes)
        return np.where(far, len(self.palette), classes)

    def _of_classes(self, classes: labels.Classes) -> Array:
        if self.is_numbered:
            return classes[..., np.newaxis].astype(self.dtype)
        return labels.color_classes(classes, self.palette).astype(self.dtype)


class PairCodec(NamedTuple):
    """Both sides."""

    source: ImageCodec
    target: ImageCodec


_WHITE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
_SUFFIXES = {"uint8": ".png", "uint16": ".png", "float32": ".tif"}
_BRIGHTEST = 16.0  # of floats: highlights may exceed 1, but 255 is another scale


def read_rgb(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Tensor:
    """Read an image as (3, H, W) in [-1, 1]: gray is repeated, alpha dropped, floats range from 0 to 1.

    Raises:
        ImageError: as `read_rgb_array`.
    """
    return rgb_to_tensor(read_rgb_array(path, max_pixels))


def rgb_to_tensor(array: Array) -> Tensor:
    """Map (H, W, C) of uint8, uint16, or floats from 0 to 1, to (C, H, W) in [-1, 1]."""
    return to_tensor(array, high=(_WHITE[array.dtype.name],))


def rgb_codec(dtype: str) -> ImageCodec:
    """Return the codec of RGB images of uint8, uint16, or floats from 0 to 1."""
    return ImageCodec("photo", 3, dtype, high=(_WHITE[dtype],), suffix=_SUFFIXES[dtype])


def read_rgb_array(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Array:
    """Read an image as (H, W, 3) of uint8, uint16 or float32: gray is repeated, alpha dropped.

    Raises:
        ImageError: it cannot be read, has not 1, 3 or 4 channels, is of another type, or has values that are not finite
            or far above 1.
    """
    array = read_image(path, max_pixels)
    try:
        return to_rgb_array(array)
    except ImageError as error:
        raise ImageError(f"{format_path(path)}: {error}") from error


def to_rgb_array(array: Array) -> Array:
    """Convert (H, W, C) to (H, W, 3) of the same type in native byte order: gray is repeated, alpha dropped.

    Raises:
        ImageError: it has not 1, 3 or 4 channels, is not uint8, uint16 or float32, or has values that are not finite
            or far above 1.
    """
    if array.shape[2] not in (1, 3, 4) or array.dtype.name not in _WHITE:
        raise ImageError(
            f"{array.dtype} with {array.shape[2]} channels; "
            "a picture of uint8, uint16 or float32, gray or RGB, is needed"
        )
    if not np.isfinite(array).all():
        raise ImageError("has NaN or infinite values; numbers from 0 to 1 are needed")
    if array.dtype.name == "float32" and array.max() > _BRIGHTEST:
        raise ImageError(f"has values up to {array.max():g}; floats from 0 to 1 are needed, or 8 or 16 bits")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    rgb = convert_channels(array, 1 if array.shape[2] == 1 else 3)
    return convert_channels(rgb, 3)
