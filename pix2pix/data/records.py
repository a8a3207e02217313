"""What the loaders hand out: every image tensor is float32 (N, C, H, W) in [-1, 1]."""

from typing import NamedTuple

from torch import Tensor


class Pair(NamedTuple):
    """A batch of aligned images: the target is what the source is to be translated into; one name each."""

    source: Tensor
    target: Tensor
    name: list[str]
