"""Build a generator by name, and initialize weights."""

from typing import Any, Literal

import torch
from torch import nn

from pix2pix.networks.conv import Output, Upsample
from pix2pix.networks.norm import Norm, NormKind
from pix2pix.networks.resnet import ResnetGenerator
from pix2pix.networks.unet import UNet

InitType = Literal["normal", "xavier", "kaiming", "orthogonal"]


def initialize_weights(network: nn.Module, init_type: InitType, gain: float, generator: torch.Generator) -> None:
    """Initialize convolutions by `init_type`, norm weights from N(1, gain), and all biases to 0.

    Source: pix2pix, section 6.2: N(0, 0.02). The other types use the gain as the common PyTorch implementations do.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            if init_type == "normal":
                nn.init.normal_(module.weight, 0.0, gain, generator=generator)
            elif init_type == "xavier":
                nn.init.xavier_normal_(module.weight, gain=gain, generator=generator)
            elif init_type == "kaiming":
                nn.init.kaiming_normal_(module.weight, generator=generator)
            else:
                nn.init.orthogonal_(module.weight, gain=gain, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Norm):
            nn.init.normal_(module.weight, 1.0, gain, generator=generator)
            nn.init.zeros_(module.bias)


def build_generator(
    name: str,
    input_nc: int,
    output_nc: int,
    *,
    ngf: int,
    norm: NormKind,
    upsample: Upsample,
    dropout: bool,
    output: Output = "tanh",
) -> UNet | ResnetGenerator:
    """Build the generator of a name in --generator.

    The encoder of "unet_N" and "encoder_decoder_N" (N = 256 if left out) downsamples N pixels to 1x1.
    """
    kind, _, number = name.rpartition("_")
    built: dict[str, Any] = dict(ngf=ngf, norm=norm, upsample=upsample, dropout=dropout, output=output)
    if kind == "resnet":
        return ResnetGenerator(input_nc, output_nc, blocks=int(number.removesuffix("blocks")), **built)
    depth = int(number).bit_length() - 1 if number.isdecimal() else 8
    return UNet(input_nc, output_nc, depth=depth, skips=name.startswith("unet"), **built)
