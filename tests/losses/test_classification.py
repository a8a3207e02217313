import math

import pytest
import torch

from pix2pix.losses.pixel import IGNORED, cross_entropy


def test_the_loss_of_a_certain_and_right_answer_is_0_and_of_no_opinion_log_k():
    classes = torch.tensor([[[0, 1], [2, 1]]])
    certain = torch.nn.functional.one_hot(classes, 3).movedim(-1, 1) * 1000.0
    assert cross_entropy(certain, classes).item() == 0
    assert cross_entropy(torch.zeros(1, 3, 2, 2), classes).item() == pytest.approx(math.log(3))


def test_it_is_the_mean_of_the_negative_log_likelihoods():
    logits = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    classes = torch.arange(30).reshape(2, 3, 5) % 4
    by_hand = [
        math.log(sum(math.exp(x) for x in logits[n, :, i, j])) - logits[n, classes[n, i, j], i, j].item()
        for n in range(2)
        for i in range(3)
        for j in range(5)
    ]
    assert cross_entropy(logits, classes).item() == pytest.approx(sum(by_hand) / 30, rel=1e-12)


def test_pixels_that_are_ignored_and_classes_that_cannot_be_change_nothing_and_get_no_gradient():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 3, 3, generator=generator, requires_grad=True)
    classes = torch.randint(3, (2, 3, 3), generator=generator)  # 3 is never right
    left_out = torch.rand(2, 3, 3, generator=generator) < 0.5
    masked = logits.masked_fill(torch.arange(4)[:, None, None] == 3, -math.inf)
    loss = cross_entropy(masked, classes.masked_fill(left_out, IGNORED))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient.movedim(1, -1)[left_out] == 0).all()
    assert (gradient[:, 3] == 0).all()
    kept = logits.detach().movedim(1, -1)[~left_out][:, :3]  # (P, 3)
    assert loss.item() == pytest.approx(torch.nn.functional.cross_entropy(kept, classes[~left_out]).item(), rel=1e-6)


def test_without_any_pixel_the_loss_is_0_and_so_is_its_gradient():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 2, 2), IGNORED))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_half_precision_is_widened():
    assert (
        cross_entropy(torch.zeros(1, 2, 1, 1, dtype=torch.bfloat16), torch.zeros(1, 1, 1).long()).dtype == torch.float32
    )
