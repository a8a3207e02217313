"""Frozen feature extractors: the backbones whose features the perceptual and style losses compare."""

from pix2pix.networks.backbones.extractor import FeatureExtractor
from pix2pix.networks.backbones.names import default_content_layers, default_style_layers, layer_names

__all__ = ["FeatureExtractor", "default_content_layers", "default_style_layers", "layer_names"]
