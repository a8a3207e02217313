"""The metrics as people read them: a table on the terminal, a page, and scalars of TensorBoard."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.cli.results import as_shown
from pix2pix.metrics.order import is_lower_better

if TYPE_CHECKING:
    from pix2pix.evaluation import Picture

_HEADS = ("metric", "value", "95 % interval", "better")
_OF_BROWSERS = (".png", ".jpg", ".jpeg", ".webp")


def rows(metrics: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Return a row for each metric that was computed: its name, value, interval, and what is better."""
    return [
        (name, _number(metric["value"]), _spread(metric), "lower" if is_lower_better(name) else "higher")
        for name, metric in metrics.items()
        if "value" in metric
    ]


def missing(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say which metrics were not computed, a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for name, metric in metrics.items():
        if "not_computed" in metric:
            reasons.setdefault(metric["not_computed"], []).append(name)
    return [f"{', '.join(names)}: {why}" for why, names in reasons.items()]


def table(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines that the terminal shows."""
    lines = [_HEADS, *rows(metrics)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS))]
    shown = [
        f"{name:<{widths[0]}}  {value:>{widths[1]}}  {interval:<{widths[2]}}  {better}"
        for name, value, interval, better in lines
    ]
    return [*shown, *(f"not computed: {reason}" for reason in missing(metrics))]


def scalars(metrics: Mapping[str, Mapping[str, Any]], phase: str) -> dict[str, float]:
    """Return the values by their TensorBoard names."""
    group = "test" if phase == "test" else f"test_on_{phase}"
    names = {name: re.sub(r"[^\w.]+", "_", name).strip("_") for name in metrics}
    return {f"{group}/{names[name]}": metric["value"] for name, metric in metrics.items() if "value" in metric}


def write_page(out: Path, results: Path, pictures: "Sequence[Picture]", content: Mapping[str, Any]) -> Path:
    """Write out/index.html: the images with all that was measured on each, the metrics, and how they came about."""
    from pix2pix.gallery import GalleryItem, Summary, write_gallery

    items = []
    for picture in pictures:
        columns = {"source": picture.labels, "output": picture.output, "target": picture.truth}
        files = {label: path for label, path in columns.items() if path is not None}
        shown = {label: _shown(path, label, picture.name, results, out) for label, path in files.items()}
        real = {label: path for label, path in files.items() if shown[label] != path}
        items.append(GalleryItem(picture.name, shown, content["images"][picture.name], real))
    summary = Summary([head.capitalize() for head in _HEADS], rows(content["metrics"]))
    translator = content["translator"] or {}
    title = translator.get("name") or results.name
    return write_gallery(out, items, title=f"{title}: evaluation", facts=_facts(content), summary=summary)


def _facts(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the part of the protocol that fits above the images; metrics.json has all of it."""
    protocol, facts = content["protocol"], {}
    sizes = [f"{count} of {size}" for size, count in protocol["sizes"].items()]
    facts["images"] = f"{', '.join(sizes[:5])}{' and other sizes' * (len(sizes) > 5)} (height x width)"
    if by := content["translator"]:
        ways = [f"{way} {by[way]}" for way in ("statistics", "dropout", "seed") if by[way] is not None]
        facts["translator"] = ", ".join([by["name"], f"step {by['step']}", by["direction"], *ways])
        facts["checkpoint"] = f"SHA-256 {by['sha256']}"
        facts["pairs"] = f"{by['phase']}, {by['size']}"
    for use, network in protocol["networks"].items():
        facts[use] = f"{network['name']}, SHA-256 {network['sha256']}"
    if classes := protocol["segmentation"]:
        seen = classes["seen_by"]
        facts["classes"] = seen if isinstance(seen, str) else f"{seen['name']}, SHA-256 {seen['sha256']}"
        facts["class means"] = classes["absent"]
    if reasons := missing(content["metrics"]):
        facts["not computed"] = "; ".join(reasons)
    return facts | {"protocol": "metrics.json, beside this page"}


def _shown(file: Path, label: str, name: str, results: Path, out: Path) -> Path:
    """Return what a browser can show of a file: itself, or the preview that lies beside it or is made here."""
    preview = results / f"preview_{label}" / f"{name}.png"
    if preview.exists():
        return preview
    if file.suffix.lower() in _OF_BROWSERS:
        return file
    from pix2pix.images import read_rgb_array

    made = out / f"preview_{label}" / f"{name}.png"
    made.unlink(missing_ok=True)  # of an earlier evaluation
    return as_shown(made, read_rgb_array(file))


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.2f}"


def _spread(metric: Mapping[str, Any]) -> str:
    """Say how far a value would scatter, and what the true images reach."""
    said = []
    if "interval" in metric:
        low, high = metric["interval"]
        said.append(f"{_number(low)} to {_number(high)}")
    if "deviation" in metric:
        said.append(f"deviation {_number(metric['deviation'])}")
    if "of_truth" in metric:
        said.append(f"truth {_number(metric['of_truth'])}")
    return ", ".join(said)
