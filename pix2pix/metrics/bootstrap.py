"""How far a score of a set of images would scatter if other images had been drawn: intervals by the bootstrap.

Efron: Bootstrap methods: another look at the jackknife, 1979; the interval is that of the percentiles.
"""

from collections.abc import Callable

import torch
from torch import Tensor

SAMPLES, LEVEL = 1000, 0.95
_AT_ONCE = 100  # samples, so that those of large sets need little memory


def interval(
    statistic: Callable[[Tensor], Tensor], count: int, *, samples: int = SAMPLES, level: float = LEVEL, seed: int = 0
) -> tuple[float, float]:
    """Return the ends of the interval that holds the share `level` of what a statistic is on resampled items.

    `count` items are drawn from themselves, with replacement. `statistic` maps how often each item was drawn, float64
    (S, count), to its values (S,): sums over items are products of that with a matrix of one row for each item. A
    single item has an interval without width.
    """
    generator = torch.Generator().manual_seed(seed)
    values = []
    for first in range(0, samples, _AT_ONCE):
        items = torch.randint(count, (min(_AT_ONCE, samples - first), count), generator=generator)
        drawn = torch.zeros(items.shape, dtype=torch.float64).scatter_add_(1, items, torch.ones_like(items).double())
        values.append(statistic(drawn).double())
    tail = (1 - level) / 2
    low, high = torch.cat(values).quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def mean_interval(
    values: Tensor, *, samples: int = SAMPLES, level: float = LEVEL, seed: int = 0
) -> tuple[float, float]:
    """Return the interval of the mean of values (N,), one for each image."""
    column = values.cpu().double()
    return interval(lambda drawn: drawn @ column / len(column), len(column), samples=samples, level=level, seed=seed)
