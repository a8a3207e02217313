"""Options of optimizing an image: Gatys and SWAG."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pix2pix.config.base import Record
from pix2pix.config.losses import FeatureOptions
from pix2pix.config.types import BackboneName, Device, Fast, FilePath, LayerWeights, Paths, Precision, RunName, Seed

LEARNING_RATES = {"lbfgs": 1.0, "adam": 0.08}  # of images in [-1, 1]; 0.08 is the usual 10 of 0..255


class GatysImageOptions(Record):
    """The images, their sizes and regions."""

    content: FilePath = Field(description="the content image, or a folder of them; --input is the same")
    style: Paths = Field(
        description="the style image; several are blended, a folder gives an output for each of its images"
    )
    style_weights: LayerWeights | None = Field(
        None, description="share of each of several styles, normalized to sum to 1; none: equal"
    )
    content_masks: Paths | None = Field(
        None, description="regions of the content for each style: a gray image per style, white: all of the style"
    )
    style_masks: Paths | None = Field(
        None, description="regions of each style image that show the style: a gray image per style; none: all of it"
    )
    image_size: int | None = Field(
        512, gt=0, le=65535, description="longer side that the content is resized to; none: its own"
    )
    style_scale: float = Field(1, gt=0, le=100, description="longer side of the style image, relative to the content's")
    keep_colors: Literal["none", "luminance", "coral"] = Field(
        "none", description="keep the content's colors: luminance transfers lightness only, coral recolors the style"
    )
    max_pixels: int = Field(2**26, gt=0, description="larger images are refused before decoding")
    skip_bad: bool = Field(False, description="skip faulty images of a folder instead of refusing")

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        styles = len(self.style)
        for name, many in (
            ("style_weights", self.style_weights),
            ("content_masks", self.content_masks),
            ("style_masks", self.style_masks),
        ):
            if many is not None and len(many) != styles:
                raise ValueError(f"--{name}: got {len(many)} for {styles} --style; give one for each, in order")
        if self.style_weights is not None and not any(self.style_weights):
            raise ValueError("--style_weights are all 0: at least one must be above 0")
        return self


class GatysLossOptions(Record):
    """The weights of the losses."""

    content_weight: float = Field(1, ge=0, description="alpha: weight of the content loss")
    style_weight: float | None = Field(
        None, ge=0, description="beta: weight of the style loss; none: 10, or 1 for mrf, 100 with --smoothing"
    )
    lambda_tv: float = Field(0, ge=0, description="weight of the total variation loss, which smooths")

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.content_weight == 0 and self.style_weight == 0:
            raise ValueError("nothing to optimize: --content_weight or --style_weight must be above 0")
        return self


class OptimizationOptions(Record):
    """How it is optimized."""

    optimizer: Literal["lbfgs", "adam"] = Field("lbfgs", description="L-BFGS, or Adam, which needs less memory")
    iterations: int = Field(500, gt=0, description="number of steps, divided among the --pyramid_levels")
    learning_rate: float | None = Field(None, gt=0, description="none: 1 for lbfgs, 0.08 for adam")
    init: Literal["content", "noise", "style"] = Field("content", description="the initial image")
    pyramid_levels: int = Field(
        1, gt=0, le=16, description="coarse to fine: number of resolutions, each twice the one before; 1: off"
    )
    checkpointing: Literal["auto", "on", "off"] = Field(
        "auto", description="recompute features in backward to save memory; auto: if it would run out"
    )

    @property
    def rate(self) -> float:
        """The learning rate, given or the optimizer's default."""
        return LEARNING_RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    @model_validator(mode="after")
    def _check_iterations(self) -> Self:
        if self.iterations < self.pyramid_levels:
            raise ValueError(
                f"--iterations {self.iterations} are too few for --pyramid_levels "
                f"{self.pyramid_levels}: each level needs one"
            )
        return self


class GatysRunOptions(Record):
    """Folders, device and logging."""

    name: RunName | None = Field(None, description="folder in results_dir; none: from the names of the images")
    results_dir: FilePath = Field("results", description="folder of all results")
    format: Literal["png", "jpg", "tif"] = Field(
        "png", description="of the outputs; png also stores the options; png and tif have 16 bits if the content has"
    )
    reconstructions: bool = Field(
        False, description="reconstruct content and style from each layer instead, as one labeled grid"
    )
    seed: Seed = Field(0, description="of the noise and of random weights")
    device: Device = Field("auto", description="device; auto: cuda, else mps, else cpu")
    precision: Precision = Field("fp32", description="precision of the backbone; losses are always fp32")
    fast: Fast = Field("auto", description="speed-ups, see docs/performance.md; auto: those that pay")
    compile: bool = Field(False, description="compile the backbone: slower start, then faster")
    log_every: int = Field(10, gt=0, description="iterations between logged losses")
    show_every: int = Field(50, gt=0, description="iterations between images on TensorBoard")


class GatysOptions(Record):
    """Options of test.py --model gatys: optimize an image to have the style of others."""

    model: Literal["gatys"] = Field("gatys", description="the method: Gatys et al. 2016")
    data: GatysImageOptions
    loss: GatysLossOptions = GatysLossOptions()
    optimize: OptimizationOptions = OptimizationOptions()
    features: FeatureOptions = FeatureOptions()
    run: GatysRunOptions = GatysRunOptions()

    @property
    def beta(self) -> float:
        """The weight of the style loss: given, or the default for --style_loss."""
        return self.features.default_style_weight if self.loss.style_weight is None else self.loss.style_weight

    @model_validator(mode="after")
    def _check_reconstructions(self) -> Self:
        if self.run.reconstructions and (self.data.content_masks or self.data.style_masks or len(self.data.style) > 1):
            raise ValueError("--reconstructions needs one content and one style: leave masks and other styles out")
        if self.run.reconstructions and self.features.style_layer_weights is not None:
            raise ValueError("--reconstructions weights all style layers equally: leave --style_layer_weights out")
        return self


class SwagFeatureOptions(FeatureOptions):
    """The backbone whose smoothed features the losses compare."""

    backbone: BackboneName = Field("resnet50", description=FeatureOptions.model_fields["backbone"].description)
    smoothing: bool = Field(True, description=FeatureOptions.model_fields["smoothing"].description)


class SwagOptions(GatysOptions):
    """Options of test.py --model swag: as gatys, on the features of a ResNet, smoothed by a softmax."""

    model: Literal["swag"] = Field(  # type: ignore[assignment]  # the same options with other defaults
        "swag", description="the method: Wang, Li and Vasconcelos 2021"
    )
    features: SwagFeatureOptions = SwagFeatureOptions()
