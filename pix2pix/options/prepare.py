"""Options of making data sets from one's own images."""

from typing import Self

from pydantic import Field, model_validator

from pix2pix.options.fields import Path
from pix2pix.options.records import Record

_OUT = "the folder to write; it must be empty or not be there yet"
_MAX_PIXELS = "larger images are refused undecoded"


class CombineOptions(Record):
    """Options of `python -m pix2pix prepare combine`: partners of two folders side by side, A left and B right."""

    a: Path = Field(description="the folder of the images A, with any folders inside")
    b: Path = Field(description="the folder of the images B, under the names of A; suffixes may differ")
    out: Path = Field(description=_OUT)
    max_pixels: int = Field(2**26, gt=0, description=_MAX_PIXELS)


class EdgesOptions(Record):
    """Options of `python -m pix2pix prepare edges`: edges of photos as A (Canny), the photos as B, side by side."""

    input: Path = Field(description="the folder of photos, with any folders inside")
    out: Path = Field(description=_OUT)
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

    input: Path = Field(description="the folder of images, or one that holds partners in A/ and B/")
    out: Path = Field(description=_OUT)
    val: float = Field(0.1, ge=0, lt=1, description="share for validation")
    test: float = Field(0.1, ge=0, lt=1, description="share for testing")

    @model_validator(mode="after")
    def _some_train(self) -> Self:
        if self.val + self.test >= 1:
            raise ValueError(f"--val {self.val:g} and --test {self.test:g} leave nothing to train on: lower them")
        return self
