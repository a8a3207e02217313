"""Stylize images: by optimization (Gatys, SWAG), or with a trained style network."""

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


def reconstruct(jobs: Sequence[StyleJob], folder: Path, options: GatysOptions) -> int:
    """Reconstruct content and style from each layer, and write the grid; return the exit status."""
    from pix2pix import distributed
    from pix2pix.methods.feature_loss import FeatureLoss, get_style_layers
    from pix2pix.training.signals import catch_signals

    if len(jobs) > 1:
        raise UserError(f"--reconstructions: got {len(jobs)} pairs of content and style; give a file for each")
    if not distributed.is_main():
        return 0
    loaded, runtime = load_images(jobs[0], options), build_runtime(options)
    layers = get_style_layers(options.features)

    def build_feature_loss(features: FeatureOptions) -> "FeatureLoss":
        return FeatureLoss(features, runtime, options.run.seed)

    # with all layers, so that errors in them come before the first hour
    whole = build_feature_loss(options.features.model_copy(update={"content_layers": layers}))
    for message in describe_job(whole, options):
        print(message, file=sys.stderr)
    check_image_sizes(jobs[0], options, whole.extractor.smallest_side)
    metadata = describe_inputs(options, jobs[0], whole.description, options.optimize.iterations)
    with catch_signals() as received:
        panels = _reconstruct_all(loaded, build_feature_loss, folder, options, 2 * len(layers), received)
    if panels:
        file = folder / f"reconstructions.{options.run.format}"
        write_output(file, draw_reconstruction_grid(loaded, panels), metadata)
        print(file)
    return 128 + received[0] if received else 0


def _reconstruct_all(
    loaded: LoadedImages,
    build_feature_loss: "Callable[[FeatureOptions], FeatureLoss]",
    folder: Path,
    options: GatysOptions,
    count: int,
    received: Sequence[Signals],
) -> "list[Reconstruction]":
    """Return the reconstructions; after a signal, those that are complete."""
    from pix2pix.methods.gatys import reconstruct_layers

    panels: list[Reconstruction] = []
    iterations = options.optimize.iterations
    with closing(open_log(folder / "log" / "reconstructions", count * iterations)) as logger:
        logger.info(f"reconstructions: {loaded.sizes}")
        watch = ProgressCallback(logger, options, received, lambda image: image)
        try:
            for panel in reconstruct_layers(loaded.pictures, options, build_feature_loss, watch):
                panels.append(panel)
                watch.before += iterations
                logger.info(f"{panel.row} from {panel.layers}: {len(panels)} of {count}")
        except Interrupted:
            logger.info(f"stopped; complete reconstructions: {len(panels)} of {count}")
    return panels


def draw_reconstruction_grid(loaded: LoadedImages, panels: "Sequence[Reconstruction]") -> "Array":
    """Return a grid (H, W, 3) of uint8: a row of content and one of style reconstructions, each after its original."""
    from pix2pix.data.arrays import to_array
    from pix2pix.report.contact_sheet import CaptionedImage, draw_captioned_grid

    pictures = {"content": loaded.pictures.content, "style": loaded.pictures.styles[0]}
    rows = []
    for row, picture in pictures.items():
        shown = [(f"{row} image", picture), *((panel.layers, panel.image) for panel in panels if panel.row == row)]
        rows.append([CaptionedImage(caption, to_array(image[0])) for caption, image in shown])
    return draw_captioned_grid(rows)


class OutOfMemoryError(UserError):
    """The image needs more memory than there is."""

    exit_status = 1


def optimize_style(argv: Sequence[str], record: type[GatysOptions]) -> int:
    """Optimize all images, and write a page; return the exit status."""
    parsed = parse(argv, record, program="test.py")
    options = parsed.options
    if options.run.reconstructions and parsed.given.get("init", "noise") != "noise":
        raise UserError(f"--reconstructions start from noise: leave --init {options.optimize.init} out")
    jobs = list_jobs(options)
    name = options.run.name or get_job_name([Path(path) for path in (options.data.content, *options.data.style)])
    folder = Path(options.run.results_dir) / name
    try:
        jobs = _check_jobs(jobs, options, load_images)
        return (reconstruct if options.run.reconstructions else _optimize_all)(jobs, folder, options)
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


def _check_jobs(
    jobs: Sequence[StyleJob], options: GatysOptions, read: Callable[[StyleJob, GatysOptions], object]
) -> list[StyleJob]:
    """Load all images once, to report faulty ones before hours of optimization, or skip them with --skip_bad.

    Raises:
        UserError: an image cannot be used, or all are skipped.
    """
    valid = []
    for job in jobs:
        try:
            read(job, options)
        except UserError as error:
            if not options.data.skip_bad:
                raise
            print(f"skipped: {error}", file=sys.stderr)
            continue
        valid.append(job)
    if not valid:
        raise UserError("--skip_bad left no image")
    return valid


def _optimize_all(jobs: Sequence[StyleJob], folder: Path, options: GatysOptions) -> int:
    """Optimize the images one by one until a signal, and write the page."""
    from pix2pix import distributed
    from pix2pix.methods.feature_loss import FeatureLoss
    from pix2pix.training.signals import catch_signals

    feature_loss = FeatureLoss(_select_losses(options), build_runtime(options), options.run.seed)
    for message in describe_job(feature_loss, options):
        print(message, file=sys.stderr)
    jobs = _check_jobs(jobs, options, partial(check_image_sizes, smallest=feature_loss.extractor.smallest_side))
    items = []
    try:
        with catch_signals() as received:
            for job in jobs[distributed.rank() :: distributed.world_size()]:
                if received:
                    break
                items.append(_optimize_one(job, folder, feature_loss, options, received))
    except Exception:
        if items and distributed.world_size() == 1:  # others would wait for this process
            print(write_page(folder, items, options, feature_loss.description))
        raise
    items = [item for share in distributed.gather(items) for item in share]
    if items and distributed.is_main():
        print(write_page(folder, items, options, feature_loss.description))
    return 128 + received[0] if received else 0


def _select_losses(options: GatysOptions) -> FeatureOptions:
    """Return the feature options without the layers of losses of weight 0."""
    idle = {"content_layers": options.loss.content_weight == 0, "style_layers": options.loss.style_weight == 0}
    update: dict[str, object] = {name: () for name, is_idle in idle.items() if is_idle}
    if idle["style_layers"]:
        update["style_layer_weights"] = None
    return options.features.model_copy(update=update)


def _optimize_one(
    job: StyleJob,
    folder: Path,
    feature_loss: "FeatureLoss",
    options: GatysOptions,
    received: Sequence[Signals],
) -> "GalleryItem":
    """Optimize an image and write it; after a signal, the image so far."""
    from pix2pix.methods.gatys import optimize_image, to_output_image

    loaded = load_images(job, options)
    pictures, began = loaded.pictures, time.monotonic()
    with closing(open_log(folder / "log" / job.name, options.optimize.iterations)) as logger:
        logger.info(f"{job.name}: {loaded.sizes}")
        watch = ProgressCallback(
            logger, options, received, lambda image: to_output_image(image, pictures.content, options)
        )
        try:
            image = optimize_image(pictures, feature_loss, options, watch)
        except Interrupted:
            image = watch.picture()
        made = watch.number
        metadata = describe_inputs(options, job, feature_loss.description, made)
        item = write_result(folder, job.name, loaded, image, metadata, options.run.format)
        ending = f"stopped after iteration {made}" if received else f"{made} iterations"
        file = item.files.get("output", item.images["output"])
        logger.info(f"{ending} of {options.optimize.iterations}, {time.monotonic() - began:.0f} s: {file}")
    return item


class Style(NamedTuple):
    """A style: its name, the argument for the translator, and its image or its file, if any."""

    name: str
    request: Path | int
    picture: "Path | Array | None"


class StyledImage(NamedTuple):
    """An output: its name in the results, and the names of its content and styles."""

    name: str
    content: str
    styles: tuple[str, ...]


def apply_style(options: TestOptions, translator: "LoadedTranslator", folder: Path) -> None:
    """Stylize every content in every style, and write the page.

    Raises:
        UserError: an image cannot be used, or the method does not use an option.
    """
    from pix2pix.errors import format_path

    contents = _named_files(find_input_files("content", str(options.input))[: options.num_test])
    groups = _list_style_groups(options, translator)
    styles = f"{len(groups)} style{'s' * (len(groups) != 1)}"
    print(f"content: {len(contents)} images in {format_path(str(options.input))}; {styles}", file=sys.stderr)
    known = {style.name: style for group in groups for style in group}
    pairs = [(content, tuple(style.name for style in group)) for content, group in product(contents, groups)]
    names = number_duplicates([join_names([content, *styles]) for content, styles in pairs])
    outputs = [StyledImage(name, *pair) for name, pair in zip(names, pairs, strict=True)]
    tasks = [
        Task(
            partial(_read, contents[output.content], [known[name] for name in output.styles], options, translator),
            partial(_apply_one, output, translator),
        )
        for output in outputs
    ]

    def page(new: Path, items: "Sequence[GalleryItem]") -> None:
        from pix2pix.report.contact_sheet import write_style_grid
        from pix2pix.report.gallery import write_gallery

        facts = _list_facts(options, translator) | {"images": count_images(items, tasks)}
        if len(groups) > 1:
            rows = {(each.content, " + ".join(each.styles)): each.name for each in outputs}
            facts["grid"] = write_style_grid(new, rows, items)
        facts["command"] = shlex.join(["python", *sys.argv])
        write_gallery(new, items, title=f"{options.name}: {folder.name}", facts=facts)

    run_tasks(tasks, folder, skip_bad=options.skip_bad, finish=page)


def _named_files(files: Sequence[Path]) -> dict[str, Path]:
    return dict(zip(number_duplicates([join_names([file.stem]) for file in files]), files, strict=True))


def _list_style_groups(options: TestOptions, translator: "LoadedTranslator") -> list[tuple[Style, ...]]:
    """Return the styles for the outputs of each content: one style, or several to blend."""
    from pix2pix.inference.style_request import find_style_number

    given = options.style_request.style
    if translator.options.model == "adain":
        if given is None:
            raise UserError("--style is missing: give an image, several to blend, or a folder")
        found = list_style_groups(given)
        files = _named_files(list(dict.fromkeys(file for group in found for file in group)))
        styles = {file: Style(name, file, file) for name, file in files.items()}
        return [tuple(styles[file] for file in group) for group in found]
    previews = [picture.permute(1, 2, 0).numpy() for picture in translator.description.get("style_pictures", ())]
    names = number_duplicates([join_names([name]) for name in translator.styles])
    known = [
        Style(name, number, previews[number - 1] if number <= len(previews) else None)
        for number, name in enumerate(names, 1)
    ]
    if given is None or (given == ("all",) and "all" not in translator.styles):
        return [(style,) for style in known]
    return [tuple(known[find_style_number(name, translator.styles)] for name in given)]


class _LoadedJob(NamedTuple):
    """The images of an output, and the style request."""

    content: "Array | TiffReader"
    pictures: "Mapping[str, Array]"
    request: "StyleRequest"


def _read(content: Path, styles: Sequence[Style], options: TestOptions, translator: "LoadedTranslator") -> _LoadedJob:
    """Read the pictures of a output.

    Raises:
        UserError: one cannot be used.
    """
    from pix2pix.data.codec import read_rgb_array
    from pix2pix.inference.style_request import StyleRequest

    given, limit = options.style_request, options.max_pixels or translator.options.data.max_pixels
    pixels = open_source(content, options, translator)
    pictures = {
        style.name: read_rgb_array(style.picture, limit) if isinstance(style.picture, Path) else style.picture
        for style in styles
        if style.picture is not None
    }
    request = StyleRequest(
        masks=given.masks, alpha=given.alpha, keep_colors=given.keep_colors, style_size=given.style_size
    )
    if translator.options.model != "johnson":
        requested = [pictures[style.name] if isinstance(style.request, Path) else style.request for style in styles]
        request = replace(request, style=requested, style_weights=given.style_weights)
    return _LoadedJob(pixels, pictures, request)


def _apply_one(job: StyledImage, translator: "LoadedTranslator", loaded: _LoadedJob, folder: Path) -> "GalleryItem":
    """Stylize an image, and write it with its content and styles."""
    from pix2pix.data.codec import to_rgb_array
    from pix2pix.networks.canvas import shrink_image
    from pix2pix.report.gallery import GalleryItem

    content = loaded.content
    codec = translator.codec_for(to_rgb_array(content[0:1, 0:1]))
    output = translate_pixels(content, translator, folder / "output" / f"{job.name}.tif", request=loaded.request)
    small = to_rgb_array(shrink_image(content, codec.source, PREVIEW))
    images = {"content": write_preview(folder / "content" / f"{job.content}.png", small)}
    for number, (name, picture) in enumerate(loaded.pictures.items(), 1):
        label = "style" if len(loaded.pictures) == 1 else f"style {number}"
        images[label] = write_preview(folder / "style" / f"{name}.png", picture)
    file, preview = write_with_preview(folder, "output", job.name, codec.target, output, codec.source.encode(small))
    images["output"] = preview or file
    return GalleryItem(job.name, images, {}, {"output": file} if preview else {})


def _list_facts(options: TestOptions, translator: "LoadedTranslator") -> dict[str, str]:
    given = {name: value for name, value in options.style_request.model_dump(mode="json").items() if value is not None}
    facts = {
        "checkpoint": f"{options.name}, {options.epoch}, step {translator.step}",
        "method": translator.options.model,
        "size": "native",
        **{name.replace("_", " "): str(value) for name, value in given.items() if value != "none"},
    }
    if isinstance(translator.options, JohnsonOptions):
        facts["statistics"] = translator.options.test.resolve_norm_stats(translator.options.network.norm)
    return facts
