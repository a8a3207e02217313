"""In whose style, and how, as callers say it; and what a stylising method is told of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pix2pix.colour import keep_colours, match_colours
from pix2pix.errors import UserError
from pix2pix.inference.pictures import Picture, mask, style_picture
from pix2pix.methods.base import Styles
from pix2pix.options.suggest import did_you_mean
from pix2pix.options.test import check_used
from pix2pix.tiling import Canvas

KeepColours = Literal["none", "luminance", "coral"]
STYLE_SIZE = 512  # Huang and Belongie's, at test time too
_LONGEST = 65535  # pixels of a style picture, as of the option
_ROWS = 256  # whose colours are kept at a time


@dataclass(frozen=True)
class Manner:
    """What `LoadedTranslator.translate` takes beside the image, under the same names."""

    style: Any = None
    style_weights: Sequence[float] | None = None
    masks: Sequence[Picture] | None = None
    alpha: float | None = None
    keep_colours: KeepColours = "none"
    style_size: int | None = None

    @property
    def given(self) -> list[str]:
        """The names of what was said."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        return [name for name in said if name != "keep_colours" or self.keep_colours != "none"]

    @property
    def needs_whole_content(self) -> bool:
        """Whether the content has to be in memory as a whole."""
        return self.masks is not None or self.keep_colours == "coral"

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


def styles_of(
    manner: Manner, model: str, names: Sequence[str], size: tuple[int, int], content: Callable[[], Tensor]
) -> Styles | None:
    """Return what a method is told to paint a content of this height and width; None: it is told nothing.

    `names` are those of the styles that were trained; `content` gives it as (1, 3, H, W) in [-1, 1].

    Raises:
        UserError: the method has no use for something, or needs more; numbers or sizes do not fit each other.
    """
    check_used(model, manner.given, prefix="")
    _check_colours(manner.keep_colours, model)
    if model not in ("conditional", "adain"):
        return None
    if manner.style is None or not manner.chosen:
        needed = f"one of {', '.join(names)}" if model == "conditional" else "a picture"
        raise UserError(f"style: a run of {model} needs {needed}, or several that are blended")
    weights = _weights(manner.style_weights, len(manner.chosen))
    alpha = 1.0 if manner.alpha is None else manner.alpha
    if not isinstance(alpha, Real) or not 0 <= alpha <= 1:
        raise UserError(f"alpha: got {alpha!r}; a number from 0 to 1 is needed")
    told = Styles(weights=weights, masks=_masks(manner, model, size), alpha=float(alpha))
    if model == "conditional":
        return told._replace(numbers=[style_number(style, names) for style in manner.chosen])
    pictures = [style_picture(each, _style_size(manner.style_size)) for each in manner.chosen]
    if manner.keep_colours == "coral":
        colours = content().cpu()
        pictures = [match_colours(picture, colours).clamp(-1, 1) for picture in pictures]
    return told._replace(pictures=pictures)


def style_number(style: object, names: Sequence[str]) -> int:
    """Return the place, from 0, of a style that is told by its name or its number from 1.

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
    got = " ".join(repr(style).split())  # that of an array has many lines
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
        raise UserError(f"style_weights: got {weights!r}; numbers >= 0 are needed, one of them above")
    return numbers


def _masks(manner: Manner, model: str, size: tuple[int, int]) -> list[Tensor]:
    """Read the masks of a content of this height and width.

    Raises:
        UserError: one cannot be used, or they would change nothing, or what goes with them would.
    """
    if manner.regions is None:
        return []
    if len(manner.regions) != len(manner.chosen):
        raise UserError(_unequal("masks", len(manner.regions), len(manner.chosen)))
    masks = [mask(each, size) for each in manner.regions]
    if model == "conditional" and len(masks) == 1:
        raise UserError("masks: a run of conditional paints all of the content, so one style needs none; leave it out")
    if model == "adain" and manner.style_weights is not None:
        raise UserError("style_weights: with masks adain blends no styles; leave one of them out")
    return masks


def _style_size(size: object) -> int:
    if size is None:
        return STYLE_SIZE
    if not isinstance(size, int | np.integer) or not 0 < size <= _LONGEST:
        raise UserError(f"style_size: got {size!r}; a whole number from 1 to {_LONGEST} is needed")
    return int(size)


def _unequal(name: str, count: int, styles: int) -> str:
    return f"{name}: got {count} for {styles} style{'s' * (styles != 1)}; give one for each, in their order"


def _check_colours(wished: str, model: str) -> None:
    if wished not in ("none", "luminance", "coral"):
        raise UserError(f"keep_colours: got {wished!r}; none, luminance or coral is needed")
    if wished == "coral" and model != "adain":
        raise UserError(
            f"keep_colours: coral recolours style pictures, and a run of {model} reads none; luminance is the other way"
        )


class KeptColours:
    """A canvas whose translation gets the colours of its source: its lightness alone is painted."""

    def __init__(self, canvas: Canvas):
        self.canvas = canvas

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.canvas.size

    @property
    def count(self) -> int:
        """How many images."""
        return self.canvas.count

    @property
    def is_in_memory(self) -> bool:
        """Whether all of the source is in memory."""
        return self.canvas.is_in_memory

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Return a window of the source."""
        return self.canvas.read(rows, columns)

    def write(self, rows: slice, columns: slice, image: Tensor) -> None:
        """Put a window of the translation in its place, recoloured a few rows at a time."""
        for top in range(rows.start, rows.stop, _ROWS):
            band = slice(top, min(top + _ROWS, rows.stop))
            painted = image[..., band.start - rows.start : band.stop - rows.start, :]
            source = self.canvas.read(band, columns).to(painted.device)
            self.canvas.write(band, columns, keep_colours(painted.to(torch.float32), source))
