"""Options of optimizing an image: Gatys and SWAG."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pix2pix.config.base import Record
from pix2pix.config.losses import FeatureOptions
from pix2pix.config.types import BackboneName, Device, Fast, FilePath, LayerWeights, Paths, Precision, RunName, Seed

LEARNING_RATES = {"lbfgs": 1.0, "adam": 0.08}  # of images in [-1, 1]; 0.08 is the 10 of 0..255 that is customary


class GatysImageOptions(Record):
    """The pictures, their sizes and their regions."""

    content: FilePath = Field(description="the picture to paint, or a folder of such pictures; --input is the same")
    style: Paths = Field(
        description="the picture in whose manner; several such are blended, and each of a folder gives a painting"
    )
    style_weights: LayerWeights | None = Field(
        None, description="share of each of several styles, made to sum to 1; none: equal"
    )
    content_masks: Paths | None = Field(
        None, description="where in the content each style is painted: a grey image per style, white is all of it"
    )
    style_masks: Paths | None = Field(
        None, description="where in its picture each style is taken from: a grey image per style; none: everywhere"
    )
    image_size: int | None = Field(
        512, gt=0, le=65535, description="longer side of the content as it is painted; none: as it is"
    )
    style_scale: float = Field(1, gt=0, le=100, description="longer side of a style over that of the content")
    keep_colours: Literal["none", "luminance", "coral"] = Field(
        "none", description="the content's colours: luminance paints lightness alone, coral recolours the style"
    )
    max_pixels: int = Field(2**26, gt=0, description="larger images are refused undecoded")
    skip_bad: bool = Field(False, description="leave faulty images of a folder out instead of refusing")

    @model_validator(mode="after")
    def _one_for_each_style(self) -> Self:
        styles = len(self.style)
        for name, many in (
            ("style_weights", self.style_weights),
            ("content_masks", self.content_masks),
            ("style_masks", self.style_masks),
        ):
            if many is not None and len(many) != styles:
                raise ValueError(f"--{name}: got {len(many)} for {styles} --style; give one for each, in their order")
        if self.style_weights is not None and not any(self.style_weights):
            raise ValueError("--style_weights are all 0: one at least must be above")
        return self


class GatysLossOptions(Record):
    """What is minimised, beside the features and their layers."""

    content_weight: float = Field(1, ge=0, description="alpha: weight of the content loss")
    style_weight: float | None = Field(
        None, ge=0, description="beta: weight of the style loss; none: 10, but 1 for mrf and 100 with --smoothing"
    )
    lambda_tv: float = Field(0, ge=0, description="weight of the total variation, which smooths")

    @model_validator(mode="after")
    def _something_to_paint(self) -> Self:
        if self.content_weight == 0 and self.style_weight == 0:
            raise ValueError("nothing to paint: --content_weight or --style_weight must be above 0")
        return self


class OptimizationOptions(Record):
    """How it is minimised."""

    optimizer: Literal["lbfgs", "adam"] = Field("lbfgs", description="L-BFGS, or Adam, which needs less memory")
    iterations: int = Field(500, gt=0, description="steps in all, shared among the --scales")
    learning_rate: float | None = Field(None, gt=0, description="none: 1 for lbfgs, 0.08 for adam")
    init: Literal["content", "noise", "style"] = Field("content", description="the picture to begin with")
    scales: int = Field(1, gt=0, le=16, description="coarse to fine: so many sizes, each twice the one before; 1: off")
    checkpointing: Literal["auto", "on", "off"] = Field(
        "auto", description="compute features twice to save memory; auto: where it would run out"
    )

    @property
    def rate(self) -> float:
        """The learning rate, given or the optimiser's own."""
        return LEARNING_RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    @model_validator(mode="after")
    def _each_scale_has_a_step(self) -> Self:
        if self.iterations < self.scales:
            raise ValueError(f"--iterations {self.iterations} are too few for --scales {self.scales}: each needs one")
        return self


class GatysRunOptions(Record):
    """Where results go, what it runs on, and what it reports."""

    name: RunName | None = Field(None, description="folder in results_dir; none: made of the names of the pictures")
    results_dir: FilePath = Field("results", description="folder of all results")
    format: Literal["png", "jpg", "tif"] = Field(
        "png", description="of the outputs; png holds the options too, png and tif 16 bits where the content has them"
    )
    reconstructions: bool = Field(
        False, description="instead: what each layer keeps of the content, and of the style, as one labelled grid"
    )
    seed: Seed = Field(0, description="of the noise and of random weights")
    device: Device = Field("auto", description="what to run on; auto: cuda, else mps, else cpu")
    precision: Precision = Field("fp32", description="arithmetic of the backbone; losses are fp32 always")
    fast: Fast = Field("auto", description="speed-ups of docs/performance.md; auto: those that pay")
    compile: bool = Field(False, description="compile the backbone: a slower start, then faster")
    log_every: int = Field(10, gt=0, description="iterations between logged losses")
    show_every: int = Field(50, gt=0, description="iterations between pictures on TensorBoard")


class GatysOptions(Record):
    """Options of test.py --model gatys: paint a picture in the manner of others; nothing is trained."""

    model: Literal["gatys"] = Field("gatys", description="the method: Gatys et al. 2016")
    data: GatysImageOptions
    loss: GatysLossOptions = GatysLossOptions()
    optimise: OptimizationOptions = OptimizationOptions()
    features: FeatureOptions = FeatureOptions()
    run: GatysRunOptions = GatysRunOptions()

    @property
    def beta(self) -> float:
        """The weight of the style loss, given or that which was found to suit the kind of loss."""
        return self.features.usual_style_weight if self.loss.style_weight is None else self.loss.style_weight

    @model_validator(mode="after")
    def _reconstructed_as_it_is(self) -> Self:
        if self.run.reconstructions and (self.data.content_masks or self.data.style_masks or len(self.data.style) > 1):
            raise ValueError("--reconstructions is of one content and one style: leave masks and further styles out")
        if self.run.reconstructions and self.features.style_layer_weights is not None:
            raise ValueError("--reconstructions shows all style layers alike: leave --style_layer_weights out")
        return self


class SwagFeatureOptions(FeatureOptions):
    """The backbone whose smoothed features the losses compare, and how."""

    backbone: BackboneName = Field("resnet50", description=FeatureOptions.model_fields["backbone"].description)
    smoothing: bool = Field(True, description=FeatureOptions.model_fields["smoothing"].description)


class SwagOptions(GatysOptions):
    """Options of test.py --model swag: as gatys, on features of a network with residuals, smoothed by a softmax."""

    model: Literal["swag"] = Field(  # type: ignore[assignment]  # gatys, but for its defaults
        "swag", description="the method: Wang, Li and Vasconcelos 2021"
    )
    features: SwagFeatureOptions = SwagFeatureOptions()
