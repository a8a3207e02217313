"""The weights of a backbone: torchvision's download, random ones, or a file."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pix2pix.errors import UserError
from pix2pix.networks.backbones.architecture import Architecture, NormOf
from pix2pix.networks.backbones.download import hash_of, imagenet_file
from pix2pix.networks.backbones.files import WeightsFile, flavour_of, read_weights


class Kernel(NamedTuple):
    """The weights of one convolution, float32: (O, C, H, W) and (O)."""

    weight: Tensor
    bias: Tensor


class Weights(NamedTuple):
    """The weights of a network by convolution, where they come from in words, and the input that they expect."""

    kernels: dict[str, Kernel]
    source: str
    sha256: str
    flavour: str


def load(
    backbone: str, weights: str, flavour: str | None, seed: int, network: Architecture, places: dict[str, str]
) -> Weights:
    """Return the weights of a network that was built up to its deepest layer.

    `places` names the module of each layer that the backbone has.

    Raises:
        UserError: they are not to be had, or do not fit.
    """
    if weights in ("random", "imagenet") and flavour == "caffe":
        raise UserError(f"--weights_flavour caffe is about a file of weights, and --weights is {weights}: leave it out")
    if weights == "random":
        return _random(backbone, seed, network)
    path = imagenet_file(backbone) if weights == "imagenet" else Path(weights)
    file = read_weights(path, hash_of(path) if weights == "imagenet" else "")
    said = flavour_of(file, flavour)
    file = file.without_prefix([f"{name}.weight" for name in network.convolutions()])
    _check_complete(file, backbone, network, places)
    kernels = {name: _kernel(file, name, x, network.norms.get(name)) for name, x in network.convolutions().items()}
    source = f"imagenet ({path.name})" if weights == "imagenet" else f"{path} ({said})"
    return Weights(kernels, source, file.sha256, said)


def _random(backbone: str, seed: int, network: Architecture) -> Weights:
    """Draw the weights as torchvision does, each network from the front: its layers don't depend on how many there are.

    VGGs and ResNets: N(0, 2 / (O H W)); others: uniform with variance 2 / (C H W), SqueezeNet's own. GoogLeNet's and
    Inception's own are so small or large that without a training run's BatchNorm activations fade or explode.
    """
    generator = torch.Generator().manual_seed(seed)
    kernels, digest = {}, hashlib.sha256()
    for name, convolution in network.convolutions().items():
        weight = torch.empty(convolution.weight.shape)
        if backbone in ("googlenet", "inception_v3", "squeezenet1_1"):
            nn.init.kaiming_uniform_(weight, generator=generator)
        else:
            nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu", generator=generator)
        if name in network.norms:
            weight /= (1 + network.norms[name].eps) ** 0.5  # what an untrained norm in evaluation mode does
        kernels[name] = Kernel(weight, torch.zeros(len(weight)))
        digest.update(weight.numpy().tobytes())
    return Weights(kernels, f"random, seed {seed}", digest.hexdigest(), "torchvision")


def _kernel(file: WeightsFile, name: str, convolution: nn.Conv2d, norm: NormOf | None) -> Kernel:
    """Read one convolution and fold the norm behind it into it, if the file has not."""
    outputs = (convolution.out_channels,)
    first, *others = _needed(file, name, norm)
    weight = file.tensor(first, convolution.weight.shape)
    vectors = [file.tensor(key, outputs) for key in others]
    if norm is None or len(vectors) == 1:
        return Kernel(weight, vectors[0])
    gain, shift, mean, variance = (x.double() for x in vectors)
    scale = gain / (variance + norm.eps).sqrt()
    folded = weight.double() * scale.view(-1, 1, 1, 1)
    return Kernel(folded.float(), (shift - mean * scale).float())


def _needed(file: WeightsFile, name: str, norm: NormOf | None) -> tuple[str, ...]:
    """The names of a convolution's tensors in the file: its bias, or where it is not folded those of the norm."""
    is_folded = norm is None or (f"{name}.bias" in file.tensors and f"{norm.name}.weight" not in file.tensors)
    if norm is None or is_folded:
        return f"{name}.weight", f"{name}.bias"
    return f"{name}.weight", *(f"{norm.name}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))


def _check_complete(file: WeightsFile, backbone: str, network: Architecture, places: dict[str, str]) -> None:
    """See that the file has all the tensors, and else say how far it goes."""
    needed = [key for name in network.convolutions() for key in _needed(file, name, network.norms.get(name))]
    missing = [key for key in needed if key not in file.tensors]
    if not missing:
        return
    keys = list(network.steps)
    whole = next(number for number, key in enumerate(keys) if missing[0].startswith(key + "."))
    held = [layer for layer, place in places.items() if place in keys[:whole]]
    if not held:
        raise UserError(
            f"--weights {file.path}: it holds no weights of {backbone} ({missing[0]} is missing); give a file of that "
            "network, or name the file's network by --backbone"
        )
    deepest = [layer for layer, place in places.items() if place == keys[-1]][-1]
    raise UserError(
        f"--weights {file.path}: it holds layers up to {held[-1]}, and {deepest} is asked for ({missing[0]} is "
        "missing); ask for those layers alone, or give another file"
    )
