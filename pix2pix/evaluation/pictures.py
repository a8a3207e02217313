"""The images to compare: files of folders, brought together by their names."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pix2pix.errors import UserError
from pix2pix.images import find_images, shown


class Folders(NamedTuple):
    """Where outputs, their truths and, if there are any, their label maps lie."""

    output: Path
    truth: Path
    labels: Path | None


class Picture(NamedTuple):
    """The files of one translation; its name is the path in the folder without the suffix."""

    name: str
    output: Path
    truth: Path
    labels: Path | None


def is_of_test(folder: Path) -> bool:
    """Tell whether test.py made the folder, with one output for each image."""
    return (folder / "output").is_dir()


def folders(results: Path, truth: Path | None, labels: Path | None) -> Folders:
    """Say where what is compared lies, for results by test.py and for any others.

    Raises:
        UserError: there are none, or it has to be told where the truth is.
    """
    if not results.is_dir():
        raise UserError(f"--results {shown(results)} is no folder; a folder of translations is needed")
    if is_of_test(results):
        sources = results / "source"
        found = Folders(
            results / "output", truth or results / "target", labels or (sources if sources.is_dir() else None)
        )
        if not found.truth.is_dir() and truth is None:
            raise UserError(f"--results {shown(results)} has no targets: give the true images by --truth FOLDER")
    elif truth is None:
        several = sorted(path.name for path in results.glob("output_*") if path.is_dir())
        way = f"one of its folders, such as --results {shown(results / several[0])}, with " if several else ""
        raise UserError(f"--results {shown(results)} has no folder `output` by test.py: give {way}--truth FOLDER")
    else:
        found = Folders(results, truth, labels)
    for option, folder in (("truth", found.truth), ("labels", found.labels)):
        if folder is not None and not folder.is_dir():
            raise UserError(f"--{option} {shown(folder)} is no folder; a folder of images is needed")
    return found


def find_pictures(where: Folders) -> list[Picture]:
    """Bring the files of the folders together, in natural order of their names.

    Raises:
        UserError: there are no images, two have one name, or one has no partner.
    """
    outputs, truths = _by_name(where.output), _by_name(where.truth)
    if not outputs:
        raise UserError(f"{shown(where.output)} holds no images; a folder of translations is needed")
    _check_partners(outputs, truths, where.output, where.truth)
    _check_partners(truths, outputs, where.truth, where.output)
    if where.labels is None:
        return [Picture(name, path, truths[name], None) for name, path in outputs.items()]
    labels = _by_name(where.labels)
    _check_partners(outputs, labels, where.output, where.labels)
    return [Picture(name, path, truths[name], labels[name]) for name, path in outputs.items()]


def check_sizes(picture: Picture, sizes: Sequence[tuple[int, int]]) -> None:
    """See that the images of a picture have one size (height, width).

    Raises:
        UserError: they have not.
    """
    if len(set(sizes)) > 1:
        said = " and ".join(f"{height}x{width}" for height, width in sizes)
        raise UserError(f"{shown(picture.output)} and its partners are {said} (height x width); one size is needed")


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in find_images(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise UserError(f"{shown(found[name])} and {shown(path)} have one name; take one of them away")
        found[name] = path
    return found


def _check_partners(these: dict[str, Path], those: dict[str, Path], here: Path, there: Path) -> None:
    alone = [name for name in these if name not in those]
    if alone:
        others = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
        name = shown(alone[0])
        raise UserError(f"{name}{others} of {shown(here)} has no partner in {shown(there)}; equal names are needed")
