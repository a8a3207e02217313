import re

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from pix2pix.errors import UserError
from pix2pix.evaluation.distances import frechet_distance, kernel_distance


def features(count, width, seed, shift=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    independent, mixing = torch.randn(count, width, generator=generator), torch.randn(width, width, generator=generator)
    return (independent @ mixing).double() * scale / width**0.5 + shift


class Features(nn.Module):
    """A network whose input is features already, in the form that torchmetrics takes one in."""

    def __init__(self, num_features):
        super().__init__()
        self.num_features = num_features

    def forward(self, x):
        return x


@pytest.mark.parametrize("count", [5, 200])
def test_a_set_is_at_no_distance_from_itself(count):
    x = features(count, 16, 0)
    assert frechet_distance(x, x.flip(0)) == pytest.approx(0, abs=1e-10)


def test_a_shift_is_its_squared_length():
    x = features(40, 8, 0)
    assert frechet_distance(x, x + 3) == pytest.approx(8 * 9)


def test_twice_the_deviation_is_the_variance():
    x = features(40, 8, 0)
    x = x - x.mean(dim=0)
    assert frechet_distance(x, 2 * x) == pytest.approx(x.var(dim=0).sum().item())  # tr(S + 4 S - 2 * 2 S)


@pytest.mark.parametrize(("n", "m", "width"), [(60, 90, 12), (300, 20, 12), (12, 12, 12)])
def test_the_frechet_distance_is_that_of_scipys_root(n, m, width):
    x, y = features(n, width, 0), features(m, width, 1, shift=0.3, scale=1.4)
    product = np.cov(x.numpy(), rowvar=False) @ np.cov(y.numpy(), rowvar=False)
    traces = np.trace(np.cov(x.numpy(), rowvar=False)) + np.trace(np.cov(y.numpy(), rowvar=False))
    gap = ((x.mean(dim=0) - y.mean(dim=0)) ** 2).sum().item()
    expected = gap + traces - 2 * np.trace(sqrtm(product).real)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)


def test_the_frechet_distance_is_torchmetrics():
    x, y = features(80, 10, 2), features(70, 10, 3, shift=-0.2)
    theirs = FrechetInceptionDistance(Features(10))
    theirs.update(x, real=True)
    theirs.update(y, real=False)
    expected = theirs.compute()
    assert frechet_distance(x, y) == pytest.approx(expected.item())


def test_fewer_items_than_features_are_exact():
    x, y = features(6, 8, 0), features(7, 8, 1)
    rotation = torch.linalg.qr(features(50, 50, 2)).Q[:8]  # 8 features within 50 are as far apart as 8
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(frechet_distance(x, y))
    many = [torch.cat([z] * 30) for z in (x, y)]  # the same moments, but for N - 1, of more items than features
    shares = [(180 / 179) / (6 / 5), (210 / 209) / (7 / 6)]
    means = [z.mean(dim=0) for z in (x, y)]
    scaled = [(z - mean) * share**0.5 + mean for z, mean, share in zip((x, y), means, shares, strict=True)]
    assert frechet_distance(*many) == pytest.approx(frechet_distance(*scaled))


def test_the_kernel_distance_of_whole_sets_is_torchmetrics():
    x, y = features(50, 20, 0), features(50, 20, 1, shift=0.2)
    assert kernel_distance(x, y) == pytest.approx((poly_mmd(x, y).item(), 0))


def test_the_kernel_distance_of_subsets_has_the_mean_and_deviation_of_torchmetrics_on_subsets():
    x, y = features(60, 6, 0), features(90, 6, 1, shift=0.5)
    generator = torch.Generator().manual_seed(5)
    values = [
        poly_mmd(*(z[torch.randperm(len(z), generator=generator)[:25]] for z in (x, y))).item() for _ in range(400)
    ]
    mean, deviation = kernel_distance(x, y, subsets=400, subset_size=25)
    assert mean == pytest.approx(np.mean(values), abs=4 * np.std(values) / 20)
    assert deviation == pytest.approx(np.std(values), rel=0.2)
    assert kernel_distance(x, y, subset_size=25) == kernel_distance(x, y, subset_size=25)
    assert kernel_distance(x, y, subset_size=25) != kernel_distance(x, y, subset_size=25, seed=1)


def test_large_sets_are_measured_in_parts():
    x, y = features(1100, 4, 0), features(1100, 4, 1, shift=0.2)  # more than the rows of a part
    assert kernel_distance(x, y, subset_size=1100) == pytest.approx((poly_mmd(x, y).item(), 0))


def test_equal_distributions_have_a_kernel_distance_of_0_on_average():
    generator = torch.Generator().manual_seed(0)
    values = [kernel_distance(*torch.randn(2, 20, 4, generator=generator))[0] for _ in range(300)]
    assert min(values) < 0 < max(values)
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / 300**0.5)


def test_a_set_has_no_kernel_distance_to_itself_above_0():
    x = features(30, 8, 0)
    assert kernel_distance(x, x)[0] < 0  # the estimate is unbiased for sets drawn apart, which these are not


def test_features_of_single_precision_are_measured_in_double():
    x, y = features(30, 8, 0).float() + 1000, features(30, 8, 1).float() + 1000
    assert frechet_distance(x, y) == frechet_distance(x.double(), y.double())
    assert kernel_distance(x, y) == kernel_distance(x.double(), y.double())


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_a_set_of_one_has_no_distance(distance):
    with pytest.raises(UserError) as caught:
        distance(torch.zeros(1, 4), torch.zeros(5, 4))
    assert re.search("1 and 5", str(caught.value))
