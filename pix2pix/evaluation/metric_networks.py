"""The networks of metrics: Inception, a backbone, LPIPS, a segmenter.

Each records its name and the SHA-256 of its weights, since metrics of different weights are not comparable.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from pix2pix.config.tools import EvaluateOptions
from pix2pix.errors import UserError
from pix2pix.evaluation.distances import lpips
from pix2pix.networks.backbone_weights import WeightsFile, get_imagenet_path, read_weights
from pix2pix.networks.feature_extractor import FeatureExtractor

if TYPE_CHECKING:
    from pix2pix.evaluation.segmentation import Segmenter

PUBLISHED = {  # first digits of the SHA-256 of the published files
    "inception_2015": "6726825d",  # of torch-fidelity and pytorch-fid
    "vgg16": "397923af",  # of torchvision
    "squeezenet1_1": "b8a52dc0",
}
_SIDE, _NOISE = 299, 128  # pixels
_LPIPS = {  # torchmetrics' file of heads, and their layers
    "vgg16": ("vgg.pth", ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")),
    "squeezenet1_1": ("squeeze.pth", ("conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")),
}


class FeatureNetwork(NamedTuple):
    """A network for D features per image: `features` maps (N, 3, H, W) in [-1, 1] to (N, D) float32."""

    name: str
    sha256: str  # of the weights file
    resize: str  # description of the resizing
    features: Callable[[Tensor], Tensor]


class Lpips(NamedTuple):
    """LPIPS with a backbone and the heads of Zhang et al., (C) for each layer."""

    name: str
    sha256: str  # of the backbone's weights
    heads_sha256: str  # of the file of the heads
    extractor: FeatureExtractor
    heads: tuple[Tensor, ...]

    @torch.no_grad()
    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the distance of each pair of images (N, 3, H, W) in [-1, 1]: (N,), 0 for equal ones."""
        of_x, of_y = (tuple(self.extractor(images.to(self.extractor.scale)).values()) for images in (x, y))
        return lpips(of_x, of_y, self.heads)


def load_inception(path: Path | str, device: torch.device | str) -> FeatureNetwork:
    """Load the Inception network of FID and KID from a .pth or .safetensors file: 2,048 features.

    Images are rounded to 8 bits and resized as in clean-fid: Parmar, Zhang, Zhu: On aliased resizing and surprising
    subtleties in GAN evaluation, 2022.

    Raises:
        UserError: torch-fidelity is not installed, or the file is of another network.
    """
    network = _inception().to_empty(device="cpu")
    file = read_weights(Path(path), option="--inception")
    _check_tensors(file, network)
    network.load_state_dict(dict(file.tensors))
    network = network[:-1].eval().requires_grad_(False).to(device)  # without the classifier

    @torch.no_grad()
    def features(images: Tensor) -> Tensor:
        levels = ((images.cpu().double() + 1) * 127.5).round().clamp(0, 255)  # float64, like Pillow's weights
        sized = F.interpolate(levels, (_SIDE, _SIDE), mode="bicubic", antialias=True, align_corners=False).clamp(0, 255)
        found: Tensor = network(((sized - 128) / 128).float().to(device))
        return found.flatten(1)

    words = f"8-bit images to {_SIDE}x{_SIDE}, bicubic with antialiasing, not rounded (as clean-fid)"
    published = file.sha256.startswith(PUBLISHED["inception_2015"])
    return FeatureNetwork(
        "Inception 2015" if published else "Inception 2015 (not the published file)", file.sha256, words, features
    )


def load_backbone_features(
    backbone: str, layer: str, weights: str, weights_format: str | None, device: torch.device | str, seed: int = 0
) -> FeatureNetwork:
    """Load a backbone whose features are a layer's means over positions, for distances other than FID.

    They are divided by their root mean square on a noise image, since the kernel distance expects features near 1, and
    those of a VGG reach 1,000.

    `weights` is "imagenet", "random" (drawn from `seed`) or the path of a file.

    Raises:
        UserError: there is no such backbone or layer, or the weights cannot be loaded.
    """
    with _named_by("distance"):
        extractor = FeatureExtractor(backbone, [layer], weights, weights_format=weights_format, seed=seed).to(device)

    @torch.no_grad()
    def means(images: Tensor) -> Tensor:
        found: Tensor = extractor(images.to(extractor.scale))[layer]
        return found.mean(dim=(2, 3))

    noise = torch.rand(1, 3, _NOISE, _NOISE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    unit = means(noise).square().mean().sqrt().clamp(min=torch.finfo(torch.float32).tiny)  # a dead layer stays 0
    name = f"{backbone} {layer}" + (f", random weights of seed {seed}" if weights == "random" else "")
    words = f"none; features are divided by their root mean square on uniform noise of {_NOISE}x{_NOISE}, seed 0"
    return FeatureNetwork(name, extractor.sha256, words, lambda images: means(images) / unit)


def load_lpips(
    backbone: Literal["vgg16", "squeezenet1_1"], weights: str, weights_format: str | None, device: torch.device | str
) -> Lpips:
    """Load LPIPS with a backbone, whose `weights` are "imagenet", "random" or the path of a file.

    The heads are those of torchmetrics, the authors' version 0.1, trained for torchvision's weights. With other weights
    the name says so, since the distance is not the published LPIPS.

    Raises:
        UserError: torchmetrics is not installed, or the weights cannot be loaded.
    """
    name, layers = _LPIPS[backbone]
    file = _heads(name)
    heads = tuple(file.tensors[f"lin{number}.model.1.weight"].flatten().to(device) for number in range(len(layers)))
    with _named_by("lpips"):
        extractor = FeatureExtractor(backbone, layers, weights, weights_format=weights_format).to(device)
    published = extractor.sha256.startswith(PUBLISHED[backbone])
    words = "" if published else ", random weights" if weights == "random" else ", other weights"
    return Lpips(f"LPIPS ({backbone}{words})", extractor.sha256, file.sha256, extractor, heads)


def _heads(name: str) -> WeightsFile:
    spec = find_spec("torchmetrics")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    paths = [Path(folder, "functional/image/lpips_models", name) for folder in folders]
    found = [path for path in paths if path.is_file()]
    if not found:
        raise UserError(f'LPIPS needs torchmetrics and its file {name}: pip install -e ".[evaluate]"')
    return read_weights(found[0], option="LPIPS:")


@contextmanager
def _named_by(prefix: str) -> Iterator[None]:
    """Prefix errors about a backbone with its options."""
    try:
        yield
    except UserError as error:
        words = re.sub(r"--(?:weights_)?(backbone|weights|format)\b", rf"--{prefix}_\1", str(error))
        raise UserError(words) from error


def _inception() -> nn.Sequential:
    """Return torch-fidelity's network on the "meta" device, with the names of files."""
    try:
        from torch_fidelity import feature_extractor_inceptionv3 as fidelity
    except ImportError as error:
        raise UserError(
            'FID and KID need torch-fidelity, which is not installed: pip install -e ".[evaluate]"'
        ) from error
    with torch.device("meta"):
        layers = {
            "Conv2d_1a_3x3": fidelity.BasicConv2d(3, 32, kernel_size=3, stride=2),
            "Conv2d_2a_3x3": fidelity.BasicConv2d(32, 32, kernel_size=3),
            "Conv2d_2b_3x3": fidelity.BasicConv2d(32, 64, kernel_size=3, padding=1),
            "MaxPool_1": nn.MaxPool2d(3, 2),
            "Conv2d_3b_1x1": fidelity.BasicConv2d(64, 80, kernel_size=1),
            "Conv2d_4a_3x3": fidelity.BasicConv2d(80, 192, kernel_size=3),
            "MaxPool_2": nn.MaxPool2d(3, 2),
            "Mixed_5b": fidelity.InceptionA(192, 32),
            "Mixed_5c": fidelity.InceptionA(256, 64),
            "Mixed_5d": fidelity.InceptionA(288, 64),
            "Mixed_6a": fidelity.InceptionB(288),
            **{f"Mixed_6{x}": fidelity.InceptionC(768, c) for x, c in zip("bcde", (128, 160, 160, 192), strict=True)},
            "Mixed_7a": fidelity.InceptionD(768),
            "Mixed_7b": fidelity.InceptionE_1(1280),
            "Mixed_7c": fidelity.InceptionE_2(2048),
            "AvgPool": nn.AdaptiveAvgPool2d(1),
            "fc": nn.Linear(2048, 1008),  # torchvision's network has 1,000 classes
        }
    return nn.Sequential(OrderedDict(layers))


def _check_tensors(file: WeightsFile, network: nn.Module) -> None:
    """Check that a file has exactly the tensors of the Inception network.

    Raises:
        UserError: it has others.
    """
    needed = network.state_dict()
    wrong = [
        *(f"{name} is missing" for name in needed if name not in file.tensors),
        *(f"it has {name} too" for name in file.tensors if name not in needed),
        *(
            f"{name} is {tuple(file.tensors[name].shape)}, not {tuple(tensor.shape)}"
            for name, tensor in needed.items()
            if name in file.tensors and file.tensors[name].shape != tensor.shape
        ),
    ]
    if wrong:
        raise UserError(
            f"--inception {file.path}: it is not the 2015 Inception network of FID ({wrong[0]}); "
            f"give pt_inception-2015-12-05-{PUBLISHED['inception_2015']}.pth"
        )


_SEED = 0  # of --distance_weights random
_NO_SEGMENTER = "no segmenter for photos: give --segmenter RUN or FILE.onnx; evaluate train-segmenter trains such a run"


class Unavailable(NamedTuple):
    """The reason for a missing network."""

    why: str


class MetricNetworks(NamedTuple):
    """The networks of metrics; missing ones are `Unavailable`."""

    segmenter: "Segmenter | Unavailable"
    inception: "FeatureNetwork | Unavailable"
    distance: "FeatureNetwork | Unavailable"
    lpips: "Lpips | Unavailable"

    @property
    def feature_networks(self) -> "list[FeatureNetwork]":
        """The available networks for distances of sets."""
        return [network for network in (self.inception, self.distance) if not isinstance(network, Unavailable)]


def load_metric_networks(options: EvaluateOptions, device: torch.device) -> MetricNetworks:
    """Load the networks of the options.

    Raises:
        UserError: a given file cannot be used.
    """
    return MetricNetworks(
        _segmenter(options), _open_inception(options, device), _distance(options, device), _lpips(options, device)
    )


def _segmenter(options: EvaluateOptions) -> "Segmenter | Unavailable":
    given = options.segmentation
    if given.segmenter is None:
        return Unavailable(_NO_SEGMENTER)
    if given.segmenter.lower().endswith(".onnx") and (lacking := _not_installed("onnxruntime")):
        return lacking
    from pix2pix.evaluation.segmentation import open_segmenter

    return open_segmenter(
        given.segmenter,
        checkpoints_dir=options.checkpoints_dir,
        device=options.device,
        palette=given.palette,
        inputs=given.segmenter_input,
    )


def _open_inception(options: EvaluateOptions, device: torch.device) -> "FeatureNetwork | Unavailable":
    if options.measures.inception is None:
        return Unavailable("no weights of the 2015 Inception network: give --inception FILE")
    if lacking := _not_installed("torch_fidelity"):
        return lacking

    return load_inception(options.measures.inception, device)


def _distance(options: EvaluateOptions, device: torch.device) -> "FeatureNetwork | Unavailable":
    given = options.measures
    weights = _at_hand(given.distance_backbone, given.distance_weights, "distance_weights")
    if isinstance(weights, Unavailable):
        return weights

    try:
        return load_backbone_features(
            given.distance_backbone, given.distance_layer, weights, given.distance_format, device, _SEED
        )
    except UserError as error:
        return _unless_named(error, given.distance_weights)


def _lpips(options: EvaluateOptions, device: torch.device) -> "Lpips | Unavailable":
    given = options.measures
    if lacking := _not_installed("torchmetrics"):  # which has the heads
        return lacking
    weights = _at_hand(given.lpips_backbone, given.lpips_weights, "lpips_weights")
    if isinstance(weights, Unavailable):
        return weights

    try:
        return load_lpips(given.lpips_backbone, weights, given.lpips_format, device)
    except UserError as error:
        return _unless_named(error, given.lpips_weights)


def _not_installed(package: str) -> Unavailable | None:
    if find_spec(package) is not None:
        return None
    return Unavailable(f'{package.replace("_", "-")} is not installed: pip install -e ".[evaluate]"')


def _at_hand(backbone: str, weights: str | None, option: str) -> str | Unavailable:
    """Return the given weights, or "imagenet" if torchvision's are already downloaded."""
    if weights is not None:
        return weights
    why = f"no weights of {backbone}: give --{option} imagenet (torchvision's download), random or FILE"
    try:
        return "imagenet" if get_imagenet_path(backbone).is_file() else Unavailable(why)
    except UserError:  # none are published
        return Unavailable(why)


def _unless_named(error: UserError, weights: str | None) -> Unavailable:
    """Return the error as the reason, or raise it if the user gave the file."""
    if weights not in (None, "imagenet"):
        raise error
    return Unavailable(str(error))
