"""Normalisation, dropout and weight initialisation, with their test-time state in the open."""

from pix2pix.layers.adain import AdaIN, adain_regions, channel_statistics
from pix2pix.layers.conditional import ConditionalNorm
from pix2pix.layers.initial import InitType, initialise
from pix2pix.layers.norm import Norm, NormKind, Statistics, fold_norms, norm_layer, synchronise
from pix2pix.layers.stages import Normalisation, Operation, Stage, stages_of
from pix2pix.layers.switches import Dropout, switched

__all__ = [
    "AdaIN",
    "ConditionalNorm",
    "Dropout",
    "InitType",
    "Norm",
    "NormKind",
    "Normalisation",
    "Operation",
    "Stage",
    "Statistics",
    "adain_regions",
    "channel_statistics",
    "fold_norms",
    "initialise",
    "norm_layer",
    "stages_of",
    "switched",
    "synchronise",
]
