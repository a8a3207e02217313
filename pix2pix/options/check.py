"""Options of looking a data set through."""

from pydantic import Field

from pix2pix.options.fields import Path
from pix2pix.options.records import Record


class CheckOptions(Record):
    """Options of `python -m pix2pix check DATAROOT`."""

    dataroot: Path = Field(description="the folder of pairs")
    photos: bool = Field(False, description="each image is a pair of its own, as for --target_kind lab")
    max_pixels: int = Field(2**26, gt=0, description="larger images are refused undecoded")
    out: Path = Field("results/check", description="folder for the contact sheet")
