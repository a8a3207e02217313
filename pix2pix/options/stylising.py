"""Options that the trained style methods share: what paints, what is minimised, how long, and where the run lives."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pix2pix.options.fields import Mark, Tile
from pix2pix.options.pix2pix import TILES, RunOptions
from pix2pix.options.records import Record

MAY_CHANGE, SWITCH = Mark.MAY_CHANGE, Mark.SWITCH
_Metric = Literal["val/loss", "val/content", "val/style"]


class StylizerOptions(Record):
    """The network that paints."""

    ngf: int = Field(32, gt=0, le=4096, description="channels of its first layer")
    blocks: int = Field(5, ge=0, le=64, description="its residual blocks")
    output: Literal["tanh", "linear"] = Field("tanh", description="what ends it: tanh keeps colours in range")


class PaintedLossOptions(Record):
    """What is minimised, beside the features and their layers."""

    content_weight: float = Field(1, ge=0, description="weight of the content loss")
    style_weight: float | None = Field(
        None, ge=0, description="weight of the style loss; none: 10, but 1 for mrf and 100 with --smoothing"
    )
    lambda_tv: float = Field(0, ge=0, description="weight of the total variation, which smooths")

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if self.content_weight == 0 and self.style_weight == 0:
            raise ValueError("nothing to learn: --content_weight or --style_weight must be above 0")
        return self


class StylePictureOptions(PaintedLossOptions):
    """What is minimised for styles that are known beforehand."""

    style_size: int | None = Field(
        None, gt=0, le=65535, description="longer side of a style picture as its loss sees it; none: that of the crop"
    )


class StyleTrainOptions(Record):
    """How long, and how fast."""

    batch_size: int = Field(4, gt=0, description="photos in a step, of each process")
    steps: Annotated[int, MAY_CHANGE] = Field(40_000, gt=0, description="steps in all")
    lr: float = Field(1e-3, gt=0, description="Adam's learning rate")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second moment")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the running average of the weights; none: off")


class StyleTestTimeOptions(Record):
    """What a checkpoint records as the way to translate; test.py may choose otherwise."""

    tile: Annotated[Tile, MAY_CHANGE, SWITCH] = Field("auto", description=TILES)


class StyleRunOptions(RunOptions):
    """Where the run lives, what it runs on, and what it reports."""

    best_metric: Annotated[_Metric, MAY_CHANGE] = Field(  # type: ignore[assignment]  # nothing to compare outputs with
        "val/loss", description="what makes a checkpoint the best"
    )
