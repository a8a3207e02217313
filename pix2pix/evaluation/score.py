"""Find the files of each translation, and compute the scores of each image.

Intervals: percentile bootstrap, Efron: Bootstrap methods: another look at the jackknife, 1979.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pix2pix import metrics
from pix2pix.data.arrays import Array
from pix2pix.data.codec import ImageCodec, PairCodec, rgb_codec, to_rgb_array
from pix2pix.data.io import find_images, read_image
from pix2pix.data.limits import MAX_PIXELS
from pix2pix.errors import ImageError, UserError, format_path
from pix2pix.evaluation.distances import RANGES, count_lab_histograms, intersect_histograms
from pix2pix.evaluation.metric_networks import MetricNetworks, Unavailable
from pix2pix.evaluation.segmentation import ClassSet, count_confusion, score_confusion

SAMPLES, LEVEL = 1000, 0.95
_AT_ONCE = 100  # samples at a time, to limit memory


def bootstrap_interval(
    statistic: Callable[[Tensor], Tensor], count: int, *, samples: int = SAMPLES, level: float = LEVEL, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a statistic of `count` items, with confidence `level`.

    `statistic` maps how often each item was drawn, float64 (S, count), to its values (S,): a sum over items is a
    product with a matrix of one row per item. The interval of a single item has no width.
    """
    generator = torch.Generator().manual_seed(seed)
    values = []
    for first in range(0, samples, _AT_ONCE):
        items = torch.randint(count, (min(_AT_ONCE, samples - first), count), generator=generator)
        drawn = torch.zeros(items.shape, dtype=torch.float64).scatter_add_(1, items, torch.ones_like(items).double())
        values.append(statistic(drawn).double())
    tail = (1 - level) / 2
    low, high = torch.cat(values).quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def bootstrap_mean_interval(
    values: Tensor, *, samples: int = SAMPLES, level: float = LEVEL, seed: int = 0
) -> tuple[float, float]:
    """Return the bootstrap interval of the mean of values (N,)."""
    column = values.cpu().double()
    return bootstrap_interval(
        lambda drawn: drawn @ column / len(column), len(column), samples=samples, level=level, seed=seed
    )


class Folders(NamedTuple):
    """The folders of outputs, targets and, if there are any, label maps."""

    output: Path
    truth: Path
    labels: Path | None


class TranslationFiles(NamedTuple):
    """The files of a translation; its name is the path in the folder without suffix."""

    name: str
    output: Path
    truth: Path
    labels: Path | None


def is_test_folder(folder: Path) -> bool:
    """Return whether the folder has results of test.py with one output per image."""
    return (folder / "output").is_dir()


def find_folders(results: Path, truth: Path | None, labels: Path | None) -> Folders:
    """Find the folders to compare, of test.py's results or any others.

    Raises:
        UserError: there are none, or --truth is needed.
    """
    if not results.is_dir():
        raise UserError(f"--results {format_path(results)} is not a folder; a folder of translations is needed")
    if is_test_folder(results):
        sources = results / "source"
        found = Folders(
            results / "output", truth or results / "target", labels or (sources if sources.is_dir() else None)
        )
        if not found.truth.is_dir() and truth is None:
            raise UserError(
                f"--results {format_path(results)} has no targets: give the target images with --truth FOLDER"
            )
    elif truth is None:
        several = sorted(path.name for path in results.glob("output_*") if path.is_dir())
        way = f"one of its folders, such as --results {format_path(results / several[0])}, with " if several else ""
        raise UserError(f"--results {format_path(results)} has no folder `output` of test.py: give {way}--truth FOLDER")
    else:
        found = Folders(results, truth, labels)
    for option, folder in (("truth", found.truth), ("labels", found.labels)):
        if folder is not None and not folder.is_dir():
            raise UserError(f"--{option} {format_path(folder)} is not a folder; a folder of images is needed")
    return found


def find_translations(where: Folders) -> list[TranslationFiles]:
    """Match the files of the folders by name, in natural order.

    Raises:
        UserError: there are no images, two have the same name, or one has no partner.
    """
    outputs, truths = _by_name(where.output), _by_name(where.truth)
    if not outputs:
        raise UserError(f"{format_path(where.output)} has no images; a folder of translations is needed")
    _check_partners(outputs, truths, where.output, where.truth)
    _check_partners(truths, outputs, where.truth, where.output)
    if where.labels is None:
        return [TranslationFiles(name, path, truths[name], None) for name, path in outputs.items()]
    labels = _by_name(where.labels)
    _check_partners(outputs, labels, where.output, where.labels)
    return [TranslationFiles(name, path, truths[name], labels[name]) for name, path in outputs.items()]


def check_sizes(picture: TranslationFiles, sizes: Sequence[tuple[int, int]]) -> None:
    """Check that the images of a translation have equal sizes (height, width).

    Raises:
        UserError: they differ.
    """
    if len(set(sizes)) > 1:
        said = " and ".join(f"{height}x{width}" for height, width in sizes)
        raise UserError(
            f"{format_path(picture.output)} and its partners are {said} (height x width); equal sizes are needed"
        )


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in find_images(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise UserError(
                f"{format_path(found[name])} and {format_path(path)} have the same name; remove one of them"
            )
        found[name] = path
    return found


def _check_partners(these: dict[str, Path], those: dict[str, Path], here: Path, there: Path) -> None:
    alone = [name for name in these if name not in those]
    if alone:
        others = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
        name = format_path(alone[0])
        raise UserError(
            f"{name}{others} of {format_path(here)} has no partner in {format_path(there)}; equal names are needed"
        )


PIXEL_ACCURACY = "pixel accuracy"
HISTOGRAMS = tuple(f"histogram {channel}" for channel in RANGES)


class ConfusionCounts(NamedTuple):
    """Confusion counts (K, K + 1) of the output and, for photos, of the target photo."""

    output: Tensor
    truth: Tensor | None


class ImageScores(NamedTuple):
    """The scores of an image by metric, and values to pool over images."""

    name: str
    size: tuple[int, int]
    scores: Mapping[str, float]
    histograms: Tensor | None
    """(2, 3, bins): of output and target, for L, a and b."""
    confusions: ConfusionCounts | None
    features: Mapping[str, Tensor]
    """(2, D) by network: of output and target."""


def get_comparison_codec(encoding: ImageCodec) -> ImageCodec:
    """Return the codec for comparison: chroma is compared in RGB."""
    return replace(encoding, kind="photo") if encoding.kind == "chroma" else encoding


def compute_scores(output: Tensor, target: Tensor) -> dict[str, float]:
    """Compare an output (1, C, H, W) in [-1, 1] with its target."""
    return {
        "L1": metrics.l1(output, target).item(),
        "PSNR": metrics.psnr(output, target).item(),
        "SSIM": metrics.ssim(output, target).item(),
    }


@dataclass(frozen=True)
class Scorer:
    """Computes the scores of images; without a codec they are images of any type, compared in RGB."""

    codec: PairCodec | None
    networks: MetricNetworks
    classes: ClassSet | None
    max_pixels: int = MAX_PIXELS

    @property
    def are_labels(self) -> bool:
        """Whether outputs and targets are label maps."""
        is_decoded = self.classes is not None and isinstance(self.networks.segmenter, Unavailable)
        return is_decoded or (self.codec is not None and self.codec.target.is_labels)

    @property
    def are_visible(self) -> bool:
        """Whether outputs are gray or RGB photos."""
        return not self.are_labels and (self.codec is None or get_comparison_codec(self.codec.target).nc in (1, 3, 4))

    def measure(self, picture: TranslationFiles) -> ImageScores:
        """Read the files of an image and compute its scores.

        Raises:
            UserError: a file cannot be used, or sizes differ.
        """
        (output, x), (truth, y) = self._read(picture.output), self._read(picture.truth)
        segmenter = self.networks.segmenter
        is_seen = picture.labels is not None and not isinstance(segmenter, Unavailable)
        labels = read_image(picture.labels, self.max_pixels) if picture.labels and is_seen else None
        present = [array for array in (output, truth, labels) if array is not None]
        check_sizes(picture, [(array.shape[0], array.shape[1]) for array in present])
        found, histograms, features = compute_scores(x, y), None, {}
        if self.are_visible:
            x, y = _rgb(x), _rgb(y)
            if not isinstance(lpips := self.networks.lpips, Unavailable):
                found[lpips.name] = lpips(x, y).item()
            histograms = torch.cat([count_lab_histograms(x), count_lab_histograms(y)])
            found |= dict(zip(HISTOGRAMS, intersect_histograms(*histograms).tolist(), strict=True))
            features = {
                network.name: torch.cat([network.features(x), network.features(y)]).cpu()
                for network in self.networks.feature_networks
            }
        confusions = self._confusions(output, truth, x, y, labels)
        if confusions is not None:
            found[PIXEL_ACCURACY] = score_confusion(confusions.output).pixel_accuracy.item()
        return ImageScores(picture.name, (output.shape[0], output.shape[1]), found, histograms, confusions, features)

    def _confusions(
        self, output: Array, truth: Array, x: Tensor, y: Tensor, labels: Array | None
    ) -> ConfusionCounts | None:
        """Count confusions of label maps, or of the classes of photos with their label map."""
        if self.classes is None:
            return None
        count = len(self.classes.names)
        if self.are_labels:
            return ConfusionCounts(
                count_confusion(self.classes.decoded(output), self.classes.truth(truth), count), None
            )
        segmenter = self.networks.segmenter
        if labels is None or isinstance(segmenter, Unavailable) or not self.are_visible:
            return None
        true = self.classes.truth(labels)
        seen = [self.classes.seen(segmenter.classes(photo)[0].cpu()) for photo in (x, y)]
        return ConfusionCounts(*(count_confusion(places, true, count) for places in seen))

    def _read(self, path: Path) -> tuple[Array, Tensor]:
        """Read an output or target: as an array for classes, and as (1, C, H, W) in [-1, 1]."""
        array = read_image(path, self.max_pixels)
        encoding = None if self.codec is None else get_comparison_codec(self.codec.target)
        try:
            accepted = to_rgb_array(array) if encoding is None else encoding.accept(array)
        except ImageError as error:
            raise ImageError(f"{format_path(path)}: {error}") from error
        tensor = (encoding or rgb_codec(accepted.dtype.name)).encode(accepted)[None]
        return array if encoding is None else accepted, tensor  # in RGB class indices would be colors


def _rgb(photo: Tensor) -> Tensor:
    """Convert a photo of 1, 3 or 4 channels to RGB."""
    return photo[:, :3] if photo.shape[1] > 1 else photo.expand(-1, 3, -1, -1)
