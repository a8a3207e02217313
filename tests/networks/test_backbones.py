from typing import get_args

import pytest
import torch
from torch import nn
from torchvision import models

from pix2pix.networks.backbones import FeatureExtractor, layer_names
from pix2pix.networks.backbones.architecture import STUDY
from pix2pix.networks.backbones.names import BACKBONES, places
from pix2pix.options.fields import BackboneName
from pix2pix.options.fields import Padding as PaddingOption
from pix2pix.options.fields import Pooling as PoolingOption

PUBLISHED = [name for name in BACKBONES if name not in STUDY]
MEANS = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
DEVIATIONS = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def image(side=80, seed=0, count=1):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def torchvision_network(name, seed=0):
    """torchvision's own network, with norms as if it were trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        options = {"aux_logits": False, "transform_input": True} if name in ("googlenet", "inception_v3") else {}
        if name.startswith(("vgg", "goog", "incep")):
            options["init_weights"] = False
        network = models.get_model(name, weights=None, **options)
    network.classifier = network.fc = nn.Identity()
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.1, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.num_batches_tracked.zero_()
    return network.eval()


def outputs(network, x):
    """What every module gives, by its name, as forward hooks see it."""
    found = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda _module, _inputs, y, name=name: found.update({name: y.clone()}))
    network((((x + 1) / 2) - MEANS) / DEVIATIONS)
    return found


@pytest.fixture
def file(tmp_path):
    def write(state):
        path = tmp_path / "weights.pth"
        torch.save(state, path)
        return str(path)

    return write


def test_features_are_named_by_the_papers_layers_and_ordered_as_asked():
    extractor = FeatureExtractor("vgg19", ["relu2_1", "relu1_1"], "random")
    features = extractor(image(32))
    assert list(features) == ["relu2_1", "relu1_1"]
    assert [x.shape for x in features.values()] == [(1, 128, 16, 16), (1, 64, 32, 32)]
    assert extractor.source == "random, seed 0"


def test_the_options_allow_what_there_is():
    assert set(get_args(BackboneName)) == set(BACKBONES)
    assert get_args(PoolingOption) == ("max", "average")
    assert get_args(PaddingOption) == ("zeros", "reflection")


@pytest.mark.parametrize("name", PUBLISHED)
@torch.no_grad()
def test_features_are_those_of_torchvisions_network(name, file):
    network = torchvision_network(name)
    extractor = FeatureExtractor(name, layer_names(name), file(network.state_dict()))
    found = outputs(network, image())
    for layer, features in extractor(image()).items():
        expected = found[places(name)[layer]]
        torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
