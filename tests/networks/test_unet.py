import pytest
import torch
from torch import nn

from pix2pix.networks.init import build_generator
from pix2pix.networks.norm import Dropout, Norm, eval_mode
from pix2pix.networks.unet import UNet


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_a_unet_keeps_the_size_of_its_input():
    network = UNet(3, 1, depth=5, ngf=4)
    assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 64, 96)


def test_unet_256_has_the_papers_number_of_parameters():
    assert parameters(UNet(3, 3)) == 54_413_955


def test_skips_double_the_inputs_of_every_decoder_layer_but_the_first():
    with_skips, without = (UNet(1, 1, depth=4, ngf=2, skips=skips) for skips in (True, False))
    assert [layer[1].in_channels for layer in with_skips.decoder] == [16, 2 * 8, 2 * 4, 2 * 2]
    assert [layer[1].in_channels for layer in without.decoder] == [16, 8, 4, 2]


def test_a_skip_hands_on_what_the_bottleneck_lost():
    torch.manual_seed(0)
    x = torch.randn(1, 1, 16, 16)
    for skips in (True, False):
        network = UNet(1, 1, depth=4, ngf=2, norm="none", skips=skips, dropout=False)
        nn.init.zeros_(network.encoder[-1][1].weight)  # nothing passes the bottleneck
        varied = not torch.allclose(network(x), network(-x))
        assert varied == skips


def test_the_bottleneck_and_the_first_layer_have_no_norm():
    network = UNet(3, 3, depth=4, ngf=4)
    normed = [any(isinstance(module, Norm) for module in layer.modules()) for layer in network.encoder]
    assert normed == [False, True, True, False]


def test_dropout_is_in_the_first_three_layers_of_the_decoder():
    network = UNet(3, 3, depth=8, ngf=2)
    dropped = [any(isinstance(module, Dropout) for module in layer.modules()) for layer in network.decoder]
    assert dropped == [True] * 3 + [False] * 5


def test_no_convolution_before_a_norm_has_a_bias():
    for norm, biased in (("batch", 1), ("instance", 1), ("none", 8)):
        network = UNet(3, 3, depth=4, ngf=4, norm=norm)
        convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        assert sum(conv.bias is not None for conv in convolutions) == biased


@pytest.mark.parametrize("upsample", ["transpose", "nearest", "bilinear"])
@pytest.mark.parametrize("name", ["unet_16", "encoder_decoder_16", "resnet_6blocks"])
def test_generators_by_name_keep_sizes_and_stay_in_range(name, upsample):
    network = build_generator(name, 3, 2, ngf=4, norm="instance", upsample=upsample, dropout=True)
    output = network(torch.randn(2, 3, 32, 48))
    assert output.shape == (2, 2, 32, 48)
    assert output.abs().max() <= 1


@pytest.mark.parametrize("name", ["unet_16", "encoder_decoder_16", "resnet_6blocks"])
def test_tanh_is_all_that_a_linear_output_lacks(name):
    built = dict(ngf=4, norm="instance", upsample="transpose", dropout=False)
    ended, linear = (build_generator(name, 3, 2, **built, output=output) for output in ("tanh", "linear"))
    linear.load_state_dict(ended.state_dict())
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(ended(x), linear(x).tanh())


def test_names_without_a_number_mean_256():
    network = build_generator("encoder_decoder", 3, 3, ngf=1, norm="batch", upsample="transpose", dropout=True)
    assert network.multiple == 256


def test_resnet_9blocks_has_the_common_number_of_parameters():
    network = build_generator("resnet_9blocks", 3, 3, ngf=64, norm="batch", upsample="transpose", dropout=True)
    assert parameters(network) == 11_383_427


def test_batch_norm_at_batch_one_is_instance_norm():
    torch.manual_seed(0)
    by_batch, by_image = UNet(3, 3, depth=4, ngf=4, norm="batch"), UNet(3, 3, depth=4, ngf=4, norm="instance")
    by_image.load_state_dict(by_batch.state_dict(), strict=False)
    x = torch.randn(1, 3, 32, 32)
    with eval_mode(by_batch, statistics="batch", dropout=False), eval_mode(by_image, statistics="image", dropout=False):
        assert torch.equal(by_batch(x), by_image(x))
