from time import process_time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab

from pix2pix.data.color import clip_to_gamut, lab_to_rgb, lightness_to_gray, rgb_to_lab, srgb_to_linear


def colours(count=2000, seed=0, dtype=torch.float64):
    return torch.rand(3, count, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def any_lab(count=2000, seed=0, dtype=torch.float64):
    """Colours of which most lie outside the gamut."""
    low, high = torch.tensor([[0.0, -110, -110], [100.0, 110, 110]], dtype=torch.float64).reshape(2, 3, 1, 1)
    return (low + (high - low) * colours(count, seed)).to(dtype)


def test_red_has_the_published_lab():
    red = torch.tensor([1.0, 0, 0], dtype=torch.float64).reshape(3, 1, 1)
    assert rgb_to_lab(red).flatten().tolist() == pytest.approx([53.24, 80.09, 67.20], abs=0.01)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_lab_is_that_of_scikit_image(seed):
    rgb = colours(200, seed) * 0.1 if seed % 2 else colours(200, seed)  # the dark ones have formulae of their own
    other = rgb2lab(rgb.numpy(), channel_axis=0)
    assert np.abs(rgb_to_lab(rgb).numpy() - other).max() <= 1e-4
    assert np.abs(lab_to_rgb(torch.from_numpy(other)).numpy() - lab2rgb(other, channel_axis=0)).max() <= 1e-4


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_lab_and_back_is_the_same_color_of_the_same_type(dtype, error):
    rgb = colours(dtype=dtype).reshape(3, 40, 50).expand(2, 4, 3, 40, 50)
    back = lab_to_rgb(rgb_to_lab(rgb))
    assert (back.dtype, back.shape) == (dtype, rgb.shape)
    assert (back - rgb).abs().max() <= error


def test_black_and_white_are_the_ends_of_the_lightness():
    grey = torch.tensor([0.0, 1.0], dtype=torch.float64).expand(3, 1, 2)
    lab = rgb_to_lab(grey)
    assert lab[0, 0].tolist() == pytest.approx([0, 100], abs=1e-6)
    assert lab[1:].abs().max() < 0.01


def test_a_gray_is_found_by_its_lightness():
    grey = torch.linspace(0, 1, 1001, dtype=torch.float64).reshape(1, -1)
    lightness = rgb_to_lab(grey.expand(3, 1, -1))[0]
    assert (lightness_to_gray(lightness) - grey).abs().max() < 1e-12


def test_light_is_linear_where_dark_and_doubles_as_srgb_says():
    assert srgb_to_linear(torch.tensor([0.0, 0.01292, 0.5, 1.0])).tolist() == pytest.approx([0, 0.001, 0.214041, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_colors_that_screens_show_are_left_alone(dtype):
    lab = rgb_to_lab(colours(dtype=dtype))
    before = lab.clone()
    assert torch.equal(clip_to_gamut(lab), lab)
    assert torch.equal(lab, before)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-4), (torch.float32, 2e-4)])
def test_all_other_colors_keep_lightness_and_hue_and_lose_chroma_only(dtype, error):
    lab = any_lab(dtype=dtype)
    fitted = clip_to_gamut(lab)
    assert torch.equal(fitted[0], lab[0])
    factor = fitted[1:].norm(dim=0) / lab[1:].norm(dim=0)
    assert 0 <= factor.min() < 0.9 < factor.max() <= 1
    assert torch.allclose(fitted[1:], lab[1:] * factor, atol=1e-4)
    rgb = lab_to_rgb(fitted)
    assert -error <= rgb.min() <= rgb.max() <= 1 + error


def test_no_more_chroma_is_lost_than_must_be():
    lab = any_lab(300)
    outside = torch.logical_or(lab_to_rgb(lab) < 0, lab_to_rgb(lab) > 1).any(dim=0)
    edge = clip_to_gamut(lab)
    a_little_more = torch.cat([edge[:1], edge[1:] * 1.001])
    rgb = lab_to_rgb(a_little_more)[:, outside]
    assert outside.sum() > 200
    assert ((rgb < 0) | (rgb > 1)).any(dim=0).all()


def test_what_lies_beyond_black_or_white_loses_all_color():
    lab = torch.tensor([[0.0, 50, 50], [100.0, 50, -50]], dtype=torch.float64).T.unsqueeze(-1)
    assert clip_to_gamut(lab)[1:].abs().max() < 0.02


def test_lab_images_take_well_under_a_second():
    rgb = torch.rand(3, 512, 512)
    start = process_time()
    lab_to_rgb(clip_to_gamut(rgb_to_lab(rgb)))
    assert process_time() - start < 1


def test_gradients_of_black_and_of_the_dark_are_finite():
    rgb = torch.zeros(3, 2, 2, dtype=torch.float64, requires_grad=True)
    lab_to_rgb(rgb_to_lab(rgb)).sum().backward()
    assert torch.allclose(rgb.grad, torch.ones_like(rgb))
