import pytest
import torch
import torch.distributed as dist
from torch import nn

from pix2pix.networks.init import build_generator, initialize_weights
from pix2pix.networks.norm import Norm, eval_mode, fold_norms, norm_layer, synchronize_batch_norm


def test_a_norm_by_image_standardises_each_image():
    x = 3 + 5 * torch.randn(4, 2, 8, 8)
    y = Norm(2, "instance")(x)
    assert torch.allclose(y.mean((2, 3)), torch.zeros(4, 2), atol=1e-5)
    assert torch.allclose(y.std((2, 3), unbiased=False), torch.ones(4, 2), atol=1e-4)


def test_a_norm_by_batch_is_torchs_batch_norm_in_training_and_in_evaluation():
    norm, oracle = Norm(3, "batch"), nn.BatchNorm2d(3)
    for _ in range(3):
        x = torch.randn(4, 3, 5, 5) * 2 + 1
        assert torch.allclose(norm(x), oracle(x), atol=1e-6)
    norm.statistics = "running"
    assert torch.allclose(norm(x), oracle.eval()(x), atol=1e-6)


def test_batch_norms_are_synchronized_and_no_others():
    network = nn.Sequential(Norm(2, "batch"), Norm(2, "instance"), nn.Identity())
    synchronize_batch_norm(network)
    assert [layer.synchronized for layer in network[:2]] == [True, False]


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    """A device, on CUDA with a group of one process."""
    if request.param == "cpu":
        yield request.param
        return
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    yield request.param
    dist.destroy_process_group()


def test_a_synchronized_norm_of_one_process_is_batch_norm(device):
    x = torch.randn(4, 3, 5, 5, device=device) * 2 + 1
    norms = [Norm(3, "batch").to(device) for _ in range(2)]
    synchronize_batch_norm(norms[1])
    inputs = [x.clone().requires_grad_() for _ in norms]
    for norm, own in zip(norms, inputs, strict=True):
        norm(own).pow(3).sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    assert list(norms[1].state_dict()) == list(norms[0].state_dict())
    for name, value in norms[0].state_dict().items():
        torch.testing.assert_close(norms[1].state_dict()[name], value)


def test_statistics_of_the_image_do_not_depend_on_the_rest_of_the_batch():
    x = torch.randn(3, 2, 8, 8)
    norm = Norm(2, "batch")
    with eval_mode(norm, statistics="image", dropout=False):
        assert torch.allclose(norm(x)[1:2], norm(x[1:2]), atol=1e-6)


def test_norm_none_is_the_identity():
    x = torch.randn(1, 2, 3, 3)
    assert torch.equal(norm_layer(2, "none")(x), x)
    assert "instance" in repr(norm_layer(2, "instance"))


@pytest.mark.parametrize("upsample", ["transpose", "nearest"])
@pytest.mark.parametrize("name", ["unet_8", "encoder_decoder_16", "resnet_6blocks"])
def test_folded_norms_leave_a_network_the_same_function(name, upsample):
    network = build_generator(name, 3, 2, ngf=4, norm="batch", upsample=upsample, dropout=True).double()
    initialize_weights(network, "normal", 0.1, torch.Generator().manual_seed(0))  # larger ones would saturate the tanh
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    network(x)  # moves the running averages
    with eval_mode(network, statistics="running", dropout=False):
        expected = network(x)
        fold_norms(network)
        assert (network(x) - expected).norm() < 1e-10 * expected.norm()
    assert not any(isinstance(module, Norm) for module in network.modules())
