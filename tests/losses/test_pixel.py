import torch

from pix2pix.losses.pixel import l1, l2


def test_l1_and_l2_of_a_constant_difference():
    x = torch.zeros(2, 3, 4, 4)
    assert l1(x, x + 0.5) == 0.5
    assert l2(x, x + 0.5) == 0.25


def test_half_precision_is_widened():
    x = torch.full((1, 1, 2, 2), 1.0, dtype=torch.bfloat16)
    assert l1(x, x.float() + 2**-12) == 2**-12
    assert l2(x, x.double()).dtype == torch.float64
