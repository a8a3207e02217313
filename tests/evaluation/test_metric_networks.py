import hashlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn.modules.module import register_module_forward_pre_hook
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.functional.image import lpips as torchmetrics_lpips
from torchvision import models

from pix2pix.errors import UserError
from pix2pix.evaluation import metric_networks
from pix2pix.evaluation.metric_networks import load_backbone_features, load_inception, load_lpips
from pix2pix.networks.feature_extractor import FeatureExtractor


def images(count=2, height=64, width=48, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, height, width), generator=generator) / 127.5 - 1


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class TorchFidelity(FeatureExtractorInceptionV3):
    """torch-fidelity's network without its published weights."""

    def load_state_dict(self, *_): ...


@pytest.fixture(scope="module")
def inception_tensors(tmp_path_factory):
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    torch.save({}, nothing := tmp_path_factory.mktemp("weights") / "nothing.pth")
    with torch.device("meta"):
        theirs = TorchFidelity("inception", ["2048"], str(nothing))
    for name, tensor in theirs.state_dict().items():
        drawn = torch.empty(tensor.shape).normal_(generator=generator)
        if tensor.ndim > 1:
            drawn *= (2 / tensor[0].numel()) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            drawn = 1 + 0.1 * drawn.abs()
        tensors[name] = drawn if tensor.ndim else torch.tensor(1)
    return tensors


@pytest.fixture(scope="module")
def inception_file(inception_tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(inception_tensors, path)
    return path


@pytest.fixture(scope="module")
def ours(inception_file):
    return load_inception(inception_file, "cpu")


def test_the_inception_network_has_the_features_of_torch_fidelity(ours, inception_file):
    theirs = FeatureExtractorInceptionV3("inception", ["2048"], str(inception_file))
    x = images(1, 299, 299)
    (expected,) = theirs(((x + 1) * 127.5).round().byte())
    assert ours.features(x).shape == (1, 2048)
    assert expected.std() > 0.01
    torch.testing.assert_close(ours.features(x), expected, rtol=1e-5, atol=1e-5)
    assert ours.name == "Inception 2015 (not the published file)"
    assert ours.sha256 == digest(inception_file)
    assert ours.resize == "8-bit images to 299x299, bicubic with antialiasing, not rounded (as clean-fid)"


def test_a_safetensors_file_is_the_same_network(ours, inception_tensors, tmp_path, monkeypatch):
    path = tmp_path / "inception.safetensors"
    save_file(inception_tensors, path)
    monkeypatch.setitem(metric_networks.PUBLISHED, "inception_2015", digest(path)[:8])
    again = load_inception(path, "cpu")
    assert torch.equal(again.features(images(1)), ours.features(images(1)))
    assert again[:2] == ("Inception 2015", digest(path))


class Seen(Exception):  # noqa: N818
    """Ends a computation that has come as far as it needs to."""


@pytest.mark.parametrize("size", [(64, 48), (400, 350)])
def test_inception_sees_images_as_pillow_resizes_them_in_float(ours, size):
    seen = []

    def hook(_module, inputs):
        seen.append(inputs[0])
        raise Seen

    x = images(1, *size)
    with register_module_forward_pre_hook(hook), pytest.raises(Seen):
        ours.features(x)
    for channel, found in zip(((x[0] + 1) * 127.5).round().numpy(), seen[0][0] * 128 + 128, strict=True):
        expected = np.asarray(Image.fromarray(channel).resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255)
        assert np.abs(found.numpy() - expected).max() < 2e-3


def change(tensors, fault):
    changed = dict(tensors)
    if fault == "missing":
        del changed["Mixed_6b.branch1x1.conv.weight"]
        return changed, "Mixed_6b.branch1x1.conv.weight is missing"
    if fault == "foreign":
        changed["AuxLogits.fc.bias"] = torch.zeros(3)
        return changed, "it has AuxLogits.fc.bias too"
    changed["fc.bias"] = torch.zeros(1000)
    return changed, "fc.bias is (1000,), not (1008,)"


@pytest.mark.parametrize("fault", ["missing", "foreign", "another shape"])
def test_a_file_of_another_network_is_not_inception(fault, inception_tensors, tmp_path):
    zero = torch.tensor(0.0)
    shapes = {name: zero.expand(tensor.shape) for name, tensor in inception_tensors.items()}
    tensors, words = change(shapes, fault)
    path = tmp_path / "other.pth"
    torch.save(tensors, path)
    with pytest.raises(UserError) as caught:
        load_inception(path, "cpu")
    assert re.search(f"--inception {path}.*2015.*{re.escape(words)}", str(caught.value))


def test_an_inception_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(UserError) as caught:
        load_inception(tmp_path / "none.pth", "cpu")
    assert re.search(rf"--inception {tmp_path}/none\.pth", str(caught.value))


def test_without_torch_fidelity_there_is_no_inception(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(UserError, match=r"FID.*torch-fidelity.*\.\[evaluate\]"):
        load_inception(tmp_path / "any.pth", "cpu")


def test_a_backbones_features_are_means_over_positions_in_a_unit_of_its_own():
    network = load_backbone_features("vgg16", "relu2_1", "random", None, "cpu", seed=3)
    extractor = FeatureExtractor("vgg16", ["relu2_1"], "random", seed=3)
    noise = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert network.features(noise).square().mean().item() == pytest.approx(1)
    means = extractor(images())["relu2_1"].mean(dim=(2, 3))
    unit = extractor(noise)["relu2_1"].mean(dim=(2, 3)).square().mean().sqrt()
    torch.testing.assert_close(network.features(images()), means / unit)
    assert network.features(images()).shape == (2, 128)
    assert network.name == "vgg16 relu2_1, random weights of seed 3"
    assert network.sha256 == extractor.sha256
    assert network.resize == "none; features are divided by their root mean square on uniform noise of 128x128, seed 0"


def test_a_layer_that_nothing_excites_has_features_of_0(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": torch.zeros(64)}, path)
    assert (
        load_backbone_features("vgg16", "relu1_1", str(path), None, "cpu").features(images()).tolist() == [[0] * 64] * 2
    )


def test_a_backbone_of_a_file_is_named_by_its_layer(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"features.0.weight": torch.ones(64, 3, 3, 3), "features.0.bias": torch.ones(64)}, path)
    network = load_backbone_features("vgg19", "conv1_1", str(path), None, "cpu")
    assert network[:2] == ("vgg19 conv1_1", digest(path))


def torchvisions(net, pretrained):
    with torch.device("meta"):  # drawing the classifier's weights takes seconds
        network = models.get_model(net)
    return network.features.to_empty(device="cpu")


@pytest.mark.parametrize(("net", "backbone"), [("vgg", "vgg16"), ("squeeze", "squeezenet1_1")])
def test_lpips_is_that_of_torchmetrics_with_the_same_backbone(net, backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(torchmetrics_lpips, "_get_tv_model_features", torchvisions)
    theirs = torchmetrics_lpips._LPIPS(net=net, pnet_rand=True)
    state = {}  # theirs are named by slices: slice1.0.weight or net.slices.0.0.weight
    for name, tensor in theirs.net.state_dict().items():
        drawn = torch.empty(tensor.shape).normal_(generator=torch.Generator().manual_seed(len(state)))
        tensor.copy_(drawn * (2 / drawn[0].numel()) ** 0.5 if drawn.ndim > 1 else 0.1 * drawn)
        parts = name.split(".")
        state[".".join(["features", *parts[2 if parts[0] == "slices" else 1 :]])] = tensor.clone()
    save_file(state, tmp_path / "backbone.safetensors")
    ours = load_lpips(backbone, str(tmp_path / "backbone.safetensors"), None, "cpu")
    x, y = images(), images(seed=1)
    expected = theirs(x, y).flatten()
    assert expected.min() > 0.01
    torch.testing.assert_close(ours(x, y), expected, rtol=1e-5, atol=1e-7)
    assert ours(x, x).tolist() == [0, 0]
    assert ours.name == f"LPIPS ({backbone}, other weights)"
    assert ours.sha256 == digest(tmp_path / "backbone.safetensors")
    assert ours.heads_sha256 == digest(Path(torchmetrics_lpips.__file__).with_name("lpips_models") / f"{net}.pth")
    monkeypatch.setitem(metric_networks.PUBLISHED, backbone, ours.sha256[:8])
    again = load_lpips(backbone, str(tmp_path / "backbone.safetensors"), None, "cpu")
    assert again.name == f"LPIPS ({backbone})"


def test_lpips_of_random_weights_says_so():
    assert load_lpips("squeezenet1_1", "random", None, "cpu").name == "LPIPS (squeezenet1_1, random weights)"


def test_published_weights_are_those_of_torchvision():
    urls = {name: models.get_model_weights(name)["IMAGENET1K_V1"].url for name in ("vgg16", "squeezenet1_1")}
    assert all(url.endswith(f"-{metric_networks.PUBLISHED[name]}.pth") for name, url in urls.items())


@pytest.mark.parametrize("spec", [None, "elsewhere"])
def test_without_torchmetrics_there_is_no_lpips(spec, monkeypatch, tmp_path):
    class Elsewhere:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(metric_networks, "find_spec", lambda _: Elsewhere() if spec else None)
    with pytest.raises(UserError) as caught:
        load_lpips("vgg16", "random", None, "cpu")
    assert re.search(r"LPIPS.*vgg\.pth.*\.\[evaluate\]", str(caught.value))


def test_faults_of_weights_name_the_option_that_gave_them(tmp_path):
    path = tmp_path / "w.pth"
    with pytest.raises(UserError) as caught:
        load_lpips("vgg16", str(path), None, "cpu")
    assert re.search(f"--lpips_weights {path}", str(caught.value))
    with pytest.raises(UserError) as caught:
        load_backbone_features("vgg19", "relu4_1", str(path), None, "cpu")
    assert re.search(f"--distance_weights {path}", str(caught.value))
    with pytest.raises(UserError, match=r"--distance_format.*--distance_weights"):
        load_backbone_features("vgg19", "relu4_1", "random", "caffe", "cpu")
    with pytest.raises(UserError, match=r"--distance_backbone.*vgg20"):
        load_backbone_features("vgg20", "relu4_1", "random", None, "cpu")


def test_networks_stand_on_the_device_asked_for():
    network = load_lpips("squeezenet1_1", "random", None, "meta")
    assert {network.extractor.scale.device.type, *(head.device.type for head in network.heads)} == {"meta"}
    assert (
        load_backbone_features("squeezenet1_1", "conv1", "random", None, "meta").features(images()).device.type
        == "meta"
    )
