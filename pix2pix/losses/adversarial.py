"""The adversarial losses of D and G on D's logits (N, 1, H, W), averaged over patches.

vanilla: Goodfellow et al. 2014, G's loss non-saturating; lsgan: Mao et al. 2017; hinge: Lim and Ye 2017.
"""

from typing import Literal

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pix2pix.losses.precision import to_float32

AdversarialMode = Literal["vanilla", "lsgan", "hinge"]


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, mode: AdversarialMode) -> Tensor:
    """Return the loss of D, halved: low if real logits are high and fake ones low.

    Source: pix2pix, section 3.3: the objective is divided by 2 while optimizing D.
    """
    real, fake = to_float32(real_logits), to_float32(fake_logits)
    if mode == "vanilla":  # cross-entropy with logits: -log sigmoid(x) = softplus(-x)
        return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2
    if mode == "lsgan":
        return ((real - 1).square().mean() + fake.square().mean()) / 2
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def generator_loss(fake_logits: Tensor, mode: AdversarialMode) -> Tensor:
    """Return the loss of G: low if the logits of its outputs are high."""
    fake = to_float32(fake_logits)
    if mode == "vanilla":
        return F.softplus(-fake).mean()
    if mode == "lsgan":
        return (fake - 1).square().mean()
    return -fake.mean()
