import pytest
import torch

from pix2pix.networks.patchgan import PatchGAN


def test_patch_70_judges_256_pixels_in_30_by_30_places():
    assert PatchGAN(6)(torch.zeros(1, 6, 256, 256)).shape == (1, 1, 30, 30)


def test_patch_70_with_six_channels_has_the_papers_number_of_parameters():
    assert sum(weight.numel() for weight in PatchGAN(6).parameters()) == 2_768_705


@pytest.mark.parametrize("patch", [1, 16, 34, 70, 142, 286])
def test_the_receptive_field_is_the_patch(patch):
    network = PatchGAN(1, patch=patch, ndf=1, norm="none").double()
    for weight in network.parameters():
        torch.nn.init.constant_(weight, 0.1)  # of one sign, so that no path cancels another
    x = torch.zeros(1, 1, 800, 800, dtype=torch.float64, requires_grad=True)
    logits = network(x)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert x.grad is not None
    touched = x.grad[0, 0] != 0
    assert touched.any(0).sum() == patch
    assert touched.any(1).sum() == patch


@pytest.mark.parametrize("patch", [1, 16, 70])
def test_the_smallest_size_is_the_smallest_that_works(patch):
    network = PatchGAN(3, patch=patch, ndf=2, norm="instance")
    assert network(torch.randn(1, 3, network.smallest, network.smallest)).isfinite().all()
    with pytest.raises((ValueError, RuntimeError)):
        network(torch.randn(1, 3, network.smallest - 1, network.smallest - 1))
