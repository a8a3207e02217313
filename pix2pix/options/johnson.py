"""Options of training one network to paint in one style. Defaults are the paper's where it names them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pix2pix.options.features import FeatureOptions
from pix2pix.options.fields import Mark, Path, Statistics
from pix2pix.options.photos import PhotoOptions
from pix2pix.options.records import Record
from pix2pix.options.stylising import (
    StylePictureOptions,
    StyleRunOptions,
    StyleTestTimeOptions,
    StyleTrainOptions,
    StylizerOptions,
)


class JohnsonNetworkOptions(StylizerOptions):
    """The network that paints."""

    norm: Literal["instance", "batch"] = Field(
        "instance", description="normalisation: instance as Ulyanov et al. 2016, or batch as Johnson et al."
    )


class JohnsonLossOptions(StylePictureOptions):
    """What is minimised, beside the features and their layers."""

    # A run may be resumed with the picture elsewhere: its SHA-256 has to be the same.
    style_image: Annotated[Path, Mark.MAY_CHANGE] = Field(description="the picture in whose manner the network paints")


class JohnsonTrainOptions(StyleTrainOptions):
    """How long, and how fast."""

    sync_batchnorm: Annotated[bool, Mark.MAY_CHANGE] = Field(
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
