from itertools import product

import pytest
import torch
from torch import nn

from pix2pix.networks.receptive_field import (
    Interval,
    compute_window,
    full_window,
    input_interval,
    output_size,
    split_windows,
)

OPERATIONS = {
    "4 stride 2": nn.Conv2d(2, 3, 4, 2, 1),
    "3 stride 2": nn.Conv2d(2, 3, 3, 2, 1),
    "3": nn.Conv2d(2, 3, 3, 1, 1),
    "7 mirrored": nn.Conv2d(2, 3, 7, padding=3, padding_mode="reflect"),
    "3 mirrored": nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect", bias=False),
    "4 transposed": nn.ConvTranspose2d(2, 3, 4, 2, 1),
    "3 transposed": nn.ConvTranspose2d(2, 3, 3, 2, 1, 1),
    "nearest": nn.Upsample(scale_factor=2, mode="nearest"),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "pooled": nn.MaxPool2d(2, 2),
}


def test_a_halving_convolution_reads_its_window_twice_and_a_pixel_on_each_side():
    assert input_interval(OPERATIONS["4 stride 2"], Interval(10, 20), 100, 0) == Interval(19, 41)


def test_a_doubling_convolution_reads_half_its_window_and_a_pixel_on_each_side():
    assert input_interval(OPERATIONS["4 transposed"], Interval(10, 20), 100, 0) == Interval(4, 11)


@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_is_read_beyond_the_borders(name):
    operation = OPERATIONS[name]
    length = output_size(operation, (12, 12))[0]
    for start, stop in product(range(length), range(1, length + 1)):
        if start < stop:
            first, last = input_interval(operation, Interval(start, stop), 12, 0)
            assert 0 <= first < last <= 12


@pytest.mark.parametrize("size", [(12, 9), (8, 13)])
@pytest.mark.parametrize("name", OPERATIONS)
@torch.inference_mode()
def test_every_window_is_that_of_the_whole(name, size):
    operation = OPERATIONS[name].double()
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    expected = operation(x)
    assert output_size(operation, size) == expected.shape[2:]
    for side in (1, 2, 3, 5, 8):
        for window in split_windows(output_size(operation, size), side):
            (top, bottom), (left, right) = window
            got = compute_window(operation, lambda part: x[..., slice(*part[0]), slice(*part[1])], window, size)
            assert torch.allclose(got, expected[..., top:bottom, left:right], atol=1e-12)


@pytest.mark.parametrize(("size", "side"), [((1, 1), 4), ((10, 7), 3), ((9, 9), 3), ((5, 100), 64)])
def test_windows_cover_a_map_once_and_are_no_larger_than_asked(size, side):
    seen = torch.zeros(size, dtype=torch.int64)
    for rows, columns in split_windows(size, side):
        assert max(rows.length, columns.length) <= side
        seen[slice(*rows), slice(*columns)] += 1
    assert seen.eq(1).all()
    assert split_windows(size, max(size)) == [full_window(size)]
