"""Options of training a style network: Johnson's, multi-style and AdaIN."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pix2pix.config.base import Record
from pix2pix.config.losses import FeatureOptions
from pix2pix.config.pix2pix import TILES, RunOptions
from pix2pix.config.types import FilePath, LayerNames, OptionFlag, Size, Statistics, StyleLossName, Tile

MAY_CHANGE, SWITCH = OptionFlag.MAY_CHANGE, OptionFlag.SWITCH
_LOAD_SIZE = "what the shorter side of a photo is resized to before the random crop"


class PhotoOptions(Record):
    """Which photographs, and how they are prepared."""

    dataroot: FilePath = Field(
        description="a folder tree of photos of any size, or of train/ and val/ with such trees; `generated`: built in"
    )
    load_size: int = Field(256, gt=0, le=65535, description=_LOAD_SIZE)
    crop_size: Size = Field((256, 256), description="size of the random crop; its shorter side: that of val photos")
    flip: bool = Field(True, description="mirror photos at random, half of the time")
    val_fraction: float = Field(
        0.05, ge=0, le=0.5, description="share of train kept out for validation, chosen by name, if there is no val"
    )
    max_dataset_size: int | None = Field(None, gt=0, description="use only so many of the training photos")
    max_pixels: Annotated[int, MAY_CHANGE] = Field(2**26, gt=0, description="larger images are refused undecoded")
    skip_bad: Annotated[bool, MAY_CHANGE] = Field(False, description="leave faulty images out instead of refusing")
    check: Annotated[bool, MAY_CHANGE, SWITCH] = Field(True, description="read every photo once before the first step")
    num_workers: Annotated[int, MAY_CHANGE] = Field(2, ge=0, description="processes that load images; 0: the main one")
    loader_timeout: Annotated[float, MAY_CHANGE] = Field(
        60, gt=0, description="seconds that those processes have for a batch before the run ends with an error"
    )

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        height, width = self.crop_size
        if max(height, width) > self.load_size:
            raise ValueError(
                f"crop_size {height}x{width} is larger than load_size {self.load_size}, the shorter side of a photo: "
                "raise --load_size or lower --crop_size"
            )
        return self

    @model_validator(mode="after")
    def _bad_ones_are_found(self) -> Self:
        if self.skip_bad and not self.check:
            raise ValueError("--skip_bad finds faulty images by reading them all: leave --check false out")
        return self


class ContentStyleOptions(PhotoOptions):
    """Which photographs and which style pictures, and how both are prepared."""

    styles: FilePath = Field(
        description="a folder tree of paintings, whose manner is learnt; prepared as the photos are"
    )
    load_size: int = Field(512, gt=0, le=65535, description=_LOAD_SIZE)


_Metric = Literal["val/loss", "val/content", "val/style"]


class TransformerNetOptions(Record):
    """The network that paints."""

    ngf: int = Field(32, gt=0, le=4096, description="channels of its first layer")
    blocks: int = Field(5, ge=0, le=64, description="its residual blocks")
    output: Literal["tanh", "linear"] = Field("tanh", description="what ends it: tanh keeps colours in range")


class StyleNetworkLossOptions(Record):
    """What is minimised, beside the features and their layers."""

    content_weight: float = Field(1, ge=0, description="weight of the content loss")
    style_weight: float | None = Field(
        None, ge=0, description="weight of the style loss; none: 10, but 1 for mrf and 100 with --smoothing"
    )
    lambda_tv: float = Field(0, ge=0, description="weight of the total variation, which smooths")

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if self.content_weight == 0 and self.style_weight == 0:
            raise ValueError("nothing to learn: --content_weight or --style_weight must be above 0")
        return self


class StyleImageOptions(StyleNetworkLossOptions):
    """What is minimised for styles that are known beforehand."""

    style_size: int | None = Field(
        None, gt=0, le=65535, description="longer side of a style picture as its loss sees it; none: that of the crop"
    )


class StyleTrainOptions(Record):
    """How long, and how fast."""

    batch_size: int = Field(4, gt=0, description="photos in a step, of each process")
    steps: Annotated[int, MAY_CHANGE] = Field(40_000, gt=0, description="steps in all")
    lr: float = Field(1e-3, gt=0, description="Adam's learning rate")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second moment")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the running average of the weights; none: off")


class StyleTestTimeOptions(Record):
    """What a checkpoint records as the way to translate; test.py may choose otherwise."""

    tile: Annotated[Tile, MAY_CHANGE, SWITCH] = Field("auto", description=TILES)


class StyleRunOptions(RunOptions):
    """Where the run lives, what it runs on, and what it reports."""

    best_metric: Annotated[_Metric, MAY_CHANGE] = Field(  # type: ignore[assignment]  # nothing to compare outputs with
        "val/loss", description="what makes a checkpoint the best"
    )


class JohnsonNetworkOptions(TransformerNetOptions):
    """The network that paints."""

    norm: Literal["instance", "batch"] = Field(
        "instance", description="normalisation: instance as Ulyanov et al. 2016, or batch as Johnson et al."
    )


class JohnsonLossOptions(StyleImageOptions):
    """What is minimised, beside the features and their layers."""

    # A run may be resumed with the picture elsewhere: its SHA-256 has to be the same.
    style_image: Annotated[FilePath, OptionFlag.MAY_CHANGE] = Field(
        description="the picture in whose manner the network paints"
    )


class JohnsonTrainOptions(StyleTrainOptions):
    """How long, and how fast."""

    sync_batchnorm: Annotated[bool, OptionFlag.MAY_CHANGE] = Field(
        False, description="BatchNorm normalises by the photos of all processes together; on CUDA GPUs alone"
    )


class JohnsonTestTimeOptions(StyleTestTimeOptions):
    """What a checkpoint records as the way to translate; test.py may choose otherwise."""

    statistics: Statistics | None = Field(
        None,
        description="normalise by the image's own statistics, or by running ones; none: as the norm was trained, "
        "instance by image, batch by running",
    )

    def statistics_of(self, norm: str) -> Statistics:
        """Return the statistics in force, given or those that the norm was trained with."""
        return self.statistics or ("running" if norm == "batch" else "image")


class JohnsonOptions(Record):
    """Options of train.py --model johnson: one network learns to paint any photo in the manner of one picture."""

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
        """The weight of the style loss, given or that which suits its kind."""
        return self.features.usual_style_weight if self.loss.style_weight is None else self.loss.style_weight

    @model_validator(mode="after")
    def _batch_norm_is_there(self) -> Self:
        if self.network.norm == "instance" and self.test.statistics == "running":
            raise ValueError("--statistics running: only batch norm keeps running statistics; add --norm batch")
        if self.network.norm == "instance" and self.train.sync_batchnorm:
            raise ValueError("--sync_batchnorm: there is no batch norm to synchronise; add --norm batch")
        return self


class MultiStyleLossOptions(StyleImageOptions):
    """What is minimised, beside the features and their layers."""

    # A run may be resumed with the pictures elsewhere: their SHA-256 have to be the same.
    styles: Annotated[FilePath | None, OptionFlag.MAY_CHANGE] = Field(
        None, description="folder of pictures, each a style of its own, named as its file"
    )
    add_style: Annotated[FilePath | None, OptionFlag.MAY_CHANGE] = Field(
        None, description="instead: the picture of one more style for the network of --init_from, which learns no other"
    )
    init_from: Annotated[FilePath | None, OptionFlag.MAY_CHANGE] = Field(
        None, description="folder of the run whose network gets one more style by --add_style"
    )

    @model_validator(mode="after")
    def _all_styles_or_one_more(self) -> Self:
        if self.styles is not None and (self.add_style or self.init_from):
            raise ValueError("--styles begins a network, --add_style gives one a further style: leave one of them out")
        if self.styles is None and self.add_style is None and self.init_from is None:
            raise ValueError("no style to learn: give --styles FOLDER, or --add_style PICTURE with --init_from RUN")
        if self.styles is None and self.init_from is None:
            raise ValueError("--add_style: whose network is to get it? add --init_from, the folder of a run")
        if self.styles is None and self.add_style is None:
            raise ValueError("--init_from is the run that gets one more style: add --add_style PICTURE")
        return self


class MultiStyleOptions(Record):
    """Options of train.py --model conditional: one network learns to paint any photo in each of many manners."""

    model: Literal["conditional"] = Field("conditional", description="the method: Dumoulin et al. 2017")
    data: PhotoOptions
    network: TransformerNetOptions = TransformerNetOptions()
    loss: MultiStyleLossOptions
    features: FeatureOptions = FeatureOptions()
    train: StyleTrainOptions = StyleTrainOptions()
    test: StyleTestTimeOptions = StyleTestTimeOptions()
    run: StyleRunOptions

    @property
    def beta(self) -> float:
        """The weight of the style loss, given or that which suits its kind."""
        return self.features.usual_style_weight if self.loss.style_weight is None else self.loss.style_weight


_SAID = {name: str(field.description) for name, field in FeatureOptions.model_fields.items()}
# What is encoded is what is compared: the target of the content loss lies in the encoder's own layer.
_OF_THE_ENCODER = ("rescaled", "content_layers", "smoothing")


class AdainFeatureOptions(FeatureOptions):
    """The encoder, whose features the losses compare too, and how."""

    backbone: Literal["vgg19"] = Field("vgg19", description="the frozen network that encodes")
    pooling: Literal["max"] = Field("max", description=_SAID["pooling"])
    padding: Literal["reflection"] = Field("reflection", description=_SAID["padding"])
    rescaled: bool | None = Field(True, description="its layers are scaled to mean activation 1: true alone")
    content_layers: LayerNames | None = Field(("relu4_1",), description="the layer that it encodes to: this alone")
    style_layers: LayerNames | None = Field(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1"), description="layers of the style loss"
    )
    style_loss: StyleLossName = Field("mean_std", description=_SAID["style_loss"])
    smoothing: bool = Field(False, description="its features are encoded as they are: false alone")

    @model_validator(mode="after")
    def _as_the_decoder_mirrors_it(self) -> Self:
        for name in _OF_THE_ENCODER:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"--{name}: the decoder of adain mirrors one encoder: leave --{name} out")
        return self


class AdainTrainOptions(StyleTrainOptions):
    """How long, and how fast."""

    batch_size: int = Field(8, gt=0, description="photos in a step, and as many styles, of each process")
    steps: Annotated[int, OptionFlag.MAY_CHANGE] = Field(160_000, gt=0, description="steps in all")
    lr: float = Field(1e-4, gt=0, description="Adam's learning rate at the first step")
    lr_decay: float = Field(5e-5, ge=0, description="the rate is lr / (1 + lr_decay * steps made)")


class AdainOptions(Record):
    """Options of train.py --model adain: a decoder learns to paint any photo in the manner of any picture."""

    model: Literal["adain"] = Field("adain", description="the method: Huang and Belongie 2017")
    data: ContentStyleOptions
    loss: StyleNetworkLossOptions = StyleNetworkLossOptions()
    features: AdainFeatureOptions = AdainFeatureOptions()
    train: AdainTrainOptions = AdainTrainOptions()
    test: StyleTestTimeOptions = StyleTestTimeOptions()
    run: StyleRunOptions

    @property
    def beta(self) -> float:
        """The weight of the style loss, given or that which suits its kind."""
        return self.features.usual_style_weight if self.loss.style_weight is None else self.loss.style_weight
