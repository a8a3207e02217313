import torch
from torch import nn

from pix2pix.networks.adain_net import Decoder, Encoder
from pix2pix.networks.conv import Conv
from pix2pix.networks.init import initialize_weights
from pix2pix.networks.norm import AdaIN

BLOCKS = ((4, 4), (6, 6), (8, 8, 8, 8), (12,))


@torch.inference_mode()
def test_it_makes_an_image_of_features():
    image = torch.rand(2, 3, 32, 48) * 2 - 1
    features = Encoder(BLOCKS)(image)
    assert features.shape == (2, 12, 4, 6)
    assert Decoder(BLOCKS)(features).shape == image.shape


def test_its_convolutions_are_the_encoders_turned_round():
    encoder, decoder = (
        [layer for layer in network.layers if isinstance(layer, nn.Conv2d)] for network in (Encoder(), Decoder())
    )
    there = [(layer.in_channels, layer.out_channels) for layer in encoder]
    back = [(layer.out_channels, layer.in_channels) for layer in decoder]
    assert back == there[::-1]
    assert there[0] == (3, 64)
    assert there[-1] == (256, 512)


def test_it_doubles_where_the_encoder_halves_and_ends_without_an_activation():
    kinds = {nn.MaxPool2d: "2", nn.Upsample: "2", Conv: "c", nn.ReLU: ""}
    encoder, decoder = ("".join(kinds[type(layer)] for layer in network.layers) for network in (Encoder(), Decoder()))
    assert encoder == "cc2cc2cccc2c"
    assert decoder == encoder[::-1]
    layers = Decoder().layers
    assert isinstance(layers[-1], nn.Conv2d)
    assert all(layer.mode == "nearest" for layer in layers if isinstance(layer, nn.Upsample))
    assert all(layer.padding_mode == "reflect" for layer in layers if isinstance(layer, nn.Conv2d))


@torch.inference_mode()
def test_with_alpha_0_it_decodes_what_was_encoded():
    encoder, decoder = Encoder(BLOCKS), Decoder(BLOCKS)
    for network in (encoder, decoder):
        initialize_weights(network, "kaiming", 1.0, torch.Generator().manual_seed(0))
    features = encoder(torch.rand(1, 3, 32, 48) * 2 - 1)
    known = torch.ones(1, 12), torch.ones(1, 12)
    assert torch.equal(decoder(AdaIN(*known, alpha=0.0)(features)), decoder(features))
    assert not torch.allclose(decoder(AdaIN(*known)(features)), decoder(features), atol=0.1)
