"""LPIPS: how unlike two images look, as a network's features tell that were weighted by what people said.

Zhang, Isola, Efros, Shechtman, Wang: The unreasonable effectiveness of deep features as a perceptual metric, 2018,
equation 1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_EPSILON = 1e-8  # within the root, where features are all 0: torchmetrics' choice


def lpips(features_x: Sequence[Tensor], features_y: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Return the distance of each pair of images, (N,), from features (N, C, H, W) of some layers.

    Features are divided by their length at each position; the squared differences, weighted by channel, are summed over
    channels and layers and averaged over positions. `weights` are (C) for each layer and not negative: the squares of
    the paper's w.
    """
    distances = [
        torch.einsum("nchw,c->nhw", (_unit(x) - _unit(y)).square(), weight.to(x)).mean(dim=(1, 2))
        for x, y, weight in zip(features_x, features_y, weights, strict=True)
    ]
    return torch.stack(distances).sum(dim=0)


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True) + _EPSILON).sqrt()
