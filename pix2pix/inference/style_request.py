"""Style requests: the styles for an image, their weights and masks, loaded and validated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pix2pix.config.test import check_applicable
from pix2pix.config.types import did_you_mean
from pix2pix.data.arrays import Array, convert_channels, fit_size, resize, to_storage_dtype
from pix2pix.data.codec import read_rgb_array, rgb_to_tensor, to_rgb_array
from pix2pix.data.color import keep_colors, match_colors
from pix2pix.data.limits import MAX_PIXELS
from pix2pix.data.pillow import from_pil
from pix2pix.errors import ImageError, UserError, format_path
from pix2pix.methods.base import Styles
from pix2pix.networks.canvas import Canvas

Picture: TypeAlias = Image.Image | npt.NDArray[Any] | Tensor | str | Path


def load_style(picture: Picture, longest: int) -> Tensor:
    """Load a style image as (1, 3, H, W) in [-1, 1], resized so that its longer side is `longest`.

    An array is (H, W) or (H, W, C) of 8 or 16 bits, or floats from 0 to 1; a tensor ([1,] C, H, W) is in [-1, 1].

    Raises:
        UserError: it cannot be used.
    """
    array = _array(picture, "style", images_of=(-1.0, 1.0))
    return rgb_to_tensor(resize(array, fit_size(array.shape[:2], longest)))[None]


def load_mask(picture: Picture, size: tuple[int, int]) -> Tensor:
    """Load a mask as (1, 1, H, W) in [0, 1]: an array like that of a style image, or bool; a tensor in [0, 1].

    Raises:
        UserError: its size is not the content's, it is black, or it cannot be used.
    """
    array = _array(picture, "masks", images_of=(0.0, 1.0), max_pixels=max(MAX_PIXELS, size[0] * size[1]))
    if array.shape[:2] != size:
        (height, width), (content_height, content_width) = array.shape[:2], size
        raise UserError(
            f"masks: {_describe(picture)} is {height}x{width} and the content {content_height}x{content_width}; "
            "both need one size"
        )
    gray = (rgb_to_tensor(convert_channels(array, 1))[None] + 1) / 2
    if not gray.any():
        raise UserError(f"masks: {_describe(picture)} is black everywhere; white is where its style is applied")
    return gray


def _array(picture: Picture, role: str, images_of: tuple[float, float], max_pixels: int = MAX_PIXELS) -> Array:
    """Load an image as (H, W, 3) of uint8, uint16 or floats from 0 to 1; `images_of` is the range of tensors."""
    if isinstance(picture, str | Path):
        try:
            return read_rgb_array(picture, max_pixels)
        except ImageError as error:
            raise UserError(f"{role}: {error}") from error
    if isinstance(picture, Image.Image) and picture.width * picture.height > 0:
        array = from_pil(picture)
    elif isinstance(picture, np.ndarray) and picture.ndim in (2, 3) and picture.size > 0:
        array = picture if picture.ndim == 3 else picture[..., np.newaxis]
    elif isinstance(picture, Tensor) and _is_picture(picture):
        low, high = images_of
        flat = picture.detach().cpu().float().reshape(-1, *picture.shape[-2:])
        array = ((flat - low) / (high - low)).clamp(0, 1).permute(1, 2, 0).contiguous().numpy()
    else:
        shape = tuple(picture.shape) if isinstance(picture, np.ndarray | Tensor) else getattr(picture, "size", "")
        raise UserError(
            f"{role}: got {type(picture).__name__} {shape}; a file, a PIL image, an array (H, W[, C]) or a float "
            "tensor ([1,] C, H, W) is needed"
        )
    try:
        return to_rgb_array(to_storage_dtype(array))
    except ImageError as error:
        raise UserError(f"{role}: {error}") from error


def _is_picture(tensor: Tensor) -> bool:
    is_single = tensor.ndim in (2, 3) or (tensor.ndim == 4 and len(tensor) == 1)
    return is_single and (tensor.is_floating_point() or tensor.dtype == torch.bool) and tensor.numel() > 0


def _describe(picture: Picture) -> str:
    return format_path(picture) if isinstance(picture, str | Path) else "one of them"


KeepColors = Literal["none", "luminance", "coral"]
STYLE_SIZE = 512  # as Huang and Belongie
_LONGEST = 65535  # pixels, the limit of --style_size
_ROWS = 256  # recolored at a time


@dataclass(frozen=True)
class StyleRequest:
    """The style arguments of `LoadedTranslator.translate`."""

    style: Any = None
    style_weights: Sequence[float] | None = None
    masks: Sequence[Picture] | None = None
    alpha: float | None = None
    keep_colors: KeepColors = "none"
    style_size: int | None = None

    @property
    def given(self) -> list[str]:
        """The names of the given arguments."""
        arguments = {name: value for name, value in vars(self).items() if value is not None}
        return [name for name in arguments if name != "keep_colors" or self.keep_colors != "none"]

    @property
    def needs_whole_content(self) -> bool:
        """Whether the whole content must be in memory."""
        return self.masks is not None or self.keep_colors == "coral"

    @property
    def chosen(self) -> list[Any]:
        """The styles, one or several."""
        return list(self.style) if isinstance(self.style, list | tuple) else [self.style]

    @property
    def regions(self) -> list[Picture] | None:
        """The masks, one or several; None: there are none."""
        masks: Any = self.masks
        if masks is None:
            return None
        is_several = isinstance(masks, list | tuple) or (isinstance(masks, np.ndarray | Tensor) and masks.ndim > 2)
        return list(masks) if is_several else [masks]


def resolve_styles(
    request: StyleRequest, model: str, names: Sequence[str], size: tuple[int, int], content: Callable[[], Tensor]
) -> Styles | None:
    """Return the styles for a method and a content of this height and width; None for methods without styles.

    `names` are the trained styles; `content` returns the image (1, 3, H, W) in [-1, 1].

    Raises:
        UserError: the method does not use an argument, or lacks one; numbers or sizes do not fit each other.
    """
    check_applicable(model, request.given, prefix="")
    _check_colors(request.keep_colors, model)
    if model not in ("multi_style", "adain"):
        return None
    if request.style is None or not request.chosen:
        needed = f"one of {', '.join(names)}" if model == "multi_style" else "an image"
        raise UserError(f"style: a run of {model} needs {needed}, or several to blend")
    weights = _weights(request.style_weights, len(request.chosen))
    alpha = 1.0 if request.alpha is None else request.alpha
    if not isinstance(alpha, Real) or not 0 <= alpha <= 1:
        raise UserError(f"alpha: got {alpha!r}; a number from 0 to 1 is needed")
    styles = Styles(weights=weights, masks=_masks(request, model, size), alpha=float(alpha))
    if model == "multi_style":
        return styles._replace(numbers=[find_style_number(style, names) for style in request.chosen])
    pictures = [load_style(each, _style_size(request.style_size)) for each in request.chosen]
    if request.keep_colors == "coral":
        colours = content().cpu()
        pictures = [match_colors(picture, colours).clamp(-1, 1) for picture in pictures]
    return styles._replace(images=pictures)


def find_style_number(style: object, names: Sequence[str]) -> int:
    """Return the index, from 0, of a style given by name or by number from 1.

    Raises:
        UserError: there is no such style.
    """
    if isinstance(style, str) and style in names:
        return names.index(style)
    if isinstance(style, int | np.integer) or (isinstance(style, str) and style.isdecimal()):
        number = int(style)
        if 1 <= number <= len(names):
            return number - 1
    hint = did_you_mean(style, names) if isinstance(style, str) else ""
    got = " ".join(repr(style).split())  # arrays have several lines
    raise UserError(f"style: got {got:.80}; {', '.join(names)} or a number from 1 to {len(names)} is needed{hint}")


def _weights(weights: Sequence[float] | None, styles: int) -> Sequence[float] | None:
    if weights is None:
        return None
    try:
        numbers = [float(weight) for weight in weights]
    except (TypeError, ValueError):
        numbers = [-1.0] * styles
    if len(numbers) != styles:
        raise UserError(_unequal("style_weights", len(numbers), styles))
    if not all(0 <= number < float("inf") for number in numbers) or not any(numbers):
        raise UserError(f"style_weights: got {weights!r}; numbers >= 0 are needed, not all 0")
    return numbers


def _masks(request: StyleRequest, model: str, size: tuple[int, int]) -> list[Tensor]:
    """Load the masks for a content of this height and width.

    Raises:
        UserError: one cannot be used, or masks have no effect for this method.
    """
    if request.regions is None:
        return []
    if len(request.regions) != len(request.chosen):
        raise UserError(_unequal("masks", len(request.regions), len(request.chosen)))
    masks = [load_mask(each, size) for each in request.regions]
    if model == "multi_style" and len(masks) == 1:
        raise UserError("masks: a run of multi_style applies one style to the whole content; leave the mask out")
    if model == "adain" and request.style_weights is not None:
        raise UserError("style_weights: adain does not blend styles that have masks; leave one of them out")
    return masks


def _style_size(size: object) -> int:
    if size is None:
        return STYLE_SIZE
    if not isinstance(size, int | np.integer) or not 0 < size <= _LONGEST:
        raise UserError(f"style_size: got {size!r}; a whole number from 1 to {_LONGEST} is needed")
    return int(size)


def _unequal(name: str, count: int, styles: int) -> str:
    return f"{name}: got {count} for {styles} style{'s' * (styles != 1)}; give one for each, in the same order"


def _check_colors(mode: str, model: str) -> None:
    if mode not in ("none", "luminance", "coral"):
        raise UserError(f"keep_colors: got {mode!r}; none, luminance or coral is needed")
    if mode == "coral" and model != "adain":
        raise UserError(f"keep_colors: coral recolors style images, which a run of {model} does not use; use luminance")


class ColorPreservingCanvas:
    """A canvas that keeps the colors of its source: only the lightness of the translation is used."""

    def __init__(self, canvas: Canvas):
        self.canvas = canvas

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.canvas.size

    @property
    def count(self) -> int:
        """The batch size."""
        return self.canvas.count

    @property
    def is_in_memory(self) -> bool:
        """Whether the whole source is in memory."""
        return self.canvas.is_in_memory

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Return a window of the source."""
        return self.canvas.read(rows, columns)

    def write(self, rows: slice, columns: slice, image: Tensor) -> None:
        """Write a window of the translation with the source's colors, a few rows at a time."""
        for top in range(rows.start, rows.stop, _ROWS):
            band = slice(top, min(top + _ROWS, rows.stop))
            painted = image[..., band.start - rows.start : band.stop - rows.start, :]
            source = self.canvas.read(band, columns).to(painted.device)
            self.canvas.write(band, columns, keep_colors(painted.to(torch.float32), source))
