"""Options of training a segmenter: photos to classes, trained on the real pairs of a dataset. The defaults are ours."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pix2pix.config.base import Record
from pix2pix.config.pix2pix import DataOptions, RunOptions, TrainOptions
from pix2pix.config.style import JohnsonTestTimeOptions
from pix2pix.config.types import Generator, OptionFlag

_Metric = Literal["val/pixel_accuracy", "val/loss"]


class SegmenterDataOptions(DataOptions):
    """The pairs of photo and label map, and their preprocessing."""

    target_kind: Literal["labels"] = Field("labels", description="targets are label maps")


class SegmenterNetworkOptions(Record):
    """The network: a generator with linear output, one channel of logits per class."""

    generator: Generator = Field("unet_256", description="G; unet_N downsamples N pixels to 1x1")
    ngf: int = Field(64, gt=0, le=4096, description="channels of G's first layer")
    upsample: Literal["transpose", "nearest", "bilinear"] = Field("transpose", description="upsampling in G's decoder")
    # Batch: classes may depend on brightness and contrast, which instance norm removes.
    norm: Literal["batch", "instance", "none"] = Field("batch", description="normalization")
    use_dropout: bool = Field(True, description="dropout 0.5 in training, off at test")
    init_type: Literal["normal", "xavier", "kaiming", "orthogonal"] = Field("normal", description="initial weights")
    init_gain: float = Field(0.02, gt=0, description="scale of the initial weights; normal: their standard deviation")


class SegmenterTrainOptions(TrainOptions):
    """Length of training and the optimizer."""

    batch_size: int = Field(4, gt=0, description="pairs per step and process")  # more than one, for batch norm
    # Without a discriminator half of the epochs of pix2pix are enough, and more overfit.
    n_epochs: int = Field(50, ge=0, description="epochs at the full learning rate")
    n_epochs_decay: int = Field(50, ge=0, description="epochs in which the rate then decays")
    lr: float = Field(1e-3, gt=0, description="Adam's learning rate")  # Adam's default
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's beta1")


class SegmenterRunOptions(RunOptions):
    """Folders, device and logging."""

    best_metric: Annotated[_Metric, OptionFlag.MAY_CHANGE] = Field(  # type: ignore[assignment]  # outputs are not images
        "val/pixel_accuracy", description="metric that selects the best checkpoint"
    )


class SegmenterOptions(Record):
    """Options of train.py --model segmenter: predict the class of each pixel, for FCN-scores."""

    model: Literal["segmenter"] = Field("segmenter", description="the method: a U-Net trained by cross-entropy")
    data: SegmenterDataOptions
    network: SegmenterNetworkOptions = SegmenterNetworkOptions()
    train: SegmenterTrainOptions = SegmenterTrainOptions()
    test: JohnsonTestTimeOptions = JohnsonTestTimeOptions()
    run: SegmenterRunOptions

    @model_validator(mode="after")
    def _check_batch_norm(self) -> Self:
        if self.network.norm != "batch" and self.test.norm_stats == "running":
            raise ValueError("--norm_stats running: only batch norm has running statistics; add --norm batch")
        if self.network.norm != "batch" and self.train.sync_batchnorm:
            raise ValueError("--sync_batchnorm: there is no batch norm to synchronize; add --norm batch")
        return self
