"""The cells of an experiment's grid."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from pix2pix.experiments.records import Cell
from pix2pix.options import Asked, EvaluateOptions, Experiment, FeatureOptions, OptionError, Pix2PixOptions
from pix2pix.options.grid import Changes
from pix2pix.options.loss import readers
from pix2pix.options.records import build, leaves, one_line, values

_SWITCHES = ("statistics", "dropout")  # of both: recorded by the training, chosen anew when evaluating


def cells(experiment: Experiment, scale: Mapping[str, Any], asked: Asked) -> list[Cell]:
    """Return the cells, seed by seed; `scale` holds the options of the scale that is asked for.

    Defaults < base < scale < what all change < command line, which may not name what choices differ in < choices.

    Raises:
        OptionError: the options of a cell contradict each other, two cells would have one name, or an option of the
            command line is read by no run or is what choices differ in.
    """
    seeds = experiment.seeds if asked.options.seeds is None else asked.options.seeds
    _check_varied(experiment, asked)
    begun = {**experiment.base, **scale, **experiment.changes.at(asked.options.scale)}
    points = [list(point) for point in product(*(choices.items() for choices in experiment.axes.values()))]
    found = [_cell(experiment, begun, point, seed, asked) for seed in seeds for point in points]
    _check_names(found, experiment)
    _check_read(found, asked.training)
    return found


def _cell(
    experiment: Experiment,
    begun: Mapping[str, Any],
    point: Sequence[tuple[str, Changes]],
    seed: int,
    asked: Asked,
) -> Cell:
    labels = tuple(label for label, _ in point)
    where = f"{one_line(experiment.file)}: {' '.join(labels)}"
    name = f"{experiment.name}_{' '.join(labels)}_{seed}"
    leaves(Pix2PixOptions)["name"].check(name, where)
    given = dict(begun)
    evaluate = dict(experiment.changes.evaluate)
    for _, choice in point:
        given |= choice.at(asked.options.scale)
        evaluate |= choice.evaluate
    given |= {
        option: value for option, value in asked.training.items() if _is_read(option, {**given, **asked.training})
    }
    evaluate |= asked.evaluation
    try:
        options = build(Pix2PixOptions, given | {"name": name, "seed": seed})
        _check_evaluation(options, evaluate)
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None
    return Cell(labels, seed, options, evaluate)


def _check_evaluation(options: Pix2PixOptions, evaluate: Mapping[str, Any]) -> None:
    """See that what the options train can be evaluated so, which would come out only when it is trained.

    Raises:
        OptionError: it cannot.
    """
    build(EvaluateOptions, {"name": options.run.name, **evaluate})
    switches = {name: value for name, value in evaluate.items() if name in _SWITCHES and value is not None}
    build(Pix2PixOptions, values(options) | switches)
    if evaluate.get("segmenter") is not None and options.data.target_kind == "labels":
        raise OptionError("--segmenter looks at photos, and these outputs are label maps: leave it out")


def _is_read(option: str, given: Mapping[str, Any]) -> bool:
    """Tell whether a run reads an option: those of features are for the runs whose losses compare features."""
    return option not in FeatureOptions.model_fields or any(given.get(weight) for weight in readers(option))


def _check_varied(experiment: Experiment, asked: Asked) -> None:
    """See that the command line leaves alone what tells the choices apart, or their labels would not be true."""
    for axis, choices in experiment.axes.items():
        varied = {name for choice in choices.values() for name in (*choice.at(asked.options.scale), *choice.evaluate)}
        if both := [option for option in (*asked.training, *asked.evaluation) if option in varied]:
            raise OptionError(
                f"--{both[0]}: it is what choices of {one_line(axis)} differ in, and cannot be given for all; "
                "leave it out, or write an experiment of your own"
            )


def _check_names(found: Sequence[Cell], experiment: Experiment) -> None:
    """See that no two cells would share a folder, on file systems that know no capitals either."""
    names: dict[str, Cell] = {}
    for cell in found:
        other = names.setdefault(cell.options.run.name.casefold(), cell)
        if other is not cell:
            raise OptionError(
                f"{one_line(experiment.file)}: grid: {' + '.join(other.labels)} and {' + '.join(cell.labels)} "
                f"would have one folder, {cell.name}; choose other labels"
            )


def _check_read(found: Sequence[Cell], given: Mapping[str, Any]) -> None:
    for option in given:
        if option in FeatureOptions.model_fields and not any(_compares(cell.options, option) for cell in found):
            raise OptionError(f"--{option}: no run of this experiment has a loss that reads it; leave it out")


def _compares(options: Pix2PixOptions, option: str) -> bool:
    return any(getattr(options.loss, weight) for weight in readers(option))
