"""The style network of Johnson et al. 2016, with instance norm (Ulyanov et al. 2016), and of Dumoulin et al. 2017.

It has nearest-neighbor upsampling and reflection padding everywhere, as Dumoulin et al., and no ReLU after additions.
"""

from collections.abc import Mapping
from itertools import product
from typing import Literal

import torch
from torch import Tensor, nn

from pix2pix.checkpoint import CheckpointError, check_state_dict, load_weights
from pix2pix.networks.conv import Conv, Output
from pix2pix.networks.norm import ConditionalInstanceNorm, Norm
from pix2pix.networks.receptive_field import Stage, list_stages


class ConvLayer(nn.Module):
    """Optional upsampling, a convolution with reflection padding, an optional norm, an optional ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        norm: Norm | ConditionalInstanceNorm | None,
        *,
        stride: int = 1,
        upsampled: bool = False,
        active: bool = True,
    ):
        super().__init__()
        self.doubling = nn.Upsample(scale_factor=2, mode="nearest") if upsampled else nn.Identity()
        self.convolution = Conv(inputs, outputs, kernel, stride, kernel // 2, bias=norm is None, padding_mode="reflect")
        self.norm = nn.Identity() if norm is None else norm
        self.activation = nn.ReLU() if active else nn.Identity()

    def forward(self, x: Tensor, shares: Tensor | None = None) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H', W') with the shares of the styles."""
        x = self.convolution(self.doubling(x))
        x = self.norm(x, shares) if isinstance(self.norm, ConditionalInstanceNorm) else self.norm(x)
        out: Tensor = self.activation(x)
        return out


class ResidualBlock(nn.Module):
    """Two layers whose output is added to their input, without activation after the addition."""

    def __init__(self, first: ConvLayer, second: ConvLayer):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor, shares: Tensor | None = None) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W) with the shares of the styles."""
        out: Tensor = x + self.second(self.first(x, shares), shares)
        return out


class TransformerNet(nn.Module):
    """Two strided convolutions, `blocks` residual blocks, two upsamplings, 9x9 convolutions at both ends.

    Input and output (N, 3, H, W) in [-1, 1] (or slightly outside for "linear"); H and W are multiples of `multiple` =
    16. With `styles` above 0 every convolution, including the last, has a conditional instance norm of that many
    styles.
    """

    multiple = 16

    def __init__(
        self,
        *,
        ngf: int = 32,
        blocks: int = 5,
        norm: Literal["batch", "instance"] = "instance",
        styles: int = 0,
        output: Output = "tanh",
    ):
        super().__init__()

        def build_norm(channels: int) -> Norm | ConditionalInstanceNorm:
            return ConditionalInstanceNorm(channels, styles) if styles else Norm(channels, norm)

        self.encoder = nn.ModuleList([ConvLayer(3, ngf, 9, build_norm(ngf))])
        for width in (ngf, 2 * ngf):
            self.encoder.append(ConvLayer(width, 2 * width, 3, build_norm(2 * width), stride=2))
        wide = 4 * ngf
        self.blocks = nn.ModuleList(
            ResidualBlock(
                ConvLayer(wide, wide, 3, build_norm(wide)), ConvLayer(wide, wide, 3, build_norm(wide), active=False)
            )
            for _ in range(blocks)
        )
        self.decoder = nn.ModuleList()
        for width in (4 * ngf, 2 * ngf):
            self.decoder.append(ConvLayer(width, width // 2, 3, build_norm(width // 2), upsampled=True))
        self.decoder.append(ConvLayer(ngf, 3, 9, build_norm(3) if styles else None, active=False))
        self.output = nn.Tanh() if output == "tanh" else nn.Identity()

    def forward(self, image: Tensor, shares: Tensor | None = None) -> Tensor:
        """Stylize images; `shares` of the styles are (N, styles), or (N, styles, H, W) by position."""
        x = image
        for layer in self.encoder:
            x = layer(x, shares)
        for block in self.blocks:
            x = block(x, shares)
        for layer in self.decoder:
            x = layer(x, shares)
        out: Tensor = self.output(x)
        return out

    def stages(self, shares: Tensor | None = None) -> list[Stage]:
        """Return the operations of the network for the styles of one image (1, styles), for tiles."""
        stages: list[Stage] = []

        def add(*layers: nn.Module) -> None:
            parts = [part for layer in layers for part in _parts(layer, shares)]
            stages.extend(list_stages(parts, (len(stages) - 1,), len(stages)))

        for layer in self.encoder:
            add(layer)
        for block in self.blocks:
            entry = len(stages) - 1
            add(*block.children())
            stages[-1] = stages[-1]._replace(added=entry)
        add(*self.decoder, self.output)
        return stages


def _parts(layer: nn.Module, shares: Tensor | None) -> list[nn.Module]:
    """Return the modules of a layer in order, with conditional norms replaced by those of one image's styles."""
    if not isinstance(layer, ConvLayer):
        return [layer]
    norm = (
        layer.norm.select(shares)
        if isinstance(layer.norm, ConditionalInstanceNorm) and shares is not None
        else layer.norm
    )
    parts = [layer.doubling, layer.convolution, norm, layer.activation]
    return [part for part in parts if not isinstance(part, nn.Identity)]


def add_style(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a multi-style network with one more style, initialized to the mean of the others."""
    return {
        name: torch.cat([x, x.mean(dim=0, keepdim=True)]) if name.rpartition(".")[0].endswith(".norm") else x
        for name, x in state.items()
    }


def freeze_all_but_newest_style(network: TransformerNet) -> None:
    """Freeze all shared weights; those of styles that no image uses have gradients of exactly 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.requires_grad_(False)


def convert_pytorch_example(state: Mapping[str, Tensor]) -> TransformerNet:
    """Build the network of a state dict with the keys of the PyTorch examples' TransformerNet.

    It maps colors from 0 to 255; here the scaling of both ends is folded into the first and last convolution, which is
    exact with reflection padding. Biases before instance norms have no effect and are dropped.

    Raises:
        CheckpointError: keys or shapes differ, or values are not finite floats.
    """
    blocks = len({name.partition(".")[0] for name in state if name.startswith("res")})
    names = _transformer_net_names(blocks)
    known = {}
    for name, value in state.items():
        module, dot, tensor = name.rpartition(".")
        if not value.is_floating_point() or not value.float().isfinite().all():
            raise CheckpointError(f"{name} has values that are not finite floats")
        known[f"{names.get(module, module)}{dot}{tensor}"] = value.float()
    first, last = "encoder.0.convolution", "decoder.2.convolution"
    ngf = next(iter(known.get(f"{first}.weight", torch.empty(32)).shape), 0) or 32
    with torch.device("meta"):  # shapes only: those of another file may not fit in memory
        expected = TransformerNet(ngf=ngf, blocks=blocks, output="linear").state_dict()
    idle = {f"{module}.bias" for module in names.values() if module.endswith("convolution")} - expected.keys()
    fitting = {name: value for name, value in known.items() if name not in idle}
    check_state_dict(expected, fitting, "TransformerNet")
    network = TransformerNet(ngf=ngf, blocks=blocks, output="linear")
    load_weights(network, fitting, "TransformerNet")
    own = network.state_dict()
    with torch.no_grad():
        own[f"{first}.weight"] *= 127.5
        own[f"{last}.weight"] /= 127.5
        own[f"{last}.bias"].div_(127.5).sub_(1)
    return network


def _transformer_net_names(blocks: int) -> dict[str, str]:
    """Return the names of the modules here, by those of the PyTorch examples."""
    names = {f"in{n}": f"encoder.{n - 1}.norm" if n < 4 else f"decoder.{n - 4}.norm" for n in range(1, 6)}
    for n in range(1, 4):
        names |= {
            f"conv{n}.conv2d": f"encoder.{n - 1}.convolution",
            f"deconv{n}.conv2d": f"decoder.{n - 1}.convolution",
        }
    for block, (n, layer) in product(range(blocks), enumerate(("first", "second"), 1)):
        theirs, ours = f"res{block + 1}", f"blocks.{block}.{layer}"
        names |= {f"{theirs}.conv{n}.conv2d": f"{ours}.convolution", f"{theirs}.in{n}": f"{ours}.norm"}
    return names
