"""Options of the losses that compare features of a frozen backbone, the same for every method that has them."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pix2pix.options.fields import (
    BackboneName,
    Kernel,
    LayerNames,
    LayerWeights,
    Mark,
    Padding,
    Path,
    Pooling,
    StyleLossName,
    WeightsFlavour,
)
from pix2pix.options.records import Record


class FeatureOptions(Record):
    """The backbone whose features the perceptual and style losses compare, and how."""

    backbone: BackboneName = Field("vgg19", description="the frozen network whose features are compared")
    # A run may be resumed with the file elsewhere: its SHA-256 has to be the same.
    weights: Annotated[Path, Mark.MAY_CHANGE] = Field(
        "imagenet", description="imagenet (torchvision's download), random (seeded) or a file"
    )
    weights_flavour: WeightsFlavour | None = Field(
        None, description="input that the weights were trained on; none: as the file says, else torchvision"
    )
    pooling: Pooling = Field("max", description="how the backbone pools")
    padding: Padding = Field("zeros", description="what lies around its images")
    rescaled: bool | None = Field(
        None, description="scale its layers to mean activation 1, measured on images; none: for VGG"
    )
    rescale_on: Path | None = Field(None, description="folder of images to measure that on; none: generated ones")
    content_layers: LayerNames | None = Field(None, description="layers of the content loss; none: docs/tips.md")
    style_layers: LayerNames | None = Field(None, description="layers of the style loss; none: docs/tips.md")
    style_layer_weights: LayerWeights | None = Field(None, description="weight of each style layer; none: all equal")
    style_loss: StyleLossName = Field("gram", description="which statistics of the features are compared")
    mmd_kernel: Kernel = Field("polynomial", description="kernel of --style_loss mmd")
    smoothing: bool = Field(False, description="compare softmax(features): SWAG, for backbones with residuals")
    temperature: float = Field(1, gt=0, description="temperature of that softmax")
    units: bool = Field(
        True, description="each loss in units of that of two unrelated pictures; false: raw, as the papers"
    )

    @property
    def is_rescaled(self) -> bool:
        """Whether layers are scaled: as wished, or else where a network allows its weights to be."""
        return self.backbone.startswith("vgg") if self.rescaled is None else self.rescaled

    @property
    def usual_style_weight(self) -> float:
        """The weight of the style loss that was found to suit its kind, beside a content loss of weight 1."""
        return 100 if self.smoothing else 1 if self.style_loss == "mrf" else 10

    @model_validator(mode="after")
    def _each_is_read(self) -> Self:
        if self.style_loss != "mmd" and self.mmd_kernel != "polynomial":
            raise ValueError("--mmd_kernel is of --style_loss mmd: choose that, or leave --mmd_kernel out")
        if not self.smoothing and self.temperature != 1:
            raise ValueError("--temperature is that of --smoothing: add that, or leave --temperature out")
        if self.rescale_on is not None and not self.is_rescaled:
            raise ValueError("--rescale_on is for rescaled layers: add --rescaled true, or leave --rescale_on out")
        return self

    @model_validator(mode="after")
    def _weights_fit_layers(self) -> Self:
        layers, weights = self.style_layers, self.style_layer_weights
        if weights is None:
            return self
        if layers is None:
            raise ValueError("--style_layer_weights are those of --style_layers: give these too")
        if len(weights) != len(layers):
            raise ValueError(
                f"--style_layer_weights: got {len(weights)} for {len(layers)} --style_layers; give one for each"
            )
        if not any(weights):
            raise ValueError("--style_layer_weights are all 0: one at least must be above")
        return self
