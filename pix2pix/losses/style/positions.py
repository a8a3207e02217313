"""Sums over the positions of feature maps, weighted by a mask."""

import torch
from torch import Tensor


def flat(features: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return features as (N, C, M) and the weights (N or 1, 1, M) of the positions, which sum to 1, or None."""
    if mask is None:
        return features.flatten(2), None
    weights = mask.to(features.dtype).flatten(2)
    total = weights.sum(dim=-1, keepdim=True)
    return features.flatten(2), weights / total.clamp(min=torch.finfo(features.dtype).tiny)


def mean(x: Tensor, weights: Tensor | None) -> Tensor:
    """Return the means (N, C, 1) of x (N, C, M)."""
    return x.mean(dim=-1, keepdim=True) if weights is None else (x * weights).sum(dim=-1, keepdim=True)


def second_moments(x: Tensor, weights: Tensor | None) -> Tensor:
    """Return the matrices (N, C, C) of the means of the products of two channels of x (N, C, M)."""
    # Plain products would cost two large ones on the way back, for two halves that are each other's transposes.
    half = x @ x.detach().mT / x.shape[-1] if weights is None else x @ (x.detach() * weights).mT
    return half + half.mT - half.detach()
