"""An evaluation: every image measured by itself, then all of them together."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from pix2pix.errors import UserError
from pix2pix.evaluation.classes import Classes, counted
from pix2pix.evaluation.instruments import Absent, Instruments
from pix2pix.evaluation.pictures import Picture
from pix2pix.evaluation.record import protocol
from pix2pix.evaluation.scoring import Measured, Scorer
from pix2pix.evaluation.summary import INVISIBLE, Summary, summarise
from pix2pix.images import MAX_PIXELS, Codec
from pix2pix.options.evaluate import SegmentationOptions
from pix2pix.palettes import load_palette, palette_of

_NO_PALETTE = "the label maps have no palette: give --palette"
_NO_PIXEL = "no pixel of the label maps is of a class that is counted"


class Evaluation(NamedTuple):
    """What was measured: of all images, of each, and how."""

    summary: Summary
    measured: Sequence[Measured]
    protocol: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the parts of metrics.json that are about images."""
        images = {one.name: dict(one.scores) for one in self.measured}
        return {**self.summary._asdict(), "images": images, "protocol": self.protocol}


def scorer_of(
    options: SegmentationOptions, codec: Codec | None, instruments: Instruments, max_pixels: int | None = None
) -> Scorer:
    """Choose how images are measured: as photos, or as label maps by their colours.

    Raises:
        UserError: a palette cannot be used, or the options say what these images are not.
    """
    classes = _classes(options, codec, instruments)
    if classes is None and options.ignore is not None and options.segmenter is None:
        raise UserError("--ignore names classes, and there are none: give --segmenter or --palette too")
    return Scorer(codec, instruments, classes, max_pixels or MAX_PIXELS)


def evaluate(
    pictures: Sequence[Picture],
    scorer: Scorer,
    progress: Callable[[Sequence[Picture]], Iterable[Picture]] = iter,
) -> Evaluation:
    """Measure pictures one by one, so that none influences another, and sum up; `progress` may show how far it is.

    Raises:
        UserError: a file cannot be used, sizes differ, or there are no label maps for a segmenter.
    """
    if not isinstance(scorer.instruments.segmenter, Absent) and any(picture.labels is None for picture in pictures):
        raise UserError("--segmenter is scored against label maps: give their folder by --labels")
    measured = [scorer.measure(picture) for picture in progress(pictures)]
    return Evaluation(summarise(measured, scorer, _lacks(scorer)), measured, protocol(measured, scorer))


def _lacks(scorer: Scorer) -> str:
    """Say why there are no scores of classes, where there are none."""
    segmenter = scorer.instruments.segmenter
    if scorer.are_labels:
        return _NO_PALETTE if scorer.classes is None else _NO_PIXEL
    if isinstance(segmenter, Absent):
        return segmenter.why
    return _NO_PIXEL if scorer.are_visible else INVISIBLE


def _classes(options: SegmentationOptions, codec: Codec | None, instruments: Instruments) -> Classes | None:
    """Return the classes that are counted; None: there is nothing that tells classes."""
    ignore, segmenter = options.ignore or (), instruments.segmenter
    are_labels = codec is not None and codec.target.is_labels
    if options.segmenter is not None:
        if are_labels:
            raise UserError("--segmenter looks at photos, and these outputs are label maps: leave it out")
        return None if isinstance(segmenter, Absent) else counted(segmenter.palette, ignore)
    if options.palette is not None:
        return counted(load_palette(options.palette), ignore)
    if are_labels and codec is not None and codec.target.palette:
        return counted(palette_of(codec.target.palette), ignore)
    return None
