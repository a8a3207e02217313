"""Options of the losses."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pix2pix.config.base import Record
from pix2pix.config.types import (
    BackboneName,
    FilePath,
    Kernel,
    LayerNames,
    LayerWeights,
    OptionFlag,
    Padding,
    Pooling,
    StyleLossName,
    WeightsFlavour,
)


class FeatureOptions(Record):
    """The backbone whose features the perceptual and style losses compare, and how."""

    backbone: BackboneName = Field("vgg19", description="the frozen network whose features are compared")
    # A run may be resumed with the file elsewhere: its SHA-256 has to be the same.
    weights: Annotated[FilePath, OptionFlag.MAY_CHANGE] = Field(
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
    rescale_on: FilePath | None = Field(None, description="folder of images to measure that on; none: generated ones")
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


_READERS = {
    "content_layers": ("lambda_perceptual",),
    **dict.fromkeys(("style_layers", "style_layer_weights", "style_loss", "mmd_kernel"), ("lambda_style",)),
}


class LossOptions(Record):
    """The objective: the sum of the adversarial loss, L1, L2, the perceptual and the style loss, each with a weight."""

    gan_mode: Literal["vanilla", "lsgan", "hinge", "none"] = Field("vanilla", description="adversarial loss, if any")
    conditional: bool = Field(True, description="D sees the source beside the target (cGAN)")
    lambda_gan: float = Field(1, gt=0, description="weight of the adversarial loss; to leave it out: --gan_mode none")
    lambda_l1: float = Field(100, ge=0, description="weight of the mean absolute difference")
    lambda_l2: float = Field(0, ge=0, description="weight of the mean squared difference")
    lambda_perceptual: float = Field(0, ge=0, description="weight of the difference of a backbone's features; 0: none")
    lambda_style: float = Field(0, ge=0, description="weight of the difference of their statistics; 0: none")
    # A run may be resumed with the picture elsewhere: its SHA-256 has to be the same.
    style_image: Annotated[FilePath | None, OptionFlag.MAY_CHANGE] = Field(
        None, description="picture whose manner outputs get, by --lambda_style; none: each has its target's"
    )

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if self.gan_mode == "none" and not any(
            (self.lambda_l1, self.lambda_l2, self.lambda_perceptual, self.lambda_style)
        ):
            raise ValueError(
                "nothing to learn: with --gan_mode none, --lambda_l1, --lambda_l2, --lambda_perceptual or "
                "--lambda_style must be above 0"
            )
        return self

    @model_validator(mode="after")
    def _style_is_learnt(self) -> Self:
        if self.style_image is not None and self.lambda_style == 0:
            raise ValueError("--style_image is what the style loss learns from: add --lambda_style")
        return self


def find_reading_losses(name: str) -> tuple[str, ...]:
    """Return the weights of the losses that read an option of features."""
    return _READERS.get(name, ("lambda_perceptual", "lambda_style"))


def check_features_used(features: FeatureOptions, loss: LossOptions) -> None:
    """Refuse an option of features that no loss reads.

    Raises:
        ValueError: there is one.
    """
    for name, field in FeatureOptions.model_fields.items():
        if getattr(features, name) != field.default and not any(
            getattr(loss, reader) for reader in find_reading_losses(name)
        ):
            flags = " or ".join(f"--{reader}" for reader in find_reading_losses(name))
            raise ValueError(f"--{name} is of a loss that is left out: add {flags}, or leave --{name} out")
