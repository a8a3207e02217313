"""metrics.json: what was measured and how, in a form that is the same whenever it is measured again."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from pix2pix import __version__
from pix2pix.environment import version_of
from pix2pix.errors import UserError
from pix2pix.evaluation.instruments import Absent, Instruments
from pix2pix.evaluation.scoring import Measured, Scorer
from pix2pix.images import shown
from pix2pix.metrics.bootstrap import LEVEL, SAMPLES
from pix2pix.metrics.histograms import BINS, RANGES

FILE, FORMAT = "metrics.json", 1
_PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "torchmetrics", "onnxruntime")
_ABSENT_RULE = (
    "means over all counted classes, a class without true pixels counting as 0: with k of {count} classes present a "
    "perfect segmentation scores k/{count}"
)


def protocol(measured: Sequence[Measured], scorer: Scorer) -> dict[str, Any]:
    """Say how it was measured, as plain values."""
    sizes = Counter(f"{height}x{width}" for height, width in (one.size for one in measured))
    return {
        "images": len(measured),
        "sizes": dict(sorted(sizes.items())),
        "L1": "mean absolute difference on [-1, 1]",
        "PSNR": "decibels, of the mean squared difference of each image, at most 100",
        "SSIM": "Gaussian window of 11 pixels and sigma 1.5, means over positions and channels",
        "means": "L1, PSNR, SSIM and LPIPS are means over images",
        "histograms": {
            "bins": BINS,
            "ranges": {name: list(ends) for name, ends in RANGES.items()},
            "of": "CIE Lab under D65, sRGB decoded; the pixels of all images together; the smaller shares added up",
        },
        "networks": networks_of(scorer.instruments),
        "segmentation": _segmentation(measured, scorer),
        "bootstrap": {
            "samples": SAMPLES,
            "level": LEVEL,
            "seed": 0,
            "of": "images, drawn with replacement; percentiles",
            "without": "FID and Frechet distances grow by repeated images; KID and kernel distances tell a deviation",
        },
        "versions": {"pix2pix": __version__} | {name: version_of(name) for name in _PACKAGES},
    }


def networks_of(instruments: Instruments) -> dict[str, Any]:
    """Return, as plain values, the networks whose features are compared, by what is computed with them."""
    found: dict[str, Any] = {}
    for use, network in (("FID, KID", instruments.inception), ("distances", instruments.distance)):
        if not isinstance(network, Absent):
            found[use] = {"name": network.name, "sha256": network.sha256, "resize": network.resize}
    if not isinstance(lpips := instruments.lpips, Absent):
        found["LPIPS"] = {"name": lpips.name, "sha256": lpips.sha256, "heads_sha256": lpips.heads_sha256}
    return found


def _segmentation(measured: Sequence[Measured], scorer: Scorer) -> dict[str, Any] | None:
    if scorer.classes is None:
        return None
    segmenter, names = scorer.instruments.segmenter, scorer.classes.names
    rows = [one.confusions.output.sum(dim=1).tolist() for one in measured if one.confusions is not None]
    pixels = [sum(column) for column in zip(*rows, strict=True)] or [0] * len(names)
    return {
        "seen_by": "nearest colour of the palette"
        if isinstance(segmenter, Absent)
        else {"name": segmenter.name, "sha256": segmenter.sha256, **segmenter.described},
        "truth": "label maps, by the nearest colour of the palette; pixels far from every colour are left out",
        "classes": names,
        "present": [name for name, count in zip(names, pixels, strict=True) if count],
        "ignored": list(scorer.classes.ignored),
        "absent": _ABSENT_RULE.format(count=len(names)),
    }


def write_metrics(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write folder/metrics.json, whole or not at all, and return its path.

    Raises:
        UserError: it cannot be written; an older one is then left as it was.
    """
    path, temporary = folder / FILE, folder / f".{FILE}.{os.getpid()}"
    text = json.dumps({"format": FORMAT, **content}, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with _writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # a name that is no valid UTF-8 is there as lone surrogates, which JSON escapes
            temporary.write_text(text, encoding="ascii")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def check_writable(folder: Path) -> None:
    """Make the folder and see that metrics.json can be written there, before all is measured.

    Raises:
        UserError: it cannot.
    """
    with _writing(folder / FILE):
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell of a file that cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{shown(path)} cannot be written: {error.strerror or error}; choose another --out") from error
