import numpy as np
import pytest
import torch
from scipy.stats import bootstrap

from pix2pix.evaluation.score import bootstrap_interval, bootstrap_mean_interval


def test_the_mean_of_many_normal_values_has_its_known_interval():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)).double()
    low, high = bootstrap_mean_interval(values, samples=4000)
    half = 1.96 * values.std(correction=0).item() / 20
    assert [low, high] == pytest.approx([values.mean().item() - half, values.mean().item() + half], abs=0.08 * half)


def test_the_interval_is_scipys():
    values = np.random.default_rng(0).exponential(size=50)
    expected = bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    found = bootstrap_mean_interval(torch.from_numpy(values), samples=20_000)
    assert found == pytest.approx(tuple(expected), abs=0.03 * (expected.high - expected.low))


def test_equal_values_and_single_ones_have_no_width():
    assert bootstrap_mean_interval(torch.full((7,), 3.0)) == pytest.approx((3, 3))
    assert bootstrap_mean_interval(torch.tensor([2.5])) == (2.5, 2.5)


def test_a_wider_level_holds_a_narrower_one_and_the_seed_decides():
    values = torch.arange(20.0)
    low, high = bootstrap_mean_interval(values, level=0.8)
    wide_low, wide_high = bootstrap_mean_interval(values, level=0.99)
    assert wide_low < low < 9.5 < high < wide_high
    assert bootstrap_mean_interval(values) == bootstrap_mean_interval(values) != bootstrap_mean_interval(values, seed=1)


def test_a_statistic_sees_how_often_each_item_was_drawn():
    seen = []

    def statistic(drawn):
        seen.append(drawn)
        return drawn.amax(dim=1)

    bootstrap_interval(statistic, 12, samples=250)
    drawn = torch.cat(seen)
    assert drawn.shape == (250, 12)
    assert drawn.dtype == torch.float64
    assert (drawn.sum(dim=1) == 12).all()
    assert drawn.mean(dim=0).tolist() == pytest.approx([1] * 12, abs=0.3)


def test_the_ends_are_percentiles():
    values = torch.randn(30, generator=torch.Generator().manual_seed(0)).double()
    found = []

    def statistic(drawn):
        found.append(drawn @ values)
        return found[-1]

    ends = bootstrap_interval(statistic, 30, level=0.9)
    assert ends == pytest.approx(tuple(np.percentile(torch.cat(found).numpy(), [5, 95])))
