"""Options of writing the built-in data set as files."""

from pydantic import Field

from pix2pix.options.fields import Path, Seed, Size
from pix2pix.options.records import Record


class GeneratedOptions(Record):
    """Options of `python -m pix2pix prepare generated`."""

    out: Path = Field(description="the folder to write")
    train: int = Field(400, ge=0, description="pairs for training")
    val: int = Field(50, ge=0, description="pairs for validation")
    test: int = Field(100, ge=0, description="pairs for testing")
    size: Size = Field((256, 256), description="size of each image of a pair")
    seed: Seed = Field(0, description="same seed, same pairs")
