import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from pix2pix.evaluation.activations import maximum, normalized_entropy


def test_equal_values_have_the_largest_entropy_and_a_peak_has_none():
    flat = torch.full((1, 8, 5, 5), 3.0)
    peak = flat.clone()
    peak[0, 2, 1, 4] = 100.0
    values = torch.cat([flat, peak])
    assert normalized_entropy(values).tolist() == pytest.approx([1, 0], abs=1e-12)
    assert maximum(values).tolist() == [3, 100]


def test_two_of_many_at_the_same_height_have_the_entropy_of_a_coin():
    values = torch.zeros(1, 1000)
    values[0, :2] = 500.0
    assert normalized_entropy(values).item() == pytest.approx(math.log(2) / math.log(1000))


def test_entropy_is_that_of_the_softmax():
    values = torch.from_numpy(np.random.default_rng(0).normal(0, 2, (3, 4, 6, 5)))
    shares = np.exp(values.numpy().reshape(3, -1))
    expected = entropy(shares, axis=1) / np.log(4 * 6 * 5)  # scipy divides shares by their sum
    assert normalized_entropy(values).numpy() == pytest.approx(expected)


def test_entropy_sees_neither_an_offset_nor_the_order_but_the_scale():
    values = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    plain = normalized_entropy(values)
    shuffled = values.flatten(1)[:, torch.randperm(144, generator=torch.Generator().manual_seed(1))]
    assert torch.allclose(normalized_entropy(values + 1000), plain)
    assert torch.allclose(normalized_entropy(shuffled), plain)
    assert (normalized_entropy(5 * values) < plain).all()


def test_huge_values_of_half_precision_give_numbers_from_0_to_1():
    values = torch.tensor([[6e4, -6e4, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float16)
    assert normalized_entropy(values).tolist() == pytest.approx([0, 1], abs=1e-12)


def test_a_single_value_is_as_even_as_it_can_be():
    assert normalized_entropy(torch.tensor([[[[7.0]]]])).tolist() == [1]


def test_the_gram_matrix_of_unlike_channels_is_even_within_and_without_its_diagonal():
    count, height = 6, 50.0
    gram = height * torch.eye(count)[None]
    share = math.exp(height) / (count * math.exp(height) + count * (count - 1))
    assert count * share == pytest.approx(1)
    assert normalized_entropy(gram).item() == pytest.approx(math.log(count) / math.log(count**2))
