import os
import pickle
import socket
from hashlib import sha256

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision import models

from pix2pix.errors import UserError
from pix2pix.networks import backbone_weights
from pix2pix.networks.feature_extractor import FeatureExtractor


def image(side=16):
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def vgg():
    """The tensors of a VGG up to conv3_1, by torchvision's names."""
    generator = torch.Generator().manual_seed(1)
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128)}
    weights = {f"features.{n}.weight": torch.randn(*s, 3, 3, generator=generator) / 30 for n, s in shapes.items()}
    return weights | {f"features.{n}.bias": torch.randn(s[0], generator=generator) for n, s in shapes.items()}


@pytest.fixture
def saved(tmp_path):
    def save(tensors, name="weights.safetensors", **metadata):
        path = tmp_path / name
        if name.endswith(".safetensors"):
            save_file(tensors, path, metadata or None)
        else:
            torch.save(tensors, path)
        return str(path)

    return save


def features(path, layer="relu3_1", backbone="vgg19", **options):
    with torch.no_grad():
        return FeatureExtractor(backbone, [layer], path, **options)(image())[layer]


def test_a_file_need_hold_no_more_than_the_layers_asked_for(saved, vgg):
    path = saved(vgg)
    extractor = FeatureExtractor("vgg19", ["relu2_2", "relu3_1"], path)
    assert extractor.source == f"{path} (torchvision)"
    with open(path, "rb") as file:
        assert extractor.sha256 == sha256(file.read()).hexdigest()


def test_a_file_that_ends_before_the_deepest_layer_says_how_far_it_goes(saved, vgg):
    path = saved(vgg)
    message = f"--weights {path}.*relu3_1.*relu5_4.*features.12.weight"
    with pytest.raises(UserError, match=message):
        FeatureExtractor("vgg19", ["relu1_1", "relu5_4"], path)


def test_a_file_of_another_network_is_refused(saved, vgg):
    path = saved(vgg)
    with pytest.raises(UserError, match=r"resnet18.*conv1\.weight.*missing"):
        FeatureExtractor("resnet18", ["stem"], path)
    message = r"features\.0\.weight.*64x3x5x5.*64x3x3x3"
    with pytest.raises(UserError, match=message):
        features(saved(vgg | {"features.0.weight": torch.zeros(64, 3, 5, 5)}, "b.safetensors"))


def test_state_dicts_prefixes_and_half_precision_give_the_same_features(saved, vgg):
    expected = features(saved(vgg))
    assert torch.equal(features(saved(vgg, "plain.pth")), expected)
    prefixed = {f"module.encoder.{name}": x for name, x in vgg.items()}
    assert torch.equal(features(saved({"epoch": 3, "state_dict": prefixed}, "trained.pt")), expected)
    halves = features(saved({name: x.half() for name, x in vgg.items()}, "half.safetensors"))
    assert halves.dtype == torch.float32
    torch.testing.assert_close(halves, expected, rtol=1e-2, atol=1e-2)


@torch.no_grad()
def test_caffe_flavour_sees_colors_from_0_to_255_without_their_means_and_zeros_around(saved, vgg):
    means = torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)
    weight, bias = vgg["features.0.weight"], vgg["features.0.bias"]
    expected = functional.conv2d((image() + 1) * 127.5 - means, weight, bias, padding=1).relu()
    torch.testing.assert_close(features(saved(vgg), "relu1_1", weights_format="caffe"), expected, rtol=1e-4, atol=1e-3)
    torchvisions = 255 * torch.tensor([0.229, 0.224, 0.225]), 255 * torch.tensor([0.485, 0.456, 0.406])
    scaled = weight * torchvisions[0].view(1, 3, 1, 1)
    shifted = bias + weight.sum((2, 3)) @ (torchvisions[1] - means.flatten())
    transformed = features(saved({"features.0.weight": scaled, "features.0.bias": shifted}), "relu1_1")
    inner = (..., slice(1, -1), slice(1, -1))  # around it lie other zeros
    torch.testing.assert_close(transformed[inner], expected[inner], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("metadata", "flavour"),
    [
        ({}, "torchvision"),
        ({"flavour": "caffe"}, "caffe"),
        ({"flavour": "torchvision"}, "torchvision"),
        ({"preprocess": "RGB in [0,1]: x*255 - [123.68,116.779,103.939]; no std"}, "caffe"),
        ({"preprocess": "RGB [0,1], mean .485 .456 .406 std .229 .224 .225"}, "torchvision"),
        ({"flavour": "torchvision", "preprocess": "as Simonyan 2014"}, "torchvision"),
    ],
)
def test_a_file_may_say_its_flavour(saved, vgg, metadata, flavour):
    path = saved(vgg, **metadata)
    assert FeatureExtractor("vgg19", ["relu1_1"], path).source == f"{path} ({flavour})"
    assert FeatureExtractor("vgg19", ["relu1_1"], path, weights_format=flavour).source == f"{path} ({flavour})"


@pytest.mark.parametrize(
    ("metadata", "weights_format", "message"),
    [
        ({"flavour": "caffe"}, "torchvision", "caffe.*--weights_format"),
        ({"preprocess": "minus [123.68, 116.779, 103.939]"}, "torchvision", "caffe.*--weights_format"),
        ({"flavour": "keras"}, None, "'keras'.*torchvision, caffe"),
        ({"preprocess": "BGR - [103.939, 116.779, 123.68]"}, None, "BGR"),
    ],
)
def test_a_flavour_that_is_contradicted_or_unknown_is_refused(saved, vgg, metadata, weights_format, message):
    with pytest.raises(UserError, match=message):
        features(saved(vgg, **metadata), weights_format=weights_format)


def test_what_a_file_says_in_words_that_are_not_understood_can_be_said_instead(saved, vgg):
    assert FeatureExtractor("vgg19", ["relu1_1"], saved(vgg, preprocess="?"), weights_format="caffe").source.endswith(
        "(caffe)"
    )


@torch.no_grad()
def test_folded_batchnorm_is_the_same_as_unfolded(saved):
    torch.manual_seed(0)
    network = models.resnet18()
    folded = {}
    pairs = {"conv1": "bn1", "layer1.0.conv1": "layer1.0.bn1", "layer1.0.conv2": "layer1.0.bn2"}
    for name, norm_name in pairs.items():
        convolution, norm = network.get_submodule(name), network.get_submodule(norm_name)
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
        statistics = norm.running_mean, norm.running_var, norm.eps
        both = fuse_conv_bn_weights(convolution.weight, None, *statistics, norm.weight, norm.bias)
        folded |= {f"{name}.{part}": x.detach() for part, x in zip(("weight", "bias"), both, strict=True)}
    unfolded = features(saved(network.state_dict(), "a.pth"), "layer1.0", "resnet18")
    torch.testing.assert_close(features(saved(folded), "layer1.0", "resnet18"), unfolded)
    message = r"layer1\.0.*layer1.*layer1\.1\.conv1\.weight"
    with pytest.raises(UserError, match=message):
        features(saved(folded), "layer1.1", "resnet18")


def test_random_weights_are_torchvisions_and_those_of_the_seed_however_deep_the_network():
    state = torch.get_rng_state()
    short = FeatureExtractor("resnet18", ["layer1"], "random", seed=3)
    deep = FeatureExtractor("resnet18", ["layer2", "layer1"], "random", seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        assert torch.equal(short(image())["layer1"], deep(image())["layer1"])
    other = FeatureExtractor("resnet18", ["layer1"], "random", seed=4)
    again = FeatureExtractor("resnet18", ["layer1"], "random", seed=3)
    assert short.sha256 == again.sha256 != other.sha256
    assert (short.source, other.source) == ("random, seed 3", "random, seed 4")
    ours = next(m for m in deep.modules() if isinstance(m, nn.Conv2d) and m.in_channels == 128)
    theirs = models.resnet18().layer2[0].conv2
    assert ours.weight.std().item() == pytest.approx(theirs.weight.std().item(), rel=0.01)


@pytest.mark.parametrize("weights", ["random", "imagenet"])
def test_caffe_flavour_is_for_files(weights):
    with pytest.raises(UserError, match=f"--weights is {weights}"):
        FeatureExtractor("vgg19", ["relu1_1"], weights, weights_format="caffe")


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_file_that_runs_code_is_refused_and_not_run(tmp_path):
    path, sign = tmp_path / "weights.pth", tmp_path / "it ran"
    for write in (lambda: torch.save(Malicious(sign), path), lambda: path.write_bytes(pickle.dumps(Malicious(sign)))):
        write()
        with pytest.raises(UserError, match=f"--weights {path}.*damaged"):
            features(str(path))
        assert not sign.exists()


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_damaged_files_are_refused(saved, vgg, name):
    path = saved(vgg, name)
    with open(path, "rb") as file:
        whole = file.read()
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2]):
        with open(path, "wb") as file:
            file.write(damaged)
        with pytest.raises(UserError, match=f"--weights {path}.*damaged"):
            features(path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 1}, torch.zeros(3)])
def test_files_without_named_tensors_are_refused(saved, content):
    with pytest.raises(UserError, match="damaged"):
        features(saved(content, "weights.pth"))


def test_a_missing_file_is_reported_before_the_network_is_built_which_takes_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr("pix2pix.networks.feature_extractor.build_architecture", None)
    with pytest.raises(UserError, match=r"missing\.pth"):
        features(str(tmp_path / "missing.pth"))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"missing\.pth.*No such file or directory"):
        features(str(tmp_path / "missing.pth"))
    with pytest.raises(UserError, match=f"{tmp_path}.*Is a directory"):
        features(str(tmp_path))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Torch hub's folder, empty, and a server's folder from which torchvision's VGG-19 comes."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def serve(content, name):
        (tmp_path / name).write_bytes(content)
        monkeypatch.setattr(backbone_weights, "get_imagenet_url", lambda _backbone: (tmp_path / name).as_uri())
        return tmp_path / "hub" / "checkpoints" / name

    return serve


def test_imagenet_weights_are_downloaded_once_and_their_hash_is_checked(hub, saved, vgg):
    with open(saved(vgg, "made.pth"), "rb") as file:
        content = file.read()
    digest = sha256(content).hexdigest()
    path = hub(content, f"vgg19-{digest[:8]}.pth")
    extractor = FeatureExtractor("vgg19", ["relu1_1"], "imagenet")
    assert (extractor.source, extractor.sha256) == (f"imagenet ({path.name})", digest)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    hub(b"", path.name)  # not asked again
    FeatureExtractor("vgg19", ["relu1_1"])
    path.write_bytes(content[:-1])
    with pytest.raises(UserError, match=f"{path}.*SHA-256"):
        FeatureExtractor("vgg19", ["relu1_1"])


def test_a_download_with_another_hash_leaves_nothing_behind(hub):
    path = hub(b"something else", "vgg19-01234567.pth")
    message = f"--weights imagenet: {path}.*file://"
    with pytest.raises(UserError, match=message):
        FeatureExtractor("vgg19", ["relu1_1"])
    assert list(path.parent.iterdir()) == []


def test_a_server_that_says_nothing_is_given_up(hub, monkeypatch):
    path = hub(b"", "vgg19-01234567.pth")
    monkeypatch.setattr(backbone_weights, "TIMEOUT_SECONDS", 0.2)
    before = socket.getdefaulttimeout()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/{path.name}"
        monkeypatch.setattr(backbone_weights, "get_imagenet_url", lambda _backbone: url)
        with pytest.raises(UserError, match=f"{path}.*{url}"):
            FeatureExtractor("vgg19", ["relu1_1"])
    assert socket.getdefaulttimeout() == before


def test_imagenet_weights_are_torchvisions_first(monkeypatch):
    assert backbone_weights.get_imagenet_url("vgg19") == "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
    assert backbone_weights.get_imagenet_url("resnet50") == "https://download.pytorch.org/models/resnet50-0676ba61.pth"


def test_nobody_publishes_weights_of_the_study_networks():
    with pytest.raises(UserError, match=r"noresnet.*--weights random"):
        FeatureExtractor("noresnet", ["stem"])
