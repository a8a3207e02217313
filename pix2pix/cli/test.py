"""`python test.py --name X`: translate a data set's pairs, or any images, and show them as a page."""

import re
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from pix2pix.cli.results import translated
from pix2pix.errors import UserError
from pix2pix.options import TestOptions, check_claims, parse

if TYPE_CHECKING:
    from pix2pix.gallery import GalleryItem
    from pix2pix.images import Array, LargeTiff
    from pix2pix.inference import LoadedTranslator


class Task(NamedTuple):
    """An image to translate: its name in the results, that for the dropout, and how to read it and its target."""

    name: str
    seed_name: str
    read: "Callable[[], tuple[Array | LargeTiff, Array | None]]"


def test(argv: Sequence[str]) -> int:
    """Translate and write the results; return the exit status."""
    parsed = parse(argv, TestOptions, program="test.py")
    options = parsed.options
    from pix2pix import inference, ranks

    ranks.agree({**parsed.given, **parsed.claims})
    translator = inference.load(
        Path(options.checkpoints_dir) / options.name,
        epoch=str(options.epoch),
        device=options.device,
        precision=options.precision,
        fast=options.fast,
        compile=options.compile,
        statistics=options.statistics,
        dropout=options.dropout,
        seed=parsed.given.get("seed"),
        tile=options.tile,
    )
    check_claims(translator.options, parsed.claims)
    folder = Path(options.results_dir) / options.name / f"{'input' if options.input else options.phase}_{options.epoch}"
    if options.input and Path(options.input).resolve().is_relative_to(folder.resolve()):
        raise UserError(f"--input {options.input} lies in {folder}, which the results replace; copy it elsewhere first")
    size, tasks = _unpaired(options, translator) if options.input else _pairs(options, translator)
    try:
        page = _write(tasks, translator, folder, options, size)
    except OSError as error:
        raise UserError(f"the results cannot be written to {folder}: {error.strerror or error}") from error
    print(page)
    return 0


def _pairs(options: TestOptions, translator: "LoadedTranslator") -> tuple[str, list[Task]]:
    """Return how test pairs are sized, in words, and the pairs."""
    from pix2pix.data.augment import resized
    from pix2pix.data.pairs import open_pairs

    data = translator.options.data
    preprocess = options.preprocess or data.preprocess
    here = {"dataroot": options.dataroot or data.dataroot, "max_pixels": options.max_pixels or data.max_pixels}
    pairs = open_pairs(data.model_copy(update=here | {"skip_bad": options.skip_bad}), options.phase)
    pairs = pairs.first(options.num_test).of(translator.codec)
    if len(pairs) == 0:
        raise UserError(
            f"--phase {options.phase}: the training kept no pair out for it; --phase train or test has some"
        )
    print(f"{options.phase}: {pairs.layout}: {len(pairs)} pairs", file=sys.stderr)
    for fault in pairs.faults:
        print(f"left out: {fault}", file=sys.stderr)
    height, width = data.crop_size
    sizes = {
        "resize_and_crop": f"resized to {height}x{width} (height x width), no crop",
        "scale_width": f"resized to width {data.load_size[1]}",
        "scale_width_and_crop": f"resized to width {width}, no crop",
    }

    def task(index: int) -> Task:
        def read() -> "tuple[Array, Array]":
            raw = pairs.read(index)
            source, target, _ = resized(
                raw, preprocess, data.load_size, data.crop_size, training=False, codec=translator.codec
            )
            return source, target

        return Task(names[index], names[index], read)

    names = pairs.names
    return sizes.get(preprocess, "native"), [task(index) for index in range(len(pairs))]


def _unpaired(options: TestOptions, translator: "LoadedTranslator") -> tuple[str, list[Task]]:
    """Return how images without partners are sized, in words, and the images."""
    from pix2pix.images import IMAGE_SUFFIXES, LargeTiff, find_images, open_pixels, read, shown, shrunken

    root = Path(str(options.input))
    files = [root] if root.is_file() else find_images(root)
    if not files:
        raise UserError(
            f"--input {shown(root)}: no images there; files ending in {', '.join(IMAGE_SUFFIXES)} are needed"
        )
    print(f"input: {len(files)} images in {shown(root)}", file=sys.stderr)
    names = _result_names([Path(file.name) if root.is_file() else file.relative_to(root) for file in files])

    def task(file: Path, name: str) -> Task:
        def source() -> "tuple[Array | LargeTiff, None]":
            opened = read if options.tile == "off" else open_pixels
            image = opened(file, options.max_pixels or translator.options.data.max_pixels)
            if options.skip_bad and isinstance(image, LargeTiff):
                shrunken(image, translator.codec.source, 2048)  # reads all of it, so that damage is known now
            try:
                if isinstance(image, LargeTiff):
                    translator.accept(image[0:1, 0:1])
                    return image, None
                return translator.accept(image), None
            except UserError as error:
                raise UserError(f"{shown(file)}: {error}") from error

        return Task(name, file.stem, source)

    return "native", [task(*named) for named in zip(files, names, strict=True)][: options.num_test]


def _result_names(paths: Sequence[Path]) -> list[str]:
    """Name the result of each file: without its suffix, unless another has that name (a.jpg beside a.png)."""
    stems = Counter(path.with_suffix("").as_posix() for path in paths)
    whole = {path.as_posix() for path in paths}
    pairs = ((path.with_suffix("").as_posix(), path.as_posix()) for path in paths)
    return [stem if stems[stem] == 1 and stem not in whole else path for stem, path in pairs]


def _write(
    tasks: Sequence[Task], translator: "LoadedTranslator", folder: Path, options: TestOptions, size: str
) -> Path:
    """Translate every task, write images and page, and let them replace those of an earlier test when all went well."""
    from pix2pix import ranks
    from pix2pix.gallery import write_gallery

    test = translator.options.test
    facts = {
        "checkpoint": f"{options.name}, {options.epoch}, step {translator.step}",
        "direction": translator.options.data.direction,
        "size": size,
        "statistics": test.statistics,
        "dropout": f"{test.dropout}, drawn from seed {translator.options.run.seed} and the image's name",
        "scores": "of the images as written, L1 on [-1, 1], SSIM with Wang's Gaussian window of 11 pixels",
        "command": shlex.join(["python", *sys.argv]),
    }
    with ExitStack() as made:
        new = ranks.by_first(lambda: _made_new(folder, made))
        items = _items(tasks, translator, new, options)
        if not ranks.is_first():
            return folder / "index.html"
        facts["images"] = str(len(items)) + (f", {len(tasks) - len(items)} left out" if len(items) < len(tasks) else "")
        write_gallery(new, items, title=f"{options.name}: {folder.name}", facts=facts)
        _replace(folder, new)
    scored = [item.scores for item in items if item.scores]
    if scored:
        means = {name: sum(scores[name] for scores in scored) / len(scored) for name in scored[0]}
        print(f"{len(scored)} pairs: " + "  ".join(f"{name} {value:.4f}" for name, value in means.items()))
    return folder / "index.html"


def _made_new(folder: Path, made: ExitStack) -> Path:
    """Make a folder for new results inside that of the old ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".new-*"):  # by a test that was killed
        shutil.rmtree(left)
    return Path(made.enter_context(TemporaryDirectory(prefix=".new-", dir=folder)))


def _items(
    tasks: Sequence[Task], translator: "LoadedTranslator", folder: Path, options: TestOptions
) -> "list[GalleryItem]":
    """Translate every task, each process its share; with --skip_bad, tell those that cannot be used and go on."""
    from tqdm import tqdm

    from pix2pix import ranks

    share: list[GalleryItem | None] = []
    faults: list[str] = []
    for task in tqdm(tasks[ranks.rank() :: ranks.count()], unit="image", disable=None):
        try:
            source, target = task.read()
        except UserError as error:
            if not options.skip_bad:
                raise
            faults.append(f"left out: {error}")
            tqdm.write(faults[-1], file=sys.stderr)
            share.append(None)
            continue
        share.append(translated(task.name, task.seed_name, source, target, translator, folder, options.samples))
    for fault in (fault for others in ranks.gather(faults)[1:] for fault in others):
        print(fault, file=sys.stderr)
    items = [item for item in ranks.merged(ranks.gather(share)) if item is not None]
    if not items:
        raise UserError("--skip_bad left no image to translate")
    return items


def _replace(folder: Path, new: Path) -> None:
    """Move what lies in `new` into `folder` in place of the images and page of an earlier test; all else stays."""
    for old in folder.iterdir():
        if re.fullmatch(r"(preview_)?(source|target|output(_\d+)?)", old.name) and old.is_dir():
            shutil.rmtree(old)
    for path in new.iterdir():
        path.replace(folder / path.name)
