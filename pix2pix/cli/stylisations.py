"""`python test.py --name X --content a.jpg --style b.jpg` for a run of johnson, conditional or adain."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pix2pix.cli.commissions import files_of, manners, numbered, plain_name
from pix2pix.cli.grid import write_grid
from pix2pix.cli.results import PREVIEW, as_shown, opened, painted, saved
from pix2pix.cli.results_folder import Task, counted, written
from pix2pix.errors import UserError
from pix2pix.options import JohnsonOptions, TestOptions

if TYPE_CHECKING:
    from pix2pix.gallery import GalleryItem
    from pix2pix.images import Array, LargeTiff
    from pix2pix.inference import LoadedTranslator, Manner


class Style(NamedTuple):
    """A style of the page: its name, what the translator takes for it, and where its picture is, if there is one."""

    name: str
    said: Path | int
    picture: "Path | Array | None"


class Painting(NamedTuple):
    """A picture to paint: its name in the results, and those of its content and its styles."""

    name: str
    content: str
    styles: tuple[str, ...]


def stylise(options: TestOptions, translator: "LoadedTranslator", folder: Path) -> None:
    """Paint every content in every manner, and write the page.

    Raises:
        UserError: a picture cannot be used, or the method has no use for it.
    """
    from pix2pix.images import shown

    contents = _named_files(files_of("content", str(options.input))[: options.num_test])
    wished = _wished(options, translator)
    styles = f"{len(wished)} style{'s' * (len(wished) != 1)}"
    print(f"content: {len(contents)} images in {shown(str(options.input))}; {styles}", file=sys.stderr)
    known = {style.name: style for manner in wished for style in manner}
    pairs = [(content, tuple(style.name for style in manner)) for content, manner in product(contents, wished)]
    names = numbered([plain_name([content, *styles]) for content, styles in pairs])
    paintings = [Painting(name, *pair) for name, pair in zip(names, pairs, strict=True)]
    tasks = [
        Task(
            partial(_read, contents[painting.content], [known[name] for name in painting.styles], options, translator),
            partial(_painted, painting, translator),
        )
        for painting in paintings
    ]

    def page(new: Path, items: "Sequence[GalleryItem]") -> None:
        from pix2pix.gallery import write_gallery

        facts = _facts(options, translator) | {"images": counted(items, tasks)}
        if len(wished) > 1:
            rows = {(each.content, " + ".join(each.styles)): each.name for each in paintings}
            facts["grid"] = write_grid(new, rows, items)
        facts["command"] = shlex.join(["python", *sys.argv])
        write_gallery(new, items, title=f"{options.name}: {folder.name}", facts=facts)

    written(tasks, folder, skip_bad=options.skip_bad, finish=page)


def _named_files(files: Sequence[Path]) -> dict[str, Path]:
    return dict(zip(numbered([plain_name([file.stem]) for file in files]), files, strict=True))


def _wished(options: TestOptions, translator: "LoadedTranslator") -> list[tuple[Style, ...]]:
    """Return the manners to paint in, each of one style or of several that are blended."""
    from pix2pix.inference.styles import style_number

    given = options.stylising.style
    if translator.options.model == "adain":
        if given is None:
            raise UserError("--style is missing: a picture, several of which are blended, or a folder, each of it")
        found = manners(given)
        files = _named_files(list(dict.fromkeys(file for manner in found for file in manner)))
        styles = {file: Style(name, file, file) for name, file in files.items()}
        return [tuple(styles[file] for file in manner) for manner in found]
    previews = [picture.permute(1, 2, 0).numpy() for picture in translator.description.get("style_pictures", ())]
    names = numbered([plain_name([name]) for name in translator.styles])
    known = [
        Style(name, number, previews[number - 1] if number <= len(previews) else None)
        for number, name in enumerate(names, 1)
    ]
    if given is None or (given == ("all",) and "all" not in translator.styles):
        return [(style,) for style in known]
    return [tuple(known[style_number(name, translator.styles)] for name in given)]


class _Seen(NamedTuple):
    """What is read of a painting: the content, its styles' names with their pictures, and how to paint."""

    content: "Array | LargeTiff"
    pictures: "Mapping[str, Array]"
    manner: "Manner"


def _read(content: Path, styles: Sequence[Style], options: TestOptions, translator: "LoadedTranslator") -> _Seen:
    """Read the pictures of a painting.

    Raises:
        UserError: one cannot be used.
    """
    from pix2pix.images import read_rgb_array
    from pix2pix.inference import Manner

    wished, limit = options.stylising, options.max_pixels or translator.options.data.max_pixels
    pixels = opened(content, options, translator)
    pictures = {
        style.name: read_rgb_array(style.picture, limit) if isinstance(style.picture, Path) else style.picture
        for style in styles
        if style.picture is not None
    }
    manner = Manner(
        masks=wished.masks, alpha=wished.alpha, keep_colours=wished.keep_colours, style_size=wished.style_size
    )
    if translator.options.model != "johnson":
        said = [pictures[style.name] if isinstance(style.said, Path) else style.said for style in styles]
        manner = replace(manner, style=said, style_weights=wished.style_weights)
    return _Seen(pixels, pictures, manner)


def _painted(painting: Painting, translator: "LoadedTranslator", seen: _Seen, folder: Path) -> "GalleryItem":
    """Paint one picture, and write it with the pictures that it was made of."""
    from pix2pix.gallery import GalleryItem
    from pix2pix.images import as_rgb, shrunken

    content = seen.content
    codec = translator.codec_for(as_rgb(content[0:1, 0:1]))
    output = painted(content, translator, folder / "output" / f"{painting.name}.tif", manner=seen.manner)
    small = as_rgb(shrunken(content, codec.source, PREVIEW))
    images = {"content": as_shown(folder / "content" / f"{painting.content}.png", small)}
    for number, (name, picture) in enumerate(seen.pictures.items(), 1):
        label = "style" if len(seen.pictures) == 1 else f"style {number}"
        images[label] = as_shown(folder / "style" / f"{name}.png", picture)
    file, preview = saved(folder, "output", painting.name, codec.target, output, codec.source.encode(small))
    images["output"] = preview or file
    return GalleryItem(painting.name, images, {}, {"output": file} if preview else {})


def _facts(options: TestOptions, translator: "LoadedTranslator") -> dict[str, str]:
    said = {name: value for name, value in options.stylising.model_dump(mode="json").items() if value is not None}
    facts = {
        "checkpoint": f"{options.name}, {options.epoch}, step {translator.step}",
        "method": translator.options.model,
        "size": "native",
        **{name.replace("_", " "): str(value) for name, value in said.items() if value != "none"},
    }
    if isinstance(translator.options, JohnsonOptions):
        facts["statistics"] = translator.options.test.statistics_of(translator.options.network.norm)
    return facts
