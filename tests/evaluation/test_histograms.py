import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from pix2pix.evaluation.distances import BINS, RANGES, count_lab_histograms, intersect_histograms


def pictures(count=2, channels=3, size=(20, 31), seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (count, channels, *size))
    return torch.from_numpy(values).float() / 127.5 - 1


def test_images_with_the_same_pixels_elsewhere_share_everything():
    x = pictures()
    shares = intersect_histograms(count_lab_histograms(x), count_lab_histograms(x.flip(-1, -2)))
    assert torch.allclose(shares, torch.ones(2, 3, dtype=torch.float64))


def test_black_and_white_share_their_color_and_no_lightness():
    black = -torch.ones(1, 3, 4, 5)
    p, q = count_lab_histograms(black), count_lab_histograms(-black)
    assert p[0, 0].tolist() == [20] + [0] * (BINS - 1)
    assert q[0, 0].tolist() == [0] * (BINS - 1) + [20]
    assert intersect_histograms(p, q)[0, 0] == 0


@pytest.mark.parametrize("bins", [BINS, 36])
def test_the_counts_are_numpys_of_scikit_images_lab(bins):
    x = pictures()
    counts = count_lab_histograms(x, bins)
    for image, of_image in zip((x.double().numpy() + 1) / 2, counts, strict=True):
        lab = rgb2lab(image, channel_axis=0)
        for channel, limits, of_channel in zip(lab, RANGES.values(), of_image, strict=True):
            expected, _ = np.histogram(channel.clip(*limits), bins, limits)
            assert of_channel.tolist() == expected.tolist()


def test_no_color_of_a_screen_lies_outside_the_ranges():
    levels = torch.linspace(-1, 1, 18)
    every = torch.cartesian_prod(levels, levels, levels).mT.reshape(1, 3, 18, 324)
    lab = rgb2lab((every[0].double().numpy() + 1) / 2, channel_axis=0)
    for channel, (low, high) in zip(lab, RANGES.values(), strict=True):
        assert low - 1e-9 < channel.min() <= channel.max() < high + 1e-4  # the white of the published matrix


def test_a_gray_image_is_that_of_three_equal_channels():
    grey = pictures(channels=1)
    counts = count_lab_histograms(grey)
    assert torch.equal(counts, count_lab_histograms(grey.expand(-1, 3, -1, -1)))
    assert torch.equal(counts.sum(dim=-1), torch.full((2, 3), 20 * 31))


def test_all_grays_are_in_the_same_bins_of_a_and_b():
    greys = torch.linspace(-1, 1, 256).view(1, 1, 16, 16)
    assert ((count_lab_histograms(greys)[0, 1:] > 0).sum(dim=-1) == 1).all()


def test_each_image_is_counted_alone():
    x = pictures(3)
    assert torch.equal(count_lab_histograms(x)[1:2], count_lab_histograms(x[1:2]))


def test_the_intersection_is_the_sum_of_the_smaller_shares():
    p, q = torch.tensor([[1, 1, 2], [5, 0, 0]]), torch.tensor([[0, 8, 0], [1, 1, 0]])
    assert intersect_histograms(p, q).tolist() == [0.25, 0.5]


def test_an_empty_histogram_has_nothing_in_common():
    assert intersect_histograms(torch.zeros(3), torch.ones(3)).item() == 0
