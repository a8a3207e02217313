"""Translate images into a folder of results, replacing those of an earlier test."""

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from pix2pix.config.test import TestOptions
from pix2pix.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from pix2pix.data.arrays import Array
    from pix2pix.data.codec import ImageCodec
    from pix2pix.data.tiff import TiffReader
    from pix2pix.inference.style_request import StyleRequest
    from pix2pix.inference.translator import LoadedTranslator
    from pix2pix.report.gallery import GalleryItem

PREVIEW = 2048  # longest side of previews in pixels
_ROWS = 256  # encoded at a time


def open_source(file: Path, options: TestOptions, translator: "LoadedTranslator") -> "Array | TiffReader":
    """Read an image with the channels of the training sources; a too large TIFF is opened for reading by windows.

    Raises:
        UserError: it cannot be used.
    """
    from pix2pix.data.io import open_image, read_image
    from pix2pix.data.tiff import TiffReader
    from pix2pix.errors import format_path
    from pix2pix.networks.canvas import shrink_image

    limit = options.max_pixels or translator.options.data.max_pixels
    pixels = (read_image if options.tile == "off" else open_image)(file, limit)
    try:
        if not isinstance(pixels, TiffReader):
            return translator.accept(pixels)
        corner = translator.accept(pixels[0:1, 0:1])
    except UserError as error:
        raise UserError(f"{format_path(file)}: {error}") from error
    if options.skip_bad:  # read completely, to find damage now
        shrink_image(pixels, translator.codec_for(corner).source, PREVIEW)
    return pixels


def translate_image(
    name: str,
    seed_name: str,
    source: "Array | TiffReader",
    target: "Array | None",
    translator: "LoadedTranslator",
    folder: Path,
    samples: int,
) -> "GalleryItem":
    """Translate an image `samples` times, write outputs, source and target, and compute metrics of the first output.

    The source of a file that is read by windows is shown as a preview.
    """
    from pix2pix.data.tiff import TiffReader
    from pix2pix.networks.canvas import shrink_image
    from pix2pix.report.gallery import GalleryItem

    codec = translator.codec
    small = codec.source.accept(shrink_image(source, codec.source, PREVIEW))
    x = codec.source.encode(small)
    shown_source = small if isinstance(source, TiffReader) else source
    if codec.source.kind == "lightness":  # its sources are photos
        shown_source = _render_source(shown_source, codec.source)
    labels = ["output"] if samples == 1 else [f"output {number}" for number in range(1, samples + 1)]
    outputs = [
        translate_pixels(source, translator, _get_path(folder, label, name, ".tif"), name=seed_name, sample=sample)
        for sample, label in enumerate(labels)
    ]
    columns: dict[str, tuple[ImageCodec, Array | TiffReader]] = {"source": (codec.source, shown_source)}
    columns |= {label: (codec.target, output) for label, output in zip(labels, outputs, strict=True)}
    if target is not None:
        columns["target"] = (codec.target, target)
    shown: dict[str, Path] = {}
    files: dict[str, Path] = {}
    for label, (encoding, image) in columns.items():
        file, preview = write_with_preview(folder, label, name, encoding, image, x)
        shown[label] = preview or file
        files |= {label: file} if preview else {}
    first = outputs[0]
    scores = {} if target is None or isinstance(first, TiffReader) else _compute_scores(first, target, codec.target)
    return GalleryItem(name, shown, scores, files)


def translate_pixels(
    source: "Array | TiffReader",
    translator: "LoadedTranslator",
    file: Path,
    *,
    request: "StyleRequest | None" = None,
    name: str = "",
    sample: int = 0,
) -> "Array | TiffReader":
    """Translate an array to an array, and a file that is read by windows to a file."""
    import numpy as np

    from pix2pix.data.tiff import TiffReader, TiffWriter
    from pix2pix.inference.style_request import StyleRequest

    arrays: list[Array] = []

    def make(shape: tuple[int, int, int], dtype: str) -> "Array | TiffWriter":
        if isinstance(source, TiffReader):
            file.parent.mkdir(parents=True, exist_ok=True)
            return TiffWriter(file, shape, dtype)
        arrays.append(np.empty(shape, dtype))
        return arrays[0]

    translator.translate_pixels(source, make, request=request or StyleRequest(), name=name, sample=sample)
    return TiffReader(file) if isinstance(source, TiffReader) else arrays[0]


def _render_source(source: "Array", encoding: "ImageCodec") -> "Array":
    """Return a source as the network gets it, converted a few rows at a time."""
    import numpy as np

    tensors = (encoding.encode(source[top : top + _ROWS]) for top in range(0, len(source), _ROWS))
    return np.concatenate([encoding.decode(tensor, tensor) for tensor in tensors])


def _get_path(folder: Path, label: str, name: str, suffix: str) -> Path:
    return folder / label.replace(" ", "_") / f"{name}{suffix}"


def write_with_preview(
    folder: Path, label: str, name: str, encoding: "ImageCodec", image: "Array | TiffReader", x: "Tensor"
) -> tuple[Path, Path | None]:
    """Write an image in its own format, and a preview if browsers cannot show it; return both paths.

    Images written by windows exist already.
    """
    from pix2pix.data.arrays import to_array
    from pix2pix.data.io import write_image
    from pix2pix.data.tiff import TiffReader
    from pix2pix.networks.canvas import shrink_image

    if isinstance(image, TiffReader):
        file = image.path
    else:
        file = _get_path(folder, label, name, encoding.suffix)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(file, image)
    is_seen_as_is = (encoding.is_labels and encoding.channels > 1) or (encoding.low, encoding.high) == ((0,), (255,))
    is_shown = file.suffix == ".png" and encoding.dtype == "uint8" and max(image.shape[:2]) <= PREVIEW
    if is_shown and is_seen_as_is:
        return file, None
    preview = _get_path(folder, f"preview_{label}", name, ".png")
    preview.parent.mkdir(parents=True, exist_ok=True)
    picture = encoding.picture(encoding.encode(shrink_image(image, encoding, PREVIEW))[None], x[None])
    write_image(preview, to_array(picture[0]))
    return file, preview


def write_preview(file: Path, picture: "Array") -> Path:
    """Write an image (H, W, 3) of any depth for browsers, unless it exists, and return its path."""
    from pix2pix.data.arrays import to_array
    from pix2pix.data.codec import rgb_codec, rgb_to_tensor
    from pix2pix.data.io import write_image
    from pix2pix.networks.canvas import shrink_image

    if not file.exists():
        small = shrink_image(picture, rgb_codec(picture.dtype.name), PREVIEW)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(file, to_array(rgb_to_tensor(small)))
    return file


def _compute_scores(output: "Array", target: "Array", encoding: "ImageCodec") -> dict[str, float]:
    from pix2pix.evaluation.score import compute_scores, get_comparison_codec

    seen = get_comparison_codec(encoding)
    x, y = seen.encode(output)[None], seen.encode(target)[None]
    scores = compute_scores(x, y)
    if encoding.is_labels:  # compares classes, because targets may be JPEG files
        scores["accuracy"] = float((output == encoding.decode(y[0], y[0])).all(axis=2).mean())
    return scores


_RESULTS = r"(preview_)?(source|target|content|style(_\d+)?|output(_\d+)?)|grid\.png|(translation|metrics)\.json"


class Task(NamedTuple):
    """A row of the page: a function to read its images, and one to write results into a folder."""

    read: Callable[[], Any]
    make: "Callable[[Any, Path], GalleryItem]"


def run_tasks(
    tasks: Sequence[Task], folder: Path, *, skip_bad: bool, finish: "Callable[[Path, Sequence[GalleryItem]], None]"
) -> "list[GalleryItem]":
    """Run all tasks in a new folder, each process a share, and replace the results of an earlier test.

    `finish` writes the page, in the first process.

    Raises:
        UserError: an image cannot be used, or all are skipped; earlier results are kept.
    """
    from pix2pix import distributed

    with ExitStack() as made:
        new = distributed.run_on_main(lambda: _create_folder(folder, made))
        items = _run_all(tasks, new, skip_bad)
        if distributed.is_main():
            finish(new, items)
            _replace(folder, new)
    return items


def count_images(items: "Sequence[GalleryItem]", tasks: Sequence[Task]) -> str:
    """Describe the number of images."""
    return str(len(items)) + (f", {len(tasks) - len(items)} skipped" if len(items) < len(tasks) else "")


def _create_folder(folder: Path, made: ExitStack) -> Path:
    """Create a folder for new results inside that of the old ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".new-*"):  # of a killed test
        shutil.rmtree(left)
    return Path(made.enter_context(TemporaryDirectory(prefix=".new-", dir=folder)))


def _run_all(tasks: Sequence[Task], folder: Path, skip_bad: bool) -> "list[GalleryItem]":
    """Run all tasks, each process a share; with --skip_bad, report and skip faulty images."""
    from tqdm import tqdm

    from pix2pix import distributed

    share: list[GalleryItem | None] = []
    faults: list[str] = []
    for task in tqdm(tasks[distributed.rank() :: distributed.world_size()], unit="image", disable=None):
        try:
            seen = task.read()
        except UserError as error:
            if not skip_bad:
                raise
            faults.append(f"skipped: {error}")
            tqdm.write(faults[-1], file=sys.stderr)
            share.append(None)
            continue
        share.append(task.make(seen, folder))
    for fault in (fault for others in distributed.gather(faults)[1:] for fault in others):
        print(fault, file=sys.stderr)
    items = [item for item in distributed.merge_shares(distributed.gather(share)) if item is not None]
    if not items:
        raise UserError("--skip_bad left no image to translate")
    return items


def _replace(folder: Path, new: Path) -> None:
    """Move the files of `new` into `folder`, replacing images and page of an earlier test; other files stay.

    Files are moved before folders, so that translation.json always exists.
    """
    paths = sorted(new.iterdir(), key=lambda path: path.is_dir())
    kept = {path.name for path in paths if path.is_file()}
    for old in folder.iterdir():
        if re.fullmatch(_RESULTS, old.name) and old.name not in kept:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    for path in paths:
        path.replace(folder / path.name)
