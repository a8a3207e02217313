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
    WeightsFormat,
)


class FeatureOptions(Record):
    """The backbone whose features the perceptual and style losses compare."""

    backbone: BackboneName = Field("vgg19", description="the frozen network whose features are compared")
    # A run may be resumed with the file elsewhere: its SHA-256 must be the same.
    weights: Annotated[FilePath, OptionFlag.MAY_CHANGE] = Field(
        "imagenet", description="imagenet (torchvision's download), random (seeded) or a file"
    )
    weights_format: WeightsFormat | None = Field(
        None, description="preprocessing that the weights expect; none: as the file states, else torchvision"
    )
    pooling: Pooling = Field("max", description="pooling of the backbone")
    padding: Padding = Field("zeros", description="padding of the backbone's convolutions")
    rescaled: bool | None = Field(None, description="rescale its layers to mean activation 1; none: for VGG only")
    rescale_on: FilePath | None = Field(
        None, description="folder of images to measure the activations on; none: generated images"
    )
    content_layers: LayerNames | None = Field(
        None, description="layers of the content loss; none: the default of docs/style.md"
    )
    style_layers: LayerNames | None = Field(
        None, description="layers of the style loss; none: the default of docs/style.md"
    )
    style_layer_weights: LayerWeights | None = Field(None, description="weight of each style layer; none: all equal")
    style_loss: StyleLossName = Field("gram", description="the statistics of features that are compared")
    mmd_kernel: Kernel = Field("polynomial", description="kernel of --style_loss mmd")
    smoothing: bool = Field(False, description="compare softmax(features): SWAG, for ResNets")
    temperature: float = Field(1, gt=0, description="temperature of that softmax")
    normalize_losses: bool = Field(
        True, description="divide each layer's loss by that between two unrelated images; false: the papers' raw losses"
    )

    @property
    def is_rescaled(self) -> bool:
        """Whether layers are rescaled: as given, or for a VGG."""
        return self.backbone.startswith("vgg") if self.rescaled is None else self.rescaled

    @property
    def default_style_weight(self) -> float:
        """The default weight of the style loss, for a content loss of weight 1."""
        return 100 if self.smoothing else 1 if self.style_loss == "mrf" else 10

    @model_validator(mode="after")
    def _check_used(self) -> Self:
        if self.style_loss != "mmd" and self.mmd_kernel != "polynomial":
            raise ValueError("--mmd_kernel needs --style_loss mmd: add it, or leave --mmd_kernel out")
        if not self.smoothing and self.temperature != 1:
            raise ValueError("--temperature needs --smoothing: add it, or leave --temperature out")
        if self.rescale_on is not None and not self.is_rescaled:
            raise ValueError("--rescale_on needs rescaled layers: add --rescaled true, or leave --rescale_on out")
        return self

    @model_validator(mode="after")
    def _check_layer_weights(self) -> Self:
        layers, weights = self.style_layers, self.style_layer_weights
        if weights is None:
            return self
        if layers is None:
            raise ValueError("--style_layer_weights needs --style_layers: give both")
        if len(weights) != len(layers):
            raise ValueError(
                f"--style_layer_weights: got {len(weights)} for {len(layers)} --style_layers; give one for each"
            )
        if not any(weights):
            raise ValueError("--style_layer_weights are all 0: at least one must be above 0")
        return self


_USERS = {
    "content_layers": ("lambda_perceptual",),
    **dict.fromkeys(("style_layers", "style_layer_weights", "style_loss", "mmd_kernel"), ("lambda_style",)),
}


class LossOptions(Record):
    """The objective: the weighted sum of the adversarial, L1, L2, perceptual and style losses."""

    gan_mode: Literal["vanilla", "lsgan", "hinge", "none"] = Field("vanilla", description="adversarial loss, if any")
    conditional: bool = Field(True, description="D sees the source beside the target (cGAN)")
    lambda_gan: float = Field(1, gt=0, description="weight of the adversarial loss; --gan_mode none turns it off")
    lambda_l1: float = Field(100, ge=0, description="weight of the mean absolute difference")
    lambda_l2: float = Field(0, ge=0, description="weight of the mean squared difference")
    lambda_perceptual: float = Field(
        0, ge=0, description="weight of the perceptual loss: the difference of a backbone's features; 0: off"
    )
    lambda_style: float = Field(
        0, ge=0, description="weight of the style loss: the difference of their statistics; 0: off"
    )
    # A run may be resumed with the image elsewhere: its SHA-256 must be the same.
    style_image: Annotated[FilePath | None, OptionFlag.MAY_CHANGE] = Field(
        None, description="style image for --lambda_style; none: the style of each target"
    )

    @model_validator(mode="after")
    def _check_objective(self) -> Self:
        if self.gan_mode == "none" and not any(
            (self.lambda_l1, self.lambda_l2, self.lambda_perceptual, self.lambda_style)
        ):
            raise ValueError(
                "nothing to learn: with --gan_mode none, --lambda_l1, --lambda_l2, --lambda_perceptual or "
                "--lambda_style must be above 0"
            )
        return self

    @model_validator(mode="after")
    def _check_style_image(self) -> Self:
        if self.style_image is not None and self.lambda_style == 0:
            raise ValueError("--style_image needs --lambda_style: add it, or leave --style_image out")
        return self


def find_losses_using(name: str) -> tuple[str, ...]:
    """Return the names of the weights of the losses that use an option of the features."""
    return _USERS.get(name, ("lambda_perceptual", "lambda_style"))


def check_features_used(features: FeatureOptions, loss: LossOptions) -> None:
    """Refuse an option of the features that no loss uses.

    Raises:
        ValueError: there is one.
    """
    for name, field in FeatureOptions.model_fields.items():
        if getattr(features, name) != field.default and not any(
            getattr(loss, weight) for weight in find_losses_using(name)
        ):
            flags = " or ".join(f"--{weight}" for weight in find_losses_using(name))
            raise ValueError(f"--{name} belongs to a loss that is off: add {flags}, or leave --{name} out")
