"""Options of pix2pix's objective."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pix2pix.options.features import FeatureOptions
from pix2pix.options.fields import Mark, Path
from pix2pix.options.records import Record

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
    style_image: Annotated[Path | None, Mark.MAY_CHANGE] = Field(
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


def readers(name: str) -> tuple[str, ...]:
    """Return the weights of the losses that read an option of features."""
    return _READERS.get(name, ("lambda_perceptual", "lambda_style"))


def check_use(features: FeatureOptions, loss: LossOptions) -> None:
    """Refuse an option of features that no loss reads.

    Raises:
        ValueError: there is one.
    """
    for name, field in FeatureOptions.model_fields.items():
        if getattr(features, name) != field.default and not any(getattr(loss, reader) for reader in readers(name)):
            flags = " or ".join(f"--{reader}" for reader in readers(name))
            raise ValueError(f"--{name} is of a loss that is left out: add {flags}, or leave --{name} out")
