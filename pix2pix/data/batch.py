"""Raw pairs, and batches of pairs and photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor

from pix2pix.data.arrays import Array


class PairBatch(NamedTuple):
    """A batch of aligned source and target images and their names."""

    source: Tensor
    target: Tensor
    name: list[str]


class PhotoBatch(NamedTuple):
    """A batch of photographs (N, 3, H, W) and their names."""

    content: Tensor
    name: list[str]


class ContentStyleBatch(NamedTuple):
    """A batch of content and style images, both (N, 3, H, W), and the names of the content images."""

    content: Tensor
    style: Tensor
    name: list[str]


class RawPair(NamedTuple):
    """Two images (H, W, C) of one size with the values of their files, and the name of the pair."""

    source: Array
    target: Array
    name: str


class PairSource(Protocol):
    """Pairs that can be read in any order; `layout` describes their origin."""

    @property
    def layout(self) -> str: ...  # noqa: D102
    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102
    def __len__(self) -> int: ...
    def files(self, index: int) -> tuple[Path, ...]: ...  # noqa: D102
    def read(self, index: int) -> RawPair: ...  # noqa: D102
