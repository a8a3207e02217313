"""Feature reconstruction, SWAG's smoothing and total variation."""

import pytest
import torch

from pix2pix.losses.perceptual import feature_reconstruction
from pix2pix.losses.pixel import total_variation
from pix2pix.losses.swag import softmax_smoothing


def doubles(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_feature_reconstruction_is_the_mean_square_and_gatys_half_the_sum():
    x, target = doubles(1, 3, 4, 5), doubles(1, 3, 4, 5, seed=1)
    gatys = 0.5 * ((x - target) ** 2).sum()
    assert torch.allclose(feature_reconstruction(x, target) * 3 * 4 * 5 / 2, gatys)
    assert feature_reconstruction(x, x) == 0


def test_the_smoothed_features_of_each_image_are_a_softmax_times_their_number():
    x = doubles(2, 3, 4, 5)
    expected = torch.stack([image.flatten().softmax(0).reshape(3, 4, 5) * 60 for image in x])
    assert torch.allclose(softmax_smoothing(x), expected)
    assert torch.allclose(softmax_smoothing(x).sum(dim=(1, 2, 3)), torch.tensor([60.0, 60], dtype=torch.float64))


def test_smoothing_knows_no_constant_shift_and_leaves_constant_features_uniform():
    x = doubles(2, 3, 4, 5)
    assert torch.allclose(softmax_smoothing(x + 7.5), softmax_smoothing(x))
    assert torch.allclose(softmax_smoothing(torch.full_like(x, 3)), torch.ones_like(x))


def test_a_temperature_divides_the_features():
    x = doubles(1, 3, 4, 5)
    assert torch.allclose(softmax_smoothing(x, temperature=4), softmax_smoothing(x / 4))
    assert softmax_smoothing(x, temperature=4).max() < softmax_smoothing(x).max()


@pytest.mark.parametrize("size", [1e4, 3e38])
def test_smoothing_of_huge_features_is_finite(size):
    x = torch.tensor([size, -size, 0, size], requires_grad=True)
    smooth = softmax_smoothing(x.reshape(1, 1, 2, 2))
    assert smooth.flatten().tolist() == [2, 0, 0, 2]
    smooth.square().sum().backward()
    assert x.grad.isfinite().all()


def test_float32_holds_the_smoothed_features_of_a_wide_layer_and_their_gram_loss():
    x = torch.randn(1, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    exact = softmax_smoothing(x.double())
    assert torch.allclose(softmax_smoothing(x).double(), exact, rtol=1e-5)
    assert 0.1 < exact.square().mean() < 10


def test_total_variation_is_the_mean_square_of_the_steps_across_and_down():
    x = torch.arange(5.0).reshape(1, 1, 1, 5) * 3 + torch.arange(4.0).reshape(1, 1, 4, 1) * 2
    assert total_variation(x).item() == 3**2 + 2**2
    assert total_variation(torch.full((2, 3, 4, 5), 0.5)) == 0


def test_an_image_of_one_pixel_has_no_variation():
    assert total_variation(torch.ones(1, 3, 1, 1)) == 0


def test_gradients_agree_with_finite_differences():
    x, y = doubles(2, 2, 3, 3).requires_grad_(), doubles(2, 2, 3, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(feature_reconstruction, (x, y))
    assert torch.autograd.gradcheck(lambda t: softmax_smoothing(t, 0.7), (x,))
    assert torch.autograd.gradcheck(total_variation, (x,))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened_and_double_stays(half):
    x = doubles(1, 2, 3, 3)
    for loss in (lambda t: feature_reconstruction(t, t * 0.9), softmax_smoothing, total_variation):
        assert loss(x).dtype == torch.float64
        assert loss(x.to(half)).dtype == torch.float32
