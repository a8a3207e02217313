"""Options of training one network to paint in many styles. Defaults are the paper's where it names them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pix2pix.options.features import FeatureOptions
from pix2pix.options.fields import Mark, Path
from pix2pix.options.photos import PhotoOptions
from pix2pix.options.records import Record
from pix2pix.options.stylising import (
    StylePictureOptions,
    StyleRunOptions,
    StyleTestTimeOptions,
    StyleTrainOptions,
    StylizerOptions,
)


class ConditionalLossOptions(StylePictureOptions):
    """What is minimised, beside the features and their layers."""

    # A run may be resumed with the pictures elsewhere: their SHA-256 have to be the same.
    styles: Annotated[Path | None, Mark.MAY_CHANGE] = Field(
        None, description="folder of pictures, each a style of its own, named as its file"
    )
    add_style: Annotated[Path | None, Mark.MAY_CHANGE] = Field(
        None, description="instead: the picture of one more style for the network of --init_from, which learns no other"
    )
    init_from: Annotated[Path | None, Mark.MAY_CHANGE] = Field(
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


class ConditionalOptions(Record):
    """Options of train.py --model conditional: one network learns to paint any photo in each of many manners."""

    model: Literal["conditional"] = Field("conditional", description="the method: Dumoulin et al. 2017")
    data: PhotoOptions
    network: StylizerOptions = StylizerOptions()
    loss: ConditionalLossOptions
    features: FeatureOptions = FeatureOptions()
    train: StyleTrainOptions = StyleTrainOptions()
    test: StyleTestTimeOptions = StyleTestTimeOptions()
    run: StyleRunOptions

    @property
    def beta(self) -> float:
        """The weight of the style loss, given or that which suits its kind."""
        return self.features.usual_style_weight if self.loss.style_weight is None else self.loss.style_weight
