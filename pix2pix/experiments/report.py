"""What an experiment leaves: a table, a picture of its pictures, their colours, and all of it as JSON."""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.evaluation import Picture
from pix2pix.experiments.colours import draw_colours
from pix2pix.experiments.evaluations import pictures_of
from pix2pix.experiments.records import Result
from pix2pix.experiments.table import as_dict, footnotes, markdown, tabulated
from pix2pix.images import Captioned, captioned_grid, convert_channels, fitted, read, resize, write

if TYPE_CHECKING:
    from pix2pix.images import Array

_ROWS = 6  # images that are shown
_LONGEST = 256  # pixels of the longer side of a tile


def write_report(folder: Path, title: str, axes: Sequence[str], results: Sequence[Result]) -> str:
    """Write table.md, experiment.json, pictures.png and colours.png, and return the table as Markdown.

    There are no pictures.png where the choices translate different images, and no colours.png of label maps,
    nor where Matplotlib is not installed.

    Raises:
        OSError: a file cannot be written.
    """
    table = tabulated(axes, results)
    text = markdown(table)
    firsts = list({result.cell.labels: result for result in reversed(results)}.values())[::-1]
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("pictures.png", "colours.png"):
        (folder / name).unlink(missing_ok=True)  # of an earlier report
    if rows := _pictures(firsts):
        write(folder / "pictures.png", captioned_grid(rows))
    if all(result.metrics["histograms"] for result in firsts) and find_spec("matplotlib"):
        draw_colours(folder / "colours.png", firsts, title)
    runs = [
        {"labels": list(result.cell.labels), "seed": result.cell.seed, "run": result.run, "metrics": result.metrics}
        for result in results
    ]
    content = {"title": title, "table": as_dict(table), "runs": runs}
    _write_text(folder / "experiment.json", json.dumps(content, indent=2, sort_keys=True) + "\n")
    _write_text(folder / "table.md", f"# {title}\n\n{text}{footnotes(results)}")
    return text


def _pictures(results: Sequence[Result]) -> list[list[Captioned]]:
    """Lay out some of the images that all translate: the source, the translation of each choice, the target."""
    found = [{picture.name: picture for picture in pictures_of(result.folder)} for result in results]
    names = [name for name in found[0] if all(name in others for others in found)]
    chosen = [names[place * len(names) // min(_ROWS, len(names))] for place in range(min(_ROWS, len(names)))]
    rows: list[list[Captioned]] = []
    for name in chosen:
        ends = [_tile(results[0].folder, found[0][name], column) for column in ("source", "target")]
        outputs = [_tile(result.folder, each[name], "output") for result, each in zip(results, found, strict=True)]
        captions = ["source", *(", ".join(result.cell.labels) for result in results), "target"]
        tiles = [ends[0], *outputs, ends[1]]
        rows.append([Captioned("" if rows else text, tile) for text, tile in zip(captions, tiles, strict=True)])
    return rows


def _tile(folder: Path, picture: Picture, column: str) -> "Array":
    """Read a picture, or the preview of it that browsers can show, and bring it to the size of a tile."""
    preview = folder / f"preview_{column}" / f"{picture.name}.png"
    file = {"source": picture.labels, "output": picture.output, "target": picture.truth}[column]
    assert file is not None  # test.py writes sources too
    array = convert_channels(read(preview if preview.is_file() else file), 3)
    return resize(array, fitted(array.shape[:2], _LONGEST))


def _write_text(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
