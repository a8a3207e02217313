"""What the files of one side of the pairs hold, and how that becomes a tensor in [-1, 1] and an image again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from torch import Tensor

from pix2pix.images.arrays import Array, resize
from pix2pix.images.tensors import to_array, to_tensor

Kind = Literal["photo", "labels", "onehot", "lightness", "chroma"]
Colour = tuple[int, ...]


@dataclass(frozen=True)
class Encoding:
    """One side of the pairs: its kind, the arrays of its files, and the values that become -1 and 1.

    `low` and `high` hold one value per channel, or one for all.
    """

    kind: Kind
    channels: int
    dtype: str = "uint8"
    low: tuple[float, ...] = (0.0,)
    high: tuple[float, ...] = (255.0,)
    palette: tuple[Colour, ...] = ()
    suffix: str = ".png"

    @property
    def nc(self) -> int:
        """Channels of the tensor."""
        return self.channels

    @property
    def is_labels(self) -> bool:
        """Whether values are classes, which no resizing may mix."""
        return self.kind in ("labels", "onehot")

    def resize(self, array: Array, size: tuple[int, int]) -> Array:
        """Resize to (height, width)."""
        return resize(array, size)

    def encode(self, array: Array) -> Tensor:
        """(H, W, C) of the files to (nc, H, W) in [-1, 1]."""
        return to_tensor(array)

    def decode(self, image: Tensor, source: Tensor) -> Array:
        """(nc, H, W) to an array as the files hold it; `source` is the tensor that was translated."""
        return to_array(image)

    def picture(self, image: Tensor, source: Tensor) -> Tensor:
        """(N, nc, H, W) as something to look at: (N, 3, H, W) in [-1, 1]."""
        return image.expand(-1, 3, -1, -1) if image.shape[1] < 3 else image[:, :3]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Encoding":
        """Return what `as_dict` gave."""
        return cls(**stored)


class Codec(NamedTuple):
    """Both sides."""

    source: Encoding
    target: Encoding
