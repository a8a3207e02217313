"""The methods that can be trained, by their name in --model."""

from collections.abc import Mapping
from typing import Any

from pix2pix.methods.adain import Adain
from pix2pix.methods.johnson import Johnson
from pix2pix.methods.multi_style import MultiStyle
from pix2pix.methods.pix2pix import Pix2Pix
from pix2pix.methods.segmenter import Segmenter

METHODS: Mapping[str, type[Any]] = {
    "pix2pix": Pix2Pix,
    "johnson": Johnson,
    "multi_style": MultiStyle,
    "adain": Adain,
    "segmenter": Segmenter,
}
