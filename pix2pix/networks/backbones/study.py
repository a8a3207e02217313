"""The study networks of SWAG: ResNet-50 with and without its additions, and made like a VGG.

Source: Wang, Li, Vasconcelos: Rethinking and improving the robustness of image style transfer, 2021, section 3.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

_WIDTHS = (64, 128, 256, 512)
_BLOCKS = (3, 4, 6, 3)


class Block(nn.Module):
    """Convolutions, each with BatchNorm, and a ReLU behind all of them; where `residual`, the input is added before.

    `kernels` lists their (inputs, outputs, side, stride). An input of another shape than the output is projected.
    (N, C, H, W) -> (N, C', H', W').
    """

    def __init__(self, kernels: Sequence[tuple[int, int, int, int]], residual: bool):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, side, stride in kernels:
            layers += [*_convolution(inputs, outputs, side, stride), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.residual = residual
        (first, *_), (_, last, *_) = kernels[0], kernels[-1]
        self.projection = nn.Sequential(*_convolution(first, last, 1) if residual and first != last else ())
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features."""
        y: Tensor = self.layers(x)
        if self.residual:
            y = y + self.projection(x)
        out: Tensor = self.relu(y)
        return out


def noresnet() -> nn.Module:
    """Build ResNet-50 without the additions, and so without the projections that they need."""
    stages, inputs = [], 64
    for stage, (width, count) in enumerate(zip(_WIDTHS, _BLOCKS, strict=True)):
        blocks = []
        for number in range(count):
            stride = 2 if stage > 0 and number == 0 else 1
            kernels = [(inputs, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
            blocks.append(Block(kernels, residual=False))
            inputs = 4 * width
        stages.append((f"layer{stage + 1}", nn.Sequential(*blocks)))
    return nn.Sequential(OrderedDict([*_stem(7, 2), ("maxpool", nn.MaxPool2d(3, 2, 1)), *stages]))


def pseudo_vgg(residual: bool) -> nn.Module:
    """Build the network that has two 3x3 in each block and max-pools in place of strides; pseudo-ResVGG if `residual`.

    One pool stands before each stage, so that stem and stages have the sides of a VGG's five blocks.
    """
    modules, inputs = _stem(3, 1), 64
    for stage, (width, count) in enumerate(zip(_WIDTHS, _BLOCKS, strict=True), start=1):
        blocks = []
        for _ in range(count):
            blocks.append(Block([(inputs, width, 3, 1), (width, width, 3, 1)], residual))
            inputs = width
        modules += [(f"maxpool{stage}", nn.MaxPool2d(2)), (f"layer{stage}", nn.Sequential(*blocks))]
    return nn.Sequential(OrderedDict(modules))


def _stem(side: int, stride: int) -> list[tuple[str, nn.Module]]:
    convolution, norm = _convolution(3, 64, side, stride)
    return [("conv1", convolution), ("bn1", norm), ("relu", nn.ReLU())]


def _convolution(inputs: int, outputs: int, side: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, side, stride, padding=side // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs)
