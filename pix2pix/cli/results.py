"""One image of the results: translated, written with its source and target, compared."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from pix2pix.gallery import GalleryItem
    from pix2pix.images import Array, Encoding
    from pix2pix.inference import LoadedTranslator


def translated(
    name: str,
    seed_name: str,
    source: "Array",
    target: "Array | None",
    translator: "LoadedTranslator",
    folder: Path,
    samples: int,
) -> "GalleryItem":
    """Translate one image `samples` times, write it with its source and target, and compare the first."""
    from pix2pix.gallery import GalleryItem

    codec = translator.codec
    x = codec.source.encode(source)
    outputs = [translator.translate(source, name=seed_name, sample=sample) for sample in range(samples)]
    is_lab = codec.source.kind == "lightness"  # whose sources are the photos that are to come out
    columns = {"source": (codec.source, codec.source.decode(x, x) if is_lab else source)}
    for number, output in enumerate(outputs, start=1):
        columns["output" if samples == 1 else f"output {number}"] = (codec.target, output)
    if target is not None:
        columns["target"] = (codec.target, target)
    shown: dict[str, Path] = {}
    files: dict[str, Path] = {}
    for label, (encoding, image) in columns.items():
        file, preview = _save(folder, label.replace(" ", "_"), name, encoding, image, x)
        shown[label] = preview or file
        files |= {label: file} if preview else {}
    scores = {} if target is None else _scores(outputs[0], target, codec.target)
    return GalleryItem(name, shown, scores, files)


def _save(
    folder: Path, label: str, name: str, encoding: "Encoding", image: "Array", x: "Tensor"
) -> tuple[Path, Path | None]:
    """Write an image in its own format and, where a browser would not show that as meant, a preview; return both."""
    from pix2pix.images import to_array, write

    file = folder / label / f"{name}{encoding.suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    write(file, image)
    is_seen_as_is = (encoding.is_labels and encoding.channels > 1) or (encoding.low, encoding.high) == ((0,), (255,))
    if encoding.suffix == ".png" and encoding.dtype == "uint8" and is_seen_as_is:
        return file, None
    preview = folder / f"preview_{label}" / f"{name}.png"
    preview.parent.mkdir(parents=True, exist_ok=True)
    picture = encoding.picture(encoding.encode(image)[None], x[None])
    write(preview, to_array(picture[0]))
    return file, preview


def _scores(output: "Array", target: "Array", encoding: "Encoding") -> dict[str, float]:
    from pix2pix.metrics import image as metrics

    seen = replace(encoding, kind="photo") if encoding.kind == "chroma" else encoding  # compared in RGB
    x, y = seen.encode(output)[None], seen.encode(target)[None]
    scores = {
        "L1": metrics.l1(x, y).item(),
        "PSNR": metrics.psnr(x, y).item(),
        "SSIM": metrics.ssim(x, y).item(),
    }
    if encoding.is_labels:  # whose targets may be JPEG files: their classes are compared
        scores["accuracy"] = float((output == encoding.decode(y[0], y[0])).all(axis=2).mean())
    return scores
