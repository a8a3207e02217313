"""Options of measuring how the activations of backbones are spread."""

from typing import Annotated, Self, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from pix2pix.options.fields import (
    BackboneName,
    Device,
    LayerNames,
    Needs,
    Padding,
    Path,
    Pooling,
    Precision,
    Seed,
    WeightsFlavour,
)
from pix2pix.options.records import Record
from pix2pix.options.suggest import did_you_mean

_ALL = get_args(BackboneName)
BACKBONES = Needs(f"one or more of {', '.join(_ALL)}", listed=True)


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
    images: Path | None = Field(None, description="folder of the images that they are shown; none: generated ones")
    count: int = Field(10, gt=0, description="images used: the first of the folder, by name")
    size: int = Field(256, gt=0, le=65535, description="pixels of the shorter side that they are scaled to")
    weights: Path = Field("random", description="random (seeded), imagenet (torchvision's download) or a file")
    weights_flavour: WeightsFlavour | None = Field(
        None, description="input that the weights were trained on; none: as the file says, else torchvision"
    )
    layers: LayerNames | None = Field(None, description="layers to measure; none: the last of each stage")
    pooling: Pooling = Field("max", description="how the backbones pool")
    padding: Padding = Field("zeros", description="what lies around their images")
    temperature: float = Field(1, gt=0, description="temperature of the smoothing")
    seed: Seed = Field(0, description="of random weights and generated images")
    out: Path = Field("results/activations", description="folder for the numbers (JSON) and the plot (PNG and SVG)")
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
