"""`python test.py --name X`: translate the pairs of a dataset, or any images, and write a page."""

import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.cli.results import Task, count_images, open_source, run_tasks, translate_image
from pix2pix.cli.stylize import apply_style
from pix2pix.config.compare import check_claims
from pix2pix.config.parse import PairTrainingOptions, parse
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.test import TestOptions, check_applicable
from pix2pix.errors import UserError

if TYPE_CHECKING:
    from pix2pix.data.arrays import Array
    from pix2pix.data.tiff import TiffReader
    from pix2pix.inference.translator import LoadedTranslator
    from pix2pix.report.gallery import GalleryItem


def test(argv: Sequence[str]) -> int:
    """Translate and write the results; return the exit status."""
    parsed = parse(argv, TestOptions, program="test.py")
    options = parsed.options
    from pix2pix import distributed

    distributed.check_same_options({**parsed.given, **parsed.claims})
    translator = open_translator(options, parsed.given.get("seed"))
    check_claims(translator.options, parsed.claims)
    check_applicable(translator.options.model, parsed.given)
    if translator.is_style_method and options.input is None:
        raise UserError("--content is missing: give an image or a folder")
    folder = Path(options.results_dir) / options.name / f"{'input' if options.input else options.phase}_{options.epoch}"
    _check_inputs(options, translator.options.model, folder)
    if translator.is_style_method:
        with _report_write_errors(folder):
            apply_style(options, translator, folder)
    else:
        translate(options, translator, folder)
    print(folder / "index.html")
    return 0


def open_translator(options: TestOptions, seed: int | None) -> "LoadedTranslator":
    """Load the run; None uses the seed of training for dropout."""
    from pix2pix.inference.translator import load

    return load(
        Path(options.checkpoints_dir) / options.name,
        epoch=str(options.epoch),
        device=options.device,
        precision=options.precision,
        fast=options.fast,
        compile=options.compile,
        norm_stats=options.norm_stats,
        dropout=options.dropout,
        seed=seed,
        tile=options.tile,
    )


def translate(options: TestOptions, translator: "LoadedTranslator", folder: Path) -> None:
    """Translate pairs, or images without targets, and replace the results in a folder.

    Raises:
        UserError: an image cannot be used, or the folder cannot be written.
    """
    with _report_write_errors(folder):
        size, tasks = _list_image_tasks(options, translator) if options.input else _list_pair_tasks(options, translator)
        _translate(tasks, translator, folder, options, size)


@contextmanager
def _report_write_errors(folder: Path) -> Iterator[None]:
    """Report a folder that cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"the results cannot be written to {folder}: {error.strerror or error}") from error


def _check_inputs(options: TestOptions, model: str, folder: Path) -> None:
    """Refuse inputs that are inside the folder of results, which is replaced."""
    read = {"input": [options.input] if options.input else [], "masks": options.style_request.masks or ()}
    read["style"] = (options.style_request.style or ()) if model == "adain" else ()  # otherwise names
    for option, path in ((option, path) for option, paths in read.items() for path in paths):
        if Path(path).resolve().is_relative_to(folder.resolve()):
            raise UserError(f"--{option} {path} is in {folder}, which the results replace; copy it elsewhere first")


def _list_pair_tasks(options: TestOptions, translator: "LoadedTranslator") -> tuple[str, list[Task]]:
    """Return a description of the size of test pairs, and their tasks."""
    from pix2pix.data.dataset import open_pairs
    from pix2pix.data.transforms import resize_pair

    assert isinstance(translator.options, PairTrainingOptions)
    data = translator.options.data
    preprocess = options.preprocess or data.preprocess
    here = {"dataroot": options.dataroot or data.dataroot, "max_pixels": options.max_pixels or data.max_pixels}
    pairs = open_pairs(data.model_copy(update=here | {"skip_bad": options.skip_bad}), options.phase)
    pairs = pairs.first(options.num_test).of(translator.codec)
    if len(pairs) == 0:
        raise UserError(f"--phase {options.phase}: the training held out no pairs; use --phase train or test")
    print(f"{options.phase}: {pairs.layout}: {len(pairs)} pairs", file=sys.stderr)
    for fault in pairs.faults:
        print(f"skipped: {fault}", file=sys.stderr)
    height, width = data.crop_size
    sizes = {
        "resize_and_crop": f"resized to {height}x{width} (height x width), no crop",
        "scale_width": f"resized to width {data.load_size[1]}",
        "scale_width_and_crop": f"resized to width {width}, no crop",
    }

    def task(index: int) -> Task:
        def read() -> "tuple[Array, Array]":
            raw = pairs.read(index)
            source, target, _ = resize_pair(
                raw, preprocess, data.load_size, data.crop_size, training=False, codec=translator.codec
            )
            return source, target

        return Task(read, partial(_translate_item, names[index], names[index], translator, options.samples))

    names = pairs.names
    return sizes.get(preprocess, "native"), [task(index) for index in range(len(pairs))]


def _list_image_tasks(options: TestOptions, translator: "LoadedTranslator") -> tuple[str, list[Task]]:
    """Return a description of the size of images without targets, and their tasks."""
    from pix2pix.data.io import IMAGE_SUFFIXES, find_images
    from pix2pix.errors import format_path

    root = Path(str(options.input))
    files = [root] if root.is_file() else find_images(root)
    if not files:
        raise UserError(
            f"--input {format_path(root)}: no images there; files ending in {', '.join(IMAGE_SUFFIXES)} are needed"
        )
    print(f"input: {len(files)} images in {format_path(root)}", file=sys.stderr)
    names = _result_names([Path(file.name) if root.is_file() else file.relative_to(root) for file in files])

    def task(file: Path, name: str) -> Task:
        def source() -> "tuple[Array | TiffReader, None]":
            return open_source(file, options, translator), None

        return Task(source, partial(_translate_item, name, file.stem, translator, options.samples))

    return "native", [task(*named) for named in zip(files, names, strict=True)][: options.num_test]


def _translate_item(
    name: str,
    seed_name: str,
    translator: "LoadedTranslator",
    samples: int,
    loaded: "tuple[Array | TiffReader, Array | None]",
    folder: Path,
) -> "GalleryItem":
    return translate_image(name, seed_name, *loaded, translator, folder, samples)


def _result_names(paths: Sequence[Path]) -> list[str]:
    """Return the name of each result: without suffix, unless two would be equal (a.jpg and a.png)."""
    stems = Counter(path.with_suffix("").as_posix() for path in paths)
    whole = {path.as_posix() for path in paths}
    pairs = ((path.with_suffix("").as_posix(), path.as_posix()) for path in paths)
    return [stem if stems[stem] == 1 and stem not in whole else path for stem, path in pairs]


def _describe_settings(translator: "LoadedTranslator") -> dict[str, str]:
    """Describe direction, statistics and dropout."""
    options = translator.options
    assert isinstance(options, PairTrainingOptions)
    settings = {"direction": options.data.direction}
    if not isinstance(options, Pix2PixOptions):
        return settings | {"statistics": options.test.resolve_norm_stats(options.network.norm)}
    dropout = f"{options.test.dropout}, drawn from seed {options.run.seed} and the image's name"
    return settings | {"statistics": options.test.norm_stats, "dropout": dropout}


def _translate(
    tasks: Sequence[Task], translator: "LoadedTranslator", folder: Path, options: TestOptions, size: str
) -> None:
    """Run all tasks, write the page, and print the mean scores."""
    from pix2pix import distributed
    from pix2pix.evaluation.protocol import describe_translation, write_translation
    from pix2pix.report.gallery import write_gallery

    facts = {
        "checkpoint": f"{options.name}, {options.epoch}, step {translator.step}",
        "size": size,
        **_describe_settings(translator),
        "scores": "of the images as written, L1 on [-1, 1], SSIM with Wang's Gaussian window of 11 pixels",
        "command": shlex.join(["python", *sys.argv]),
    }

    def page(new: Path, items: "Sequence[GalleryItem]") -> None:
        settings = {"images": count_images(items, tasks)}
        write_gallery(new, items, title=f"{options.name}: {folder.name}", facts=facts | settings)
        if not options.input:
            run = Path(options.checkpoints_dir) / options.name
            write_translation(new, describe_translation(translator, run, phase=options.phase, size=size))

    items = run_tasks(tasks, folder, skip_bad=options.skip_bad, finish=page)
    scored = [item.scores for item in items if item.scores]
    if scored and distributed.is_main():
        means = {name: sum(scores[name] for scores in scored) / len(scored) for name in scored[0]}
        print(f"{len(scored)} pairs: " + "  ".join(f"{name} {value:.4f}" for name, value in means.items()))
