"""Generators by name: "unet_256", "encoder_decoder_128", "resnet_9blocks"."""

from pix2pix.layers import NormKind
from pix2pix.networks.resnet import ResnetGenerator
from pix2pix.networks.unet import UNet
from pix2pix.networks.upsampling import Upsample


def build_generator(
    name: str, input_nc: int, output_nc: int, *, ngf: int, norm: NormKind, upsample: Upsample, dropout: bool
) -> UNet | ResnetGenerator:
    """Build the generator of a name that the options allow.

    The number in "unet_N" and "encoder_decoder_N" (256 where it is left out) is the size that the encoder takes to 1x1.
    """
    kind, _, number = name.rpartition("_")
    if kind == "resnet":
        blocks = int(number.removesuffix("blocks"))
        return ResnetGenerator(
            input_nc, output_nc, blocks=blocks, ngf=ngf, norm=norm, upsample=upsample, dropout=dropout
        )
    depth = int(number).bit_length() - 1 if number.isdecimal() else 8
    skips = name.startswith("unet")
    return UNet(input_nc, output_nc, depth=depth, ngf=ngf, norm=norm, skips=skips, upsample=upsample, dropout=dropout)
