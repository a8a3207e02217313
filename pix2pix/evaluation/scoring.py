"""What is measured on one image: scores of its own, and what is pooled over all images."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pix2pix.evaluation.classes import Classes
from pix2pix.evaluation.instruments import Absent, Instruments
from pix2pix.evaluation.pictures import Picture, check_sizes
from pix2pix.images import MAX_PIXELS, Array, Codec, Encoding, ImageError, as_rgb, read, rgb_encoding, shown
from pix2pix.metrics import image as metrics
from pix2pix.metrics.histograms import RANGES, intersection, lab_histograms
from pix2pix.metrics.segmentation import confusion, scores

PIXEL_ACCURACY = "pixel accuracy"
HISTOGRAMS = tuple(f"histogram {channel}" for channel in RANGES)


class Confusions(NamedTuple):
    """Counts (K, K + 1) of true classes by those seen in the output, and in the true photo where photos are seen."""

    output: Tensor
    truth: Tensor | None


class Measured(NamedTuple):
    """One image: scores by the metric's name, and what is pooled over images."""

    name: str
    size: tuple[int, int]
    scores: Mapping[str, float]
    histograms: Tensor | None
    """(2, 3, bins): of the output and the truth, for L, a and b."""
    confusions: Confusions | None
    features: Mapping[str, Tensor]
    """(2, D) by the network's name: of the output and the truth."""


def as_compared(encoding: Encoding) -> Encoding:
    """Return how outputs and targets are compared: colours of photos in RGB."""
    return replace(encoding, kind="photo") if encoding.kind == "chroma" else encoding


def compared(output: Tensor, target: Tensor) -> dict[str, float]:
    """Compare an output (1, C, H, W) in [-1, 1] with its target."""
    return {
        "L1": metrics.l1(output, target).item(),
        "PSNR": metrics.psnr(output, target).item(),
        "SSIM": metrics.ssim(output, target).item(),
    }


@dataclass(frozen=True)
class Scorer:
    """How images are measured. Without a codec they are pictures of any depth, compared in RGB."""

    codec: Codec | None
    instruments: Instruments
    classes: Classes | None
    max_pixels: int = MAX_PIXELS

    @property
    def are_labels(self) -> bool:
        """Whether outputs and truths are label maps, whose colours are names and no more."""
        is_decoded = self.classes is not None and isinstance(self.instruments.segmenter, Absent)
        return is_decoded or (self.codec is not None and self.codec.target.is_labels)

    @property
    def are_visible(self) -> bool:
        """Whether outputs are grey or RGB photos."""
        return not self.are_labels and (self.codec is None or as_compared(self.codec.target).nc in (1, 3, 4))

    def measure(self, picture: Picture) -> Measured:
        """Read and measure one image; no other plays a part.

        Raises:
            UserError: a file cannot be used, or sizes differ.
        """
        (output, x), (truth, y) = self._read(picture.output), self._read(picture.truth)
        segmenter = self.instruments.segmenter
        is_seen = picture.labels is not None and not isinstance(segmenter, Absent)
        labels = read(picture.labels, self.max_pixels) if picture.labels and is_seen else None
        present = [array for array in (output, truth, labels) if array is not None]
        check_sizes(picture, [(array.shape[0], array.shape[1]) for array in present])
        found, histograms, features = compared(x, y), None, {}
        if self.are_visible:
            x, y = _rgb(x), _rgb(y)
            if not isinstance(lpips := self.instruments.lpips, Absent):
                found[lpips.name] = lpips(x, y).item()
            histograms = torch.cat([lab_histograms(x), lab_histograms(y)])
            found |= dict(zip(HISTOGRAMS, intersection(*histograms).tolist(), strict=True))
            features = {
                network.name: torch.cat([network.features(x), network.features(y)]).cpu()
                for network in self.instruments.feature_networks
            }
        confusions = self._confusions(output, truth, x, y, labels)
        if confusions is not None:
            found[PIXEL_ACCURACY] = scores(confusions.output).pixel_accuracy.item()
        return Measured(picture.name, (output.shape[0], output.shape[1]), found, histograms, confusions, features)

    def _confusions(self, output: Array, truth: Array, x: Tensor, y: Tensor, labels: Array | None) -> Confusions | None:
        """Compare label maps with each other, or the classes that photos show with their label map."""
        if self.classes is None:
            return None
        count = len(self.classes.names)
        if self.are_labels:
            return Confusions(confusion(self.classes.decoded(output), self.classes.truth(truth), count), None)
        segmenter = self.instruments.segmenter
        if labels is None or isinstance(segmenter, Absent) or not self.are_visible:
            return None
        true = self.classes.truth(labels)
        seen = [self.classes.seen(segmenter.classes(photo)[0].cpu()) for photo in (x, y)]
        return Confusions(*(confusion(places, true, count) for places in seen))

    def _read(self, path: Path) -> tuple[Array, Tensor]:
        """Read an output or a truth: as classes are told by, and (1, C, H, W) in [-1, 1], as test.py compares it."""
        array = read(path, self.max_pixels)
        encoding = None if self.codec is None else as_compared(self.codec.target)
        try:
            accepted = as_rgb(array) if encoding is None else encoding.accept(array)
        except ImageError as error:
            raise ImageError(f"{shown(path)}: {error}") from error
        tensor = (encoding or rgb_encoding(accepted.dtype.name)).encode(accepted)[None]
        return array if encoding is None else accepted, tensor  # not in RGB, in which class numbers would be colours


def _rgb(photo: Tensor) -> Tensor:
    """Return a photo of 1, 3 or 4 channels in RGB."""
    return photo[:, :3] if photo.shape[1] > 1 else photo.expand(-1, 3, -1, -1)
