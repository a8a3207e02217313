import pytest
import torch

from pix2pix.losses.style import get_style_loss


def doubles(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distance(kernel, image, style):
    loss = get_style_loss("mmd", kernel)
    return loss.distance(image, loss.statistics(style, None), None)


def over_all_pairs(kernel, image, style):
    """Equation 8 of the paper as it stands; the kernel is a function of the matrices (C, M)."""
    x, s = image.flatten(2)[0], style.flatten(2)[0]
    return kernel(x, x).mean() + kernel(s, s).mean() - 2 * kernel(x, s).mean()


def test_linear_is_the_squared_distance_of_means():
    image, style = doubles(1, 5, 4, 6), doubles(1, 5, 3, 7, seed=1)
    expected = ((image.mean(dim=(2, 3)) - style.mean(dim=(2, 3))) ** 2).mean()
    assert torch.allclose(distance("linear", image, style), expected)
    assert torch.allclose(over_all_pairs(lambda x, y: x.T @ y / 5, image, style), expected)


def test_polynomial_is_the_mean_over_all_pairs():
    image, style = doubles(1, 5, 4, 6), doubles(1, 5, 3, 7, seed=1)
    expected = over_all_pairs(lambda x, y: (x.T @ y / 5 + 1) ** 2, image, style)
    assert torch.allclose(distance("polynomial", image, style), expected)


def test_polynomial_is_the_gram_loss_and_what_its_constant_adds():
    image, style = doubles(2, 5, 4, 6), doubles(1, 5, 3, 7, seed=1)
    gram = get_style_loss("gram")
    expected = 4 * gram.distance(image, gram.statistics(style, None), None)
    constant = 2 * distance("linear", image, style)
    assert torch.allclose(distance("polynomial", image, style), expected + constant)


def test_rbf_has_the_bandwidth_of_the_styles_mean_squared_distance():
    style = doubles(1, 5, 3, 7)
    bandwidth = get_style_loss("mmd", "rbf").statistics(style, None)[0]
    s = style.flatten(2)[0].T
    assert torch.allclose(bandwidth.squeeze() ** 2, (torch.cdist(s, s) ** 2).mean())


@pytest.mark.parametrize("seed", range(3))
def test_rbf_is_near_the_mean_over_all_pairs(seed):
    channels = 256  # so many waves
    image, style = doubles(1, channels, 6, 6, seed=seed), doubles(1, channels, 5, 7, seed=seed + 10) * 1.5 + 0.5
    s = style.flatten(2)[0].T
    bandwidth = (torch.cdist(s, s) ** 2).mean().sqrt()
    exact = over_all_pairs(lambda x, y: (-(torch.cdist(x.T, y.T) ** 2) / (2 * bandwidth**2)).exp(), image, style)
    assert distance("rbf", image, style).item() == pytest.approx(exact.item(), rel=0.15)


def test_rbf_sees_what_moments_of_the_second_order_do_not():
    # two values at one deviation from the mean, against three with the same mean and variance
    two = torch.tensor([-1.0, 1]).repeat(8).reshape(1, 1, 4, 4).double()
    three = torch.tensor([-2.0, 0, 0, 0, 0, 0, 0, 2]).repeat(2).reshape(1, 1, 4, 4).double()
    two, three = two.expand(1, 4, 4, 4), three.expand(1, 4, 4, 4)
    assert distance("polynomial", two, three) < 1e-12
    assert distance("rbf", two, three) > 1e-3
