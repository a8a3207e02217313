"""The networks that measure: each is at hand, or there is a reason why not."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import torch

from pix2pix.errors import UserError
from pix2pix.networks.backbones.download import imagenet_place
from pix2pix.options import EvaluateOptions

if TYPE_CHECKING:
    from pix2pix.evaluation.networks import FeatureNetwork, Lpips
    from pix2pix.evaluation.segmenters import Segmenter

_SEED = 0  # of --distance_weights random
_NO_SEGMENTER = (
    "nothing sees classes in photos: give --segmenter RUN or FILE.onnx; evaluate train-segmenter trains such a run"
)


class Absent(NamedTuple):
    """Why there is no such network."""

    why: str


class Instruments(NamedTuple):
    """What measures beside pure functions."""

    segmenter: "Segmenter | Absent"
    inception: "FeatureNetwork | Absent"
    distance: "FeatureNetwork | Absent"
    lpips: "Lpips | Absent"

    @property
    def feature_networks(self) -> "list[FeatureNetwork]":
        """The networks at hand whose features are compared as sets."""
        return [network for network in (self.inception, self.distance) if not isinstance(network, Absent)]


def open_instruments(options: EvaluateOptions, device: torch.device) -> Instruments:
    """Open what there is of the networks that the options name.

    Raises:
        UserError: a file that was named cannot be used.
    """
    return Instruments(
        _segmenter(options), _inception(options, device), _distance(options, device), _lpips(options, device)
    )


def _segmenter(options: EvaluateOptions) -> "Segmenter | Absent":
    given = options.segmentation
    if given.segmenter is None:
        return Absent(_NO_SEGMENTER)
    if given.segmenter.lower().endswith(".onnx") and (lacking := _not_installed("onnxruntime")):
        return lacking
    from pix2pix.evaluation.segmenters import open_segmenter

    return open_segmenter(
        given.segmenter,
        checkpoints_dir=options.checkpoints_dir,
        device=options.device,
        palette=given.palette,
        inputs=given.segmenter_input,
    )


def _inception(options: EvaluateOptions, device: torch.device) -> "FeatureNetwork | Absent":
    if options.measures.inception is None:
        return Absent("no weights of the 2015 Inception network: give --inception FILE")
    if lacking := _not_installed("torch_fidelity"):
        return lacking
    from pix2pix.evaluation.networks import inception_2015

    return inception_2015(options.measures.inception, device)


def _distance(options: EvaluateOptions, device: torch.device) -> "FeatureNetwork | Absent":
    given = options.measures
    weights = _at_hand(given.distance_backbone, given.distance_weights, "distance_weights")
    if isinstance(weights, Absent):
        return weights
    from pix2pix.evaluation.networks import backbone_features

    try:
        return backbone_features(
            given.distance_backbone, given.distance_layer, weights, given.distance_flavour, device, _SEED
        )
    except UserError as error:
        return _unless_named(error, given.distance_weights)


def _lpips(options: EvaluateOptions, device: torch.device) -> "Lpips | Absent":
    given = options.measures
    if lacking := _not_installed("torchmetrics"):  # which has the weights of its layers
        return lacking
    weights = _at_hand(given.lpips_backbone, given.lpips_weights, "lpips_weights")
    if isinstance(weights, Absent):
        return weights
    from pix2pix.evaluation.networks import lpips_network

    try:
        return lpips_network(given.lpips_backbone, weights, given.lpips_flavour, device)
    except UserError as error:
        return _unless_named(error, given.lpips_weights)


def _not_installed(package: str) -> Absent | None:
    if find_spec(package) is not None:
        return None
    return Absent(f'{package.replace("_", "-")} is not installed: pip install -e ".[evaluate]"')


def _at_hand(backbone: str, weights: str | None, option: str) -> str | Absent:
    """Return the weights that were given; without any, torchvision's where they were downloaded before."""
    if weights is not None:
        return weights
    why = f"no weights of {backbone} at hand: give --{option} imagenet (torchvision's download), random or FILE"
    try:
        return "imagenet" if imagenet_place(backbone).is_file() else Absent(why)
    except UserError:  # nobody publishes any
        return Absent(why)


def _unless_named(error: UserError, weights: str | None) -> Absent:
    """Tell why there is no network, unless the user named the file that cannot be used."""
    if weights not in (None, "imagenet"):
        raise error
    return Absent(str(error))
