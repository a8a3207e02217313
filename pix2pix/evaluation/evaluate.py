"""Compute the metrics of a set of images: means, pooled scores, distances, bootstrap intervals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pix2pix.config.tools import SegmentationOptions
from pix2pix.data.codec import PairCodec
from pix2pix.data.labels import infer_palette, load_palette
from pix2pix.data.limits import MAX_PIXELS
from pix2pix.errors import UserError
from pix2pix.evaluation.distances import RANGES, frechet_distance, intersect_histograms, kernel_distance
from pix2pix.evaluation.metric_networks import MetricNetworks, Unavailable
from pix2pix.evaluation.protocol import describe_protocol
from pix2pix.evaluation.score import (
    HISTOGRAMS,
    ConfusionCounts,
    ImageScores,
    Scorer,
    TranslationFiles,
    bootstrap_interval,
    bootstrap_mean_interval,
)
from pix2pix.evaluation.segmentation import ClassSet, SegmentationScores, exclude_classes, score_confusion

Metric = dict[str, Any]
_ARE_LABELS = "the outputs are label maps, not photos"
INVISIBLE = "the outputs are neither gray nor RGB photos"
_CLASS_SCORES: Mapping[str, Callable[[SegmentationScores], Tensor]] = {
    "pixel accuracy": lambda scores: scores.pixel_accuracy,
    "class accuracy": lambda scores: scores.class_accuracy,
    "class IoU": lambda scores: scores.class_iou,
}


class Summary(NamedTuple):
    """The metrics of all images, as plain values for JSON."""

    metrics: dict[str, Metric]
    classes: dict[str, dict[str, float]] | None
    histograms: dict[str, Any] | None


def mark_unavailable(reason: str) -> Metric:
    """Return the entry of a metric that was not computed."""
    return {"not_computed": reason}


def summarize(measured: Sequence[ImageScores], scorer: Scorer, segmentation_lacks: str) -> Summary:
    """Average and pool scores of images; `segmentation_lacks` is the reason for missing class scores."""
    metrics = {name: _mean(measured, name) for name in ("L1", "PSNR", "SSIM")}
    metrics |= _lpips(measured, scorer) | _distances(measured, scorer) | _intersect_colors(measured, scorer)
    confusions = [one.confusions for one in measured if one.confusions is not None]
    metrics |= _segmentation(confusions, segmentation_lacks)
    return Summary(metrics, _classes(confusions, scorer), _histograms(measured))


def _mean(measured: Sequence[ImageScores], name: str) -> Metric:
    values = torch.tensor([one.scores[name] for one in measured], dtype=torch.float64)
    return {"value": values.mean().item(), "interval": list(bootstrap_mean_interval(values))}


def _why_no_features(scorer: Scorer) -> str | None:
    """Return the reason why metrics of photos are not computed, or None."""
    return None if scorer.are_visible else _ARE_LABELS if scorer.are_labels else INVISIBLE


def _lpips(measured: Sequence[ImageScores], scorer: Scorer) -> dict[str, Metric]:
    network = scorer.networks.lpips
    name = "LPIPS" if isinstance(network, Unavailable) else network.name
    if why := _why_no_features(scorer) or (network.why if isinstance(network, Unavailable) else None):
        return {name: mark_unavailable(why)}
    return {name: _mean(measured, name)}


def _distances(measured: Sequence[ImageScores], scorer: Scorer) -> dict[str, Metric]:
    """Compute Frechet and kernel distances of outputs and targets, with Inception and another network."""
    found: dict[str, Metric] = {}
    inception, distance = scorer.networks.inception, scorer.networks.distance
    by = "" if isinstance(distance, Unavailable) else f" ({distance.name})"
    for network, names in (
        (inception, ("FID", "KID")),
        (distance, (f"Frechet distance{by}", f"kernel distance{by}")),
    ):
        why = _why_no_features(scorer) or (network.why if isinstance(network, Unavailable) else None)
        if why is None and len(measured) < 2:
            why = "distances need at least 2 images"
        if why is not None or isinstance(network, Unavailable):
            found |= {name: mark_unavailable(str(why)) for name in names}
            continue
        outputs, truths = torch.stack([one.features[network.name] for one in measured]).unbind(dim=1)
        mean, deviation = kernel_distance(outputs, truths)
        found[names[0]] = {"value": frechet_distance(outputs, truths)}
        found[names[1]] = {"value": mean, "deviation": deviation}
    return found


def _intersect_colors(measured: Sequence[ImageScores], scorer: Scorer) -> dict[str, Metric]:
    """Intersect the pooled histograms of outputs and targets."""
    if why := _why_no_features(scorer):
        return {name: mark_unavailable(why) for name in HISTOGRAMS}
    counts = torch.stack([one.histograms for one in measured if one.histograms is not None]).double()
    found = {}
    for channel, name in enumerate(HISTOGRAMS):
        outputs, truths = counts[:, 0, channel], counts[:, 1, channel]

        def shared(drawn: Tensor, outputs: Tensor = outputs, truths: Tensor = truths) -> Tensor:
            return intersect_histograms(drawn @ outputs, drawn @ truths)

        everything = shared(torch.ones(1, len(counts), dtype=torch.float64))
        found[name] = {"value": everything.item(), "interval": list(bootstrap_interval(shared, len(counts)))}
    return found


def _segmentation(confusions: Sequence[ConfusionCounts], lacks: str) -> dict[str, Metric]:
    """Score the classes of all pixels; `of_truth` are the scores of the real photos."""
    if sum(int(one.output.sum()) for one in confusions) == 0:
        return {name: mark_unavailable(lacks) for name in _CLASS_SCORES}
    matrices = torch.stack([one.output for one in confusions]).double()
    photos = [one.truth for one in confusions if one.truth is not None]
    found = {}
    for name, chosen in _CLASS_SCORES.items():

        def score(drawn: Tensor, chosen: Callable[[SegmentationScores], Tensor] = chosen) -> Tensor:
            return chosen(score_confusion((drawn @ matrices.flatten(1)).reshape(-1, *matrices.shape[1:])))

        found[name] = {
            "value": chosen(score_confusion(matrices.sum(dim=0))).item(),
            "interval": list(bootstrap_interval(score, len(matrices))),
        }
        if photos:
            found[name]["of_truth"] = chosen(score_confusion(torch.stack(photos).sum(dim=0))).item()
    return found


def _classes(confusions: Sequence[ConfusionCounts], scorer: Scorer) -> dict[str, dict[str, float]] | None:
    if not confusions or scorer.classes is None:
        return None
    found = score_confusion(torch.stack([one.output for one in confusions]).sum(dim=0))
    columns = found.accuracies.tolist(), found.ious.tolist(), found.pixels.tolist()
    return {
        name: {"accuracy": accuracy, "IoU": iou, "pixels": int(pixels)}
        for name, accuracy, iou, pixels in zip(scorer.classes.names, *columns, strict=True)
    }


def _histograms(measured: Sequence[ImageScores]) -> dict[str, Any] | None:
    """Return the counts of all pixels by channel, as in Figure 7 of the paper."""
    counts = [one.histograms for one in measured if one.histograms is not None]
    if not counts:
        return None
    pooled = torch.stack(counts).sum(dim=0)
    sides = {
        side: dict(zip(RANGES, pooled[place].tolist(), strict=True)) for place, side in enumerate(("output", "truth"))
    }
    return {"bins": pooled.shape[-1], "ranges": {name: list(ends) for name, ends in RANGES.items()}, **sides}


_NO_PALETTE = "the label maps have no palette: give --palette"
_NO_PIXEL = "no pixel of the label maps has a counted class"


class Evaluation(NamedTuple):
    """The results of an evaluation: of all images, of each image, and the protocol."""

    summary: Summary
    measured: Sequence[ImageScores]
    protocol: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the parts of metrics.json about images."""
        images = {one.name: dict(one.scores) for one in self.measured}
        return {**self.summary._asdict(), "images": images, "protocol": self.protocol}


def build_scorer(
    options: SegmentationOptions, codec: PairCodec | None, networks: MetricNetworks, max_pixels: int | None = None
) -> Scorer:
    """Build the scorer for photos, or for label maps.

    Raises:
        UserError: a palette cannot be used, or the options do not fit the images.
    """
    classes = _select_classes(options, codec, networks)
    if classes is None and options.ignore is not None and options.segmenter is None:
        raise UserError("--ignore needs classes: give --segmenter or --palette too")
    return Scorer(codec, networks, classes, max_pixels or MAX_PIXELS)


def evaluate(
    pictures: Sequence[TranslationFiles],
    scorer: Scorer,
    progress: Callable[[Sequence[TranslationFiles]], Iterable[TranslationFiles]] = iter,
) -> Evaluation:
    """Compute the scores of each image and the metrics of all; `progress` may show a progress bar.

    Raises:
        UserError: a file cannot be used, sizes differ, or there are no label maps for a segmenter.
    """
    if not isinstance(scorer.networks.segmenter, Unavailable) and any(picture.labels is None for picture in pictures):
        raise UserError("--segmenter needs label maps: give their folder with --labels")
    measured = [scorer.measure(picture) for picture in progress(pictures)]
    return Evaluation(
        summarize(measured, scorer, _why_no_classes(scorer)), measured, describe_protocol(measured, scorer)
    )


def _why_no_classes(scorer: Scorer) -> str:
    """Return the reason for missing class scores, or ""."""
    segmenter = scorer.networks.segmenter
    if scorer.are_labels:
        return _NO_PALETTE if scorer.classes is None else _NO_PIXEL
    if isinstance(segmenter, Unavailable):
        return segmenter.why
    return _NO_PIXEL if scorer.are_visible else INVISIBLE


def _select_classes(options: SegmentationOptions, codec: PairCodec | None, networks: MetricNetworks) -> ClassSet | None:
    """Return the counted classes, or None without palette and segmenter."""
    ignore, segmenter = options.ignore or (), networks.segmenter
    are_labels = codec is not None and codec.target.is_labels
    if options.segmenter is not None:
        if are_labels:
            raise UserError("--segmenter needs photos, and these outputs are label maps: leave it out")
        return None if isinstance(segmenter, Unavailable) else exclude_classes(segmenter.palette, ignore)
    if options.palette is not None:
        return exclude_classes(load_palette(options.palette), ignore)
    if are_labels and codec is not None and codec.target.palette:
        return exclude_classes(infer_palette(codec.target.palette), ignore)
    return None
