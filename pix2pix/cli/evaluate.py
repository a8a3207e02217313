"""`python -m pix2pix evaluate`: how good are the translations of a run, or the images of a folder?"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.cli.evaluation_report import scalars, table, write_page
from pix2pix.cli.test import open_translator, translate
from pix2pix.errors import UserError
from pix2pix.options import EvaluateOptions, as_dict, parse

if TYPE_CHECKING:
    from pix2pix.evaluation import Folders, Instruments, Picture

_OF_EVALUATIONS = {"metrics.json", "translation.json"}  # one of which any folder of results has


def evaluate(argv: Sequence[str]) -> int:
    """Measure, and write metrics.json and a page; return the exit status."""
    evaluated(parse(argv, EvaluateOptions, program="python -m pix2pix evaluate").options)
    return 0


def evaluated(options: EvaluateOptions) -> Path:
    """Measure as the options say, tell the metrics on the terminal, and return the path of metrics.json.

    By name, a run's pairs are translated as by test.py, and the folder of these results is then what is measured.

    Raises:
        UserError: there is no such run or folder, it does not fit the options, or a file cannot be used.
    """
    from pix2pix import ranks
    from pix2pix.evaluation import open_instruments
    from pix2pix.runtime import Runtime

    out = _out(options)
    instruments = open_instruments(options, Runtime(options.device).device)
    if options.name is not None:
        _translate(options, instruments, out)
    results = out if options.results is None else Path(options.results)
    return ranks.by_first(lambda: _measure(options, instruments, results, out))


def _out(options: EvaluateOptions) -> Path:
    """Return the folder for the numbers and the page, which holds nothing else than such.

    Raises:
        UserError: it has to be told, or holds what could be lost.
    """
    from pix2pix.evaluation.pictures import is_of_test
    from pix2pix.images import shown

    measured = None if options.results is None else _folders(options, Path(options.results))
    if options.out is None:
        if options.results is None:
            return Path(options.results_dir) / str(options.name) / f"{options.phase}_{options.epoch}"
        if is_of_test(Path(options.results)):
            return Path(options.results)
        raise UserError(f"--results {shown(options.results)} is not by test.py: give a folder for the numbers by --out")
    out = Path(options.out)
    present = {path.name for path in out.iterdir() if path.name[0] != "."} if out.is_dir() else set()
    if present and not present & _OF_EVALUATIONS:
        raise UserError(f"--out {shown(out)} holds other things than results; choose a new folder")
    for folder in measured or ():
        if folder is not None and out.resolve().is_relative_to(folder.resolve()):  # its previews would be measured next
            raise UserError(f"--out {shown(out)} lies in {shown(folder)}, whose images are measured; choose another")
    return out


def _folders(options: EvaluateOptions, results: Path) -> "Folders":
    """Return the folders to compare.

    Raises:
        UserError: there are none, or it has to be told where the truth is.
    """
    from pix2pix.evaluation import folders

    truth, labels = (None if given is None else Path(given) for given in (options.truth, options.labels))
    return folders(results, truth, labels)


def _translate(options: EvaluateOptions, instruments: "Instruments", folder: Path) -> None:
    """Translate the run's pairs into the folder.

    Raises:
        UserError: it is a run of another method than pix2pix, or its pairs cannot be used.
    """
    from pix2pix.evaluation import scorer_of

    translator = open_translator(options.test, options.seed)
    if (model := translator.options.model) == "segmenter":
        raise UserError(f"--name {options.name}: run test.py of this segmenter, and give the results by --results")
    if model != "pix2pix":
        raise UserError(
            f"--name {options.name}: a run of {model} has no true images to compare with; "
            "evaluate takes runs of pix2pix"
        )
    scorer_of(options.segmentation, translator.codec, instruments)  # what does not fit is told before all is translated
    translate(options.test, translator, folder)


def _measure(options: EvaluateOptions, instruments: "Instruments", results: Path, out: Path) -> Path:
    """Measure a folder of results, and write and tell what came out."""
    from tqdm import tqdm

    from pix2pix import evaluation
    from pix2pix.images import shown

    pictures = evaluation.find_pictures(_folders(options, results))
    translation = evaluation.read_translation(results)
    codec = None if translation is None else translation.codec
    scorer = evaluation.scorer_of(options.segmentation, codec, instruments, options.max_pixels)

    def progress(pictures: "Sequence[Picture]") -> "Iterable[Picture]":
        return tqdm(pictures, desc="measuring", unit="image", leave=False, disable=None)

    evaluation.check_writable(out)
    measured = evaluation.evaluate(pictures, scorer, progress)
    translator = None if translation is None else translation.translator
    content = {**measured.as_dict(), "translator": translator, "asked": as_dict(options)}
    path = evaluation.write_metrics(out, content)
    page = write_page(out, results, pictures, content)
    for line in table(measured.summary.metrics):
        print(line)
    if options.name is not None and translator is not None:
        _to_tensorboard(options, translator["step"], scalars(measured.summary.metrics, options.phase))
    print(f"{shown(path)}\n{shown(page)}")
    return path


def _to_tensorboard(options: EvaluateOptions, step: int, values: dict[str, float]) -> None:
    """Add the metrics to the run's scalars; a folder that cannot be written is no reason to fail."""
    from pix2pix.images import shown
    from pix2pix.monitor import add_scalars

    folder = Path(options.checkpoints_dir) / str(options.name)
    try:
        add_scalars(folder, step, values)
    except OSError as error:
        print(f"TensorBoard: {shown(folder)} cannot be written: {error.strerror or error}", file=sys.stderr)
