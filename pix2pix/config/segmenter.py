"""Options of training a segmenter: photos to classes, from a set's real pairs. Defaults are reasoned, no paper's."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pix2pix.config.base import Record
from pix2pix.config.pix2pix import DataOptions, RunOptions, TrainOptions
from pix2pix.config.style import JohnsonTestTimeOptions
from pix2pix.config.types import Generator, OptionFlag

_Metric = Literal["val/pixel_accuracy", "val/loss"]


class SegmenterDataOptions(DataOptions):
    """Which pairs, of photo and label map, and how they are prepared."""

    target_kind: Literal["labels"] = Field("labels", description="targets are label maps: their classes are learnt")


class SegmenterNetworkOptions(Record):
    """The network, a generator G whose output is linear: one channel of logits per class."""

    generator: Generator = Field("unet_256", description="G; unet_N halves an N-pixel image down to 1x1")
    ngf: int = Field(64, gt=0, le=4096, description="channels of G's first layer")
    upsample: Literal["transpose", "nearest", "bilinear"] = Field("transpose", description="how G's decoder enlarges")
    # Batch: what photos have in common is measured in training, and their classes may depend on what they have not.
    norm: Literal["batch", "instance", "none"] = Field("batch", description="normalisation")
    use_dropout: bool = Field(True, description="dropout 0.5 in training, never after: sets of pairs are small")
    init_type: Literal["normal", "xavier", "kaiming", "orthogonal"] = Field("normal", description="initial weights")
    init_gain: float = Field(0.02, gt=0, description="scale of the initial weights; normal: their deviation")


class SegmenterTrainOptions(TrainOptions):
    """How long, and how fast."""

    batch_size: int = Field(4, gt=0, description="pairs in a step, of each process")  # for batch norm to measure by
    # No adversary to wait for: half of the epochs of pix2pix are enough, and more learn the photos by heart.
    n_epochs: int = Field(50, ge=0, description="epochs at the full learning rate")
    n_epochs_decay: int = Field(50, ge=0, description="epochs in which the rate then falls")
    lr: float = Field(1e-3, gt=0, description="Adam's learning rate")  # Adam's own, which a stable loss bears
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's first moment")


class SegmenterRunOptions(RunOptions):
    """Where the run lives, what it runs on, and what it reports."""

    best_metric: Annotated[_Metric, OptionFlag.MAY_CHANGE] = Field(  # type: ignore[assignment]  # outputs are no images
        "val/pixel_accuracy", description="what makes a checkpoint the best"
    )


class SegmenterOptions(Record):
    """Options of train.py --model segmenter: tell the class of each pixel, to measure FCN-scores."""

    model: Literal["segmenter"] = Field("segmenter", description="the method: a U-Net under cross-entropy")
    data: SegmenterDataOptions
    network: SegmenterNetworkOptions = SegmenterNetworkOptions()
    train: SegmenterTrainOptions = SegmenterTrainOptions()
    test: JohnsonTestTimeOptions = JohnsonTestTimeOptions()
    run: SegmenterRunOptions

    @model_validator(mode="after")
    def _batch_norm_is_there(self) -> Self:
        if self.network.norm != "batch" and self.test.statistics == "running":
            raise ValueError("--statistics running: only batch norm keeps running statistics; add --norm batch")
        if self.network.norm != "batch" and self.train.sync_batchnorm:
            raise ValueError("--sync_batchnorm: there is no batch norm to synchronise; add --norm batch")
        return self
