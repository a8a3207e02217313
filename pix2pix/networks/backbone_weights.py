"""The weights of a backbone: downloaded, from a file, or random."""

import hashlib
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor, nn

from pix2pix.checkpoint import hash_file
from pix2pix.errors import UserError
from pix2pix.networks.backbone_architectures import STUDY, Architecture, BatchNormNames

FORMATS = ("torchvision", "caffe")
CAFFE_MEANS = (123.68, 116.779, 103.939)  # of red, green and blue, from 0 to 255
IMAGENET_MEANS, IMAGENET_DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # from 0 to 1


class WeightsFile(NamedTuple):
    """The content of a file: tensors by name, metadata, and the SHA-256 of its bytes."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    sha256: str

    def without_prefix(self, names: Sequence[str]) -> "WeightsFile":
        """Return the file with a common prefix of its tensors' names removed, if that gives the network's names."""
        prefixes = {"", *(key.removesuffix(names[0]) for key in self.tensors if key.endswith("." + names[0]))}
        best = max(sorted(prefixes), key=lambda prefix: sum(prefix + name in self.tensors for name in names))
        named = {key.removeprefix(best): x for key, x in self.tensors.items() if key.startswith(best)}
        return self._replace(tensors=named)

    def tensor(self, name: str, shape: Sequence[int]) -> Tensor:
        """Return a tensor as float32.

        Raises:
            UserError: it has another shape.
        """
        found = self.tensors[name]
        if tuple(found.shape) != tuple(shape) or not found.is_floating_point():
            raise UserError(
                f"--weights {self.path}: {name} is {_shape(found.shape)} {str(found.dtype).partition('.')[2]} and must "
                f"be {_shape(shape)} of floating point; give weights of --backbone"
            )
        return found.float()


def read_weights(path: Path, hash_start: str = "", *, option: str = "--weights") -> WeightsFile:
    """Read a file of weights: safetensors by its suffix, otherwise a state dict of torch.save.

    Its SHA-256, in hexadecimal digits, must start with `hash_start`; `option` is named in messages.

    Raises:
        UserError: it cannot be read, is damaged, or has another format.
    """
    try:
        sha256 = hash_file(path)
    except OSError as error:
        raise UserError(
            f"{option} {path}: it cannot be read ({error.strerror}); give a .safetensors or .pth file"
            + (", or use imagenet or random" if option == "--weights" else "")
        ) from error
    if not sha256.startswith(hash_start):
        raise UserError(f"{option} {path}: it is damaged (its SHA-256 differs from that in its name): delete the file")
    try:
        tensors, metadata = _read_safetensors(path) if path.suffix == ".safetensors" else (_read_state_dict(path), {})
    except MemoryError:
        raise
    except Exception as error:  # damaged archives raise many types
        raise UserError(
            f"{option} {path}: it is damaged, or not a safetensors file or state dict of tensors; download it again"
        ) from error
    return WeightsFile(path, tensors, metadata, sha256)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    content = torch.load(path, map_location="cpu", weights_only=True)
    content = content.get("state_dict", content)  # the format of training scripts
    tensors = {str(name): x for name, x in content.items() if isinstance(x, Tensor)}
    if not tensors:
        raise ValueError("no tensors")
    return tensors


def detect_format(file: WeightsFile, requested: str | None) -> str:
    """Return the input format of the weights: that of the file's metadata, else the requested one, else torchvision.

    The metadata are `flavour`, or `preprocess` with the means of Caffe's models, or the means and deviations of
    torchvision's.

    Raises:
        UserError: the file contradicts the request, or its metadata are not understood and there is no request.
    """
    said = file.metadata.get("flavour")
    words = file.metadata.get("preprocess")
    if said is None and words is not None:
        said = _parse_preprocess(words) or requested
        if said is None:
            raise UserError(
                f"--weights {file.path}: its preprocessing {words!r} is not understood; give "
                "--weights_format torchvision or caffe"
            )
    said = said or requested or "torchvision"
    if said not in FORMATS:
        raise UserError(f"--weights {file.path}: its format is {said!r}; allowed: {', '.join(FORMATS)}")
    if requested not in (None, said):
        raise UserError(f"--weights {file.path} has the format {said}: leave --weights_format {requested} out")
    return said


def _parse_preprocess(words: str) -> str | None:
    numbers = [float(number) for number in re.findall(r"\d*\.\d+|\d+", words)]
    triples = set(zip(numbers, numbers[1:], numbers[2:], strict=False))
    if CAFFE_MEANS in triples and IMAGENET_DEVIATIONS not in triples:
        return "caffe"
    return "torchvision" if {IMAGENET_MEANS, IMAGENET_DEVIATIONS} <= triples else None


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


TIMEOUT_SECONDS = 5.0  # without data


def get_imagenet_url(backbone: str) -> str:
    """Return the URL of torchvision's first ImageNet weights of a backbone.

    Raises:
        UserError: there are none for a study network.
    """
    if backbone in STUDY:
        raise UserError(
            f"--weights imagenet: there are no weights of {backbone}; use --weights random or --weights FILE"
        )
    from torchvision import models  # slow import

    url: str = models.get_model_weights(backbone)["IMAGENET1K_V1"].url
    return url


def get_imagenet_path(backbone: str) -> Path:
    """Return the path of a backbone's ImageNet weights in the cache of torch hub, whether it exists or not.

    Raises:
        UserError: there are none for a study network.
    """
    return Path(torch.hub.get_dir()) / "checkpoints" / get_imagenet_url(backbone).rpartition("/")[2]


def download_imagenet(backbone: str) -> Path:
    """Return the file of a backbone's ImageNet weights, downloading it if needed.

    Raises:
        UserError: it cannot be downloaded.
    """
    url, path = get_imagenet_url(backbone), get_imagenet_path(backbone)
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _limit_silence():  # the file gets its name when it is complete and its hash is right
            torch.hub.download_url_to_file(url, str(path), get_expected_hash(path))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"--weights imagenet: {path} does not exist, and {url} cannot be downloaded ({error}): "
            "put the file there, or use --weights FILE or --weights random"
        ) from error
    return path


def get_expected_hash(path: Path) -> str:
    """Return the first digits of the SHA-256 of a file of torchvision, which end its name."""
    return path.stem.rpartition("-")[2]


@contextmanager
def _limit_silence() -> Iterator[None]:
    """Set a timeout for downloads, which torch.hub lacks."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


class ConvWeights(NamedTuple):
    """The weights of one convolution, float32: (O, C, H, W) and (O)."""

    weight: Tensor
    bias: Tensor


class WeightsSource(NamedTuple):
    """A file of weights, a description of its origin, and the input format that they expect."""

    file: WeightsFile
    source: str
    format: str


class Weights(NamedTuple):
    """The weights of a network by convolution, a description of their origin, and the input format that they expect."""

    kernels: dict[str, ConvWeights]
    source: str
    sha256: str
    format: str


def find_weights(backbone: str, weights: str, format: str | None) -> WeightsSource | None:
    """Read the file of a backbone's weights; None if they are random.

    Raises:
        UserError: there is none, or it has another format.
    """
    if weights in ("random", "imagenet") and format == "caffe":
        raise UserError(f"--weights_format caffe is for files, and --weights is {weights}: leave it out")
    if weights == "random":
        return None
    path = download_imagenet(backbone) if weights == "imagenet" else Path(weights)
    file = read_weights(path, get_expected_hash(path) if weights == "imagenet" else "")
    said = detect_format(file, format)
    return WeightsSource(file, f"imagenet ({path.name})" if weights == "imagenet" else f"{path} ({said})", said)


def load_weights(
    backbone: str, found: WeightsSource | None, seed: int, network: Architecture, places: dict[str, str]
) -> Weights:
    """Return the weights of a network that was built up to its deepest layer.

    `places` has the module of each layer of the backbone.

    Raises:
        UserError: they do not fit the network.
    """
    if found is None:
        return _draw_random(backbone, seed, network)
    file = found.file.without_prefix([f"{name}.weight" for name in network.convolutions()])
    _check_complete(file, backbone, network, places)
    kernels = {name: _read_kernel(file, name, x, network.norms.get(name)) for name, x in network.convolutions().items()}
    return Weights(kernels, found.source, file.sha256, found.format)


def _draw_random(backbone: str, seed: int, network: Architecture) -> Weights:
    """Draw the weights as torchvision does, from the first layer on, independent of the number of layers.

    VGGs and ResNets: N(0, 2 / (O H W)); others: uniform with variance 2 / (C H W), as SqueezeNet. With the defaults of
    GoogLeNet and Inception activations vanish or explode without trained BatchNorm.
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
            weight /= (1 + network.norms[name].eps) ** 0.5  # the effect of an untrained norm in evaluation mode
        kernels[name] = ConvWeights(weight, torch.zeros(len(weight)))
        digest.update(weight.numpy().tobytes())
    return Weights(kernels, f"random, seed {seed}", digest.hexdigest(), "torchvision")


def _read_kernel(file: WeightsFile, name: str, convolution: nn.Conv2d, norm: BatchNormNames | None) -> ConvWeights:
    """Read a convolution, and fold its norm into it if the file has one."""
    outputs = (convolution.out_channels,)
    first, *others = _list_tensors(file, name, norm)
    weight = file.tensor(first, convolution.weight.shape)
    vectors = [file.tensor(key, outputs) for key in others]
    if norm is None or len(vectors) == 1:
        return ConvWeights(weight, vectors[0])
    gain, shift, mean, variance = (x.double() for x in vectors)
    scale = gain / (variance + norm.eps).sqrt()
    folded = weight.double() * scale.view(-1, 1, 1, 1)
    return ConvWeights(folded.float(), (shift - mean * scale).float())


def _list_tensors(file: WeightsFile, name: str, norm: BatchNormNames | None) -> tuple[str, ...]:
    """Return the names of a convolution's tensors in the file: weight and bias, or weight and its norm."""
    is_folded = norm is None or (f"{name}.bias" in file.tensors and f"{norm.name}.weight" not in file.tensors)
    if norm is None or is_folded:
        return f"{name}.weight", f"{name}.bias"
    return f"{name}.weight", *(f"{norm.name}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))


def _check_complete(file: WeightsFile, backbone: str, network: Architecture, places: dict[str, str]) -> None:
    """Check that the file has all tensors; otherwise report its last complete layer."""
    needed = [key for name in network.convolutions() for key in _list_tensors(file, name, network.norms.get(name))]
    missing = [key for key in needed if key not in file.tensors]
    if not missing:
        return
    keys = list(network.steps)
    whole = next(number for number, key in enumerate(keys) if missing[0].startswith(key + "."))
    held = [layer for layer, place in places.items() if place in keys[:whole]]
    if not held:
        raise UserError(
            f"--weights {file.path}: it has no weights of {backbone} ({missing[0]} is missing); give a file of that "
            "network, or its network with --backbone"
        )
    deepest = [layer for layer, place in places.items() if place == keys[-1]][-1]
    raise UserError(
        f"--weights {file.path}: it has layers up to {held[-1]}, and {deepest} is requested ({missing[0]} is "
        "missing); request only layers that it has, or give another file"
    )
