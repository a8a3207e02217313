"""Translate images into a style: by optimization, or by a trained style network."""

import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, NamedTuple

from pix2pix.cli.results import (
    PREVIEW,
    Task,
    count_images,
    open_source,
    run_tasks,
    translate_pixels,
    write_preview,
    write_with_preview,
)
from pix2pix.cli.style_jobs import (
    LoadedImages,
    StyleJob,
    check_image_sizes,
    find_input_files,
    get_job_name,
    join_names,
    list_jobs,
    list_style_groups,
    load_images,
    number_duplicates,
)
from pix2pix.cli.style_outputs import (
    Interrupted,
    ProgressCallback,
    build_runtime,
    describe_inputs,
    describe_job,
    open_log,
    write_output,
    write_page,
    write_result,
)
from pix2pix.config.gatys import GatysOptions
from pix2pix.config.losses import FeatureOptions
from pix2pix.config.parse import parse
from pix2pix.config.style import JohnsonOptions
from pix2pix.config.test import TestOptions
from pix2pix.errors import UserError, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from pix2pix.data.arrays import Array
    from pix2pix.data.tiff import TiffReader
    from pix2pix.inference.style_request import StyleRequest
    from pix2pix.inference.translator import LoadedTranslator
    from pix2pix.methods.feature_loss import FeatureLoss
    from pix2pix.methods.gatys import Reconstruction
    from pix2pix.report.gallery import GalleryItem


def reconstruct(wished: Sequence[StyleJob], folder: Path, options: GatysOptions) -> int:
    """Draw the grid of one content and one style; after a signal, of the layers that are done. Return the status."""
    from pix2pix import distributed
    from pix2pix.methods.feature_loss import FeatureLoss, get_style_layers
    from pix2pix.training.signals import catch_signals

    if len(wished) > 1:
        raise UserError(f"--reconstructions: got {len(wished)} pairs of content and style; give a file for each")
    if not distributed.is_main():
        return 0
    seen, runtime = load_images(wished[0], options), build_runtime(options)
    layers = get_style_layers(options.features)

    def objective_of(features: FeatureOptions) -> "FeatureLoss":
        return FeatureLoss(features, runtime, options.run.seed)

    # of all layers: what they are called and where they come from is told before the first hour, not after it
    whole = objective_of(options.features.model_copy(update={"content_layers": layers}))
    for sentence in describe_job(whole, options):
        print(sentence, file=sys.stderr)
    check_image_sizes(wished[0], options, whole.extractor.smallest_side)
    said = describe_inputs(options, wished[0], whole.description, options.optimize.iterations)
    with catch_signals() as received:
        panels = _panels(seen, objective_of, folder, options, 2 * len(layers), received)
    if panels:
        file = folder / f"reconstructions.{options.run.format}"
        write_output(file, draw_reconstruction_grid(seen, panels), said)
        print(file)
    return 128 + received[0] if received else 0


def _panels(
    seen: LoadedImages,
    objective_of: "Callable[[FeatureOptions], FeatureLoss]",
    folder: Path,
    options: GatysOptions,
    count: int,
    received: Sequence[Signals],
) -> "list[Reconstruction]":
    """Return what was reconstructed before a signal came."""
    from pix2pix.methods.gatys import reconstruct_layers

    panels: list[Reconstruction] = []
    iterations = options.optimize.iterations
    with closing(open_log(folder / "log" / "reconstructions", count * iterations)) as logger:
        logger.info(f"reconstructions: {seen.sizes}")
        watch = ProgressCallback(logger, options, received, lambda image: image)
        try:
            for panel in reconstruct_layers(seen.pictures, options, objective_of, watch):
                panels.append(panel)
                watch.before += iterations
                logger.info(f"{panel.row} from {panel.layers}: {len(panels)} of {count}")
        except Interrupted:
            logger.info(f"stopped; whole reconstructions: {len(panels)} of {count}")
    return panels


def draw_reconstruction_grid(seen: LoadedImages, panels: "Sequence[Reconstruction]") -> "Array":
    """Return a row of contents and one of styles, each after its picture: (H, W, 3) uint8."""
    from pix2pix.data.arrays import to_array
    from pix2pix.report.contact_sheet import CaptionedImage, draw_captioned_grid

    pictures = {"content": seen.pictures.content, "style": seen.pictures.styles[0]}
    rows = []
    for row, picture in pictures.items():
        shown = [(f"{row} picture", picture), *((panel.layers, panel.image) for panel in panels if panel.row == row)]
        rows.append([CaptionedImage(caption, to_array(image[0])) for caption, image in shown])
    return draw_captioned_grid(rows)


class OutOfMemoryError(UserError):
    """The picture is too large for the machine."""

    exit_status = 1


def optimize_style(argv: Sequence[str], record: type[GatysOptions]) -> int:
    """Paint what the options say, and show it as a page; return the exit status."""
    parsed = parse(argv, record, program="test.py")
    options = parsed.options
    if options.run.reconstructions and parsed.given.get("init", "noise") != "noise":
        raise UserError(f"--reconstructions begin with noise: leave --init {options.optimize.init} out")
    wished = list_jobs(options)
    name = options.run.name or get_job_name([Path(path) for path in (options.data.content, *options.data.style)])
    folder = Path(options.run.results_dir) / name
    try:
        wished = _sound(wished, options, load_images)
        return (reconstruct if options.run.reconstructions else _paint)(wished, folder, options)
    except OSError as error:
        raise UserError(f"the results cannot be written to {folder}: {error.strerror or error}") from error
    except UserError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            "out of memory; lower --image_size, or add --checkpointing on "
            f"({str(error).splitlines()[0] if str(error) else 'MemoryError'})"
        ) from error


def _sound(
    wished: Sequence[StyleJob], options: GatysOptions, read: Callable[[StyleJob, GatysOptions], object]
) -> list[StyleJob]:
    """Read all pictures once, so that a faulty one is told before hours of painting; leave such out if that is wished.

    Raises:
        UserError: a picture cannot be used, or all are left out.
    """
    sound = []
    for commission in wished:
        try:
            read(commission, options)
        except UserError as error:
            if not options.data.skip_bad:
                raise
            print(f"left out: {error}", file=sys.stderr)
            continue
        sound.append(commission)
    if not sound:
        raise UserError("--skip_bad left no picture to paint")
    return sound


def _paint(wished: Sequence[StyleJob], folder: Path, options: GatysOptions) -> int:
    """Paint one picture after the other until a signal comes, and write the page of what there is."""
    from pix2pix import distributed
    from pix2pix.methods.feature_loss import FeatureLoss
    from pix2pix.training.signals import catch_signals

    objective = FeatureLoss(_asked(options), build_runtime(options), options.run.seed)
    for sentence in describe_job(objective, options):
        print(sentence, file=sys.stderr)
    wished = _sound(wished, options, partial(check_image_sizes, smallest=objective.extractor.smallest_side))
    items = []
    try:
        with catch_signals() as received:
            for commission in wished[distributed.rank() :: distributed.world_size()]:
                if received:
                    break
                items.append(_optimize_one(commission, folder, objective, options, received))
    except Exception:
        if items and distributed.world_size() == 1:  # others would wait for this process
            print(write_page(folder, items, options, objective.description))
        raise
    items = [item for share in distributed.gather(items) for item in share]
    if items and distributed.is_main():
        print(write_page(folder, items, options, objective.description))
    return 128 + received[0] if received else 0


def _asked(options: GatysOptions) -> FeatureOptions:
    """Return the features without the layers of a loss that has no weight."""
    idle = {"content_layers": options.loss.content_weight == 0, "style_layers": options.loss.style_weight == 0}
    update: dict[str, object] = {name: () for name, is_idle in idle.items() if is_idle}
    if idle["style_layers"]:
        update["style_layer_weights"] = None
    return options.features.model_copy(update=update)


def _optimize_one(
    commission: StyleJob,
    folder: Path,
    objective: "FeatureLoss",
    options: GatysOptions,
    received: Sequence[Signals],
) -> "GalleryItem":
    """Paint one picture and write it: after a signal, as it is then."""
    from pix2pix.methods.gatys import optimize_image, to_output_image

    seen = load_images(commission, options)
    pictures, began = seen.pictures, time.monotonic()
    with closing(open_log(folder / "log" / commission.name, options.optimize.iterations)) as logger:
        logger.info(f"{commission.name}: {seen.sizes}")
        watch = ProgressCallback(
            logger, options, received, lambda image: to_output_image(image, pictures.content, options)
        )
        try:
            image = optimize_image(pictures, objective, options, watch)
        except Interrupted:
            image = watch.picture()
        made = watch.number
        said = describe_inputs(options, commission, objective.description, made)
        item = write_result(folder, commission.name, seen, image, said, options.run.format)
        ending = f"stopped after iteration {made}" if received else f"{made} iterations"
        file = item.files.get("output", item.images["output"])
        logger.info(f"{ending} of {options.optimize.iterations}, {time.monotonic() - began:.0f} s: {file}")
    return item


class Style(NamedTuple):
    """A style of the page: its name, what the translator takes for it, and where its picture is, if there is one."""

    name: str
    said: Path | int
    picture: "Path | Array | None"


class StyledImage(NamedTuple):
    """A picture to paint: its name in the results, and those of its content and its styles."""

    name: str
    content: str
    styles: tuple[str, ...]


def apply_style(options: TestOptions, translator: "LoadedTranslator", folder: Path) -> None:
    """Paint every content in every manner, and write the page.

    Raises:
        UserError: a picture cannot be used, or the method has no use for it.
    """
    from pix2pix.errors import format_path

    contents = _named_files(find_input_files("content", str(options.input))[: options.num_test])
    wished = _wished(options, translator)
    styles = f"{len(wished)} style{'s' * (len(wished) != 1)}"
    print(f"content: {len(contents)} images in {format_path(str(options.input))}; {styles}", file=sys.stderr)
    known = {style.name: style for manner in wished for style in manner}
    pairs = [(content, tuple(style.name for style in manner)) for content, manner in product(contents, wished)]
    names = number_duplicates([join_names([content, *styles]) for content, styles in pairs])
    paintings = [StyledImage(name, *pair) for name, pair in zip(names, pairs, strict=True)]
    tasks = [
        Task(
            partial(_read, contents[painting.content], [known[name] for name in painting.styles], options, translator),
            partial(_apply_one, painting, translator),
        )
        for painting in paintings
    ]

    def page(new: Path, items: "Sequence[GalleryItem]") -> None:
        from pix2pix.report.contact_sheet import write_style_grid
        from pix2pix.report.gallery import write_gallery

        facts = _facts(options, translator) | {"images": count_images(items, tasks)}
        if len(wished) > 1:
            rows = {(each.content, " + ".join(each.styles)): each.name for each in paintings}
            facts["grid"] = write_style_grid(new, rows, items)
        facts["command"] = shlex.join(["python", *sys.argv])
        write_gallery(new, items, title=f"{options.name}: {folder.name}", facts=facts)

    run_tasks(tasks, folder, skip_bad=options.skip_bad, finish=page)


def _named_files(files: Sequence[Path]) -> dict[str, Path]:
    return dict(zip(number_duplicates([join_names([file.stem]) for file in files]), files, strict=True))


def _wished(options: TestOptions, translator: "LoadedTranslator") -> list[tuple[Style, ...]]:
    """Return the manners to paint in, each of one style or of several that are blended."""
    from pix2pix.inference.style_request import find_style_number

    given = options.style_request.style
    if translator.options.model == "adain":
        if given is None:
            raise UserError("--style is missing: a picture, several of which are blended, or a folder, each of it")
        found = list_style_groups(given)
        files = _named_files(list(dict.fromkeys(file for manner in found for file in manner)))
        styles = {file: Style(name, file, file) for name, file in files.items()}
        return [tuple(styles[file] for file in manner) for manner in found]
    previews = [picture.permute(1, 2, 0).numpy() for picture in translator.description.get("style_pictures", ())]
    names = number_duplicates([join_names([name]) for name in translator.styles])
    known = [
        Style(name, number, previews[number - 1] if number <= len(previews) else None)
        for number, name in enumerate(names, 1)
    ]
    if given is None or (given == ("all",) and "all" not in translator.styles):
        return [(style,) for style in known]
    return [tuple(known[find_style_number(name, translator.styles)] for name in given)]


class _Seen(NamedTuple):
    """What is read of a painting: the content, its styles' names with their pictures, and how to paint."""

    content: "Array | TiffReader"
    pictures: "Mapping[str, Array]"
    manner: "StyleRequest"


def _read(content: Path, styles: Sequence[Style], options: TestOptions, translator: "LoadedTranslator") -> _Seen:
    """Read the pictures of a painting.

    Raises:
        UserError: one cannot be used.
    """
    from pix2pix.data.codec import read_rgb_array
    from pix2pix.inference.style_request import StyleRequest

    wished, limit = options.style_request, options.max_pixels or translator.options.data.max_pixels
    pixels = open_source(content, options, translator)
    pictures = {
        style.name: read_rgb_array(style.picture, limit) if isinstance(style.picture, Path) else style.picture
        for style in styles
        if style.picture is not None
    }
    manner = StyleRequest(
        masks=wished.masks, alpha=wished.alpha, keep_colors=wished.keep_colors, style_size=wished.style_size
    )
    if translator.options.model != "johnson":
        said = [pictures[style.name] if isinstance(style.said, Path) else style.said for style in styles]
        manner = replace(manner, style=said, style_weights=wished.style_weights)
    return _Seen(pixels, pictures, manner)


def _apply_one(painting: StyledImage, translator: "LoadedTranslator", seen: _Seen, folder: Path) -> "GalleryItem":
    """Paint one picture, and write it with the pictures that it was made of."""
    from pix2pix.data.codec import to_rgb_array
    from pix2pix.networks.canvas import shrink_image
    from pix2pix.report.gallery import GalleryItem

    content = seen.content
    codec = translator.codec_for(to_rgb_array(content[0:1, 0:1]))
    output = translate_pixels(content, translator, folder / "output" / f"{painting.name}.tif", manner=seen.manner)
    small = to_rgb_array(shrink_image(content, codec.source, PREVIEW))
    images = {"content": write_preview(folder / "content" / f"{painting.content}.png", small)}
    for number, (name, picture) in enumerate(seen.pictures.items(), 1):
        label = "style" if len(seen.pictures) == 1 else f"style {number}"
        images[label] = write_preview(folder / "style" / f"{name}.png", picture)
    file, preview = write_with_preview(
        folder, "output", painting.name, codec.target, output, codec.source.encode(small)
    )
    images["output"] = preview or file
    return GalleryItem(painting.name, images, {}, {"output": file} if preview else {})


def _facts(options: TestOptions, translator: "LoadedTranslator") -> dict[str, str]:
    said = {name: value for name, value in options.style_request.model_dump(mode="json").items() if value is not None}
    facts = {
        "checkpoint": f"{options.name}, {options.epoch}, step {translator.step}",
        "method": translator.options.model,
        "size": "native",
        **{name.replace("_", " "): str(value) for name, value in said.items() if value != "none"},
    }
    if isinstance(translator.options, JohnsonOptions):
        facts["statistics"] = translator.options.test.resolve_norm_stats(translator.options.network.norm)
    return facts
