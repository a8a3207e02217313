"""Records that images are passed in: raw pairs, batches of pairs, photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor

from pix2pix.data.arrays import Array


class PairBatch(NamedTuple):
    """A batch of aligned images: the target is what the source is to be translated into; one name each."""

    source: Tensor
    target: Tensor
    name: list[str]


class PhotoBatch(NamedTuple):
    """A batch of photographs to stylise, (N, 3, H, W); one name each."""

    content: Tensor
    name: list[str]


class ContentStyleBatch(NamedTuple):
    """A batch of photographs and of as many pictures in whose manner to paint, (N, 3, H, W); the photographs' names."""

    content: Tensor
    style: Tensor
    name: list[str]


class RawPair(NamedTuple):
    """Two (H, W, C) images of one size as their files hold them, and the name of the pair."""

    source: Array
    target: Array
    name: str


class PairSource(Protocol):
    """Pairs that can be read in any order; layout is a phrase for people saying where they come from."""

    @property
    def layout(self) -> str: ...  # noqa: D102
    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102
    def __len__(self) -> int: ...
    def files(self, index: int) -> tuple[Path, ...]: ...  # noqa: D102
    def read(self, index: int) -> RawPair: ...  # noqa: D102
