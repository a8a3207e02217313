"""Experiments: a grid of runs, each trained and evaluated once."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from pix2pix import checkpoint
from pix2pix.checkpoint import hash_file
from pix2pix.config.base import OptionError, build_options, escape_line, get_values, list_options, to_dict
from pix2pix.config.experiment import Experiment, Overrides
from pix2pix.config.losses import FeatureOptions, find_losses_using
from pix2pix.config.parse import ExperimentArguments, load_stored_options
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.tools import EvaluateOptions
from pix2pix.config.yaml import load_yaml
from pix2pix.errors import UserError
from pix2pix.evaluation.metric_networks import MetricNetworks, Unavailable
from pix2pix.evaluation.protocol import describe_networks
from pix2pix.evaluation.score import TranslationFiles, find_folders, find_translations


class Cell(NamedTuple):
    """A cell of the grid and a seed: the options of training and evaluation.

    `labels` has a label for each axis; `evaluate` the given options of evaluation.
    """

    labels: tuple[str, ...]
    seed: int
    options: Pix2PixOptions
    evaluate: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The unique name of the cell, that of its folder."""
        return f"{' '.join(self.labels)}_{self.seed}"


class Result(NamedTuple):
    """A trained and evaluated cell.

    `run` is the name of its run, `folder` has output/, source/, target/ and metrics.json, whose content is `metrics`.
    """

    cell: Cell
    run: str
    folder: Path
    metrics: Mapping[str, Any]


_SHARED_OPTIONS = ("norm_stats", "dropout")  # options of both training and evaluation


def expand_grid(experiment: Experiment, scale: Mapping[str, Any], arguments: ExperimentArguments) -> list[Cell]:
    """Return the cells, seed by seed; `scale` has the options of the requested scale.

    Later ones override earlier ones: defaults, base, scale, changes, command line, cell.

    Raises:
        OptionError: the options of a cell contradict each other, two cells have the same name, or an option of the
            command line is used by no run or varies in the grid.
    """
    seeds = experiment.seeds if arguments.options.seeds is None else arguments.options.seeds
    _check_varied(experiment, arguments)
    begun = {**experiment.base, **scale, **experiment.changes.at(arguments.options.scale)}
    points = [list(point) for point in product(*(choices.items() for choices in experiment.axes.values()))]
    found = [_cell(experiment, begun, point, seed, arguments) for seed in seeds for point in points]
    _check_names(found, experiment)
    _check_used(found, arguments.training)
    return found


def _cell(
    experiment: Experiment,
    begun: Mapping[str, Any],
    point: Sequence[tuple[str, Overrides]],
    seed: int,
    arguments: ExperimentArguments,
) -> Cell:
    labels = tuple(label for label, _ in point)
    where = f"{escape_line(experiment.file)}: {' '.join(labels)}"
    name = f"{experiment.name}_{' '.join(labels)}_{seed}"
    list_options(Pix2PixOptions)["name"].check(name, where)
    given = dict(begun)
    evaluate = dict(experiment.changes.evaluate)
    for _, choice in point:
        given |= choice.at(arguments.options.scale)
        evaluate |= choice.evaluate
    given |= {
        option: value
        for option, value in arguments.training.items()
        if _is_used(option, {**given, **arguments.training})
    }
    evaluate |= arguments.evaluation
    try:
        options = build_options(Pix2PixOptions, given | {"name": name, "seed": seed})
        _check_evaluation(options, evaluate)
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None
    return Cell(labels, seed, options, evaluate)


def _check_evaluation(options: Pix2PixOptions, evaluate: Mapping[str, Any]) -> None:
    """Check the options of evaluation before training.

    Raises:
        OptionError: they do not fit those of training.
    """
    build_options(EvaluateOptions, {"name": options.run.name, **evaluate})
    switches = {name: value for name, value in evaluate.items() if name in _SHARED_OPTIONS and value is not None}
    build_options(Pix2PixOptions, get_values(options) | switches)
    if evaluate.get("segmenter") is not None and options.data.target_kind == "labels":
        raise OptionError("--segmenter needs photos, and these outputs are label maps: leave it out")


def _is_used(option: str, given: Mapping[str, Any]) -> bool:
    """Return whether a run uses an option; those of features need a perceptual or style loss."""
    return option not in FeatureOptions.model_fields or any(given.get(weight) for weight in find_losses_using(option))


def _check_varied(experiment: Experiment, arguments: ExperimentArguments) -> None:
    """Refuse options on the command line that vary in the grid."""
    for axis, choices in experiment.axes.items():
        varied = {
            name for choice in choices.values() for name in (*choice.at(arguments.options.scale), *choice.evaluate)
        }
        if both := [option for option in (*arguments.training, *arguments.evaluation) if option in varied]:
            raise OptionError(
                f"--{both[0]}: it varies over {escape_line(axis)}, and cannot be given for all cells; "
                "leave it out, or write another experiment"
            )


def _check_names(found: Sequence[Cell], experiment: Experiment) -> None:
    """Check that cells have different folders, also on case-insensitive file systems."""
    names: dict[str, Cell] = {}
    for cell in found:
        other = names.setdefault(cell.options.run.name.casefold(), cell)
        if other is not cell:
            raise OptionError(
                f"{escape_line(experiment.file)}: grid: {' + '.join(other.labels)} and {' + '.join(cell.labels)} "
                f"would have the same folder, {cell.name}; choose other labels"
            )


def _check_used(found: Sequence[Cell], given: Mapping[str, Any]) -> None:
    for option in given:
        if option in FeatureOptions.model_fields and not any(_uses(cell.options, option) for cell in found):
            raise OptionError(f"--{option}: no run of this experiment has a loss that uses it; leave it out")


def _uses(options: Pix2PixOptions, option: str) -> bool:
    return any(getattr(options.loss, weight) for weight in find_losses_using(option))


UNLEARNED = frozenset(
    {
        *("name", "checkpoints_dir", "device", "fast", "compile", "num_workers", "loader_timeout"),
        *("cache", "cache_gb", "max_pixels"),
        *(
            "log_every",
            "val_every",
            "save_every",
            "keep",
            "best_metric",
            "stop_at_step",
            "resume",
            "overwrite",
            "dry_run",
        ),
        *("check", "tile"),
    }
)
"""Options that do not affect the learned weights."""


class Run(NamedTuple):
    """An existing run: `step` is its last step; `networks_only` means that it cannot be resumed."""

    name: str
    options: Pix2PixOptions
    step: int
    pairs: int
    networks_only: bool

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= (self.options.train.steps or math.inf)

    def is_named(self, name: str) -> bool:
        """Return whether its name is this one, or this one with a number of `find_free_name`."""
        return re.fullmatch(re.escape(name) + r"(_\d+)?", self.name) is not None


def get_learned_options(options: Pix2PixOptions) -> dict[str, Any]:
    """Return the options that affect the learned weights, except the number of steps."""
    return {name: value for name, value in get_values(options).items() if name not in UNLEARNED and name != "steps"}


def find_run(requested: Pix2PixOptions, checkpoints_dir: Path) -> Run | None:
    """Find a run in a folder of runs that was trained, or is being trained, with the same options.

    Finished runs are preferred to unfinished ones, then those of the same name.
    """
    alike = [
        (name, options)
        for name, options in _stored(checkpoints_dir)
        if get_learned_options(options) == get_learned_options(requested)
        and requested.train.steps in (None, options.train.steps)
    ]
    opened = [run for name, options in alike if (run := _opened(checkpoints_dir / name, options))]
    usable = [run for run in opened if _is_as_long(requested, run) and (run.is_finished or not run.networks_only)]
    order = sorted(usable, key=lambda run: (not run.is_finished, run.name != requested.run.name, -run.step, run.name))
    return order[0] if order else None


def find_free_name(name: str, checkpoints_dir: Path) -> str:
    """Return a free name for a new run: this one, or with a number appended."""
    number = 1
    while _has_steps(checkpoints_dir / (tried := name if number == 1 else f"{name}_{number}")):
        number += 1
    return tried


def _has_steps(folder: Path) -> bool:
    return folder.is_dir() and bool(checkpoint.list_steps(folder))


def _stored(checkpoints_dir: Path) -> Sequence[tuple[str, Pix2PixOptions]]:
    """Return the options of all pix2pix runs; unreadable ones are skipped."""
    found = []
    for file in sorted(checkpoints_dir.glob("*/options.yaml")):
        try:
            options = load_stored_options(load_yaml(file), str(file))
        except OptionError:
            continue
        if isinstance(options, Pix2PixOptions):
            found.append((file.parent.name, options))
    return found


def _opened(folder: Path, options: Pix2PixOptions) -> Run | None:
    """Return a run at its newest valid checkpoint, or None."""
    content, _ = checkpoint.load_newest_valid(folder)
    if content is None:
        return None
    pairs = content["description"].get("pairs", 0)
    return Run(folder.name, options, content["step"], pairs, not content["optimizers"])


def _is_as_long(requested: Pix2PixOptions, run: Run) -> bool:
    """Return whether the numbers of steps agree; without --steps they follow from the run's pairs."""
    train = requested.train
    epochs = train.n_epochs + train.n_epochs_decay
    return run.options.train.steps == (train.steps or math.ceil(epochs * run.pairs / train.batch_size))


def describe_metric_networks(networks: MetricNetworks) -> dict[str, Any]:
    """Return the identities of metric networks as plain values."""
    segmenter = networks.segmenter
    return {
        "segmenter": None if isinstance(segmenter, Unavailable) else segmenter.sha256,
        **describe_networks(networks),
    }


def load_finished_evaluation(
    folder: Path, options: EvaluateOptions, run: Path, by: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return the folder's metrics.json if it has these options, this run's checkpoint and these networks, else None.

    The evaluated images have to exist.
    """
    try:
        content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        recorded, translator = content["asked"], content["translator"]
        same = recorded == to_dict(options)
        same &= translator["sha256"] == hash_file(checkpoint.resolve(run, str(options.epoch)))
        same &= _networks_of(content["protocol"]) == by
        same &= {picture.name for picture in find_cell_images(folder) if picture.labels} == set(content["images"])
    except (OSError, ValueError, LookupError, TypeError, UserError):
        return None
    return content if same else None


def find_cell_images(folder: Path) -> list[TranslationFiles]:
    """Match the images of a cell's folder; their labels are the sources.

    Raises:
        UserError: some are missing.
    """
    return find_translations(find_folders(folder, None, None))


def _networks_of(protocol: Mapping[str, Any]) -> dict[str, Any]:
    seen_by = (protocol["segmentation"] or {}).get("seen_by")
    return {"segmenter": seen_by["sha256"] if isinstance(seen_by, dict) else None, **protocol["networks"]}
