"""Label maps as class numbers: nearest colours, and classes that are left out."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pix2pix.errors import UserError
from pix2pix.images import Array
from pix2pix.images.labels import far_from, known_class, nearest_class
from pix2pix.options.suggest import did_you_mean
from pix2pix.palettes import Palette

_NONE = -1  # a pixel of the truth that is not counted


@dataclass(frozen=True)
class Classes:
    """The classes that are counted, numbered from 0 in the order of the palette without those that are ignored."""

    palette: Palette
    ignored: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The counted classes; those of a name that others have too are told apart by their colours."""
        names, colours = self.palette.names, self.palette.colours
        return [
            names[place] if names.count(names[place]) == 1 else f"{names[place]} {colours[place]}"
            for place in self._places
        ]

    def truth(self, labels: Array) -> Tensor:
        """Return the classes (H, W) of a label map (H, W, C), -1 where it is of none that is counted.

        Files of fewer channels than its colours hold places in the palette; others its colours, more or less: the
        nearest counts, unless it is far.
        """
        count, depth = len(self.palette.names), len(self.palette.colours[0])
        if labels.shape[2] < depth:
            return self._numbered(_NONE)[torch.from_numpy(known_class(labels, count))]
        colours = labels[..., :depth]
        places = nearest_class(colours, self.palette.colours)
        far = torch.from_numpy(far_from(colours, self.palette.colours, places))
        return self._numbered(_NONE)[torch.from_numpy(places).masked_fill(far, count)]

    def decoded(self, image: Array) -> Tensor:
        """Return the classes (H, W) of the colours nearest to an image's (H, W, C), as of a translation."""
        depth = len(self.palette.colours[0])
        if image.shape[2] < depth:
            return self.seen(torch.from_numpy(known_class(image, len(self.palette.names))))
        return self.seen(torch.from_numpy(nearest_class(image[..., :depth], self.palette.colours)))

    def seen(self, places: Tensor) -> Tensor:
        """Return predicted places in the palette (H, W) as classes, one past the last for what is not counted."""
        count = len(self.palette.names)
        known = (places >= 0) & (places < count)
        return self._numbered(len(self._places))[torch.where(known, places, count)]

    @cached_property
    def _places(self) -> tuple[int, ...]:
        return tuple(place for place, name in enumerate(self.palette.names) if name not in self.ignored)

    def _numbered(self, uncounted: int) -> Tensor:
        """A table: the class of each place of the palette, and last of what is no place."""
        table = torch.full((len(self.palette.names) + 1,), uncounted)
        table[list(self._places)] = torch.arange(len(self._places))
        return table


def counted(palette: Palette, ignore: Collection[str]) -> Classes:
    """Leave out the classes of these names, beside those that the palette itself ignores.

    Raises:
        UserError: the palette has no such class, or none is left.
    """
    for name in ignore:
        if name not in palette.names:
            hint = did_you_mean(name, palette.names) or f"; it has {', '.join(palette.names)}"
            raise UserError(f"--ignore: the palette has no class {name!r}{hint}")
    ignored = tuple(name for name in palette.names if name in ignore or name in palette.ignored)
    if len(ignored) == len(palette.names):
        raise UserError("--ignore: no class is left; name fewer")
    return Classes(palette, ignored)
