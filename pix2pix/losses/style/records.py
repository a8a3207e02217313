"""What a style loss is: statistics of features that forget where things are, and a distance to those of a style."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

Statistics = tuple[Tensor, ...]


class StyleLoss(NamedTuple):
    """A style loss on the features of one layer, of any size.

    `statistics(features, mask)` is what is remembered of a style, a batch of N or one for all images.
    `distance(features, statistics, mask)` is a scalar: the mean over images of how far each is from its style.

    Features are (N, C, H, W). A mask (N or 1, 1, H, W) in [0, 1], of the size of the features, weighs the positions;
    None: all weigh the same. A mask that is 0 everywhere has finite statistics, and a distance without gradient.
    """

    statistics: Callable[[Tensor, Tensor | None], Statistics]
    distance: Callable[[Tensor, Statistics, Tensor | None], Tensor]
