"""metrics.json: the metrics, and how they were computed."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from pix2pix import __version__, checkpoint
from pix2pix.checkpoint import hash_file
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.errors import UserError, format_path
from pix2pix.evaluation.distances import BINS, RANGES
from pix2pix.evaluation.metric_networks import MetricNetworks, Unavailable
from pix2pix.evaluation.score import LEVEL, SAMPLES, ImageScores, Scorer
from pix2pix.inference.translator import LoadedTranslator
from pix2pix.runtime.environment import get_version

TRANSLATION_FILE = "translation.json"


class TranslationInfo(NamedTuple):
    """The origin of the results as plain values, and the codec of their files."""

    translator: dict[str, Any]
    codec: PairCodec


def describe_translation(translator: LoadedTranslator, run: Path, *, phase: str, size: str) -> TranslationInfo:
    """Describe the translations of a phase by a run."""
    options: Any = translator.options  # of a run on pairs
    switches: dict[str, str | None] = {"statistics": None, "dropout": None}
    if isinstance(options, Pix2PixOptions):
        switches = {"statistics": options.test.norm_stats, "dropout": options.test.dropout}
    described = {
        "name": run.name,
        "model": options.model,
        "step": translator.step,
        "sha256": hash_file(checkpoint.checkpoint_path(run, translator.step)),
        "direction": options.data.direction,
        **switches,
        "seed": options.run.seed,
        "phase": phase,
        "size": size,
    }
    return TranslationInfo(described, translator.codec)


def write_translation(folder: Path, translation: TranslationInfo) -> None:
    """Write folder/translation.json."""
    codec = {side: encoding.to_dict() for side, encoding in translation.codec._asdict().items()}
    content = {"translator": translation.translator, "codec": codec}
    (folder / TRANSLATION_FILE).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_translation(folder: Path) -> TranslationInfo | None:
    """Read folder/translation.json; None if there is none.

    Raises:
        UserError: it is invalid.
    """
    path = folder / TRANSLATION_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        codec = PairCodec(**{side: ImageCodec.from_dict(stored) for side, stored in content["codec"].items()})
        return TranslationInfo(dict(content["translator"]), codec)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{format_path(path)} is not a file of test.py: translate again with test.py") from error


METRICS_FILE, FORMAT = "metrics.json", 1
_PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "torchmetrics", "onnxruntime")
_ABSENT_RULE = (
    "means over all counted classes, a class without true pixels counting as 0: with k of {count} classes present a "
    "perfect segmentation scores k/{count}"
)


def describe_protocol(measured: Sequence[ImageScores], scorer: Scorer) -> dict[str, Any]:
    """Describe how metrics were computed, as plain values."""
    sizes = Counter(f"{height}x{width}" for height, width in (one.size for one in measured))
    return {
        "images": len(measured),
        "sizes": dict(sorted(sizes.items())),
        "L1": "mean absolute difference on [-1, 1]",
        "PSNR": "decibels, by the mean squared difference of each image, at most 100",
        "SSIM": "Gaussian window of 11 pixels and sigma 1.5, means over positions and channels",
        "means": "L1, PSNR, SSIM and LPIPS are means over images",
        "histograms": {
            "bins": BINS,
            "ranges": {name: list(ends) for name, ends in RANGES.items()},
            "of": "CIE Lab under D65, sRGB decoded; pixels of all images pooled; sum of the smaller shares",
        },
        "networks": describe_networks(scorer.networks),
        "segmentation": _segmentation(measured, scorer),
        "bootstrap": {
            "samples": SAMPLES,
            "level": LEVEL,
            "seed": 0,
            "of": "images, drawn with replacement; percentiles",
            "without": "FID and Frechet distances grow with repeated images; KID and kernel distances have a deviation",
        },
        "versions": {"pix2pix": __version__} | {name: get_version(name) for name in _PACKAGES},
    }


def describe_networks(networks: MetricNetworks) -> dict[str, Any]:
    """Describe the feature networks by metric, as plain values."""
    found: dict[str, Any] = {}
    for use, network in (("FID, KID", networks.inception), ("distances", networks.distance)):
        if not isinstance(network, Unavailable):
            found[use] = {"name": network.name, "sha256": network.sha256, "resize": network.resize}
    if not isinstance(lpips := networks.lpips, Unavailable):
        found["LPIPS"] = {"name": lpips.name, "sha256": lpips.sha256, "heads_sha256": lpips.heads_sha256}
    return found


def _segmentation(measured: Sequence[ImageScores], scorer: Scorer) -> dict[str, Any] | None:
    if scorer.classes is None:
        return None
    segmenter, names = scorer.networks.segmenter, scorer.classes.names
    rows = [one.confusions.output.sum(dim=1).tolist() for one in measured if one.confusions is not None]
    pixels = [sum(column) for column in zip(*rows, strict=True)] or [0] * len(names)
    return {
        "seen_by": "nearest color of the palette"
        if isinstance(segmenter, Unavailable)
        else {"name": segmenter.name, "sha256": segmenter.sha256, **segmenter.described},
        "truth": "label maps, by the nearest color of the palette; pixels far from every color are ignored",
        "classes": names,
        "present": [name for name, count in zip(names, pixels, strict=True) if count],
        "ignored": list(scorer.classes.ignored),
        "absent": _ABSENT_RULE.format(count=len(names)),
    }


def write_metrics(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write folder/metrics.json atomically and return its path.

    Raises:
        UserError: it cannot be written; an older one is kept.
    """
    path, temporary = folder / METRICS_FILE, folder / f".{METRICS_FILE}.{os.getpid()}"
    text = json.dumps({"format": FORMAT, **content}, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with _writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # names that are not UTF-8 have lone surrogates, which JSON escapes
            temporary.write_text(text, encoding="ascii")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def check_writable(folder: Path) -> None:
    """Create the folder and check that metrics.json can be written, before computing it.

    Raises:
        UserError: it cannot be written.
    """
    with _writing(folder / METRICS_FILE):
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn errors of writing a file into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{format_path(path)} cannot be written: {error.strerror or error}; choose another --out"
        ) from error
