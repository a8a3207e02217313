"""Options of training a decoder that paints in any style. Defaults are the paper's where it names them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pix2pix.options.features import FeatureOptions
from pix2pix.options.fields import LayerNames, Mark, Padding, StyleLossName
from pix2pix.options.photos import ContentStyleOptions
from pix2pix.options.records import Record
from pix2pix.options.stylising import (
    PaintedLossOptions,
    StyleRunOptions,
    StyleTestTimeOptions,
    StyleTrainOptions,
)

_SAID = {name: str(field.description) for name, field in FeatureOptions.model_fields.items()}
# What is encoded is what is compared: the target of the content loss lies in the encoder's own layer.
_OF_THE_ENCODER = ("padding", "pooling", "rescaled", "content_layers", "smoothing")


class AdainFeatureOptions(FeatureOptions):
    """The encoder, whose features the losses compare too, and how."""

    backbone: Literal["vgg19"] = Field("vgg19", description="the frozen network that encodes")
    padding: Padding = Field("reflection", description=_SAID["padding"])
    rescaled: bool | None = Field(True, description="scale its layers to mean activation 1, measured on images")
    content_layers: LayerNames | None = Field(("relu4_1",), description="the layer that it encodes to")
    style_layers: LayerNames | None = Field(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1"), description="layers of the style loss"
    )
    style_loss: StyleLossName = Field("mean_std", description=_SAID["style_loss"])

    @model_validator(mode="after")
    def _as_the_decoder_mirrors_it(self) -> Self:
        for name in _OF_THE_ENCODER:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"--{name}: the decoder of adain mirrors one encoder: leave --{name} out")
        return self


class AdainTrainOptions(StyleTrainOptions):
    """How long, and how fast."""

    batch_size: int = Field(8, gt=0, description="photos in a step, and as many styles, of each process")
    steps: Annotated[int, Mark.MAY_CHANGE] = Field(160_000, gt=0, description="steps in all")
    lr: float = Field(1e-4, gt=0, description="Adam's learning rate at the first step")
    lr_decay: float = Field(5e-5, ge=0, description="the rate is lr / (1 + lr_decay * steps made)")


class AdainOptions(Record):
    """Options of train.py --model adain: a decoder learns to paint any photo in the manner of any picture."""

    model: Literal["adain"] = Field("adain", description="the method: Huang and Belongie 2017")
    data: ContentStyleOptions
    loss: PaintedLossOptions = PaintedLossOptions()
    features: AdainFeatureOptions = AdainFeatureOptions()
    train: AdainTrainOptions = AdainTrainOptions()
    test: StyleTestTimeOptions = StyleTestTimeOptions()
    run: StyleRunOptions

    @property
    def beta(self) -> float:
        """The weight of the style loss, given or that which suits its kind."""
        return self.features.usual_style_weight if self.loss.style_weight is None else self.loss.style_weight
