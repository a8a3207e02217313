import pytest
import torch
from torch import nn

from pix2pix.networks.init import initialize_weights
from pix2pix.networks.norm import Norm


def test_initial_weights_are_normal_with_the_papers_deviation():
    network = nn.Sequential(nn.Conv2d(512, 512, 4), Norm(512, "batch"))
    initialize_weights(network, "normal", 0.02, torch.Generator().manual_seed(0))
    assert network[0].weight.std().item() == pytest.approx(0.02, rel=0.01)
    assert (network[0].bias == 0).all()
    assert network[1].weight.mean().item() == pytest.approx(1, abs=0.003)
    assert network[1].weight.std().item() == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize(
    ("init_type", "deviation"), [("xavier", 0.02 * (2 / (16 * 9 + 32 * 9)) ** 0.5), ("kaiming", (2 / (16 * 9)) ** 0.5)]
)
def test_other_initialisations_have_their_closed_form_deviation(init_type, deviation):
    conv = nn.Conv2d(16, 32, 3)
    initialize_weights(conv, init_type, 0.02, torch.Generator().manual_seed(0))
    assert conv.weight.std().item() == pytest.approx(deviation, rel=0.05)


def test_orthogonal_initialisation_has_orthogonal_rows():
    conv = nn.Conv2d(16, 8, 3)
    initialize_weights(conv, "orthogonal", 0.5, torch.Generator().manual_seed(0))
    rows = conv.weight.detach().flatten(1)
    assert torch.allclose(rows @ rows.T, 0.25 * torch.eye(8), atol=1e-6)


def test_the_same_seed_draws_the_same_weights():
    networks = [nn.Conv2d(3, 4, 3) for _ in range(2)]
    for network in networks:
        initialize_weights(network, "normal", 0.02, torch.Generator().manual_seed(7))
    assert torch.equal(networks[0].weight, networks[1].weight)
