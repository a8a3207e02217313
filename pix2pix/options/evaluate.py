"""Options of measuring how good translations are."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from pix2pix.options.fields import (
    BackboneName,
    Checkpoint,
    Device,
    Dropout,
    Fast,
    Mark,
    Needs,
    Palette,
    Path,
    Phase,
    Precision,
    Preprocess,
    RunName,
    Seed,
    Statistics,
    Tile,
    WeightsFlavour,
)
from pix2pix.options.records import Record
from pix2pix.options.test import TestOptions

CLASSES = Needs("a list of class names such as sky,car", listed=True)
_HERE = Mark.SWITCH  # where things lie and what they run on is no part of what was asked
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

    segmenter: Path | None = Field(
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

    inception: Path | None = Field(
        None, description="weights of the 2015 Inception network, without which there is no FID and no KID"
    )
    lpips_backbone: Literal["vgg16", "squeezenet1_1"] = Field("vgg16", description="the network of LPIPS")
    lpips_weights: Path | None = Field(
        None, description="imagenet, random (seeded) or a file; none: torchvision's if downloaded before"
    )
    lpips_flavour: WeightsFlavour | None = Field(
        None, description="input that the weights were trained on; none: as the file says, else torchvision"
    )
    distance_backbone: BackboneName = Field(
        "vgg19", description="another network for Frechet and kernel distances, which are named by it"
    )
    distance_layer: str = Field("relu4_1", description="its layer, averaged over positions")
    distance_weights: Path | None = Field(
        None, description="imagenet, random (seeded) or a file; none: torchvision's if downloaded before"
    )
    distance_flavour: WeightsFlavour | None = Field(None, description="as --lpips_flavour")


class EvaluateOptions(Record):
    """Options of `python -m pix2pix evaluate`: how good are the translations of a run, or the images of a folder?"""

    name: RunName | None = Field(None, description="a trained run: its test pairs are translated as by test.py")
    results: Path | None = Field(None, description="a folder of results, by test.py or of any images")
    truth: Path | None = Field(None, description="the true images under equal names; none: those that test.py wrote")
    labels: Path | None = Field(None, description="the label maps of --segmenter; none: the sources that test.py wrote")
    out: Annotated[Path | None, _HERE] = Field(
        None, description="folder for metrics.json and the page; none: that of the results"
    )
    checkpoints_dir: Annotated[Path, _HERE] = Field("checkpoints", description="folder of all runs")
    results_dir: Annotated[Path, _HERE] = Field("results", description="folder of all results")
    epoch: Checkpoint = Field("latest", description="which checkpoint of the run")
    phase: Phase = Field("test", description="which pairs of the data")
    dataroot: Path | None = Field(None, description="the folder of pairs; else that of the training")
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
