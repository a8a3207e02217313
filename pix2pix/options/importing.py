"""Options of taking over a network that another program trained."""

from pydantic import Field

from pix2pix.options.fields import Path, RunName
from pix2pix.options.records import Record


class ImportOptions(Record):
    """Options of `python -m pix2pix import FILE`: a TransformerNet of the PyTorch examples becomes a run of johnson."""

    file: Path = Field(description="its weights: .safetensors, or a state dict that torch.save wrote")
    name: RunName = Field(description="name of the run to make, its folder in checkpoints_dir")
    checkpoints_dir: Path = Field("checkpoints", description="folder of all runs")
