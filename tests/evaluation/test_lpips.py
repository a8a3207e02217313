import pytest
import torch

from pix2pix.evaluation.distances import lpips


def features(seed, count=2):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, width, 9 - width, 5, generator=generator) for width in (3, 4, 6)]


WEIGHTS = [torch.rand(width, generator=torch.Generator().manual_seed(width)) for width in (3, 4, 6)]


def test_equal_features_are_at_no_distance_however_long_they_are():
    x = features(0)
    assert lpips(x, x, WEIGHTS).tolist() == [0, 0]
    assert lpips(x, [3 * each for each in x], WEIGHTS).tolist() == pytest.approx([0, 0], abs=1e-7)


def test_orthogonal_features_are_as_far_apart_as_their_channels_weigh():
    x, y = torch.zeros(2, 1, 3, 4, 4)
    x[:, 0], y[:, 2] = 5.0, 0.1
    assert lpips([x], [y], [torch.tensor([0.5, 7, 0.25])]).item() == pytest.approx(0.75)


def test_it_is_equation_1_of_the_paper():
    x, y = features(0), features(1)
    expected = 0
    for a, b, weight in zip(x, y, WEIGHTS, strict=True):
        a, b = (each / each.norm(dim=1, keepdim=True) for each in (a, b))
        scaled = weight.sqrt().view(1, -1, 1, 1) * (a - b)
        expected = expected + scaled.norm(dim=1).square().mean(dim=(1, 2))
    assert lpips(x, y, WEIGHTS).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_features_that_are_all_0_have_a_finite_distance():
    nothing = [torch.zeros_like(each) for each in features(0)]
    assert lpips(nothing, nothing, WEIGHTS).tolist() == [0, 0]
    assert lpips(nothing, features(0), WEIGHTS).isfinite().all()
