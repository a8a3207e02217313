"""Colours kept or taken over: CORAL, and the lightness alone."""

import numpy as np
import pytest
import torch

from pix2pix.data.color import keep_colors, luminance, match_colors, rgb_to_lab


def picture(height, width, seed=0, dtype=torch.float64):
    """An image in [-1, 1] whose channels have something to do with each other."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.rand(3, 3, generator=generator, dtype=torch.float64)
    noise = torch.rand(3, height * width, generator=generator, dtype=torch.float64) * 2 - 1
    return (mix / mix.sum(dim=1, keepdim=True) @ noise).reshape(3, height, width).to(dtype)


def covariance(image):
    return np.cov(image.reshape(image.shape[0], -1).double().numpy(), bias=True)


def lab(image):
    return rgb_to_lab((image.double() + 1) / 2)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_matched_colors_have_the_mean_and_covariance_of_the_reference_whatever_the_sizes(dtype, error):
    image, reference = picture(20, 30, dtype=dtype), picture(55, 40, seed=1, dtype=dtype) * 0.5 + 0.2
    matched = match_colors(image, reference)
    assert (matched.shape, matched.dtype) == (image.shape, dtype)
    assert torch.allclose(matched.mean(dim=(1, 2)), reference.mean(dim=(1, 2)), atol=error)
    assert np.abs(covariance(matched) - covariance(reference)).max() < error


def test_it_is_coral_with_symmetric_roots():
    image, reference = picture(20, 30), picture(25, 40, seed=1)

    def power(matrix, exponent):
        values, vectors = np.linalg.eigh(matrix)
        return vectors * values**exponent @ vectors.T

    matrix = power(covariance(reference), 0.5) @ power(covariance(image), -0.5)
    expected = matrix @ (image - image.mean(dim=(1, 2), keepdim=True)).reshape(3, -1).numpy()
    matched = match_colors(image, reference)
    assert np.allclose((matched - reference.mean(dim=(1, 2), keepdim=True)).reshape(3, -1), expected)


def test_an_image_matched_to_itself_or_to_a_larger_copy_stays():
    image = picture(20, 30)
    assert torch.allclose(match_colors(image, image), image)
    assert torch.allclose(match_colors(image, image.tile(1, 3, 2)), image)


def test_each_image_of_a_batch_is_matched_to_its_own_reference_or_to_one():
    images, references = (torch.stack([picture(8, 9, seed) for seed in seeds]) for seeds in [(0, 1), (2, 3)])
    alone = [match_colors(image, reference) for image, reference in zip(images, references, strict=True)]
    assert torch.allclose(match_colors(images, references), torch.stack(alone))
    assert torch.allclose(match_colors(images, references[:1])[1], match_colors(images[1], references[0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gray_image_gets_the_colors_along_one_line(dtype):
    grey = picture(20, 30, dtype=dtype)[:1].expand(3, -1, -1)
    reference = picture(20, 30, seed=1, dtype=dtype)
    matched = match_colors(grey, reference)
    assert torch.allclose(matched.mean(dim=(1, 2)), reference.mean(dim=(1, 2)), atol=1e-5)
    values = np.linalg.eigvalsh(covariance(matched))
    assert values[:2] == pytest.approx([0, 0], abs=1e-8)
    assert 0 < values[2] <= np.linalg.eigvalsh(covariance(reference))[2] * (1 + 1e-4)


def test_the_noise_of_a_gray_image_is_no_color():
    grey = picture(20, 30)[:1].expand(3, -1, -1)
    noisy = ((grey + 1) / 2 * 255 + picture(20, 30, seed=5) * 0.6).round() / 255 * 2 - 1
    assert (
        match_colors(noisy, picture(20, 30, seed=1)) - match_colors(grey, picture(20, 30, seed=1))
    ).abs().max() < 0.1


def test_a_gray_or_constant_reference_makes_gray_or_constant():
    image, grey = picture(20, 30), picture(20, 30, seed=1)[:1].expand(3, -1, -1)
    matched = match_colors(image, grey)
    assert (matched - matched[:1]).abs().max() < 1e-6
    blue = torch.tensor([-1.0, 0, 1], dtype=torch.float64).reshape(3, 1, 1).expand(3, 5, 5)
    assert torch.allclose(match_colors(image, blue), blue[:, :1, :1].expand(3, 20, 30))


def test_an_image_of_one_color_becomes_the_mean_color():
    reference = picture(20, 30)
    matched = match_colors(torch.full((3, 4, 4), 0.3, dtype=torch.float64), reference)
    assert torch.allclose(matched, reference.mean(dim=(1, 2), keepdim=True).expand(3, 4, 4))


def test_one_channel_is_matched_by_its_mean_and_deviation():
    grey, reference = luminance(picture(20, 30)), luminance(picture(9, 40, seed=1))
    expected = (grey - grey.mean()) / grey.std(correction=0) * reference.std(correction=0) + reference.mean()
    assert torch.allclose(match_colors(grey, reference), expected)


def test_colors_are_matched_in_full_precision_under_autocast():
    image, reference = picture(20, 30, dtype=torch.float32), picture(25, 20, seed=1, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(match_colors(image, reference), match_colors(image, reference))
        assert np.abs(covariance(match_colors(image, reference)) - covariance(reference)).max() < 1e-5


def test_the_luminance_is_the_gray_of_the_same_lightness():
    image = picture(20, 30)
    grey = luminance(image)
    assert grey.shape == (1, 20, 30)
    assert torch.allclose(lab(grey.expand(3, -1, -1))[0], lab(image)[0])
    assert torch.allclose(luminance(grey.expand(3, -1, -1)), grey, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kept_colors_have_the_lightness_of_the_output_and_the_hue_of_the_content(dtype):
    output, content = picture(20, 30, dtype=dtype), picture(20, 30, seed=1, dtype=dtype)
    kept = keep_colors(output, content)
    assert kept.dtype == dtype
    assert kept.abs().max() <= 1
    assert (lab(kept)[0] - lab(output)[0]).abs().max() < 0.05
    (a, b), (wanted_a, wanted_b) = lab(kept)[1:], lab(content)[1:]
    assert (a * wanted_b - b * wanted_a).abs().max() < 0.05 * 100
    assert (a.hypot(b) <= wanted_a.hypot(wanted_b) + 0.05).all()


def test_colors_that_a_screen_can_show_are_the_contents_to_the_last():
    content = picture(20, 30) * 0.5
    darker = content - 0.05
    kept = keep_colors(darker, content)
    assert (lab(kept)[1:] - lab(content)[1:]).abs().max() < 0.01
    assert torch.allclose(keep_colors(content, content), content, atol=1e-6)


def test_an_output_beyond_the_range_is_clipped_first():
    content = picture(4, 4)
    assert torch.allclose(keep_colors(content * 0 + 3, content), torch.ones_like(content), atol=1e-3)
