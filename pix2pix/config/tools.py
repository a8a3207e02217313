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
    Statistics,
    Tile,
    WeightsFlavour,
    did_you_mean,
)

CLASSES = Requirement("a list of class names such as sky,car", listed=True)
_HERE = OptionFlag.SWITCH  # where things lie and what they run on is no part of what was asked
_OF_RUNS = (
    *("epoch", "phase", "dataroot", "preprocess", "num_test", "skip_bad"),
    *("statistics", "dropout", "seed", "tile", "precision", "fast", "compile"),
)


def _class_names(value: object) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(CLASSES.words + " is needed")
    return tuple(names)


ClassNames = Annotated[tuple[str, ...], BeforeValidator(_class_names), PlainSerializer(",".join), CLASSES]


class SegmentationOptions(Record):
    """Scores of classes: the FCN-score of photos, and the agreement of label maps."""

    segmenter: FilePath | None = Field(
        None, description="what sees classes in photos: a run of evaluate train-segmenter, or FILE.onnx"
    )
    segmenter_input: Literal["imagenet", "unit", "signed"] = Field(
        "imagenet", description="photos as FILE.onnx takes them: by ImageNet's mean and deviation, 0 to 1, or -1 to 1"
    )
    palette: Palette | None = Field(
        None, description="classes of the label maps; none: those of the segmenter, or of the run's targets"
    )
    ignore: ClassNames | None = Field(None, description="classes left out, beside those that the palette leaves out")

    @model_validator(mode="after")
    def _input_is_read(self) -> Self:
        if self.segmenter_input != "imagenet" and not (self.segmenter or "").lower().endswith(".onnx"):
            raise ValueError("--segmenter_input is that of --segmenter FILE.onnx: give such a file, or leave it out")
        return self


class MeasureOptions(Record):
    """Networks whose features are compared; a metric whose network is not at hand is named as not computed."""

    inception: FilePath | None = Field(
        None, description="weights of the 2015 Inception network, without which there is no FID and no KID"
    )
    lpips_backbone: Literal["vgg16", "squeezenet1_1"] = Field("vgg16", description="the network of LPIPS")
    lpips_weights: FilePath | None = Field(
        None, description="imagenet, random (seeded) or a file; none: torchvision's if downloaded before"
    )
    lpips_flavour: WeightsFlavour | None = Field(
        None, description="input that the weights were trained on; none: as the file says, else torchvision"
    )
    distance_backbone: BackboneName = Field(
        "vgg19", description="another network for Frechet and kernel distances, which are named by it"
    )
    distance_layer: str = Field("relu4_1", description="its layer, averaged over positions")
    distance_weights: FilePath | None = Field(
        None, description="imagenet, random (seeded) or a file; none: torchvision's if downloaded before"
    )
    distance_flavour: WeightsFlavour | None = Field(None, description="as --lpips_flavour")


class EvaluateOptions(Record):
    """Options of `python -m pix2pix evaluate`: how good are the translations of a run, or the images of a folder?"""

    name: RunName | None = Field(None, description="a trained run: its test pairs are translated as by test.py")
    results: FilePath | None = Field(None, description="a folder of results, by test.py or of any images")
    truth: FilePath | None = Field(
        None, description="the true images under equal names; none: those that test.py wrote"
    )
    labels: FilePath | None = Field(
        None, description="the label maps of --segmenter; none: the sources that test.py wrote"
    )
    out: Annotated[FilePath | None, _HERE] = Field(
        None, description="folder for metrics.json and the page; none: that of the results"
    )
    checkpoints_dir: Annotated[FilePath, _HERE] = Field("checkpoints", description="folder of all runs")
    results_dir: Annotated[FilePath, _HERE] = Field("results", description="folder of all results")
    epoch: Checkpoint = Field("latest", description="which checkpoint of the run")
    phase: Phase = Field("test", description="which pairs of the data")
    dataroot: FilePath | None = Field(None, description="the folder of pairs; else that of the training")
    preprocess: Preprocess | None = Field(
        None, description="none keeps the size of pairs; not given, they are resized to the training's crop_size"
    )
    num_test: int | None = Field(None, gt=0, description="translate only so many; none: all")
    max_pixels: Annotated[int | None, _HERE] = Field(
        None, gt=0, description="larger images are refused undecoded; none: as in training"
    )
    skip_bad: bool = Field(False, description="leave faulty pairs out instead of refusing")
    statistics: Statistics | None = Field(
        None, description="normalise by image or running statistics; none: as recorded"
    )
    dropout: Dropout | None = Field(None, description="dropout when translating; none: as recorded")
    seed: Seed | None = Field(None, description="seed of the dropout, with the file name; none: as recorded")
    tile: Annotated[Tile, _HERE] = Field(
        "auto", description="side of the tiles of large images, with the same result; auto: by memory; off: whole"
    )
    device: Annotated[Device, _HERE] = Field("auto", description="what to run on; auto: cuda, else mps, else cpu")
    precision: Precision = Field(
        "fp32", description="arithmetic of the translator; metrics are never of less than fp32"
    )
    fast: Annotated[Fast, _HERE] = Field("auto", description="speed-ups of docs/performance.md; auto: those that pay")
    compile: Annotated[bool, _HERE] = Field(False, description="compile the translator: a slower start, then faster")
    segmentation: SegmentationOptions = SegmentationOptions()
    measures: MeasureOptions = MeasureOptions()

    @model_validator(mode="after")
    def _a_run_or_a_folder(self) -> Self:
        if (self.name is None) == (self.results is None):
            raise ValueError("--name says which run to evaluate, --results which folder: give one of them")
        given = vars(self)
        if self.results is None:
            idle = next((name for name in ("truth", "labels") if given[name] is not None), None)
            said = "is of --results, and a run has its own: leave it out"
        elif self.labels is not None and self.segmentation.segmenter is None:
            idle, said = "labels", "is what --segmenter is scored against: give that too, or leave it out"
        else:
            fields = type(self).model_fields
            idle = next((name for name in _OF_RUNS if given[name] != fields[name].default), None)
            said = "is about translating, and --results is translated already: leave it out"
        if idle is not None:
            raise ValueError(f"--{idle} {said}")
        return self

    @property
    def test(self) -> TestOptions:
        """The options of test.py that make the translations."""
        shared = (*_OF_RUNS, "name", "checkpoints_dir", "results_dir", "device", "max_pixels")
        given = {name: getattr(self, name) for name in shared if getattr(self, name) is not None}
        return TestOptions.model_validate(given)


_ALL = get_args(BackboneName)
BACKBONES = Requirement(f"one or more of {', '.join(_ALL)}", listed=True)


def _backbones(value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise ValueError(f"{BACKBONES.words} is needed")
    for name in names:
        if name not in _ALL:
            raise ValueError(f"{BACKBONES.words} is needed" + did_you_mean(str(name), _ALL))
    return tuple(dict.fromkeys(names))


Backbones = Annotated[tuple[str, ...], BeforeValidator(_backbones), PlainSerializer(",".join), BACKBONES]


class ActivationsOptions(Record):
    """Options of `python -m pix2pix activations`: how high and how even are the activations of backbones?"""

    backbone: Backbones = Field(
        ("vgg19", "resnet50", "noresnet", "pseudo_vgg", "pseudo_resvgg"),
        description="the networks to compare, with spaces or commas between them",
    )
    images: FilePath | None = Field(None, description="folder of the images that they are shown; none: generated ones")
    count: int = Field(10, gt=0, description="images used: the first of the folder, by name")
    size: int = Field(256, gt=0, le=65535, description="pixels of the shorter side that they are scaled to")
    weights: FilePath = Field("random", description="random (seeded), imagenet (torchvision's download) or a file")
    weights_flavour: WeightsFlavour | None = Field(
        None, description="input that the weights were trained on; none: as the file says, else torchvision"
    )
    layers: LayerNames | None = Field(None, description="layers to measure; none: the last of each stage")
    pooling: Pooling = Field("max", description="how the backbones pool")
    padding: Padding = Field("zeros", description="what lies around their images")
    temperature: float = Field(1, gt=0, description="temperature of the smoothing")
    seed: Seed = Field(0, description="of random weights and generated images")
    out: FilePath = Field("results/activations", description="folder for the numbers (JSON) and the plot (PNG and SVG)")
    device: Device = Field("auto", description="what to run on; auto: cuda, else mps, else cpu")
    precision: Precision = Field("fp32", description="arithmetic of the networks; statistics are fp64 always")

    @model_validator(mode="after")
    def _a_file_is_of_one_backbone(self) -> Self:
        if self.weights not in ("random", "imagenet") and len(self.backbone) > 1:
            raise ValueError(
                f"--weights {self.weights} is a file of one backbone, and --backbone names {len(self.backbone)}: "
                "name one, or give --weights random or imagenet"
            )
        return self


class CheckOptions(Record):
    """Options of `python -m pix2pix check DATAROOT`."""

    dataroot: FilePath = Field(description="the folder of pairs")
    photos: bool = Field(False, description="each image is a pair of its own, as for --target_kind lab")
    max_pixels: int = Field(2**26, gt=0, description="larger images are refused undecoded")
    out: FilePath = Field("results/check", description="folder for the contact sheet")


_OUT = "the folder to write; it must be empty or not be there yet"
_MAX_PIXELS = "larger images are refused undecoded"


class CombineOptions(Record):
    """Options of `python -m pix2pix prepare combine`: partners of two folders side by side, A left and B right."""

    a: FilePath = Field(description="the folder of the images A, with any folders inside")
    b: FilePath = Field(description="the folder of the images B, under the names of A; suffixes may differ")
    out: FilePath = Field(description=_OUT)
    max_pixels: int = Field(2**26, gt=0, description=_MAX_PIXELS)


class EdgesOptions(Record):
    """Options of `python -m pix2pix prepare edges`: edges of photos as A (Canny), the photos as B, side by side."""

    input: FilePath = Field(description="the folder of photos, with any folders inside")
    out: FilePath = Field(description=_OUT)
    low: float = Field(100, ge=0, description="gradient, on 0..255, above which a pixel continues an edge")
    high: float = Field(200, ge=0, description="gradient above which a pixel begins an edge")
    blur: float = Field(1, ge=0, le=100, description="deviation in pixels of the Gaussian blur before; 0: none")
    max_pixels: int = Field(2**26, gt=0, description=_MAX_PIXELS)

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"--low {self.low:g} is above --high {self.high:g}: edges begin at the higher one")
        return self


class SplitOptions(Record):
    """Options of `python -m pix2pix prepare split`: images into train, val and test, each by its name alone."""

    input: FilePath = Field(description="the folder of images, or one that holds partners in A/ and B/")
    out: FilePath = Field(description=_OUT)
    val: float = Field(0.1, ge=0, lt=1, description="share for validation")
    test: float = Field(0.1, ge=0, lt=1, description="share for testing")

    @model_validator(mode="after")
    def _some_train(self) -> Self:
        if self.val + self.test >= 1:
            raise ValueError(f"--val {self.val:g} and --test {self.test:g} leave nothing to train on: lower them")
        return self


class GeneratedOptions(Record):
    """Options of `python -m pix2pix prepare generated`."""

    out: FilePath = Field(description="the folder to write")
    train: int = Field(400, ge=0, description="pairs for training")
    val: int = Field(50, ge=0, description="pairs for validation")
    test: int = Field(100, ge=0, description="pairs for testing")
    size: Size = Field((256, 256), description="size of each image of a pair")
    seed: Seed = Field(0, description="same seed, same pairs")


class ImportOptions(Record):
    """Options of `python -m pix2pix import FILE`: a TransformerNet of the PyTorch examples becomes a run of johnson."""

    file: FilePath = Field(description="its weights: .safetensors, or a state dict that torch.save wrote")
    name: RunName = Field(description="name of the run to make, its folder in checkpoints_dir")
    checkpoints_dir: FilePath = Field("checkpoints", description="folder of all runs")
