"""The table of an experiment: a row for each choice of the axes, its seeds together."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pix2pix.experiments.records import Result
from pix2pix.metrics.order import is_lower_better, place


class Entry(NamedTuple):
    """A metric of one row: the mean over its seeds, and how far it is to be trusted.

    `deviation` is that of the seeds (divided by n - 1), None for one seed alone; then `interval` is the bootstrap's,
    over the images.
    """

    mean: float
    deviation: float | None
    interval: tuple[float, float] | None


class Row(NamedTuple):
    """The choice of each axis, the seeds that are there, and the metrics that all of them have."""

    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    entries: Mapping[str, Entry]


class Table(NamedTuple):
    """The rows of an experiment, in the order of its cells; `axes` names what their labels choose among."""

    axes: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]


def tabulated(axes: Sequence[str], results: Sequence[Result]) -> Table:
    """Bring the seeds of each choice together.

    Where translations were scored by a segmenter, its scores of the true images are the last row.
    """
    by_choice: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        by_choice.setdefault(result.cell.labels, []).append(result)
    rows = [
        Row(labels, tuple(result.cell.seed for result in found), _entries([result.metrics for result in found]))
        for labels, found in by_choice.items()
    ]
    names = sorted(dict.fromkeys(name for row in rows for name in row.entries), key=place)
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


def best(table: Table, metric: str) -> float:
    """Return the best mean of a metric, the ground truth apart; NaN where no row has it."""
    means = [row.entries[metric].mean for row in table.rows if row.seeds and metric in row.entries]
    return (min if is_lower_better(metric) else max)(means, default=math.nan)


def markdown(table: Table) -> str:
    """Return the table in Markdown, the best mean of each column in bold."""
    heads = [f"{metric} {'↓' if is_lower_better(metric) else '↑'}" for metric in table.metrics]
    bests = {metric: best(table, metric) for metric in table.metrics}
    lines = [[*table.axes, "seeds", *heads], ["---"] * len(table.axes) + ["--:"] * (1 + len(heads))]
    for row in table.rows:
        cells = [_cell(row.entries.get(metric), bests[metric] if row.seeds else math.nan) for metric in table.metrics]
        lines.append([*row.labels, str(len(row.seeds) or ""), *cells])
    return "".join(f"| {' | '.join(map(_escaped, line))} |\n" for line in lines)


def _escaped(text: str) -> str:
    """A text as it may stand in a cell, which ends with its line and at a bar."""
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
    """Three digits that count, as far as that needs decimals: 21.3, 0.342, 0.00215."""
    size = abs(entry.mean)
    return 3 if size == 0 else max(0, min(6, 2 - math.floor(math.log10(size))))


def footnotes(results: Sequence[Result]) -> str:
    """Return what a reader of the table has to know: what ± and [ ] are, and which metrics are missing and why."""
    lines = ["±: the standard deviation over the seeds. [ ]: of one seed, the 95 % interval over the images."]
    measured = results[0].metrics["metrics"]
    lines += [
        f"Not computed: {name}: {one['not_computed']}." for name, one in measured.items() if "not_computed" in one
    ]
    return "\n".join(f"\n{line}" for line in lines) + "\n"


def as_dict(table: Table) -> dict[str, Any]:
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
