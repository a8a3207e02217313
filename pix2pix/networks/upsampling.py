"""The three ways in which a decoder doubles the size of its features."""

from typing import Literal

from torch import nn

from pix2pix.convolution import Conv, ConvTranspose

Upsample = Literal["transpose", "nearest", "bilinear"]


def doubling(inputs: int, outputs: int, upsample: Upsample, *, kernel: int, bias: bool) -> nn.Module:
    """Map (N, inputs, H, W) to (N, outputs, 2H, 2W).

    "transpose" is the papers' transposed convolution of side `kernel` (4 in the U-Net, 3 in the residual network);
    "nearest" and "bilinear" resize first and convolve 3x3 after, which leaves no checkerboard (Odena et al. 2016).
    """
    if upsample == "transpose":
        output_padding = kernel % 2  # an odd kernel comes out one pixel short
        return ConvTranspose(inputs, outputs, kernel, 2, 1, output_padding, bias=bias)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode=upsample), Conv(inputs, outputs, 3, 1, 1, bias=bias))
