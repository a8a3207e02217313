import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pix2pix.losses.adversarial import discriminator_loss, generator_loss


def test_an_undecided_discriminator_has_the_loss_log_2():
    logits = torch.zeros(1, 1, 30, 30)
    assert discriminator_loss(logits, logits, "vanilla").item() == pytest.approx(math.log(2))
    assert generator_loss(logits, "vanilla").item() == pytest.approx(math.log(2))


def test_vanilla_is_halved_cross_entropy_with_logits():
    real, fake = torch.randn(2, 1, 4, 4, dtype=torch.float64), torch.randn(2, 1, 4, 4, dtype=torch.float64)
    entropy = F.binary_cross_entropy_with_logits
    expected = (entropy(real, torch.ones_like(real)) + entropy(fake, torch.zeros_like(fake))) / 2
    assert torch.allclose(discriminator_loss(real, fake, "vanilla"), expected)
    assert torch.allclose(generator_loss(fake, "vanilla"), entropy(fake, torch.ones_like(fake)))


def test_lsgan_is_halved_squared_error_to_one_and_zero():
    real, fake = torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 2, 2), 0.25)
    assert discriminator_loss(real, fake, "lsgan").item() == pytest.approx((0.25 + 0.0625) / 2)
    assert generator_loss(fake, "lsgan").item() == pytest.approx(0.5625)


def test_hinge_is_zero_beyond_the_margins_and_linear_within():
    assert discriminator_loss(torch.tensor([1.5]), torch.tensor([-1.5]), "hinge") == 0
    assert discriminator_loss(torch.tensor([0.5]), torch.tensor([0.0]), "hinge").item() == pytest.approx(0.75)
    assert generator_loss(torch.tensor([0.3]), "hinge").item() == pytest.approx(-0.3)


@pytest.mark.parametrize("mode", ["vanilla", "lsgan", "hinge"])
def test_half_precision_is_widened_and_double_stays(mode):
    logits = torch.randn(1, 1, 3, 3)
    assert discriminator_loss(logits.bfloat16(), logits.bfloat16(), mode).dtype == torch.float32
    assert generator_loss(logits.double(), mode).dtype == torch.float64


@pytest.mark.parametrize("mode", ["vanilla", "lsgan", "hinge"])
def test_gradients_agree_with_finite_differences(mode):
    real, fake = (torch.randn(1, 1, 3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: discriminator_loss(a, b, mode), (real, fake))
    assert torch.autograd.gradcheck(lambda b: generator_loss(b, mode), (fake,))
