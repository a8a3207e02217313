"""Generators by name: "unet_256", "encoder_decoder_128", "resnet_9blocks"."""

from typing import Any

from pix2pix.layers import NormKind
from pix2pix.networks.resnet import ResnetGenerator
from pix2pix.networks.stylizer import Output
from pix2pix.networks.unet import UNet
from pix2pix.networks.upsampling import Upsample


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
    """Build the generator of a name that the options allow.

    The number in "unet_N" and "encoder_decoder_N" (256 where it is left out) is the size that the encoder takes to 1x1.
    """
    kind, _, number = name.rpartition("_")
    built: dict[str, Any] = dict(ngf=ngf, norm=norm, upsample=upsample, dropout=dropout, output=output)
    if kind == "resnet":
        return ResnetGenerator(input_nc, output_nc, blocks=int(number.removesuffix("blocks")), **built)
    depth = int(number).bit_length() - 1 if number.isdecimal() else 8
    return UNet(input_nc, output_nc, depth=depth, skips=name.startswith("unet"), **built)
