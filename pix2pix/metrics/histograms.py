"""How alike the colours of two sets of images are, wherever they stand: histograms of L, a and b, and what they share.

Isola, Zhu, Zhou, Efros: Image-to-image translation with conditional adversarial networks, 2017, figure 7.
"""

import torch
from torch import Tensor

from pix2pix.colour import rgb_to_lab

RANGES = {"L": (0, 100), "a": (-110, 110), "b": (-110, 110)}  # no sRGB colour lies outside
BINS = 101  # odd, so that all greys, whose a and b are hardly 0, lie in one bin, not around the border of two


def lab_histograms(images: Tensor, bins: int = BINS) -> Tensor:
    """Count the pixels of each image by L, by a and by b in equal bins over `RANGES`: (N, 3, bins) int64.

    Images are (N, 3, H, W) or grey (N, 1, H, W) in [-1, 1]; what lies outside a range is in the bin at that end.
    """
    lab = rgb_to_lab((images.double().expand(-1, 3, -1, -1) + 1) / 2).flatten(2)  # (N, 3, H * W)
    low, high = (torch.tensor(ends, dtype=lab.dtype, device=lab.device) for ends in zip(*RANGES.values(), strict=True))
    places = ((lab - low[:, None]) / (high - low)[:, None] * bins).long().clamp(0, bins - 1)
    rows = torch.arange(len(images) * 3, device=lab.device).view(-1, 3, 1)
    return torch.bincount((rows * bins + places).flatten(), minlength=len(images) * 3 * bins).view(-1, 3, bins)


def intersection(p: Tensor, q: Tensor) -> Tensor:
    """Return what two histograms of counts (..., bins) have in common: (...) float64, 1 if their shares are equal.

    Each is divided by its sum, and the smaller shares are added up; an empty one has nothing in common with any.
    """
    shares = [counts.double() / counts.double().sum(dim=-1, keepdim=True).clamp(min=1) for counts in (p, q)]
    return torch.minimum(*shares).sum(dim=-1)
