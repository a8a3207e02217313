"""Options of the photographs that stylising translators learn from, and of the pictures whose manner they learn."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pix2pix.options.fields import Mark, Path, Size
from pix2pix.options.records import Record

MAY_CHANGE, SWITCH = Mark.MAY_CHANGE, Mark.SWITCH
_LOAD_SIZE = "what the shorter side of a photo is resized to before the random crop"


class PhotoOptions(Record):
    """Which photographs, and how they are prepared."""

    dataroot: Path = Field(
        description="a folder tree of photos of any size, or of train/ and val/ with such trees; `generated`: built in"
    )
    load_size: int = Field(256, gt=0, le=65535, description=_LOAD_SIZE)
    crop_size: Size = Field((256, 256), description="size of the random crop; its shorter side: that of val photos")
    flip: bool = Field(True, description="mirror photos at random, half of the time")
    val_fraction: float = Field(
        0.05, ge=0, le=0.5, description="share of train kept out for validation, chosen by name, if there is no val"
    )
    max_dataset_size: int | None = Field(None, gt=0, description="use only so many of the training photos")
    max_pixels: Annotated[int, MAY_CHANGE] = Field(2**26, gt=0, description="larger images are refused undecoded")
    skip_bad: Annotated[bool, MAY_CHANGE] = Field(False, description="leave faulty images out instead of refusing")
    check: Annotated[bool, MAY_CHANGE, SWITCH] = Field(True, description="read every photo once before the first step")
    num_workers: Annotated[int, MAY_CHANGE] = Field(2, ge=0, description="processes that load images; 0: the main one")
    loader_timeout: Annotated[float, MAY_CHANGE] = Field(
        60, gt=0, description="seconds that those processes have for a batch before the run ends with an error"
    )

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        height, width = self.crop_size
        if max(height, width) > self.load_size:
            raise ValueError(
                f"crop_size {height}x{width} is larger than load_size {self.load_size}, the shorter side of a photo: "
                "raise --load_size or lower --crop_size"
            )
        return self

    @model_validator(mode="after")
    def _bad_ones_are_found(self) -> Self:
        if self.skip_bad and not self.check:
            raise ValueError("--skip_bad finds faulty images by reading them all: leave --check false out")
        return self


class ContentStyleOptions(PhotoOptions):
    """Which photographs and which style pictures, and how both are prepared."""

    styles: Path = Field(description="a folder tree of paintings, whose manner is learnt; prepared as the photos are")
    load_size: int = Field(512, gt=0, le=65535, description=_LOAD_SIZE)
