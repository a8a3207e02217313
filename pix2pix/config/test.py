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
    Paths,
    Phase,
    Precision,
    Preprocess,
    RunName,
    Seed,
    Statistics,
    Tile,
)

_OF_PAIRS = frozenset({"phase", "dataroot", "preprocess", "samples", "dropout", "seed"})
_OF_STYLES = frozenset({"style", "style_weights", "masks"})
_OF_PICTURES = frozenset({"alpha", "style_size"})
IDLE: Mapping[str, frozenset[str]] = {
    "pix2pix": _OF_STYLES | _OF_PICTURES | {"keep_colours"},
    "johnson": _OF_PAIRS | _OF_STYLES | _OF_PICTURES,
    "conditional": _OF_PAIRS | _OF_PICTURES | {"statistics"},
    "adain": _OF_PAIRS | {"statistics"},
    "segmenter": _OF_STYLES | _OF_PICTURES | {"keep_colours", "samples", "dropout", "seed"},
}
"""By the method of a run, what it has no use for."""


class StyleRequestOptions(Record):
    """In whose style, and how: for runs of johnson, conditional and adain."""

    style: Paths | None = Field(
        None,
        description="adain: pictures, several of which are blended, or a folder, each of it; conditional: names or "
        "numbers (from 1) of its styles, several of which are blended; all, or none: each of them",
    )
    style_weights: LayerWeights | None = Field(
        None, description="share of each of several styles, made to sum to 1; none: equal"
    )
    masks: Paths | None = Field(
        None, description="where in the content each style is painted: a grey image per style, of the content's size"
    )
    alpha: float | None = Field(
        None, ge=0, le=1, description="adain: how much of the style, 0 to 1; none: 1, all of it"
    )
    keep_colours: Literal["none", "luminance", "coral"] = Field(
        "none", description="the content's colours: luminance paints lightness alone, coral recolours adain's style"
    )
    style_size: int | None = Field(None, gt=0, le=65535, description="adain: longer side of style pictures; none: 512")


class TestOptions(Record):
    """Options of test.py; the checkpoint knows the rest. Flags of junyanz/pytorch-CycleGAN-and-pix2pix are read too."""

    __test__ = False  # no test case, whatever pytest makes of the name

    name: RunName = Field(description="name of the trained run, its folder in checkpoints_dir")
    checkpoints_dir: FilePath = Field("checkpoints", description="folder of all runs")
    results_dir: FilePath = Field("results", description="folder of all results")
    epoch: Checkpoint = Field("latest", description="which checkpoint of the run")
    phase: Phase = Field("test", description="which pairs of the data")
    dataroot: FilePath | None = Field(None, description="the folder of pairs; else that of the training")
    input: FilePath | None = Field(
        None, description="a file or folder to translate unpaired, at its own size; --content is the same"
    )
    preprocess: Preprocess | None = Field(
        None, description="none keeps the size of pairs; not given, they are resized to the training's crop_size"
    )
    num_test: int | None = Field(None, gt=0, description="translate only so many; none: all")
    max_pixels: int | None = Field(None, gt=0, description="larger images are refused undecoded; none: as in training")
    skip_bad: bool = Field(False, description="leave faulty images out instead of refusing")
    statistics: Statistics | None = Field(
        None, description="normalise by image or running statistics; none: as recorded"
    )
    dropout: Dropout | None = Field(None, description="dropout when translating; none: as recorded")
    tile: Tile = Field(
        "auto", description="side of the tiles of large images, with the same result; auto: by memory; off: whole"
    )
    samples: int = Field(1, gt=0, description="outputs per image, which differ by dropout")
    seed: Seed = Field(0, description="seed of the dropout, together with the file name")
    device: Device = Field("auto", description="what to run on; auto: cuda, else mps, else cpu")
    precision: Precision = Field("fp32", description="arithmetic of the network")
    fast: Fast = Field("auto", description="speed-ups of docs/performance.md; auto: those that pay")
    compile: bool = Field(False, description="compile the network: a slower start, then faster")
    stylising: StyleRequestOptions = StyleRequestOptions()

    @model_validator(mode="after")
    def _paired_or_not(self) -> Self:
        if self.dataroot is not None and self.input is not None:
            raise ValueError("--dataroot holds pairs and --input has none: give one of them")
        if self.input is not None and (self.phase != "test" or self.preprocess not in (None, "none")):
            raise ValueError("--input is translated at its own size: leave --phase and --preprocess out")
        return self


def check_applicable(model: str, given: Iterable[str], prefix: str = "--") -> None:
    """See that a run of this method has a use for the options that were given.

    Raises:
        OptionError: it has none for some; the first is named, after `prefix`.
    """
    idle = next((name for name in given if name in IDLE[model]), None)
    if idle is not None:
        raise OptionError(f"{prefix}{idle}: a run of {model} has no use for it; leave it out")
