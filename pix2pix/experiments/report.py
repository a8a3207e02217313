"""What an experiment leaves: a table, a picture of its pictures, their colours, and all of it as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.experiments.colours import draw_colours
from pix2pix.experiments.records import Result
from pix2pix.experiments.table import as_dict, markdown, tabulated
from pix2pix.images import Captioned, captioned_grid, convert_channels, find_images, fitted, read, resize, write

if TYPE_CHECKING:
    from pix2pix.images import Array

_ROWS = 6  # images that are shown
_SHORTEST, _LONGEST = 128, 256  # pixels of the longer side of a tile


def write_report(folder: Path, title: str, axes: Sequence[str], results: Sequence[Result]) -> str:
    """Write table.md, experiment.json, pictures.png and colours.png, and return the table as Markdown.

    Raises:
        OSError: a file cannot be written.
    """
    table = tabulated(axes, results)
    text = markdown(table)
    firsts = list({result.cell.labels: result for result in reversed(results)}.values())[::-1]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "pictures.png", _pictures(firsts))
    if all("histograms" in result.metrics for result in firsts):
        draw_colours(folder / "colours.png", firsts, title)
    runs = [
        {"labels": list(result.cell.labels), "seed": result.cell.seed, "run": result.run, "metrics": result.metrics}
        for result in results
    ]
    content = {"title": title, "table": as_dict(table), "runs": runs}
    _write_text(folder / "experiment.json", json.dumps(content, indent=2, sort_keys=True) + "\n")
    _write_text(folder / "table.md", f"# {title}\n\n{text}")
    return text


def _pictures(results: Sequence[Result]) -> "Array":
    """Lay out some test images: the source, the translation of each choice, the target."""
    first = results[0].folder
    found = [path.relative_to(first / "target").with_suffix("") for path in find_images(first / "target")]
    chosen = [found[place * len(found) // min(_ROWS, len(found))] for place in range(min(_ROWS, len(found)))]
    size = fitted(_tile(first / "source", chosen[0]).shape[:2], _LONGEST)
    rows = []
    for number, name in enumerate(chosen):
        columns = [("source", first / "source")]
        columns += [(", ".join(result.cell.labels), result.folder / "output") for result in results]
        columns += [("target", first / "target")]
        rows.append([Captioned("" if number else label, _fit(_tile(at, name), size)) for label, at in columns])
    return captioned_grid(rows)


def _tile(folder: Path, name: Path) -> "Array":
    """Read one of the folder's pictures, the one of this name, or the preview of it that browsers can show."""
    previews = folder.with_name(f"preview_{folder.name}")
    place = previews if (previews / f"{name}.png").is_file() else folder
    return convert_channels(read(next(place.glob(f"{name}.*"))), 3)


def _fit(array: "Array", size: tuple[int, int]) -> "Array":
    return array if array.shape[:2] == size else resize(array, fitted(array.shape[:2], max(size)))


def _write_text(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
