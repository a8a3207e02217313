"""Options of training a style network: Johnson's, multi-style and AdaIN."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pix2pix.config.base import Record
from pix2pix.config.losses import FeatureOptions
from pix2pix.config.pix2pix import TILES, RunOptions
from pix2pix.config.types import FilePath, LayerNames, NormStats, OptionFlag, Size, StyleLossName, Tile

MAY_CHANGE, SWITCH = OptionFlag.MAY_CHANGE, OptionFlag.SWITCH
_LOAD_SIZE = "shorter side of a photo before the random crop"


class PhotoOptions(Record):
    """The photos and their preprocessing."""

    dataroot: FilePath = Field(
        description="a folder tree of photos of any size, or train/ and val/ of such trees; `generated`: built in"
    )
    load_size: int = Field(256, gt=0, le=65535, description=_LOAD_SIZE)
    crop_size: Size = Field(
        (256, 256), description="size of the random crop; its shorter side is that of validation photos"
    )
    flip: bool = Field(True, description="mirror photos at random with probability 0.5")
    val_fraction: float = Field(
        0.05, ge=0, le=0.5, description="share of train held out for validation, chosen by name, if there is no val"
    )
    max_dataset_size: int | None = Field(None, gt=0, description="maximum number of training photos")
    max_pixels: Annotated[int, MAY_CHANGE] = Field(2**26, gt=0, description="larger images are refused before decoding")
    skip_bad: Annotated[bool, MAY_CHANGE] = Field(
        False, description="skip faulty images instead of refusing the dataset"
    )
    check: Annotated[bool, MAY_CHANGE, SWITCH] = Field(True, description="validate every photo before the first step")
    num_workers: Annotated[int, MAY_CHANGE] = Field(
        2, ge=0, description="worker processes that load images; 0: load in the main process"
    )
    loader_timeout: Annotated[float, MAY_CHANGE] = Field(
        60, gt=0, description="seconds to wait for a batch of the workers before the run ends with an error"
    )

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        height, width = self.crop_size
        if max(height, width) > self.load_size:
            raise ValueError(
                f"crop_size {height}x{width} is larger than load_size {self.load_size}, the shorter side of a photo: "
                "raise --load_size or lower --crop_size"
            )
        return self

    @model_validator(mode="after")
    def _check_skip_bad(self) -> Self:
        if self.skip_bad and not self.check:
            raise ValueError("--skip_bad needs to read all images first: leave --check false out")
        return self


class ContentStyleOptions(PhotoOptions):
    """The photos and style images, and their preprocessing."""

    styles: FilePath = Field(description="a folder tree of style images, preprocessed like the photos")
    load_size: int = Field(512, gt=0, le=65535, description=_LOAD_SIZE)


_Metric = Literal["val/loss", "val/content", "val/style"]


class TransformerNetOptions(Record):
    """The network."""

    ngf: int = Field(32, gt=0, le=4096, description="channels of the first layer")
    blocks: int = Field(5, ge=0, le=64, description="number of residual blocks")
    output: Literal["tanh", "linear"] = Field("tanh", description="output activation: tanh keeps colors in range")


class StyleNetworkLossOptions(Record):
    """The weights of the losses."""

    content_weight: float = Field(1, ge=0, description="weight of the content loss")
    style_weight: float | None = Field(
        None, ge=0, description="weight of the style loss; none: 10, or 1 for mrf, 100 with --smoothing"
    )
    lambda_tv: float = Field(0, ge=0, description="weight of the total variation loss, which smooths")

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.content_weight == 0 and self.style_weight == 0:
            raise ValueError("nothing to learn: --content_weight or --style_weight must be above 0")
        return self


class StyleImageOptions(StyleNetworkLossOptions):
    """The weights of the losses, and the size of style images."""

    style_size: int | None = Field(
        None, gt=0, le=65535, description="longer side that a style image is resized to; none: that of the crop"
    )


class StyleTrainOptions(Record):
    """Length of training and the optimizer."""

    batch_size: int = Field(4, gt=0, description="photos per step and process")
    steps: Annotated[int, MAY_CHANGE] = Field(40_000, gt=0, description="total steps")
    lr: float = Field(1e-3, gt=0, description="Adam's learning rate")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's beta1")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's beta2")
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of the exponential moving average of the weights; none: off"
    )


class StyleTestTimeOptions(Record):
    """Settings at test time, stored in the checkpoint; test.py can override them."""

    tile: Annotated[Tile, MAY_CHANGE, SWITCH] = Field("auto", description=TILES)


class StyleRunOptions(RunOptions):
    """Folders, device and logging."""

    best_metric: Annotated[_Metric, MAY_CHANGE] = Field(  # type: ignore[assignment]  # there are no targets
        "val/loss", description="metric that selects the best checkpoint"
    )


class JohnsonNetworkOptions(TransformerNetOptions):
    """The network."""

    norm: Literal["instance", "batch"] = Field(
        "instance", description="normalization: instance as in Ulyanov et al. 2016, or batch as in Johnson et al. 2016"
    )


class JohnsonLossOptions(StyleImageOptions):
    """The weights of the losses."""

    # A run may be resumed with the image elsewhere: its SHA-256 must be the same.
    style_image: Annotated[FilePath, OptionFlag.MAY_CHANGE] = Field(description="the style image")


class JohnsonTrainOptions(StyleTrainOptions):
    """Length of training and the optimizer."""

    sync_batchnorm: Annotated[bool, OptionFlag.MAY_CHANGE] = Field(
        False, description="BatchNorm normalizes over the photos of all processes; CUDA GPUs only"
    )


class JohnsonTestTimeOptions(StyleTestTimeOptions):
    """Settings at test time, stored in the checkpoint; test.py can override them."""

    norm_stats: NormStats | None = Field(
        None,
        description="statistics of the norms: of the image, or running ones of training; none: running for "
        "batch norm, image for instance norm",
    )

    def resolve_norm_stats(self, norm: str) -> NormStats:
        """Return the given statistics, or the default for the norm."""
        return self.norm_stats or ("running" if norm == "batch" else "image")


class JohnsonOptions(Record):
    """Options of train.py --model johnson: train a network that stylizes photos in one style."""

    model: Literal["johnson"] = Field("johnson", description="the method: Johnson et al. 2016, Ulyanov et al. 2016")
    data: PhotoOptions
    network: JohnsonNetworkOptions = JohnsonNetworkOptions()
    loss: JohnsonLossOptions
    features: FeatureOptions = FeatureOptions()
    train: JohnsonTrainOptions = JohnsonTrainOptions()
    test: JohnsonTestTimeOptions = JohnsonTestTimeOptions()
    run: StyleRunOptions

    @property
    def beta(self) -> float:
        """The weight of the style loss: given, or the default for --style_loss."""
        return self.features.default_style_weight if self.loss.style_weight is None else self.loss.style_weight

    @model_validator(mode="after")
    def _check_batch_norm(self) -> Self:
        if self.network.norm == "instance" and self.test.norm_stats == "running":
            raise ValueError("--norm_stats running: only batch norm has running statistics; add --norm batch")
        if self.network.norm == "instance" and self.train.sync_batchnorm:
            raise ValueError("--sync_batchnorm: there is no batch norm to synchronize; add --norm batch")
        return self


class MultiStyleLossOptions(StyleImageOptions):
    """The weights of the losses."""

    # A run may be resumed with the images elsewhere: their SHA-256 must be the same.
    styles: Annotated[FilePath | None, OptionFlag.MAY_CHANGE] = Field(
        None, description="folder of style images; each is a style with the name of its file"
    )
    add_style: Annotated[FilePath | None, OptionFlag.MAY_CHANGE] = Field(
        None, description="instead: image of a style to add to the network of --init_from; only this style is trained"
    )
    init_from: Annotated[FilePath | None, OptionFlag.MAY_CHANGE] = Field(
        None, description="folder of the run to which --add_style adds a style"
    )

    @model_validator(mode="after")
    def _check_styles(self) -> Self:
        if self.styles is not None and (self.add_style or self.init_from):
            raise ValueError("--styles trains a new network, --add_style extends one: give one of them")
        if self.styles is None and self.add_style is None and self.init_from is None:
            raise ValueError("no style to learn: give --styles FOLDER, or --add_style IMAGE with --init_from RUN")
        if self.styles is None and self.init_from is None:
            raise ValueError("--add_style needs the run to extend: add --init_from, its folder")
        if self.styles is None and self.add_style is None:
            raise ValueError("--init_from needs a style to add: give --add_style IMAGE")
        return self


class MultiStyleOptions(Record):
    """Options of train.py --model multi_style: train one network for many styles."""

    model: Literal["multi_style"] = Field("multi_style", description="the method: Dumoulin et al. 2017")
    data: PhotoOptions
    network: TransformerNetOptions = TransformerNetOptions()
    loss: MultiStyleLossOptions
    features: FeatureOptions = FeatureOptions()
    train: StyleTrainOptions = StyleTrainOptions()
    test: StyleTestTimeOptions = StyleTestTimeOptions()
    run: StyleRunOptions

    @property
    def beta(self) -> float:
        """The weight of the style loss: given, or the default for --style_loss."""
        return self.features.default_style_weight if self.loss.style_weight is None else self.loss.style_weight


_DESCRIPTIONS = {name: str(field.description) for name, field in FeatureOptions.model_fields.items()}
# These options define the encoder, which the decoder mirrors.
_OF_THE_ENCODER = ("rescaled", "content_layers", "smoothing")


class AdainFeatureOptions(FeatureOptions):
    """The encoder, whose features the losses compare."""

    backbone: Literal["vgg19"] = Field("vgg19", description="the frozen encoder")
    pooling: Literal["max"] = Field("max", description=_DESCRIPTIONS["pooling"])
    padding: Literal["reflection"] = Field("reflection", description=_DESCRIPTIONS["padding"])
    rescaled: bool | None = Field(
        True, description="rescale the encoder's layers to mean activation 1; only true is allowed"
    )
    content_layers: LayerNames | None = Field(("relu4_1",), description="the encoder's last layer; no other is allowed")
    style_layers: LayerNames | None = Field(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1"), description="layers of the style loss"
    )
    style_loss: StyleLossName = Field("mean_std", description=_DESCRIPTIONS["style_loss"])
    smoothing: bool = Field(False, description="only false is allowed")

    @model_validator(mode="after")
    def _check_encoder(self) -> Self:
        for name in _OF_THE_ENCODER:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"--{name}: the encoder of adain is fixed: leave --{name} out")
        return self


class AdainTrainOptions(StyleTrainOptions):
    """Length of training and the optimizer."""

    batch_size: int = Field(8, gt=0, description="photos, and as many style images, per step and process")
    steps: Annotated[int, OptionFlag.MAY_CHANGE] = Field(160_000, gt=0, description="total steps")
    lr: float = Field(1e-4, gt=0, description="Adam's learning rate at the first step")
    lr_decay: float = Field(5e-5, ge=0, description="the rate is lr / (1 + lr_decay * step)")


class AdainOptions(Record):
    """Options of train.py --model adain: train a decoder that applies the style of any image to any photo."""

    model: Literal["adain"] = Field("adain", description="the method: Huang and Belongie 2017")
    data: ContentStyleOptions
    loss: StyleNetworkLossOptions = StyleNetworkLossOptions()
    features: AdainFeatureOptions = AdainFeatureOptions()
    train: AdainTrainOptions = AdainTrainOptions()
    test: StyleTestTimeOptions = StyleTestTimeOptions()
    run: StyleRunOptions

    @property
    def beta(self) -> float:
        """The weight of the style loss: given, or the default for --style_loss."""
        return self.features.default_style_weight if self.loss.style_weight is None else self.loss.style_weight
