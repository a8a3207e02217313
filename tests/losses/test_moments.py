import numpy as np
import pytest
import torch

from pix2pix.losses.style import covariance, get_style_loss, gram, mean_std


def doubles(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gatys(x, s):
    """E_l of the paper for equal sizes: F F^T is not divided there."""
    channels, positions = x.shape[1], x.shape[2] * x.shape[3]
    f, a = x.reshape(channels, -1), s.reshape(channels, -1)
    return ((f @ f.T - a @ a.T) ** 2).sum() / (4 * channels**2 * positions**2)


def test_gram_is_the_mean_product_of_channels():
    x = doubles(2, 3, 4, 5)
    assert torch.allclose(gram(x), torch.einsum("nihw,njhw->nij", x, x) / 20)


def test_the_gram_loss_is_that_of_gatys_and_what_others_make_of_it():
    x, s = doubles(1, 6, 4, 5), doubles(1, 6, 4, 5, seed=1)
    loss = get_style_loss("gram")
    mine = loss.distance(x, loss.statistics(s, None), None)
    assert torch.allclose(mine, gatys(x, s))
    johnson = ((gram(x) / 6 - gram(s) / 6) ** 2).sum()
    gatys_code = ((gram(x) - gram(s)) ** 2).mean()
    neural_style = ((gram(x) / 6 - gram(s) / 6) ** 2).mean()
    assert torch.allclose(
        torch.stack([johnson, gatys_code, neural_style]), mine * torch.tensor([4, 4, 4 / 6**2]).double()
    )


def test_covariance_is_that_of_numpy():
    x = doubles(1, 3, 4, 5)
    assert np.allclose(covariance(x)[0], np.cov(x.reshape(3, 20), bias=True))


def test_the_covariance_loss_is_that_of_deep_coral():
    x, s = doubles(1, 6, 4, 5), doubles(1, 6, 3, 3, seed=1)
    loss = get_style_loss("covariance")
    expected = (covariance(x) - covariance(s)).norm() ** 2 / (4 * 6**2)
    assert torch.allclose(loss.distance(x, loss.statistics(s, None), None), expected)


def test_mean_and_deviation_are_those_of_the_biased_variance():
    x = doubles(2, 3, 4, 5)
    mean, deviation = mean_std(x)
    assert torch.allclose(mean[..., 0], x.mean(dim=(2, 3)))
    assert torch.allclose(deviation[..., 0], (x.var(dim=(2, 3), correction=0) + 1e-6).sqrt())


def test_the_mean_std_loss_of_a_shift_and_a_scale():
    x = doubles(1, 3, 4, 5)
    loss = get_style_loss("mean_std")
    assert loss.distance(x + 2, loss.statistics(x, None), None).item() == pytest.approx(4)
    scaled = loss.distance(3 * (x - mean_std(x)[0][..., None]), (torch.zeros(1, 3, 1), mean_std(x)[1]), None)
    assert scaled.item() == pytest.approx(4 * x.var(dim=(2, 3), correction=0).mean().item(), rel=1e-4)


def test_weights_have_a_say_in_gram_and_covariance():
    x, mask = doubles(1, 3, 4, 5), torch.rand(1, 1, 4, 5, dtype=torch.float64)
    w, f = mask.flatten() / mask.sum(), x.reshape(3, 20)
    assert torch.allclose(gram(x, mask)[0], (f * w) @ f.T)
    assert np.allclose(covariance(x, mask)[0], np.cov(f, aweights=w, bias=True))
