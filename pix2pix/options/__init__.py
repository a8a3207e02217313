"""Typed options of every command: from a command line and YAML to frozen records, with errors that help."""

from pix2pix.options.activations import ActivationsOptions
from pix2pix.options.adain import AdainOptions
from pix2pix.options.asked import Asked, parse_experiment
from pix2pix.options.augmentation import Augmentations, Transform
from pix2pix.options.check import CheckOptions
from pix2pix.options.command_line import Answer, Parsed, parse
from pix2pix.options.compare import check_claims, check_resume
from pix2pix.options.conditional import ConditionalOptions
from pix2pix.options.evaluate import EvaluateOptions
from pix2pix.options.experiment import ExperimentOptions
from pix2pix.options.features import FeatureOptions
from pix2pix.options.fields import speedups
from pix2pix.options.gatys import GatysOptions, SwagOptions
from pix2pix.options.generated import GeneratedOptions
from pix2pix.options.grid import Experiment, read_experiment, read_scale
from pix2pix.options.importing import ImportOptions
from pix2pix.options.johnson import JohnsonOptions
from pix2pix.options.loss import LossOptions
from pix2pix.options.models import TRAINED, Trained, TrainedOnPairs, TrainedOnPhotos, painter, stored_options, trained
from pix2pix.options.photos import ContentStyleOptions, PhotoOptions
from pix2pix.options.pix2pix import (
    DataOptions,
    NetworkOptions,
    Pix2PixOptions,
    RunOptions,
    TestTimeOptions,
    TrainOptions,
)
from pix2pix.options.records import OptionError, as_dict, from_dict
from pix2pix.options.segmenter import SegmenterOptions
from pix2pix.options.test import TestOptions, check_used
from pix2pix.options.yaml_text import load_yaml, to_yaml

__all__ = [
    "TRAINED",
    "ActivationsOptions",
    "AdainOptions",
    "Answer",
    "Asked",
    "Augmentations",
    "CheckOptions",
    "ConditionalOptions",
    "ContentStyleOptions",
    "DataOptions",
    "EvaluateOptions",
    "Experiment",
    "ExperimentOptions",
    "FeatureOptions",
    "GatysOptions",
    "GeneratedOptions",
    "ImportOptions",
    "JohnsonOptions",
    "LossOptions",
    "NetworkOptions",
    "OptionError",
    "Parsed",
    "PhotoOptions",
    "Pix2PixOptions",
    "RunOptions",
    "SegmenterOptions",
    "SwagOptions",
    "TestOptions",
    "TestTimeOptions",
    "TrainOptions",
    "Trained",
    "TrainedOnPairs",
    "TrainedOnPhotos",
    "Transform",
    "as_dict",
    "check_claims",
    "check_resume",
    "check_used",
    "from_dict",
    "load_yaml",
    "painter",
    "parse",
    "parse_experiment",
    "read_experiment",
    "read_scale",
    "speedups",
    "stored_options",
    "to_yaml",
    "trained",
]
