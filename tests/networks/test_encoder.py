import pytest
import torch
from torch import nn

from pix2pix.networks.adain_net import Encoder
from pix2pix.networks.conv import Conv
from pix2pix.networks.feature_extractor import FeatureExtractor


def image(height=32, width=48, count=2, seed=0):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def extractor(*layers, rescaled=False):
    network = FeatureExtractor("vgg19", layers, "random", padding="reflection")
    if rescaled:
        network.rescale(image(seed=1))
    return network


@pytest.mark.parametrize("rescaled", [False, True])
@torch.inference_mode()
def test_it_gives_an_extractors_relu4_1(rescaled):
    vgg = extractor("relu1_1", "relu4_1", rescaled=rescaled)
    expected = vgg(image())["relu4_1"]
    features = Encoder.of(vgg)(image())
    assert features.shape == (2, 512, 4, 6)
    assert (features - expected).abs().max() < 1e-5 * expected.abs().max()


@torch.inference_mode()
def test_an_extractor_that_goes_further_will_do():
    vgg = extractor("relu4_1", "relu4_2")
    assert torch.allclose(Encoder.of(vgg)(image()), vgg(image())["relu4_1"], atol=1e-5)


@torch.inference_mode()
def test_its_state_is_all_of_it():
    encoder, blank = Encoder.of(extractor("relu4_1")), Encoder()
    blank.load_state_dict(encoder.state_dict())
    assert torch.equal(blank(image()), encoder(image()))


def test_its_weights_have_no_gradients_but_the_image_has():
    encoder = Encoder(((4, 4), (8,)))
    assert not any(weight.requires_grad for weight in encoder.parameters())
    x = image().requires_grad_()
    encoder(x).sum().backward()
    assert x.grad.abs().max() > 0


@torch.inference_mode()
def test_the_smallest_image_is_a_multiple():
    encoder = Encoder(((2,), (2,), (2,), (2,)))
    assert encoder(image(encoder.multiple, encoder.multiple)).shape == (2, 2, 2, 2)


def test_it_comes_apart_into_stages_of_one_operation_each():
    stages = Encoder().stages()
    kinds = [type(stage.operation) for stage in stages]
    assert kinds.count(Conv) == 9
    assert [place for place, kind in enumerate(kinds) if kind is nn.MaxPool2d] == [2, 5, 10]
    assert [stage.inputs for stage in stages] == [(place - 1,) for place in range(12)]
