import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pix2pix.metrics import l1, psnr, ssim


def test_equal_images_are_perfect():
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    assert torch.equal(l1(x, x), torch.zeros(2))
    assert torch.equal(psnr(x, x), torch.full((2,), 100.0))
    assert torch.allclose(ssim(x, x), torch.ones(2))


def test_black_against_white_is_the_worst():
    black = -torch.ones(1, 1, 12, 12)
    assert l1(black, -black) == 2
    assert psnr(black, -black) == 0


@pytest.mark.parametrize("shape", [(3, 40, 33), (1, 11, 64), (4, 25, 25)])
def test_psnr_and_ssim_agree_with_scikit_image(shape):
    rng = np.random.default_rng(0)
    x = rng.random(shape)
    y = np.clip(x + rng.normal(0, 0.2, shape), 0, 1)
    tensors = (torch.tensor(2 * image - 1).float()[None] for image in (x, y))
    output, target = tensors
    assert psnr(output, target).item() == pytest.approx(peak_signal_noise_ratio(x, y, data_range=1), abs=1e-4)
    expected = structural_similarity(
        x, y, channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(output, target).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("side", [1, 2, 7, 10])
def test_ssim_of_small_images_uses_a_smaller_window(side):
    x = torch.rand(1, 3, side, 30) * 2 - 1
    assert ssim(x, x).item() == pytest.approx(1)
    assert ssim(x, -x).item() < 1


def test_each_image_of_a_batch_is_measured_alone():
    x, y = torch.rand(3, 3, 16, 16), torch.rand(3, 3, 16, 16)
    for measure in (l1, psnr, ssim):
        assert torch.allclose(measure(x, y)[1:2], measure(x[1:2], y[1:2]))
