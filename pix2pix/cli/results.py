"""One image of the results: translated, written with its source and target, compared."""

from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.errors import UserError
from pix2pix.options import TestOptions

if TYPE_CHECKING:
    from torch import Tensor

    from pix2pix.gallery import GalleryItem
    from pix2pix.images import Array, Encoding, LargeTiff
    from pix2pix.inference import LoadedTranslator, Manner

PREVIEW = 2048  # pixels: a browser is shown no longer side
_ROWS = 256  # that are encoded at a time


def opened(file: Path, options: TestOptions, translator: "LoadedTranslator") -> "Array | LargeTiff":
    """Read an image to translate, with the channels of the training's sources; a TIFF that is too large stays a file.

    Raises:
        UserError: it cannot be used.
    """
    from pix2pix.images import LargeTiff, open_pixels, read, shown, shrunken

    limit = options.max_pixels or translator.options.data.max_pixels
    pixels = (read if options.tile == "off" else open_pixels)(file, limit)
    try:
        if not isinstance(pixels, LargeTiff):
            return translator.accept(pixels)
        corner = translator.accept(pixels[0:1, 0:1])
    except UserError as error:
        raise UserError(f"{shown(file)}: {error}") from error
    if options.skip_bad:  # all of it is read, so that damage is known now
        shrunken(pixels, translator.codec_for(corner).source, PREVIEW)
    return pixels


def translated(
    name: str,
    seed_name: str,
    source: "Array | LargeTiff",
    target: "Array | None",
    translator: "LoadedTranslator",
    folder: Path,
    samples: int,
) -> "GalleryItem":
    """Translate one image `samples` times, write it with its source and target, and compare the first.

    Of a file that is read by windows the source is shown at the size of a preview.
    """
    from pix2pix.gallery import GalleryItem
    from pix2pix.images import LargeTiff, shrunken

    codec = translator.codec
    small = codec.source.accept(shrunken(source, codec.source, PREVIEW))
    x = codec.source.encode(small)
    shown_source = small if isinstance(source, LargeTiff) else source
    if codec.source.kind == "lightness":  # whose sources are the photos that are to come out
        shown_source = _as_translated(shown_source, codec.source)
    labels = ["output"] if samples == 1 else [f"output {number}" for number in range(1, samples + 1)]
    outputs = [
        painted(source, translator, _place(folder, label, name, ".tif"), name=seed_name, sample=sample)
        for sample, label in enumerate(labels)
    ]
    columns: dict[str, tuple[Encoding, Array | LargeTiff]] = {"source": (codec.source, shown_source)}
    columns |= {label: (codec.target, output) for label, output in zip(labels, outputs, strict=True)}
    if target is not None:
        columns["target"] = (codec.target, target)
    shown: dict[str, Path] = {}
    files: dict[str, Path] = {}
    for label, (encoding, image) in columns.items():
        file, preview = saved(folder, label, name, encoding, image, x)
        shown[label] = preview or file
        files |= {label: file} if preview else {}
    first = outputs[0]
    scores = {} if target is None or isinstance(first, LargeTiff) else _scores(first, target, codec.target)
    return GalleryItem(name, shown, scores, files)


def painted(
    source: "Array | LargeTiff",
    translator: "LoadedTranslator",
    file: Path,
    *,
    manner: "Manner | None" = None,
    name: str = "",
    sample: int = 0,
) -> "Array | LargeTiff":
    """Translate an array into another, and a file that is read by windows into a file."""
    import numpy as np

    from pix2pix.images import LargeTiff, NewTiff
    from pix2pix.inference import Manner

    arrays: list[Array] = []

    def make(shape: tuple[int, int, int], dtype: str) -> "Array | NewTiff":
        if isinstance(source, LargeTiff):
            file.parent.mkdir(parents=True, exist_ok=True)
            return NewTiff(file, shape, dtype)
        arrays.append(np.empty(shape, dtype))
        return arrays[0]

    translator.translate_pixels(source, make, manner=manner or Manner(), name=name, sample=sample)
    return LargeTiff(file) if isinstance(source, LargeTiff) else arrays[0]


def _as_translated(source: "Array", encoding: "Encoding") -> "Array":
    """Return a source as its tensor shows it, made a few rows at a time."""
    import numpy as np

    tensors = (encoding.encode(source[top : top + _ROWS]) for top in range(0, len(source), _ROWS))
    return np.concatenate([encoding.decode(tensor, tensor) for tensor in tensors])


def _place(folder: Path, label: str, name: str, suffix: str) -> Path:
    return folder / label.replace(" ", "_") / f"{name}{suffix}"


def saved(
    folder: Path, label: str, name: str, encoding: "Encoding", image: "Array | LargeTiff", x: "Tensor"
) -> tuple[Path, Path | None]:
    """Write an image in its own format and, where a browser would not show that as meant, a preview; return both.

    What was written by windows is there already.
    """
    from pix2pix.images import LargeTiff, shrunken, to_array, write

    if isinstance(image, LargeTiff):
        file = image.path
    else:
        file = _place(folder, label, name, encoding.suffix)
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, image)
    is_seen_as_is = (encoding.is_labels and encoding.channels > 1) or (encoding.low, encoding.high) == ((0,), (255,))
    is_shown = file.suffix == ".png" and encoding.dtype == "uint8" and max(image.shape[:2]) <= PREVIEW
    if is_shown and is_seen_as_is:
        return file, None
    preview = _place(folder, f"preview_{label}", name, ".png")
    preview.parent.mkdir(parents=True, exist_ok=True)
    picture = encoding.picture(encoding.encode(shrunken(image, encoding, PREVIEW))[None], x[None])
    write(preview, to_array(picture[0]))
    return file, preview


def as_shown(file: Path, picture: "Array") -> Path:
    """Write a picture (H, W, 3) of any depth for browsers, unless it is there, and return its path."""
    from pix2pix.images import rgb_encoding, rgb_tensor, shrunken, to_array, write

    if not file.exists():
        small = shrunken(picture, rgb_encoding(picture.dtype.name), PREVIEW)
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, to_array(rgb_tensor(small)))
    return file


def _scores(output: "Array", target: "Array", encoding: "Encoding") -> dict[str, float]:
    from pix2pix.evaluation.scoring import as_compared, compared

    seen = as_compared(encoding)
    x, y = seen.encode(output)[None], seen.encode(target)[None]
    scores = compared(x, y)
    if encoding.is_labels:  # whose targets may be JPEG files: their classes are compared
        scores["accuracy"] = float((output == encoding.decode(y[0], y[0])).all(axis=2).mean())
    return scores
