"""L1, PSNR and SSIM of images, and whether lower or higher values of a metric are better."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference, from 0 (equal) to 2, of images in [-1, 1]."""
    return (output.float() - target.float()).abs().mean(dim=(1, 2, 3))


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in decibels, at most 100 so that equal images have a finite value."""
    mse = ((output.float() - target.float()) / 2).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(mse.clamp_min(1e-10))


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """Return the structural similarity of images, averaged over positions and channels; 1 for equal images.

    Images are scaled to [0, 1]. Gaussian window of side 11 and sigma 1.5, K1 = 0.01, K2 = 0.03, windows inside the
    image only; images with a side below 11 get the largest odd window that fits.
    Source: Wang, Bovik, Sheikh, Simoncelli 2004, equation 13.
    """
    x, y = ((image.double() + 1) / 2 for image in (output, target))
    channels, side = x.shape[1], min(11, *x.shape[-2:])
    window = _gaussian(side - (side + 1) % 2, 1.5).to(x)

    def blur(image: Tensor) -> Tensor:
        rows = F.conv2d(image, window.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)
        return F.conv2d(rows, window.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)

    mean_x, mean_y = blur(x), blur(y)
    variance_x = blur(x * x) - mean_x.square()
    variance_y = blur(y * y) - mean_y.square()
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean(dim=(1, 2, 3)).float()


def _gaussian(side: int, sigma: float) -> Tensor:
    positions = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    weights = torch.exp(-positions.square() / (2 * sigma**2))
    return weights / weights.sum()


_ORDER = (
    *("L1", "L2", "PSNR", "SSIM", "LPIPS", "FID", "KID", "Frechet", "kernel", "histogram"),
    *("pixel accuracy", "class accuracy", "class IoU"),
)
_LOWER_IS_BETTER = ("L1", "L2", "LPIPS", "FID", "KID", "Frechet", "kernel")  # prefixes of the names of such metrics


def is_lower_better(metric: str) -> bool:
    """Return whether lower values of a metric are better, by its name."""
    return metric.startswith(_LOWER_IS_BETTER)


def metric_sort_key(metric: str) -> int:
    """Return the sort key of a metric; unknown ones come last."""
    return next((place for place, begin in enumerate(_ORDER) if metric.startswith(begin)), len(_ORDER))
