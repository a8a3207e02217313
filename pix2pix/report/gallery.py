"""Write the results page: a self-contained HTML file beside its images, for offline use.

Without JavaScript it is a plain table; the script in page/ adds sorting, a filter, zoom and the comparison slider. File
names are escaped, and a content security policy allows only that script and style, by hash.
"""

import base64
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

from pix2pix.errors import UserError
from pix2pix.metrics import is_lower_better


class GalleryItem(NamedTuple):
    """A row of the page: images by column label, scores by name (none without target).

    `images` are for the browser; `files` are the original files by the same labels, if they differ.
    """

    name: str
    images: Mapping[str, Path]
    scores: Mapping[str, float]
    files: Mapping[str, Path] = MappingProxyType({})


class Summary(NamedTuple):
    """A table about all images: column heads and rows, as text."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_gallery(
    folder: Path,
    items: Sequence[GalleryItem],
    *,
    title: str,
    facts: Mapping[str, str],
    summary: Summary | None = None,
) -> Path:
    """Write folder/index.html atomically, and return its path.

    Columns are in the order of their first use. Images are linked by paths relative to `folder`. The slider compares
    the last two image columns by default. Without a summary the means of the scores are shown.

    Raises:
        UserError: the page cannot be written; an older page is unchanged.
    """
    page = folder / "index.html"
    # Names that are not valid UTF-8 contain lone surrogates, which browsers show as U+FFFD.
    content = render_gallery(folder, items, title, facts, summary).encode("utf-8", errors="xmlcharrefreplace")
    temporary = folder / f".index.html.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            temporary.replace(page)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"cannot write {page} ({len(content):,} bytes): {reason}; free the space or choose another folder"
        ) from error
    return page


def render_gallery(
    folder: Path,
    items: Sequence[GalleryItem],
    title: str,
    facts: Mapping[str, str],
    summary: Summary | None = None,
) -> str:
    """Return the page as text; `folder` is where it will be written."""
    source = resources.files("pix2pix") / "report" / "page"
    style, script = ((source / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    labels = _in_order(label for item in items for label in item.images)
    scores = {name: _values(items, name) for name in _in_order(name for item in items for name in item.scores)}
    decimals = {name: _decimals(values) for name, values in scores.items()}
    table = summary or _means(scores, decimals)
    return Template((source / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        style=style,
        style_hash=_csp_hash(style),
        script=script,
        script_hash=_csp_hash(script),
        facts="\n".join(f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items()),
        summary_heads="".join(f'<th scope="col">{escape(head)}</th>' for head in table.heads),
        summary="\n".join(map(_summary_row, table.rows)),
        heads="\n".join([*map(_image_head, labels), *map(_score_head, scores)]),
        rows="\n".join(_row(folder, number, item, labels, decimals) for number, item in enumerate(items, start=1)),
        count=len(items),
    )


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _values(items: Sequence[GalleryItem], name: str) -> list[float]:
    return [item.scores[name] for item in items if name in item.scores]


def _decimals(values: Sequence[float]) -> int:
    """Return the number of decimals for a column."""
    return 2 if max((abs(value) for value in values if math.isfinite(value)), default=0) >= 10 else 4


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("inf", "∞")


def _csp_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _means(scores: Mapping[str, Sequence[float]], decimals: Mapping[str, int]) -> Summary:
    rows = [
        (name, _number(sum(values) / len(values), decimals[name]), str(len(values))) for name, values in scores.items()
    ]
    return Summary(("Score", "Mean", "Images"), rows)


def _summary_row(row: Sequence[str]) -> str:
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
    return f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>'


def _image_head(label: str) -> str:
    return f'<th scope="col" class="image">{escape(label)}</th>'


def _score_head(name: str) -> str:
    """Return the head of a score; the first click sorts the worst images to the top."""
    worst_first = "descending" if is_lower_better(name) else "ascending"
    return f'<th scope="col" class="score" data-sort="{worst_first}">{escape(name)}</th>'


def _row(folder: Path, number: int, item: GalleryItem, labels: Sequence[str], decimals: Mapping[str, int]) -> str:
    cells = [
        f'<th scope="row" class="name" data-value="{escape(item.name)}"><bdi>{escape(item.name)}</bdi></th>',
        *(_image_cell(folder, item, label) for label in labels),
        *(_score_cell(item, name, places) for name, places in decimals.items()),
    ]
    return f'<tr id="item-{number}">' + "".join(cells) + "</tr>"


def _image_cell(folder: Path, item: GalleryItem, label: str) -> str:
    if label not in item.images:
        return '<td class="image"></td>'
    url = _url(item.images[label], folder)
    alt = escape(f"{label} of {item.name}")
    return (
        f'<td class="image" data-label="{escape(label)}"><a href="{url}">'
        f'<img src="{url}" alt="{alt}" loading="lazy" decoding="async"></a>{_file_link(folder, item, label)}</td>'
    )


def _file_link(folder: Path, item: GalleryItem, label: str) -> str:
    if label not in item.files:
        return ""
    file = item.files[label]
    kind = escape(file.suffix.removeprefix(".").upper())
    spoken = escape(f"{label} of {item.name}")
    return f'<a class="file" href="{_url(file, folder)}" aria-label="{kind}: {spoken}">{kind}</a>'


def _score_cell(item: GalleryItem, name: str, decimals: int) -> str:
    if name not in item.scores:
        return '<td class="score">&ndash;</td>'
    value = float(item.scores[name])
    data = json.dumps(value)  # JavaScript's format: Infinity, NaN
    return f'<td class="score" data-label="{escape(name)}" data-value="{data}">{_number(value, decimals)}</td>'


def _url(image: Path, folder: Path) -> str:
    """Return the URL of an image relative to the page, percent-encoded from bytes."""
    relative = Path(os.path.relpath(image, folder)).as_posix()
    return quote(os.fsencode(relative), safe="/")
