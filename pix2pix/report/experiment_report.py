"""Write the report of an experiment: a table, images, color histograms, JSON."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pix2pix.data.arrays import convert_channels, fit_size, resize
from pix2pix.data.io import read_image, write_image
from pix2pix.evaluation.experiment import Result, find_cell_images
from pix2pix.evaluation.score import TranslationFiles
from pix2pix.metrics import is_lower_better, metric_sort_key
from pix2pix.report.contact_sheet import CaptionedImage, draw_captioned_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pix2pix.data.arrays import Array


class Entry(NamedTuple):
    """A metric in a row: the mean over seeds, and its spread.

    `deviation` is the standard deviation over seeds (n - 1), None for one seed; then `interval` is the bootstrap
    interval over images.
    """

    mean: float
    deviation: float | None
    interval: tuple[float, float] | None


class Row(NamedTuple):
    """The labels of a cell, its seeds, and the metrics that all of them have."""

    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    entries: Mapping[str, Entry]


class Table(NamedTuple):
    """The rows of an experiment in the order of its cells, and the names of the axes."""

    axes: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]


def build_table(axes: Sequence[str], results: Sequence[Result]) -> Table:
    """Combine the seeds of each cell to a row.

    With a segmenter the last row has its scores of the real images.
    """
    by_choice: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        by_choice.setdefault(result.cell.labels, []).append(result)
    rows = [
        Row(labels, tuple(result.cell.seed for result in found), _entries([result.metrics for result in found]))
        for labels, found in by_choice.items()
    ]
    names = sorted(dict.fromkeys(name for row in rows for name in row.entries), key=metric_sort_key)
    truth = {
        name: Entry(measured["of_truth"], None, None)
        for name, measured in results[0].metrics["metrics"].items()
        if "of_truth" in measured
    }
    if truth:
        rows.append(Row(("ground truth", *[""] * (len(axes) - 1)), (), truth))
    return Table(tuple(axes), tuple(names), tuple(rows))


def _entries(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Entry]:
    first = seeds[0]["metrics"]
    measured = {name: [seed["metrics"].get(name, {}) for seed in seeds] for name in first}
    return {name: _entry(found) for name, found in measured.items() if all("value" in one for one in found)}


def _entry(measured: Sequence[Mapping[str, Any]]) -> Entry:
    values = [float(one["value"]) for one in measured]
    if len(values) > 1:
        return Entry(statistics.fmean(values), statistics.stdev(values), None)
    interval = measured[0].get("interval")
    return Entry(values[0], None, tuple(interval) if interval else None)


def find_best(table: Table, metric: str) -> float:
    """Return the best mean of a metric, without the ground truth; NaN if no row has it."""
    means = [row.entries[metric].mean for row in table.rows if row.seeds and metric in row.entries]
    return (min if is_lower_better(metric) else max)(means, default=math.nan)


def format_markdown(table: Table) -> str:
    """Return the table in Markdown, the best mean of each column in bold."""
    heads = [f"{metric} {'↓' if is_lower_better(metric) else '↑'}" for metric in table.metrics]
    bests = {metric: find_best(table, metric) for metric in table.metrics}
    lines = [[*table.axes, "seeds", *heads], ["---"] * len(table.axes) + ["--:"] * (1 + len(heads))]
    for row in table.rows:
        cells = [_cell(row.entries.get(metric), bests[metric] if row.seeds else math.nan) for metric in table.metrics]
        lines.append([*row.labels, str(len(row.seeds) or ""), *cells])
    return "".join(f"| {' | '.join(map(_escaped, line))} |\n" for line in lines)


def _escaped(text: str) -> str:
    """Escape a text for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _cell(entry: Entry | None, best: float) -> str:
    if entry is None:
        return "-"
    digits = _digits(entry)
    text = f"{entry.mean:.{digits}f}"
    if entry.deviation is not None:
        text += f" ± {entry.deviation:.{digits}f}"
    elif entry.interval is not None:
        text += " [{:.{}f}, {:.{}f}]".format(entry.interval[0], digits, entry.interval[1], digits)
    return f"**{text}**" if entry.mean == best else text


def _digits(entry: Entry) -> int:
    """Return the decimals for three significant digits: 21.3, 0.342, 0.00215."""
    size = abs(entry.mean)
    return 3 if size == 0 else max(0, min(6, 2 - math.floor(math.log10(size))))


def list_footnotes(results: Sequence[Result]) -> str:
    """Return the footnotes of the table: what ± and [ ] are, and which metrics are missing and why."""
    lines = ["±: the standard deviation over the seeds. [ ]: of one seed, the 95 % interval over the images."]
    measured = results[0].metrics["metrics"]
    lines += [
        f"Not computed: {name}: {one['not_computed']}." for name, one in measured.items() if "not_computed" in one
    ]
    return "\n".join(f"\n{line}" for line in lines) + "\n"


def table_to_dict(table: Table) -> dict[str, Any]:
    """Return the table as plain values, for JSON."""
    return {
        "axes": list(table.axes),
        "rows": [
            {
                "labels": list(row.labels),
                "seeds": list(row.seeds),
                "metrics": {
                    name: {key: value for key, value in entry._asdict().items() if value is not None}
                    for name, entry in row.entries.items()
                },
            }
            for row in table.rows
        ],
    }


_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's, distinguishable for color-blind people; black: ground truth. Source: Color Universal Design."""
_STYLES = ("-", "--", ":")


def plot_color_histograms(file: Path, results: Sequence[Result], title: str) -> None:
    """Plot the marginals of L, a and b, logarithmic, of the first seed of each cell and of the real images.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # slow import; without pyplot, which needs a display

    figure = Figure(figsize=(13, 4.8), layout="constrained")
    figure.suptitle(_plain(title))
    panels = figure.subplots(1, 3)
    for channel, panel in zip(("L", "a", "b"), panels, strict=True):
        _draw_channel(panel, channel, results)
    handles, names = panels[0].get_legend_handles_labels()
    columns = max(1, min(5, int(150 / (max(map(len, names)) + 8))))  # about 150 characters fit the width
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)
    figure.savefig(file, dpi=120)


def _draw_channel(panel: "Axes", channel: str, results: Sequence[Result]) -> None:
    truth = results[0].metrics["histograms"]
    panel.plot(*_marginal(truth, "truth", channel), color="black", lw=2.5, label="ground truth")
    for number, result in enumerate(results):
        style = _STYLES[number // len(_COLOURS) % len(_STYLES)]
        values, shares = _marginal(result.metrics["histograms"], "output", channel)
        colour = _COLOURS[number % len(_COLOURS)]
        panel.plot(values, shares, style, color=colour, lw=1.5, label=_plain(", ".join(result.cell.labels)))
    panel.set(title=channel, xlabel=channel, yscale="log", ylim=(1e-6, 1))
    panel.set_ylabel("share of all pixels in a bin, logarithmic" if channel == "L" else "")
    panel.grid(color="0.9")


def _plain(text: str) -> str:
    """Escape a text for Matplotlib: dollars begin formulas, and legends skip names with a leading underscore."""
    return f"{' ' * text.startswith('_')}{text}".replace("$", r"\$")


def _marginal(histograms: Mapping[str, Any], of: str, channel: str) -> tuple[list[float], list[float]]:
    """Return the centers of the bins and the share of pixels in each; NaN, a gap in the line, for none."""
    counts = histograms[of][channel]
    low, high = histograms["ranges"][channel]
    width = (high - low) / len(counts)
    total = sum(counts)
    shares = [count / total if count else float("nan") for count in counts]
    return [low + width * (place + 0.5) for place in range(len(counts))], shares


_ROWS = 6  # images in the report
_LONGEST = 256  # longer side of a tile in pixels


def write_report(folder: Path, title: str, axes: Sequence[str], results: Sequence[Result]) -> str:
    """Write table.md, experiment.json, pictures.png and colours.png, and return the table as Markdown.

    There is no pictures.png if cells translate different images, and no colours.png for label maps or without
    Matplotlib.

    Raises:
        OSError: a file cannot be written.
    """
    table = build_table(axes, results)
    text = format_markdown(table)
    firsts = list({result.cell.labels: result for result in reversed(results)}.values())[::-1]
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("pictures.png", "colours.png"):
        (folder / name).unlink(missing_ok=True)  # of an earlier report
    if rows := _pictures(firsts):
        write_image(folder / "pictures.png", draw_captioned_grid(rows))
    if all(result.metrics["histograms"] for result in firsts) and find_spec("matplotlib"):
        plot_color_histograms(folder / "colours.png", firsts, title)
    runs = [
        {"labels": list(result.cell.labels), "seed": result.cell.seed, "run": result.run, "metrics": result.metrics}
        for result in results
    ]
    content = {"title": title, "table": table_to_dict(table), "runs": runs}
    _write_text(folder / "experiment.json", json.dumps(content, indent=2, sort_keys=True) + "\n")
    _write_text(folder / "table.md", f"# {title}\n\n{text}{list_footnotes(results)}")
    return text


def _pictures(results: Sequence[Result]) -> list[list[CaptionedImage]]:
    """Return rows of images: source, the translation of each cell, target."""
    found = [{picture.name: picture for picture in find_cell_images(result.folder)} for result in results]
    names = [name for name in found[0] if all(name in others for others in found)]
    chosen = [names[place * len(names) // min(_ROWS, len(names))] for place in range(min(_ROWS, len(names)))]
    rows: list[list[CaptionedImage]] = []
    for name in chosen:
        ends = [_tile(results[0].folder, found[0][name], column) for column in ("source", "target")]
        outputs = [_tile(result.folder, each[name], "output") for result, each in zip(results, found, strict=True)]
        captions = ["source", *(", ".join(result.cell.labels) for result in results), "target"]
        tiles = [ends[0], *outputs, ends[1]]
        rows.append([CaptionedImage("" if rows else text, tile) for text, tile in zip(captions, tiles, strict=True)])
    return rows


def _tile(folder: Path, picture: TranslationFiles, column: str) -> "Array":
    """Read an image, or its preview, and resize it to a tile."""
    preview = folder / f"preview_{column}" / f"{picture.name}.png"
    file = {"source": picture.labels, "output": picture.output, "target": picture.truth}[column]
    assert file is not None  # test.py writes sources
    array = convert_channels(read_image(preview if preview.is_file() else file), 3)
    return resize(array, fit_size(array.shape[:2], _LONGEST))


def _write_text(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
