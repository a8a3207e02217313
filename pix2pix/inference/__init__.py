"""A checkpoint as a translator of images of any size: PIL images, arrays and tensors."""

from pix2pix.inference.loading import load
from pix2pix.inference.styles import KeepColours, Manner
from pix2pix.inference.translator import LoadedTranslator

__all__ = ["KeepColours", "LoadedTranslator", "Manner", "load"]
