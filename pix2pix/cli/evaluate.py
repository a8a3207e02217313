"""`python -m pix2pix evaluate`: compute metrics of a run's translations, or of a folder of images."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.cli.results import write_preview
from pix2pix.cli.test import open_translator, translate
from pix2pix.config.base import to_dict
from pix2pix.config.parse import parse
from pix2pix.config.tools import EvaluateOptions
from pix2pix.errors import UserError
from pix2pix.metrics import is_lower_better

if TYPE_CHECKING:
    from pix2pix.evaluation.metric_networks import MetricNetworks
    from pix2pix.evaluation.score import Folders, TranslationFiles

_HEADS = ("metric", "value", "95 % interval", "better")
_OF_BROWSERS = (".png", ".jpg", ".jpeg", ".webp")


def list_metric_rows(metrics: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Return a row for each computed metric: name, value, interval, and whether lower or higher is better."""
    return [
        (
            name,
            _format_number(metric["value"]),
            _format_interval(metric),
            "lower" if is_lower_better(name) else "higher",
        )
        for name, metric in metrics.items()
        if "value" in metric
    ]


def list_missing_metrics(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the metrics that were not computed, a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for name, metric in metrics.items():
        if "not_computed" in metric:
            reasons.setdefault(metric["not_computed"], []).append(name)
    return [f"{', '.join(names)}: {why}" for why, names in reasons.items()]


def format_table(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Format the metrics as lines for the terminal."""
    lines = [_HEADS, *list_metric_rows(metrics)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS))]
    shown = [
        f"{name:<{widths[0]}}  {value:>{widths[1]}}  {interval:<{widths[2]}}  {better}"
        for name, value, interval, better in lines
    ]
    return [*shown, *(f"not computed: {reason}" for reason in list_missing_metrics(metrics))]


def get_tensorboard_scalars(metrics: Mapping[str, Mapping[str, Any]], phase: str) -> dict[str, float]:
    """Return the values by TensorBoard name."""
    group = "test" if phase == "test" else f"test_on_{phase}"
    names = {name: re.sub(r"[^\w.]+", "_", name).strip("_") for name in metrics}
    return {f"{group}/{names[name]}": metric["value"] for name, metric in metrics.items() if "value" in metric}


def write_page(out: Path, results: Path, pictures: "Sequence[TranslationFiles]", content: Mapping[str, Any]) -> Path:
    """Write out/index.html: images with their metrics, overall metrics, and the protocol."""
    from pix2pix.report.gallery import GalleryItem, Summary, write_gallery

    items = []
    for picture in pictures:
        columns = {"source": picture.labels, "output": picture.output, "target": picture.truth}
        files = {label: path for label, path in columns.items() if path is not None}
        shown = {label: _get_preview(path, label, picture.name, results, out) for label, path in files.items()}
        real = {label: path for label, path in files.items() if shown[label] != path}
        items.append(GalleryItem(picture.name, shown, content["images"][picture.name], real))
    summary = Summary([head.capitalize() for head in _HEADS], list_metric_rows(content["metrics"]))
    translator = content["translator"] or {}
    title = translator.get("name") or results.name
    return write_gallery(out, items, title=f"{title}: evaluation", facts=_facts(content), summary=summary)


def _facts(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the main facts of the protocol, which metrics.json has in full."""
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
    if reasons := list_missing_metrics(content["metrics"]):
        facts["not computed"] = "; ".join(reasons)
    return facts | {"protocol": "metrics.json, beside this page"}


def _get_preview(file: Path, label: str, name: str, results: Path, out: Path) -> Path:
    """Return a file for the browser: itself, its preview, or a preview written now."""
    preview = results / f"preview_{label}" / f"{name}.png"
    if preview.exists():
        return preview
    if file.suffix.lower() in _OF_BROWSERS:
        return file
    from pix2pix.data.codec import read_rgb_array

    made = out / f"preview_{label}" / f"{name}.png"
    made.unlink(missing_ok=True)  # of an earlier evaluation
    return write_preview(made, read_rgb_array(file))


def _format_number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.2f}"


def _format_interval(metric: Mapping[str, Any]) -> str:
    """Format the interval or deviation of a value, and the value of the real images."""
    said = []
    if "interval" in metric:
        low, high = metric["interval"]
        said.append(f"{_format_number(low)} to {_format_number(high)}")
    if "deviation" in metric:
        said.append(f"deviation {_format_number(metric['deviation'])}")
    if "of_truth" in metric:
        said.append(f"truth {_format_number(metric['of_truth'])}")
    return ", ".join(said)


_OF_EVALUATIONS = {"metrics.json", "translation.json"}  # every folder of results has one of them


def evaluate(argv: Sequence[str]) -> int:
    """Evaluate, and write metrics.json and a page; return the exit status."""
    run_evaluation(parse(argv, EvaluateOptions, program="python -m pix2pix evaluate").options)
    return 0


def run_evaluation(options: EvaluateOptions) -> Path:
    """Evaluate a run or a folder, print the metrics, and return the path of metrics.json.

    With --name the pairs of the run are translated as by test.py first.

    Raises:
        UserError: there is no such run or folder, it does not fit the options, or a file cannot be used.
    """
    from pix2pix import distributed
    from pix2pix.evaluation.metric_networks import load_metric_networks
    from pix2pix.runtime.device import Runtime

    out = _get_output_folder(options)
    networks = load_metric_networks(options, Runtime(options.device).device)
    if options.name is not None:
        _translate(options, networks, out)
    results = out if options.results is None else Path(options.results)
    return distributed.run_on_main(lambda: _measure(options, networks, results, out))


def _get_output_folder(options: EvaluateOptions) -> Path:
    """Return the folder for metrics and page, which must be new or contain only these.

    Raises:
        UserError: --out is needed, or it contains other files.
    """
    from pix2pix.errors import format_path
    from pix2pix.evaluation.score import is_test_folder

    measured = None if options.results is None else _get_folders(options, Path(options.results))
    if options.out is None:
        if options.results is None:
            return Path(options.results_dir) / str(options.name) / f"{options.phase}_{options.epoch}"
        if is_test_folder(Path(options.results)):
            return Path(options.results)
        raise UserError(
            f"--results {format_path(options.results)} was not written by test.py: give --out FOLDER for the metrics"
        )
    out = Path(options.out)
    present = {path.name for path in out.iterdir() if path.name[0] != "."} if out.is_dir() else set()
    if present and not present & _OF_EVALUATIONS:
        raise UserError(f"--out {format_path(out)} contains other files; choose a new folder")
    for folder in measured or ():
        if folder is not None and out.resolve().is_relative_to(folder.resolve()):
            raise UserError(
                f"--out {format_path(out)} is inside {format_path(folder)}, whose images are evaluated; choose another"
            )
    return out


def _get_folders(options: EvaluateOptions, results: Path) -> "Folders":
    """Return the folders to compare.

    Raises:
        UserError: there are none, or --truth is needed.
    """
    from pix2pix.evaluation.score import find_folders

    truth, labels = (None if given is None else Path(given) for given in (options.truth, options.labels))
    return find_folders(results, truth, labels)


def _translate(options: EvaluateOptions, networks: "MetricNetworks", folder: Path) -> None:
    """Translate the pairs of a run into the folder.

    Raises:
        UserError: the run is not of pix2pix, or its pairs cannot be used.
    """
    from pix2pix.evaluation.evaluate import build_scorer

    translator = open_translator(options.test, options.seed)
    if (model := translator.options.model) == "segmenter":
        raise UserError(f"--name {options.name}: run test.py of this segmenter, and give the results with --results")
    if model != "pix2pix":
        raise UserError(
            f"--name {options.name}: a run of {model} has no targets to compare with; evaluate needs a run of pix2pix"
        )
    build_scorer(options.segmentation, translator.codec, networks)  # fails before translating
    translate(options.test, translator, folder)


def _measure(options: EvaluateOptions, networks: "MetricNetworks", results: Path, out: Path) -> Path:
    """Evaluate a folder of results, and write and print the metrics."""
    from tqdm import tqdm

    from pix2pix.errors import format_path
    from pix2pix.evaluation.evaluate import build_scorer, evaluate
    from pix2pix.evaluation.protocol import check_writable, read_translation, write_metrics
    from pix2pix.evaluation.score import find_translations

    pictures = find_translations(_get_folders(options, results))
    translation = read_translation(results)
    codec = None if translation is None else translation.codec
    scorer = build_scorer(options.segmentation, codec, networks, options.max_pixels)

    def progress(pictures: "Sequence[TranslationFiles]") -> "Iterable[TranslationFiles]":
        return tqdm(pictures, desc="measuring", unit="image", leave=False, disable=None)

    check_writable(out)
    measured = evaluate(pictures, scorer, progress)
    translator = None if translation is None else translation.translator
    content = {**measured.to_dict(), "translator": translator, "asked": to_dict(options)}
    path = write_metrics(out, content)
    page = write_page(out, results, pictures, content)
    for line in format_table(measured.summary.metrics):
        print(line)
    if options.name is not None and translator is not None:
        _to_tensorboard(options, translator["step"], get_tensorboard_scalars(measured.summary.metrics, options.phase))
    print(f"{format_path(path)}\n{format_path(page)}")
    return path


def _to_tensorboard(options: EvaluateOptions, step: int, values: dict[str, float]) -> None:
    """Add the metrics to the run's scalars; a folder that cannot be written is no reason to fail."""
    from pix2pix.errors import format_path
    from pix2pix.training.logging import add_scalars

    folder = Path(options.checkpoints_dir) / str(options.name)
    try:
        add_scalars(folder, step, values)
    except OSError as error:
        print(f"TensorBoard: {format_path(folder)} cannot be written: {error.strerror or error}", file=sys.stderr)
