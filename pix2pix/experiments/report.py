"""What an experiment leaves: a table, a picture of its pictures, their colours, and all of it as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path

from pix2pix.evaluation import Picture, find_pictures, folders
from pix2pix.experiments.colours import draw_colours
from pix2pix.experiments.records import Result
from pix2pix.experiments.table import as_dict, markdown, tabulated
from pix2pix.images import Array, Captioned, captioned_grid, convert_channels, fitted, read, resize, write

_ROWS = 6  # images that are shown
_LONGEST = 256  # pixels of the longer side of a tile


def write_report(folder: Path, title: str, axes: Sequence[str], results: Sequence[Result]) -> str:
    """Write table.md, experiment.json, pictures.png and colours.png, and return the table as Markdown.

    Label maps have no colours to draw.

    Raises:
        OSError: a file cannot be written.
    """
    table = tabulated(axes, results)
    text = markdown(table)
    firsts = list({result.cell.labels: result for result in reversed(results)}.values())[::-1]
    folder.mkdir(parents=True, exist_ok=True)
    if rows := _pictures(firsts):  # choices that translate other images have none to lay side by side
        write(folder / "pictures.png", captioned_grid(rows))
    if all(result.metrics["histograms"] for result in firsts):
        draw_colours(folder / "colours.png", firsts, title)
    runs = [
        {"labels": list(result.cell.labels), "seed": result.cell.seed, "run": result.run, "metrics": result.metrics}
        for result in results
    ]
    content = {"title": title, "table": as_dict(table), "runs": runs}
    _write_text(folder / "experiment.json", json.dumps(content, indent=2, sort_keys=True) + "\n")
    _write_text(folder / "table.md", f"# {title}\n\n{text}")
    return text


def _pictures(results: Sequence[Result]) -> list[list[Captioned]]:
    """Lay out some of the images that all have: the source, the translation of each choice, the target."""
    found = [{picture.name: picture for picture in _translated(result)} for result in results]
    names = [name for name in found[0] if all(name in pictures for pictures in found)]
    count = min(_ROWS, len(names))
    rows = []
    for number, name in enumerate(names[place * len(names) // count] for place in range(count)):
        first = found[0][name]
        columns = [("source", first.labels or first.truth)]
        columns += [
            (", ".join(result.cell.labels), pictures[name].output)
            for result, pictures in zip(results, found, strict=True)
        ]
        columns += [("target", first.truth)]
        rows.append([Captioned("" if number else label, _tile(file, name)) for label, file in columns])
    return rows


def _translated(result: Result) -> list[Picture]:
    return find_pictures(folders(result.folder, None, None))


def _tile(file: Path, name: str) -> Array:
    """Read a picture by test.py, or the preview of it that browsers can show, large enough for a caption."""
    folder = file.parents[name.count("/")]
    preview = folder.with_name(f"preview_{folder.name}") / f"{name}.png"
    array = convert_channels(read(preview if preview.is_file() else file), 3)
    return resize(array, fitted(array.shape[:2], _LONGEST))


def _write_text(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
