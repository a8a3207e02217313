"""Options of translating with a trained checkpoint."""

from collections.abc import Iterable, Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from pix2pix.config.base import OptionError, Record
from pix2pix.config.types import (
    Checkpoint,
    Device,
    Dropout,
    Fast,
    FilePath,
    LayerWeights,
    NormStats,
    Paths,
    Phase,
    Precision,
    Preprocess,
    RunName,
    Seed,
    Tile,
)

_OF_PAIRS = frozenset({"phase", "dataroot", "preprocess", "samples", "dropout", "seed"})
_OF_STYLES = frozenset({"style", "style_weights", "masks"})
_OF_STYLE_IMAGES = frozenset({"alpha", "style_size"})
UNUSED: Mapping[str, frozenset[str]] = {
    "pix2pix": _OF_STYLES | _OF_STYLE_IMAGES | {"keep_colors"},
    "johnson": _OF_PAIRS | _OF_STYLES | _OF_STYLE_IMAGES,
    "multi_style": _OF_PAIRS | _OF_STYLE_IMAGES | {"norm_stats"},
    "adain": _OF_PAIRS | {"norm_stats"},
    "segmenter": _OF_STYLES | _OF_STYLE_IMAGES | {"keep_colors", "samples", "dropout", "seed"},
}
"""Options that the methods do not use."""


class StyleRequestOptions(Record):
    """The style to apply, for runs of johnson, multi_style and adain."""

    style: Paths | None = Field(
        None,
        description="adain: style images, several of which are blended, or a folder, an output of each; multi_style: "
        "names or numbers (from 1) of its styles, of which several are blended; all, or none: an output of each",
    )
    style_weights: LayerWeights | None = Field(
        None, description="share of each of several styles, normalized to sum to 1; none: equal"
    )
    masks: Paths | None = Field(
        None, description="regions of the content for each style: a gray image per style, of the content's size"
    )
    alpha: float | None = Field(None, ge=0, le=1, description="adain: strength of the style, 0 to 1; none: 1")
    keep_colors: Literal["none", "luminance", "coral"] = Field(
        "none",
        description="the content's colors: luminance transfers lightness only, coral recolors adain's style",
    )
    style_size: int | None = Field(None, gt=0, le=65535, description="adain: longer side of style images; none: 512")


class TestOptions(Record):
    """Options of test.py; all others are in the checkpoint. Flags of junyanz/pytorch-CycleGAN-and-pix2pix work too."""

    __test__ = False  # not a test case for pytest

    name: RunName = Field(description="name of the trained run, its folder in checkpoints_dir")
    checkpoints_dir: FilePath = Field("checkpoints", description="folder of all runs")
    results_dir: FilePath = Field("results", description="folder of all results")
    epoch: Checkpoint = Field("latest", description="which checkpoint of the run")
    phase: Phase = Field("test", description="split of the dataset")
    dataroot: FilePath | None = Field(None, description="the folder of pairs; none: that of training")
    input: FilePath | None = Field(
        None,
        description="a file or folder of images without targets, translated at their own size; --content is the same",
    )
    preprocess: Preprocess | None = Field(
        None, description="none keeps the size of pairs; not given: resize to crop_size"
    )
    num_test: int | None = Field(None, gt=0, description="maximum number of images; none: all")
    max_pixels: int | None = Field(
        None, gt=0, description="larger images are refused before decoding; none: as in training"
    )
    skip_bad: bool = Field(False, description="skip faulty images instead of refusing the dataset")
    norm_stats: NormStats | None = Field(
        None, description="statistics of the norms: of the image, or running ones of training; none: as recorded"
    )
    dropout: Dropout | None = Field(None, description="dropout when translating; none: as recorded")
    tile: Tile = Field(
        "auto", description="tile size for large images, with the same result; auto: chosen by memory; off: no tiles"
    )
    samples: int = Field(1, gt=0, description="outputs per image, which differ by dropout")
    seed: Seed = Field(0, description="seed of the dropout, together with the file name")
    device: Device = Field("auto", description="device; auto: cuda, else mps, else cpu")
    precision: Precision = Field("fp32", description="precision of the network")
    fast: Fast = Field("auto", description="speed-ups, see docs/performance.md; auto: those that pay")
    compile: bool = Field(False, description="compile the network: slower start, then faster")
    style_request: StyleRequestOptions = StyleRequestOptions()

    @model_validator(mode="after")
    def _check_input(self) -> Self:
        if self.dataroot is not None and self.input is not None:
            raise ValueError("--dataroot is for pairs and --input for single images: give one of them")
        if self.input is not None and (self.phase != "test" or self.preprocess not in (None, "none")):
            raise ValueError("--input keeps the size of images: leave --phase and --preprocess out")
        return self


def check_applicable(model: str, given: Iterable[str], prefix: str = "--") -> None:
    """Refuse options that runs of this method do not use.

    Raises:
        OptionError: one of them is given; the message begins with `prefix` and its name.
    """
    unused = next((name for name in given if name in UNUSED[model]), None)
    if unused is not None:
        raise OptionError(f"{prefix}{unused}: a run of {model} does not use it; leave it out")
