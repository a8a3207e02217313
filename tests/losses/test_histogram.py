import pytest
import torch
from scipy.optimize import linear_sum_assignment
from skimage.exposure import match_histograms

from pix2pix.losses.style import get_style_loss

LOSS = get_style_loss("histogram")


def doubles(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distance(image, style, mask=None, style_mask=None):
    return LOSS.distance(image, LOSS.statistics(style, style_mask), mask)


def test_a_shift_by_2_is_a_distance_of_4():
    x = doubles(1, 3, 4, 5)
    assert distance(x + 2, x).item() == pytest.approx(4)


def test_it_is_the_cheapest_assignment_of_the_image_to_the_style():
    image, style = doubles(1, 3, 4, 5), doubles(1, 3, 5, 4, seed=1).exp()
    expected = []
    for x, s in zip(image.flatten(2)[0], style.flatten(2)[0], strict=True):
        cost = (x[:, None] - s[None]) ** 2
        expected.append(cost[linear_sum_assignment(cost.numpy())].mean())
    assert torch.allclose(distance(image, style), torch.stack(expected).mean())


def test_it_is_the_distance_to_the_image_with_matched_histograms():
    image, style = doubles(1, 1, 8, 8), doubles(1, 1, 8, 8, seed=1).exp()
    matched = torch.from_numpy(match_histograms(image[0, 0].numpy(), style[0, 0].numpy()))
    assert torch.allclose(distance(image, style), ((image[0, 0] - matched) ** 2).mean())


def test_sizes_that_do_not_divide_each_other_are_near_the_integral_over_quantiles():
    image, style = doubles(1, 2, 37, 41), doubles(1, 2, 29, 31, seed=1) * 2 + 1
    shares = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    inverse = [t.flatten(2).sort().values[..., (shares * t[0, 0].numel()).long()] for t in (image, style)]
    assert distance(image, style).item() == pytest.approx((inverse[0] - inverse[1]).square().mean().item(), rel=1e-3)


def test_a_styles_mask_of_0_and_1_keeps_its_values_out():
    style = torch.tensor([1.0, 100, 2, 3]).reshape(1, 1, 2, 2)
    mask = torch.tensor([1.0, 0, 1, 1]).reshape(1, 1, 2, 2)
    image = torch.tensor([1.0, 2, 3]).reshape(1, 1, 1, 3)
    assert distance(image, style, None, mask) == 0
    assert distance(style, image, mask) == 0


def test_equal_values_are_no_trouble():
    image, style = torch.zeros(1, 2, 3, 3).double(), doubles(1, 2, 3, 3)
    assert distance(image, torch.zeros(1, 2, 4, 4).double()) == 0
    assert torch.allclose(distance(image, style), style.square().mean())
