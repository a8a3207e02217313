"""Convolutions, and three ways in which a CPU computes them faster."""

from pix2pix.convolution.modules import FEW, WIDE, Conv, ConvTranspose

__all__ = ["FEW", "WIDE", "Conv", "ConvTranspose"]
