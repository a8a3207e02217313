"""The architectures of the backbones, without weights: torchvision's, and the study networks of SWAG.

Source: Wang, Li, Vasconcelos: Rethinking and improving the robustness of image style transfer, 2021, section 3.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from pix2pix.networks.conv import Conv

_WIDTHS = (64, 128, 256, 512)
_BLOCKS = (3, 4, 6, 3)


class Block(nn.Module):
    """Convolutions with BatchNorm and a final ReLU, before which the input is added if `residual`.

    `kernels` lists (inputs, outputs, kernel size, stride). The input is projected if its shape is not the output's.
    (N, C, H, W) -> (N, C', H', W').
    """

    def __init__(self, kernels: Sequence[tuple[int, int, int, int]], residual: bool):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, side, stride in kernels:
            layers += [*_build_conv_batch_norm(inputs, outputs, side, stride), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.residual = residual
        (first, *_), (_, last, *_) = kernels[0], kernels[-1]
        self.projection = nn.Sequential(*_build_conv_batch_norm(first, last, 1) if residual and first != last else ())
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features."""
        y: Tensor = self.layers(x)
        if self.residual:
            y = y + self.projection(x)
        out: Tensor = self.relu(y)
        return out


def build_noresnet() -> nn.Module:
    """Build ResNet-50 without residual connections."""
    stages, inputs = [], 64
    for stage, (width, count) in enumerate(zip(_WIDTHS, _BLOCKS, strict=True)):
        blocks = []
        for number in range(count):
            stride = 2 if stage > 0 and number == 0 else 1
            kernels = [(inputs, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
            blocks.append(Block(kernels, residual=False))
            inputs = 4 * width
        stages.append((f"layer{stage + 1}", nn.Sequential(*blocks)))
    return nn.Sequential(OrderedDict([*_build_stem(7, 2), ("maxpool", nn.MaxPool2d(3, 2, 1)), *stages]))


def build_pseudo_vgg(residual: bool) -> nn.Module:
    """Build pseudo-VGG: two 3x3 convolutions a block, max pooling instead of strides; pseudo-ResVGG if `residual`.

    There is a pool before each stage, so that stem and stages have the resolutions of a VGG's five blocks.
    """
    modules, inputs = _build_stem(3, 1), 64
    for stage, (width, count) in enumerate(zip(_WIDTHS, _BLOCKS, strict=True), start=1):
        blocks = []
        for _ in range(count):
            blocks.append(Block([(inputs, width, 3, 1), (width, width, 3, 1)], residual))
            inputs = width
        modules += [(f"maxpool{stage}", nn.MaxPool2d(2)), (f"layer{stage}", nn.Sequential(*blocks))]
    return nn.Sequential(OrderedDict(modules))


def _build_stem(side: int, stride: int) -> list[tuple[str, nn.Module]]:
    convolution, norm = _build_conv_batch_norm(3, 64, side, stride)
    return [("conv1", convolution), ("bn1", norm), ("relu", nn.ReLU())]


def _build_conv_batch_norm(inputs: int, outputs: int, side: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, side, stride, padding=side // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs)


Pooling = Literal["max", "average"]
Padding = Literal["zeros", "reflection"]

STUDY: dict[str, Callable[[], nn.Module]] = {
    "noresnet": build_noresnet,
    "pseudo_vgg": partial(build_pseudo_vgg, False),
    "pseudo_resvgg": partial(build_pseudo_vgg, True),
}


class BatchNormNames(NamedTuple):
    """The BatchNorm after a convolution: the names of its tensors in files, and its epsilon."""

    name: str
    eps: float


class Architecture(NamedTuple):
    """A network up to the deepest requested layer, with torchvision's names and without BatchNorm.

    Each convolution has a bias, into which its norm is folded. All tensors are on the "meta" device.
    """

    steps: dict[str, nn.Module]  # in the order of computation
    norms: dict[str, BatchNormNames]  # by the name of the convolution

    def convolutions(self) -> dict[str, nn.Conv2d]:
        """Return the convolutions by name, in the order of registration."""
        named = ((f"{key}.{name}".rstrip("."), m) for key, x in self.steps.items() for name, m in x.named_modules())
        return {name: module for name, module in named if isinstance(module, nn.Conv2d)}


def build_architecture(backbone: str, deepest: str, pooling: Pooling, padding: Padding) -> Architecture:
    """Build a backbone up to the module named `deepest`."""
    with torch.device("meta"):
        network = STUDY[backbone]() if backbone in STUDY else _build_torchvision(backbone)
        norms: dict[str, BatchNormNames] = {}
        convolution = ""
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d):
                convolution = name
            elif isinstance(module, nn.BatchNorm2d):
                norms[convolution] = BatchNormNames(name, module.eps)
        steps: dict[str, nn.Module] = {}
        for key, module in _flatten_modules(network).items():
            steps[key] = _replace_parts(module, pooling, padding)
            if key == deepest:
                break
    return Architecture(steps, norms)


def find_smallest_side(backbone: str, deepest: str, pooling: Pooling, padding: Padding) -> int:
    """Return the smallest side of images that the network accepts up to the module named `deepest`."""
    network = nn.Sequential(*build_architecture(backbone, deepest, pooling, padding).steps.values()).eval()

    def is_large_enough(side: int) -> bool:
        try:
            network(torch.empty(1, 3, side, side, device="meta"))
        except RuntimeError:
            return False
        return True

    return bisect_left(range(1024), True, lo=1, key=is_large_enough)


def _build_torchvision(backbone: str) -> nn.Module:
    from torchvision import models  # slow import

    options = {}
    if backbone in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "transform_input": False}
    if not backbone.startswith(("resnet", "wide", "squeeze")):
        options["init_weights"] = False
    network: nn.Module = models.get_model(backbone, weights=None, **options)
    return network


def _flatten_modules(network: nn.Module) -> dict[str, nn.Module]:
    """List the child modules in order, replacing each Sequential by its own children."""
    steps: dict[str, nn.Module] = {}
    for name, module in network.named_children():
        inner = module.named_children() if isinstance(module, nn.Sequential) else ()
        steps |= {f"{name}.{number}": each for number, each in inner} or {name: module}
    return steps


def _replace_parts(module: nn.Module, pooling: Pooling, padding: Padding) -> nn.Module:
    """Replace the pooling, padding and ReLUs of a module by the requested ones."""
    if isinstance(module, nn.Conv2d):
        return _replace_convolution(module, padding)
    if isinstance(module, nn.BatchNorm2d):
        return nn.Identity()
    if isinstance(module, nn.ReLU):
        return nn.ReLU()  # not in place: the features before it may be requested too
    if isinstance(module, nn.MaxPool2d) and pooling == "average":
        # padding is not part of a maximum, so the average does not count it
        sides = module.kernel_size, module.stride, module.padding, module.ceil_mode
        return nn.AvgPool2d(*sides, count_include_pad=False)
    for name, child in list(module.named_children()):
        setattr(module, name, _replace_parts(child, pooling, padding))
    if pooling == "average" and type(module).__name__ in _REDUCTIONS:
        return Reduction(module, _REDUCTIONS[type(module).__name__])
    return module


def _replace_convolution(old: nn.Conv2d, padding: Padding) -> nn.Conv2d:
    sides, around = old.kernel_size, old.padding
    assert not isinstance(around, str)
    mode: Literal["zeros", "reflect"] = "reflect" if padding == "reflection" and any(around) else "zeros"
    if sides[0] == sides[1] and old.stride == (1, 1):
        return Conv(old.in_channels, old.out_channels, sides[0], padding=around[0], padding_mode=mode)
    sizes = old.in_channels, old.out_channels, sides, old.stride, around
    return nn.Conv2d(*sizes, padding_mode=mode)  # type: ignore[arg-type]


_REDUCTIONS = {
    "InceptionB": 1,
    "InceptionD": 2,
}  # Inception's blocks with a pool: length of the first branch


class Reduction(nn.Module):
    """A downsampling block of Inception v3 with average instead of max pooling.

    It has two branches of convolutions with the names of the block; the first `first` are the first branch. (N, C, H,
    W) -> (N, C', H', W').
    """

    def __init__(self, block: nn.Module, first: int):
        super().__init__()
        for name, module in block.named_children():
            self.add_module(name, module)
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate both branches and the average along the channels."""
        modules = list(self.children())
        one = two = x
        for module in modules[: self.first]:
            one = module(one)
        for module in modules[self.first :]:
            two = module(two)
        return torch.cat([one, two, F.avg_pool2d(x, 3, 2)], 1)
