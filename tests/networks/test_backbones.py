from itertools import pairwise
from typing import get_args

import pytest
import torch
from torch import nn
from torchvision import models

from pix2pix.config.backbones import (
    BACKBONES,
    default_content_layers,
    default_style_layers,
    get_layer_modules,
    get_layer_names,
)
from pix2pix.config.types import BackboneName
from pix2pix.config.types import Padding as PaddingOption
from pix2pix.config.types import Pooling as PoolingOption
from pix2pix.errors import UserError
from pix2pix.networks.backbone_architectures import STUDY, Block, build_architecture, build_noresnet, build_pseudo_vgg
from pix2pix.networks.conv import Conv
from pix2pix.networks.feature_extractor import FeatureExtractor
from pix2pix.runtime.device import Runtime

SMALLEST = {"inception_v3": 75}
LARGE = ("resnet50", "wide_resnet50_2")
PUBLISHED = [name for name in BACKBONES if name not in STUDY]
MEANS = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
DEVIATIONS = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def image(side=40, seed=0, count=1):
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
    if name in LARGE:  # the rest is made as the beginning is
        network.layer3 = network.layer4 = nn.Identity()
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
    layers = get_layer_names(name)[:8] if name in LARGE else get_layer_names(name)
    extractor = FeatureExtractor(name, layers, file(network.state_dict()))
    x = image(SMALLEST.get(name, 40))
    found = outputs(network, x)
    for layer, features in extractor(x).items():
        expected = found[get_layer_modules(name)[layer]]
        torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("name", ["vgg16", "inception_v3", "squeezenet1_1"])
@torch.no_grad()
def test_average_pooling_stands_in_place_of_every_maximum(name, file, monkeypatch):
    network = torchvision_network(name)
    extractor = FeatureExtractor(name, get_layer_names(name), file(network.state_dict()), pooling="average")
    assert not any(isinstance(module, nn.MaxPool2d) for module in extractor.modules())
    average = torch.nn.functional.avg_pool2d
    monkeypatch.setattr(
        torch.nn.functional,
        "max_pool2d",
        lambda x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False: average(
            x, kernel_size, stride, padding, ceil_mode, count_include_pad=False
        ),
    )
    x = image(SMALLEST.get(name, 40))
    found = outputs(network, x)
    for layer, features in extractor(x).items():
        expected = found[get_layer_modules(name)[layer]]
        torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("name", BACKBONES)
def test_layers_are_in_the_order_of_computation(name):
    steps = list(build_architecture(name, get_layer_modules(name)[get_layer_names(name)[-1]], "max", "zeros").steps)
    order = [steps.index(place) for place in get_layer_modules(name).values()]
    assert order == sorted(order)
    assert order[-1] == len(steps) - 1
    for defaults in (default_content_layers(name), default_style_layers(name)):
        assert [layer for layer in get_layer_names(name) if layer in defaults] == list(defaults)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_names_of_vgg_layers_count_blocks_between_pools_and_convolutions_in_them(name):
    names, block, number = {}, 1, 0
    with torch.device("meta"):
        network = models.get_model(name, init_weights=False)
    for key, module in network.features.named_children():
        if isinstance(module, nn.MaxPool2d):
            block, number = block + 1, 0
            continue
        number += isinstance(module, nn.Conv2d)
        names[f"{'conv' if isinstance(module, nn.Conv2d) else 'relu'}{block}_{number}"] = f"features.{key}"
    assert get_layer_modules(name) == names


class Nothing(nn.Module):
    def forward(self, _x):
        return torch.zeros(())


@pytest.mark.parametrize("residual", [True, False])
@torch.no_grad()
def test_a_study_block_is_resnets_with_the_addition_or_without_it(residual):
    torch.manual_seed(0)
    theirs = models.resnet.BasicBlock(64, 128, downsample=nn.Sequential(nn.Conv2d(64, 128, 1), nn.BatchNorm2d(128)))
    theirs.downsample[0].bias = None
    ours = Block([(64, 128, 3, 1), (128, 128, 3, 1)], residual)
    values = list(theirs.eval().state_dict().values())
    ours.load_state_dict(dict(zip(ours.state_dict(), values, strict=residual)))
    x = torch.randn(1, 64, 8, 8)
    if not residual:
        theirs.downsample = Nothing()
    torch.testing.assert_close(ours.eval()(x), theirs(x))


def parameters(network):
    return sum(weight.numel() for weight in network.parameters())


def test_noresnet_is_resnet_50_without_additions_and_projections():
    with torch.device("meta"):
        ours, theirs = build_noresnet(), models.resnet50()
    projections = sum(parameters(module.downsample) for module in theirs.modules() if getattr(module, "downsample", 0))
    assert parameters(ours) == parameters(theirs) - parameters(theirs.fc) - projections
    strides = [m.stride for m in theirs.modules() if isinstance(m, nn.Conv2d) and m.kernel_size[0] > 1]
    assert [m.stride for m in ours.modules() if isinstance(m, nn.Conv2d) and m.kernel_size[0] > 1] == strides


def test_pseudo_vgg_has_3x3_alone_and_the_sides_of_vggs_blocks_and_pseudo_resvgg_projections_more():
    with torch.device("meta"):
        plain, residual = build_pseudo_vgg(False), build_pseudo_vgg(True)
    kernels = [m for m in plain.modules() if isinstance(m, nn.Conv2d)]
    assert {(m.kernel_size, m.stride) for m in kernels} == {((3, 3), (1, 1))}
    assert len(kernels) == 1 + 2 * (3 + 4 + 6 + 3)
    shapes = sum(a * b + 2 * b for a, b in pairwise((64, 128, 256, 512)))
    assert parameters(residual) == parameters(plain) + shapes
    ours = FeatureExtractor("pseudo_vgg", default_style_layers("pseudo_vgg"), "random")(image(32))
    vgg = FeatureExtractor("vgg16", default_style_layers("vgg16"), "random")(image(32))
    assert [x.shape for x in ours.values()] == [x.shape for x in vgg.values()][:1] + [
        (1, c, s, s) for c, s in ((64, 16), (128, 8), (256, 4), (512, 2))
    ]


@torch.no_grad()
def test_with_residuals_activations_grow_and_without_they_dont():
    def growth(name):
        maxima = [x.max().item() for x in FeatureExtractor(name, ("stem", "layer4"), "random")(image(64)).values()]
        return maxima[1] / maxima[0]

    assert growth("pseudo_resvgg") > 5 > 1 > growth("pseudo_vgg")


@pytest.mark.parametrize("name", [name for name in BACKBONES if name not in (*LARGE, "vgg16")])
@torch.no_grad()
def test_random_networks_neither_fade_nor_explode(name):
    layers = default_style_layers(name)
    for features in FeatureExtractor(name, layers, "random")(image(SMALLEST.get(name, 40))).values():
        assert 1e-3 < features.mean() < 1e3


def test_what_lies_behind_the_deepest_layer_is_neither_computed_nor_kept():
    extractor = FeatureExtractor("vgg19", ["relu1_1", "conv2_1"], "random")
    assert [type(step) for step in extractor.steps] == [Conv, nn.ReLU, Conv, nn.ReLU, nn.MaxPool2d, Conv]
    assert sum(x.numel() for x in extractor.buffers()) == 6 + sum(
        9 * a * b + b for a, b in ((3, 64), (64, 64), (64, 128))
    )


@pytest.mark.parametrize("name", ["vgg16", "resnet18", "squeezenet1_1", "googlenet", "noresnet"])
@torch.no_grad()
def test_reflection_lets_no_border_be_seen(name):
    x = torch.full((1, 3, 96, 96), 0.3)
    layers = default_style_layers(name)
    for features in FeatureExtractor(name, layers, "random", padding="reflection")(x).values():
        assert features.std((2, 3)).max() < 1e-5 * features.max()
    assert FeatureExtractor(name, layers[:2], "random")(x)[layers[1]].std((2, 3)).max() > 0.01


@torch.no_grad()
def test_a_convolution_asked_for_beside_its_relu_is_not_rectified():
    features = FeatureExtractor("vgg16", ["conv4_1", "relu4_1"], "random")(image(32))
    assert features["conv4_1"].min() < 0
    assert torch.equal(features["conv4_1"].relu(), features["relu4_1"])


@torch.no_grad()
def test_rescaling_a_vgg_divides_each_layer_by_its_mean_activation():
    extractor = FeatureExtractor("vgg19", get_layer_names("vgg19"), "random")
    images, other = image(32, seed=1, count=2), image(16, seed=2)
    measured, before = extractor(images), extractor(other)
    extractor.rescale(images)
    rescaled, after = extractor(images), extractor(other)
    for layer, convolution in zip(get_layer_names("vgg19")[1::2], get_layer_names("vgg19")[::2], strict=True):
        mean = measured[layer].double().mean()
        assert rescaled[layer].double().mean() == pytest.approx(1, abs=1e-5)
        torch.testing.assert_close(after[layer], (before[layer] / mean).float(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(after[convolution], (before[convolution] / mean).float(), rtol=1e-4, atol=1e-5)
    extractor.rescale(images)
    torch.testing.assert_close(extractor(other)["relu5_4"], after["relu5_4"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
@torch.no_grad()
def test_rescaling_another_network_divides_its_features(name):
    layers = default_style_layers(name)
    extractor = FeatureExtractor(name, layers, "random")
    images, other = image(64, seed=1, count=2), image(32, seed=2)
    means, before = {layer: x.mean() for layer, x in extractor(images).items()}, extractor(other)
    extractor.rescale(images)
    for layer, features in extractor(other).items():
        torch.testing.assert_close(features, before[layer] / means[layer])
    assert all(x.mean().item() == pytest.approx(1, abs=1e-5) for x in extractor(images).values())


@torch.no_grad()
def test_rescaling_needs_activations():
    extractor = FeatureExtractor("vgg16", ["relu1_1"], "random")
    extractor.steps[0].bias.fill_(-1e6)
    with pytest.raises(
        UserError,
        match=r"vgg16.*conv1_1",
    ):
        extractor.rescale(image(8))


def test_it_stays_frozen_and_in_evaluation_mode_and_out_of_checkpoints():
    class Method(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(2, 2)
            self.extractor = FeatureExtractor("resnet18", ["stem"], "random")

    method = Method().train()
    assert not any(module.training for module in method.extractor.modules())
    assert list(method.extractor.parameters()) == []
    assert list(method.state_dict()) == ["head.weight", "head.bias"]
    method.load_state_dict(method.state_dict())
    x = image(16).requires_grad_()
    method.extractor(x)["stem"].sum().backward()
    assert x.grad.abs().sum() > 0
    assert not any(tensor.requires_grad for tensor in method.extractor.buffers())


@torch.no_grad()
def test_a_gray_image_is_seen_as_one_of_three_equal_channels():
    extractor = FeatureExtractor("vgg16", ["relu1_1"], "random")
    grey = image(16)[:, :1]
    assert torch.equal(extractor(grey)["relu1_1"], extractor(grey.repeat(1, 3, 1, 1))["relu1_1"])


def test_other_channels_are_refused():
    with pytest.raises(UserError, match=r"vgg16.*\(1, 4, 16, 16\)"):
        FeatureExtractor("vgg16", ["relu1_1"], "random")(torch.zeros(1, 4, 16, 16))


@pytest.mark.parametrize(
    ("name", "layer", "padding", "smallest"),
    [
        ("vgg16", "relu5_1", "zeros", 16),
        ("vgg16", "relu2_1", "reflection", 4),
        ("resnet18", "stem", "reflection", 4),
        ("inception_v3", "Mixed_7c", "zeros", 75),
    ],
)
@torch.no_grad()
def test_images_that_are_too_small_are_refused_with_the_smallest_that_are_not(name, layer, padding, smallest):
    extractor = FeatureExtractor(name, [layer], "random", padding=padding)
    assert extractor(image(smallest))[layer].isfinite().all()
    message = f"{name}.*{smallest}x{smallest}.*{layer}.*99x{smallest - 1}"
    for use in (extractor, extractor.rescale):
        with pytest.raises(UserError, match=message):
            use(torch.zeros(1, 3, smallest - 1, 99))


def test_other_failures_are_not_taken_for_small_images():
    extractor = FeatureExtractor("vgg16", ["relu1_1"], "random")
    extractor.steps[0].bias = torch.zeros(5)
    with pytest.raises(RuntimeError, match="bias"):
        extractor(image(16))


def test_the_runtime_gives_its_convolutions_the_fast_form():
    extractor = Runtime("cpu", fast=("winograd", "gemm")).prepare(FeatureExtractor("vgg16", ["relu4_1"], "random"))
    convolutions = [module for module in extractor.modules() if isinstance(module, nn.Conv2d)]
    assert all(isinstance(module, Conv) and module.winograd and module.gemm for module in convolutions)
    plain = FeatureExtractor("vgg16", ["relu4_1"], "random")(image(32))["relu4_1"]
    torch.testing.assert_close(extractor(image(32))["relu4_1"], plain, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_bf16_autocast_gives_nearly_the_same_features():
    extractor = FeatureExtractor("vgg16", ["relu3_1"], "random")
    with torch.autocast("cpu", torch.bfloat16):
        rounded = extractor(image(16))["relu3_1"]
    exact = extractor(image(16))["relu3_1"]
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).norm() < 0.03 * exact.norm()


@pytest.mark.parametrize(
    ("backbone", "layers", "message"),
    [
        ("vgg91", ["relu1_1"], "--backbone.*vgg91.*vgg19"),
        ("alexnet", ["relu1_1"], "--backbone alexnet.*vgg16.*vgg19"),
        ("vgg16", ["relu6_1"], "vgg16.*relu6_1.*conv1_1"),
        ("resnet18", ["relu4_2x"], r"resnet18.*relu4_2x.*layer1\.0"),
        ("resnet18", [], r"resnet18.*layer1\.0"),
    ],
)
def test_unknown_names_are_answered_with_those_that_are_known(backbone, layers, message):
    with pytest.raises(UserError, match=message):
        FeatureExtractor(backbone, layers, "random")
