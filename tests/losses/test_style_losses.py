"""What all style losses have in common, and what each is by its closed form."""

from typing import get_args

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pix2pix.config.types import Kernel, StyleLossName
from pix2pix.losses.style import STYLE_LOSSES, get_style_loss

BLIND = ["gram", "mean_std", "covariance", "histogram", "mmd linear", "mmd polynomial", "mmd rbf"]  # to positions
ALL = [*BLIND, "mrf"]


def loss_of(name):
    return get_style_loss(*name.split())


def distance(name, image, style, mask=None, style_mask=None):
    loss = loss_of(name)
    return loss.distance(image, loss.statistics(style, style_mask), mask)


def features(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_the_gram_loss_of_an_image_and_a_style_of_another_size():
    loss = get_style_loss("gram")
    image, style = features(1, 4, 6, 5), features(1, 4, 3, 7, seed=1)
    x, s = image.reshape(4, 30), style.reshape(4, 21)
    expected = ((x @ x.T / 30 - s @ s.T / 21) ** 2).mean() / 4
    assert torch.allclose(loss.distance(image, loss.statistics(style, None), None), expected)


def test_the_names_and_kernels_of_the_options_are_those_of_the_losses():
    assert set(STYLE_LOSSES) == set(get_args(StyleLossName))
    assert STYLE_LOSSES["mmd"] == get_style_loss("mmd") == get_style_loss("mmd", "polynomial")
    assert len({get_style_loss("mmd", kernel) for kernel in get_args(Kernel)}) == 3


@pytest.mark.parametrize("name", ALL)
def test_a_style_has_no_distance_from_itself_and_some_from_others(name):
    x = features(2, 3, 6, 5)
    assert distance(name, x, x).item() == pytest.approx(0, abs=1e-15)
    assert distance(name, x, features(2, 3, 6, 5, seed=1)) > 1e-3


@pytest.mark.parametrize("name", BLIND)
def test_positions_may_be_permuted(name):
    image, style = features(2, 3, 6, 5), features(2, 3, 6, 5, seed=1)
    shuffled = image.flatten(2)[..., torch.randperm(30, generator=torch.Generator().manual_seed(2))].reshape(2, 3, 5, 6)
    assert torch.allclose(distance(name, shuffled, style), distance(name, image, style), rtol=1e-10)
    assert distance(name, shuffled, image) < 1e-15


def test_the_mrf_loss_sees_a_permutation_of_positions():
    image = features(1, 3, 6, 6)
    shuffled = image.flatten(2)[..., torch.randperm(36, generator=torch.Generator().manual_seed(2))].reshape(1, 3, 6, 6)
    assert distance("mrf", shuffled, image) > 0.1


@pytest.mark.parametrize("name", BLIND)
def test_the_size_of_an_image_does_not_matter(name):
    image, style = features(2, 3, 6, 5), features(2, 3, 4, 4, seed=1)
    expected = distance(name, image, style)
    if name != "histogram":
        assert torch.allclose(distance(name, image.tile(2, 2), style), expected, rtol=1e-9)
        assert torch.allclose(distance(name, image, style.tile(2, 2)), expected, rtol=1e-9)
    assert distance(name, image.tile(2, 2), image) < 1e-15
    assert distance(name, image, image.tile(2, 2)) < 1e-15


@pytest.mark.parametrize("name", ALL)
def test_a_batch_has_the_mean_of_its_images_distances(name):
    images, styles = features(3, 3, 6, 5), features(3, 3, 4, 7, seed=1)
    alone = [distance(name, image[None], style[None]) for image, style in zip(images, styles, strict=True)]
    assert torch.allclose(distance(name, images, styles), torch.stack(alone).mean())
    shared = [distance(name, image[None], styles[:1]) for image in images]
    assert torch.allclose(distance(name, images, styles[:1]), torch.stack(shared).mean())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("count", [1, 2])
def test_a_mask_of_ones_is_no_mask(name, count):
    image, style = features(2, 3, 6, 5), features(2, 3, 4, 7, seed=1)
    ones, style_ones = torch.ones(count, 1, 6, 5), torch.ones(count, 1, 4, 7)
    assert torch.allclose(distance(name, image, style, ones, style_ones), distance(name, image, style), rtol=1e-6)


@pytest.mark.parametrize("name", BLIND)
def test_a_mask_of_0_and_1_is_a_crop(name):
    image, style = features(2, 3, 6, 5), features(2, 3, 4, 7, seed=1)
    mask, style_mask = torch.zeros(1, 1, 6, 5), torch.zeros(1, 1, 4, 7)
    mask[..., 1:4, 2:], style_mask[..., :3, 1:6] = 1, 1
    cropped = distance(name, image[..., 1:4, 2:], style[..., :3, 1:6])
    assert torch.allclose(distance(name, image, style, mask, style_mask), cropped, rtol=1e-10)
    assert torch.allclose(distance(name, image, style, mask * 0.25, style_mask * 0.5), cropped, rtol=1e-10)


@pytest.mark.parametrize("name", ["gram", "mean_std", "covariance", "mmd linear", "mmd polynomial", "mmd rbf"])
def test_a_mask_of_a_half_makes_positions_count_half(name):
    x, style = features(1, 3, 2, 2), features(1, 3, 4, 4, seed=1)
    mask = torch.tensor([[1, 0.5], [0, 0.5]]).reshape(1, 1, 2, 2)
    twice = x.flatten(2)[..., [0, 0, 1, 3]].reshape(1, 3, 2, 2)
    assert torch.allclose(distance(name, x, style, mask), distance(name, twice, style))


def test_a_soft_mask_moves_the_quantiles_of_the_histogram():
    x, style = torch.tensor([3.0, 1, 2]).reshape(1, 1, 1, 3), torch.tensor([10.0, 20, 30, 40]).reshape(1, 1, 1, 4)
    mask = torch.tensor([0.5, 1, 0.5]).reshape(1, 1, 1, 3)  # 1 has the lower half, 2 and 3 a quarter each
    expected = ((1 - 10) ** 2 * 0.5 + (2 - 30) ** 2 * 0.25 + (3 - 40) ** 2 * 0.25) / 1
    assert distance("histogram", x, style, mask).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_agree_with_finite_differences(name, masked):
    style, mask = features(1, 2, 4, 4, seed=1), None
    if masked:
        mask = torch.rand(2, 1, 4, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        mask[:, :, 1, 1] = 0
    loss = loss_of(name)
    statistics = loss.statistics(style, None)
    assert torch.autograd.gradcheck(
        lambda x: loss.distance(x, statistics, mask), (features(2, 2, 4, 3).requires_grad_(),)
    )


@pytest.mark.parametrize("name", ALL)
def test_a_mask_of_zeros_and_constant_features_give_finite_values_and_gradients(name):
    image = torch.zeros(1, 3, 4, 4, requires_grad=True)
    style, nothing = features(1, 3, 5, 5, dtype=torch.float32), torch.zeros(1, 1, 4, 4)
    flat = torch.zeros(1, 3, 5, 5)
    for value in (
        distance(name, image, style),
        distance(name, image, flat),
        distance(name, image, style, nothing),
        distance(name, image + 1, style, None, torch.zeros(1, 1, 5, 5)),
    ):
        assert value.isfinite()
        assert torch.autograd.grad(value, image)[0].isfinite().all()
    gradient = torch.autograd.grad(distance(name, image + 1, style, nothing), image)[0]
    assert gradient.abs().max() == 0


@pytest.mark.parametrize("name", ALL)
def test_autocast_changes_nothing_and_half_precision_is_widened(name):
    image, style = features(1, 8, 6, 5, dtype=torch.bfloat16), features(1, 8, 4, 7, seed=1, dtype=torch.bfloat16)
    mask, loss = torch.rand(1, 1, 6, 5), loss_of(name)
    plain = image.float().requires_grad_()
    expected = distance(name, plain, style.float(), mask)
    expected.backward()
    half = image.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = distance(name, half, style, mask)
        statistics = loss.statistics(style, None)
    assert torch.equal(value, expected)
    assert value.dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(statistics, loss.statistics(style.float(), None), strict=True))
    value.backward()
    assert torch.equal(half.grad, plain.grad.bfloat16())


@pytest.mark.parametrize("name", ALL)
def test_memory_formats_change_nothing(name):
    image, style = features(2, 3, 6, 5), features(2, 3, 4, 7, seed=1)
    last = image.to(memory_format=torch.channels_last)
    assert torch.allclose(distance(name, last, style), distance(name, image, style))


class Recording(TorchDispatchMode):
    # refuses what a CUDA graph cannot record: values that Python asks for, and tensors that it brings
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert not {"_local_scalar_dense", "nonzero", "randn"} & set(str(function).split(".")), function
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ALL)
def test_a_step_with_a_loss_can_be_recorded_once_it_was_made(name):
    image, style = features(2, 4, 6, 5).requires_grad_(), features(2, 4, 6, 5, seed=1)
    distance(name, image, style)
    with Recording():
        distance(name, image, style).backward()


def test_covariance_knows_no_constant_shift():
    image, style = features(2, 3, 6, 5), features(2, 3, 4, 7, seed=1)
    assert torch.allclose(distance("covariance", image + 5, style), distance("covariance", image, style))
