"""Style as moments of the features: Gram matrices, covariances, means and deviations of each channel.

All are per position, so that image and style may differ in size.
"""

from torch import Tensor

from pix2pix.losses.precision import full_precision
from pix2pix.losses.style.positions import flat, mean, second_moments
from pix2pix.losses.style.records import Statistics, StyleLoss

_EPS = 1e-6  # of AdaIN's code: the root of a constant channel's variance keeps a finite gradient


@full_precision
def gram(features: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return F F^T / M (N, C, C): how often each two of the C channels are active at the same of the M positions.

    Source: Gatys et al. 2016, equation 3, there not divided by M.
    """
    return second_moments(*flat(features, mask))


@full_precision
def covariance(features: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the covariance (N, C, C) of the channels, divided by the number of positions."""
    x, weights = flat(features, mask)
    return second_moments(x - mean(x, weights), weights)


@full_precision
def mean_std(features: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and standard deviation, sqrt(variance + 1e-6), as (N, C, 1)."""
    x, weights = flat(features, mask)
    centre = mean(x, weights)
    return centre, (mean((x - centre).square(), weights) + _EPS).sqrt()


def _gram_statistics(features: Tensor, mask: Tensor | None) -> Statistics:
    return (gram(features, mask),)


def _gram_distance(features: Tensor, style: Statistics, mask: Tensor | None) -> Tensor:
    """Gatys' E_l = 1 / (4 C^2 M^2) * sum of squares of the differences of F F^T. Source: Gatys et al., equation 4."""
    return (gram(features, mask) - style[0]).square().mean() / 4


def _covariance_statistics(features: Tensor, mask: Tensor | None) -> Statistics:
    return (covariance(features, mask),)


def _covariance_distance(features: Tensor, style: Statistics, mask: Tensor | None) -> Tensor:
    """1 / (4 C^2) * sum of squares. Source: Sun and Saenko, *Deep CORAL*, 2016, equation 1."""
    return (covariance(features, mask) - style[0]).square().mean() / 4


def _mean_std_distance(features: Tensor, style: Statistics, mask: Tensor | None) -> Tensor:
    """Mean over channels of both squared differences. Source: Huang and Belongie 2017, equation 13, squared."""
    centre, deviation = mean_std(features, mask)
    return (centre - style[0]).square().mean() + (deviation - style[1]).square().mean()


GRAM = StyleLoss(_gram_statistics, _gram_distance)
COVARIANCE = StyleLoss(_covariance_statistics, _covariance_distance)
MEAN_STD = StyleLoss(mean_std, _mean_std_distance)
