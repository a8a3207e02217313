"""Options of evaluate, activations, check, prepare and import."""

from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from pix2pix.config.base import Record
from pix2pix.config.test import TestOptions
from pix2pix.config.types import (
    BackboneName,
    Checkpoint,
    Device,
    Dropout,
    Fast,
    FilePath,
    LayerNames,
    NormStats,
    OptionFlag,
    Padding,
    Palette,
    Phase,
    Pooling,
    Precision,
    Preprocess,
    Requirement,
    RunName,
    Seed,
    Size,
    Tile,
    WeightsFormat,
    did_you_mean,
)

CLASSES = Requirement("a list of class names such as sky,car", listed=True)
_HERE = OptionFlag.SWITCH  # paths and devices are not part of the protocol
_OF_RUNS = (
    *("epoch", "phase", "dataroot", "preprocess", "num_test", "skip_bad"),
    *("norm_stats", "dropout", "seed", "tile", "precision", "fast", "compile"),
)


def _parse_class_names(value: object) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(CLASSES.words + " is needed")
    return tuple(names)


ClassNames = Annotated[tuple[str, ...], BeforeValidator(_parse_class_names), PlainSerializer(",".join), CLASSES]


class SegmentationOptions(Record):
    """Scores of classes: the FCN-score of photos, and the agreement of label maps."""

    segmenter: FilePath | None = Field(
        None, description="network for FCN-scores: a run of evaluate train-segmenter, or FILE.onnx"
    )
    segmenter_input: Literal["imagenet", "unit", "signed"] = Field(
        "imagenet",
        description="input range of FILE.onnx: normalized by ImageNet's mean and deviation, 0 to 1, or -1 to 1",
    )
    palette: Palette | None = Field(
        None, description="classes of the label maps; none: those of the segmenter, or of the run's targets"
    )
    ignore: ClassNames | None = Field(None, description="classes to ignore, in addition to those of the palette")

    @model_validator(mode="after")
    def _check_segmenter_input(self) -> Self:
        if self.segmenter_input != "imagenet" and not (self.segmenter or "").lower().endswith(".onnx"):
            raise ValueError("--segmenter_input needs --segmenter FILE.onnx: give such a file, or leave it out")
        return self


class MeasureOptions(Record):
    """Networks whose features are compared; metrics whose network is not available are listed as not computed."""

    inception: FilePath | None = Field(
        None, description="weights of the 2015 Inception network, needed for FID and KID"
    )
    lpips_backbone: Literal["vgg16", "squeezenet1_1"] = Field("vgg16", description="the network of LPIPS")
    lpips_weights: FilePath | None = Field(
        None, description="imagenet, random (seeded) or a file; none: torchvision's, if already downloaded"
    )
    lpips_format: WeightsFormat | None = Field(
        None, description="preprocessing that the weights expect; none: as the file states, else torchvision"
    )
    distance_backbone: BackboneName = Field(
        "vgg19", description="network for Frechet and kernel distances other than FID and KID"
    )
    distance_layer: str = Field("relu4_1", description="its layer, averaged over positions")
    distance_weights: FilePath | None = Field(
        None, description="imagenet, random (seeded) or a file; none: torchvision's, if already downloaded"
    )
    distance_format: WeightsFormat | None = Field(None, description="as --lpips_format")


class EvaluateOptions(Record):
    """Options of `python -m pix2pix evaluate`: measure the translations of a run, or a folder of images."""

    name: RunName | None = Field(None, description="a trained run: its test pairs are translated as by test.py")
    results: FilePath | None = Field(None, description="a folder of results of test.py, or of any images")
    truth: FilePath | None = Field(
        None, description="folder of targets with the same names; none: those that test.py wrote"
    )
    labels: FilePath | None = Field(
        None, description="folder of label maps for --segmenter; none: the sources that test.py wrote"
    )
    out: Annotated[FilePath | None, _HERE] = Field(
        None, description="folder for metrics.json and the page; none: that of the results"
    )
    checkpoints_dir: Annotated[FilePath, _HERE] = Field("checkpoints", description="folder of all runs")
    results_dir: Annotated[FilePath, _HERE] = Field("results", description="folder of all results")
    epoch: Checkpoint = Field("latest", description="which checkpoint of the run")
    phase: Phase = Field("test", description="split of the dataset")
    dataroot: FilePath | None = Field(None, description="the folder of pairs; none: that of training")
    preprocess: Preprocess | None = Field(
        None, description="none keeps the size of pairs; not given: resize to crop_size"
    )
    num_test: int | None = Field(None, gt=0, description="maximum number of images; none: all")
    max_pixels: Annotated[int | None, _HERE] = Field(
        None, gt=0, description="larger images are refused before decoding; none: as in training"
    )
    skip_bad: bool = Field(False, description="skip faulty pairs instead of refusing")
    norm_stats: NormStats | None = Field(
        None, description="statistics of the norms: of the image, or running ones of training; none: as recorded"
    )
    dropout: Dropout | None = Field(None, description="dropout when translating; none: as recorded")
    seed: Seed | None = Field(None, description="seed of the dropout, with the file name; none: as recorded")
    tile: Annotated[Tile, _HERE] = Field(
        "auto", description="tile size for large images, with the same result; auto: chosen by memory; off: no tiles"
    )
    device: Annotated[Device, _HERE] = Field("auto", description="device; auto: cuda, else mps, else cpu")
    precision: Precision = Field("fp32", description="precision of the translator; metrics are at least fp32")
    fast: Annotated[Fast, _HERE] = Field("auto", description="speed-ups, see docs/performance.md; auto: those that pay")
    compile: Annotated[bool, _HERE] = Field(False, description="compile the translator: slower start, then faster")
    segmentation: SegmentationOptions = SegmentationOptions()
    measures: MeasureOptions = MeasureOptions()

    @model_validator(mode="after")
    def _check_name_or_results(self) -> Self:
        if (self.name is None) == (self.results is None):
            raise ValueError("--name is for a run, --results for a folder: give one of them")
        given = vars(self)
        if self.results is None:
            unused = next((name for name in ("truth", "labels") if given[name] is not None), None)
            reason = "is for --results: leave it out"
        elif self.labels is not None and self.segmentation.segmenter is None:
            unused, reason = "labels", "needs --segmenter: add it, or leave --labels out"
        else:
            fields = type(self).model_fields
            unused = next((name for name in _OF_RUNS if given[name] != fields[name].default), None)
            reason = "is for translating, and --results is translated already: leave it out"
        if unused is not None:
            raise ValueError(f"--{unused} {reason}")
        return self

    @property
    def test(self) -> TestOptions:
        """The options of test.py for the translations."""
        shared = (*_OF_RUNS, "name", "checkpoints_dir", "results_dir", "device", "max_pixels")
        given = {name: getattr(self, name) for name in shared if getattr(self, name) is not None}
        return TestOptions.model_validate(given)


_ALL = get_args(BackboneName)
BACKBONES = Requirement(f"one or more of {', '.join(_ALL)}", listed=True)


def _parse_backbones(value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise ValueError(f"{BACKBONES.words} is needed")
    for name in names:
        if name not in _ALL:
            raise ValueError(f"{BACKBONES.words} is needed" + did_you_mean(str(name), _ALL))
    return tuple(dict.fromkeys(names))


Backbones = Annotated[tuple[str, ...], BeforeValidator(_parse_backbones), PlainSerializer(",".join), BACKBONES]


class ActivationsOptions(Record):
    """Options of `python -m pix2pix activations`: maximum and entropy of the activations of backbones."""

    backbone: Backbones = Field(
        ("vgg19", "resnet50", "noresnet", "pseudo_vgg", "pseudo_resvgg"),
        description="the networks to compare, with spaces or commas between them",
    )
    images: FilePath | None = Field(None, description="folder of input images; none: generated ones")
    count: int = Field(10, gt=0, description="number of images, the first by name")
    size: int = Field(256, gt=0, le=65535, description="shorter side that they are resized to")
    weights: FilePath = Field("random", description="random (seeded), imagenet (torchvision's download) or a file")
    weights_format: WeightsFormat | None = Field(
        None, description="preprocessing that the weights expect; none: as the file states, else torchvision"
    )
    layers: LayerNames | None = Field(None, description="layers to measure; none: the last of each stage")
    pooling: Pooling = Field("max", description="pooling of the backbones")
    padding: Padding = Field("zeros", description="padding of the backbones' convolutions")
    temperature: float = Field(1, gt=0, description="temperature of the smoothing")
    seed: Seed = Field(0, description="of random weights and generated images")
    out: FilePath = Field("results/activations", description="folder for the numbers (JSON) and the plot (PNG and SVG)")
    device: Device = Field("auto", description="device; auto: cuda, else mps, else cpu")
    precision: Precision = Field("fp32", description="precision of the networks; statistics are always fp64")

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.weights not in ("random", "imagenet") and len(self.backbone) > 1:
            raise ValueError(
                f"--weights {self.weights} is for one backbone, and --backbone names {len(self.backbone)}: "
                "name one, or give --weights random or imagenet"
            )
        return self


class CheckOptions(Record):
    """Options of `python -m pix2pix check DATAROOT`: list the faults of a dataset."""

    dataroot: FilePath = Field(description="the folder of pairs")
    photos: bool = Field(False, description="each image is a pair, as for --target_kind lab")
    max_pixels: int = Field(2**26, gt=0, description="larger images are refused before decoding")
    out: FilePath = Field("results/check", description="folder for the contact sheet")


_OUT = "the output folder; it must be empty or not exist"
_MAX_PIXELS = "larger images are refused before decoding"


class CombineOptions(Record):
    """Options of `python -m pix2pix prepare combine`: join pairs of two folders side by side, A left and B right."""

    a: FilePath = Field(description="the folder of the images A; subfolders are included")
    b: FilePath = Field(description="the folder of the images B, with the names of A; suffixes may differ")
    out: FilePath = Field(description=_OUT)
    max_pixels: int = Field(2**26, gt=0, description=_MAX_PIXELS)


class EdgesOptions(Record):
    """Options of `python -m pix2pix prepare edges`: pairs of edges (A, by Canny) and photos (B), side by side."""

    input: FilePath = Field(description="the folder of photos; subfolders are included")
    out: FilePath = Field(description=_OUT)
    low: float = Field(100, ge=0, description="Canny's lower threshold of the gradient, on 0..255")
    high: float = Field(200, ge=0, description="Canny's upper threshold")
    blur: float = Field(
        1, ge=0, le=100, description="standard deviation in pixels of the Gaussian blur before; 0: none"
    )
    max_pixels: int = Field(2**26, gt=0, description=_MAX_PIXELS)

    @model_validator(mode="after")
    def _check_thresholds(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"--low {self.low:g} is above --high {self.high:g}: --high must be the higher one")
        return self


class SplitOptions(Record):
    """Options of `python -m pix2pix prepare split`: distribute images over train, val and test by their names."""

    input: FilePath = Field(description="the folder of images, or of A/ and B/ with pairs")
    out: FilePath = Field(description=_OUT)
    val: float = Field(0.1, ge=0, lt=1, description="share for validation")
    test: float = Field(0.1, ge=0, lt=1, description="share for testing")

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        if self.val + self.test >= 1:
            raise ValueError(f"--val {self.val:g} and --test {self.test:g} leave nothing to train on: lower them")
        return self


class GeneratedOptions(Record):
    """Options of `python -m pix2pix prepare generated`: write the built-in facades."""

    out: FilePath = Field(description="the output folder")
    train: int = Field(400, ge=0, description="pairs for training")
    val: int = Field(50, ge=0, description="pairs for validation")
    test: int = Field(100, ge=0, description="pairs for testing")
    size: Size = Field((256, 256), description="size of each image of a pair")
    seed: Seed = Field(0, description="random seed")


class ImportOptions(Record):
    """Options of `python -m pix2pix import FILE`: convert a TransformerNet of the PyTorch examples to a run."""

    file: FilePath = Field(description="the weights: .safetensors, or a state dict of torch.save")
    name: RunName = Field(description="name of the new run, its folder in checkpoints_dir")
    checkpoints_dir: FilePath = Field("checkpoints", description="folder of all runs")
