"""LPIPS, Frechet distance (FID), kernel distance (KID), and color histograms.

- LPIPS: Zhang, Isola, Efros, Shechtman, Wang: The unreasonable effectiveness of deep features as a perceptual metric,
  2018, equation 1.
- With features of Inception the Frechet distance is FID (Heusel et al., GANs trained by a two time-scale update rule,
  2017), the kernel distance KID (Binkowski et al., Demystifying MMD GANs, 2018). Both are float64 on the CPU.
- Histograms: Isola et al. 2017, figure 7.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pix2pix.data.color import rgb_to_lab
from pix2pix.errors import UserError

_EPSILON = 1e-8  # inside the root, as in torchmetrics


def lpips(features_x: Sequence[Tensor], features_y: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Return the LPIPS distance of each pair of images, (N,), from features (N, C, H, W) of several layers.

    Features are normalized to unit length at each position; squared differences, weighted by channel, are summed over
    channels and layers and averaged over positions. `weights` are (C) >= 0 for each layer: the squares of the paper's
    w.
    """
    distances = [
        torch.einsum("nchw,c->nhw", (_normalize(x) - _normalize(y)).square(), weight.to(x)).mean(dim=(1, 2))
        for x, y, weight in zip(features_x, features_y, weights, strict=True)
    ]
    return torch.stack(distances).sum(dim=0)


def _normalize(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True) + _EPSILON).sqrt()


_ROWS = 1000  # of the kernel matrix at a time, to limit memory


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Return the squared Frechet distance of the normal distributions with the sets' means and covariances (FID).

    |mean_x - mean_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)), with covariances divided by N - 1 and M - 1. The last
    trace is computed as the sum of the singular values of the centered X Y^T, which is exact for fewer items than
    features too. The distance is biased: compare only sets of the same size.

    Raises:
        UserError: a set has fewer than two items.
    """
    _check_sizes(x, y)
    (mean_x, root_x), (mean_y, root_y) = _moments(x), _moments(y)
    both = torch.linalg.svdvals(root_x @ root_y.mT).sum()
    distance = (mean_x - mean_y).square().sum() + root_x.square().sum() + root_y.square().sum() - 2 * both
    return max(float(distance), 0.0)  # may be negative by rounding


def kernel_distance(
    x: Tensor, y: Tensor, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return mean and deviation over random subsets of the squared maximum mean discrepancy (KID).

    The kernel is (x.y / D + 1)^3 and the estimate unbiased: 0 on average for equal distributions, and possibly
    negative. Subsets have `subset_size` items of each set, or all of the smaller set; if that is all of both, there
    is one subset with deviation 0.

    Raises:
        UserError: a set has fewer than two items.
    """
    _check_sizes(x, y)
    x, y = x.cpu().double(), y.cpu().double()
    size = min(subset_size, len(x), len(y))
    count = 1 if size == len(x) == len(y) else subsets
    generator = torch.Generator().manual_seed(seed)
    of_x, of_y = _draw_subsets(len(x), size, count, generator), _draw_subsets(len(y), size, count, generator)
    within = _kernel_sums(x, x, of_x, of_x) + _kernel_sums(y, y, of_y, of_y) - of_x @ _diagonal(x) - of_y @ _diagonal(y)
    values = within / (size * (size - 1)) - 2 * _kernel_sums(x, y, of_x, of_y) / size**2
    return float(values.mean()), float(values.std(correction=0))


def _check_sizes(x: Tensor, y: Tensor) -> None:
    if min(len(x), len(y)) < 2:
        raise UserError(f"distances need sets of at least 2 images, and these have {len(x)} and {len(y)}: give more")


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (D) and a matrix A (min(N, D), D) with the covariance A^T A."""
    features = features.cpu().double()
    mean = features.mean(dim=0)
    root = (features - mean) / (len(features) - 1) ** 0.5
    return mean, torch.linalg.qr(root, mode="r").R if len(root) > root.shape[1] else root


def _draw_subsets(items: int, size: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw subsets without replacement: (count, items), 1 for each chosen item."""
    drawn = torch.zeros(count, items, dtype=torch.float64)
    for subset in drawn:
        subset[torch.randperm(items, generator=generator)[:size]] = 1
    return drawn


def _kernel_sums(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> Tensor:
    """Return the sums of the kernel over the pairs of each subset of x and y, (S)."""
    sums = torch.zeros(len(of_x), dtype=x.dtype)
    for rows, chosen in zip(torch.split(x, _ROWS), torch.split(of_x, _ROWS, dim=1), strict=True):
        sums += (chosen * (of_y @ _kernel(y @ rows.mT / x.shape[1]))).sum(dim=1)
    return sums


def _diagonal(x: Tensor) -> Tensor:
    """Return the kernel of each item with itself."""
    return _kernel(x.square().mean(dim=1))


def _kernel(product: Tensor) -> Tensor:
    return (product + 1) ** 3


RANGES = {"L": (0, 100), "a": (-110, 110), "b": (-110, 110)}  # all sRGB colors are inside
BINS = 101  # odd, so that grays, whose a and b are near 0, are in one bin


def count_lab_histograms(images: Tensor, bins: int = BINS) -> Tensor:
    """Count the pixels of each image by L, by a and by b in equal bins over `RANGES`: (N, 3, bins) int64.

    Images are (N, 3, H, W) or gray (N, 1, H, W) in [-1, 1]; values outside of a range count in the last bin.
    """
    lab = rgb_to_lab((images.double().expand(-1, 3, -1, -1) + 1) / 2).flatten(2)  # (N, 3, H * W)
    low, high = (torch.tensor(ends, dtype=lab.dtype, device=lab.device) for ends in zip(*RANGES.values(), strict=True))
    places = ((lab - low[:, None]) / (high - low)[:, None] * bins).long().clamp(0, bins - 1)
    rows = torch.arange(len(images) * 3, device=lab.device).view(-1, 3, 1)
    return torch.bincount((rows * bins + places).flatten(), minlength=len(images) * 3 * bins).view(-1, 3, bins)


def intersect_histograms(p: Tensor, q: Tensor) -> Tensor:
    """Return the intersection of two histograms of counts (..., bins): (...) float64, 1 for equal distributions.

    It is the sum of the smaller shares; 0 for an empty histogram.
    """
    shares = [counts.double() / counts.double().sum(dim=-1, keepdim=True).clamp(min=1) for counts in (p, q)]
    return torch.minimum(*shares).sum(dim=-1)
