"""`python -m pix2pix experiment FILE`: train and evaluate what a grid asks for, and write a table."""

import gc
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from pix2pix.cli.console import default_interrupt
from pix2pix.config.base import build_options, get_values
from pix2pix.config.experiment import SHARED, load_experiment, load_scale
from pix2pix.config.parse import ExperimentArguments, ParsedOptions, parse_experiment
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.tools import EvaluateOptions
from pix2pix.errors import UserError

if TYPE_CHECKING:
    from pix2pix.evaluation.experiment import Cell, Result, Run


def experiment(argv: Sequence[str]) -> int:
    """Make an experiment, or the rest of it; return the exit status."""
    asked = parse_experiment(argv)
    plan = load_experiment(asked.options.file)
    scale = load_scale(plan.file, asked.options.scale)
    from pix2pix import distributed
    from pix2pix.evaluation.experiment import expand_grid
    from pix2pix.report.experiment_report import write_report

    if distributed.world_size() > 1:
        raise UserError("an experiment is made by one process: start it without torchrun")
    grid = expand_grid(plan, scale, asked)
    if asked.options.dry_run:
        return _dry(grid)
    folder = Path(asked.options.out) / f"{plan.name}_{asked.options.scale}"
    _check_folder(folder)
    measuring = _measuring(grid)
    results: list[Result] = []
    for number, (cell, by) in enumerate(zip(grid, measuring, strict=True), start=1):
        title = f"{number} of {len(grid)}: {' '.join(cell.labels)}, seed {cell.seed}"
        result = _made(cell, title, folder, asked, by)
        if isinstance(result, int):
            _say("the experiment is stopped; the same command goes on with it")
            return result
        results.append(result)
    try:
        written = write_report(folder, plan.title, list(plan.axes), results)
    except OSError as error:
        raise UserError(f"the table cannot be written to {folder}: {error.strerror or error}") from error
    print(written, end="")
    if all(result.metrics["histograms"] for result in results) and find_spec("matplotlib") is None:
        _say('no colours.png: matplotlib is not installed: pip install -e ".[evaluate]"')
    return 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _dry(grid: "Sequence[Cell]") -> int:
    """Say of each cell what there is, and do nothing."""
    from pix2pix.evaluation.experiment import find_run, get_learned_options

    planned: dict[str, int] = {}
    for number, cell in enumerate(grid, start=1):
        run = find_run(cell.options, Path(cell.options.run.checkpoints_dir))
        first = planned.setdefault(str((get_learned_options(cell.options), cell.options.train.steps)), number)
        state = "to be trained" if first == number else f"the run of {first}"
        if run is not None:
            state = f"{run.name}, trained" if run.is_finished else f"{run.name}, to be resumed after step {run.step}"
        print(f"{number} of {len(grid)}: {' '.join(cell.labels)}, seed {cell.seed}: {state}")
    return 0


def _check_folder(folder: Path) -> None:
    """Make the folder for the results, and see that it can be written before hours of training.

    Raises:
        UserError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            f"the results cannot be written to {folder}: {error.strerror or error}; choose another --out"
        ) from error


def _measuring(grid: "Sequence[Cell]") -> list[dict[str, Any]]:
    """Open the networks that will measure each cell, so that a mistake is told now, and return which they are."""
    from pix2pix.evaluation.evaluate import build_scorer
    from pix2pix.evaluation.experiment import describe_metric_networks
    from pix2pix.evaluation.metric_networks import open_metric_networks
    from pix2pix.runtime.device import Runtime

    known: dict[str, dict[str, Any]] = {}
    for cell in grid:
        if (asked := str(cell.evaluate)) not in known:
            options = _evaluation(cell, cell.options.run.name, Path())
            instruments = open_metric_networks(options, Runtime(options.device).device)
            if cell.options.data.target_kind != "labels":
                build_scorer(options.segmentation, None, instruments)
            known[asked] = describe_metric_networks(instruments)
    return [known[str(cell.evaluate)] for cell in grid]


def _made(cell: "Cell", title: str, folder: Path, asked: ExperimentArguments, by: Mapping[str, Any]) -> "Result | int":
    """Train and evaluate a cell where that is not done yet; or return the status of a training that a signal ended."""
    from pix2pix.cli.evaluate import run_evaluation
    from pix2pix.evaluation.experiment import Result, find_run, load_finished_evaluation

    runs = Path(cell.options.run.checkpoints_dir)
    run, training = find_run(cell.options, runs), "trained before"
    if run is None or not run.is_finished:
        training = "trained"
        _say(f"{title}: {f'resuming {run.name} after step {run.step}' if run else 'training'}")
        if status := _train(cell, run, asked.training):
            return status
        run = find_run(cell.options, runs)
        assert run is not None
    if run.is_named(cell.options.run.name) and not run.networks_only:
        _keep_networks(runs / run.name)
    options = _evaluation(cell, run.name, folder / cell.name, _epoch(runs / run.name, run.step))
    metrics = load_finished_evaluation(folder / cell.name, options, runs / run.name, by)
    _say(f"{title}: {training}, {'evaluated before' if metrics else 'evaluating'}")
    if metrics is None:
        metrics = json.loads(run_evaluation(options).read_text(encoding="utf-8"))
    return Result(cell, run.name, folder / cell.name, metrics)


def _evaluation(cell: "Cell", run: str, folder: Path, epoch: str | int = "latest") -> EvaluateOptions:
    """Return how a cell is evaluated."""
    shared = {name: value for name, value in get_values(cell.options).items() if name in SHARED}
    where = {"name": run, "checkpoints_dir": cell.options.run.checkpoints_dir, "out": str(folder), "epoch": epoch}
    return build_options(EvaluateOptions, {**shared, **cell.evaluate, **where})


def _epoch(run: Path, step: int) -> str | int:
    """Return which checkpoint holds the last step: `latest`, unless a process was killed before it wrote that."""
    from pix2pix import checkpoint

    return "latest" if checkpoint.read_pointer(run, "latest") == checkpoint.checkpoint_path(run, step) else step


def _train(cell: "Cell", run: "Run | None", given: Mapping[str, Any]) -> int:
    """Begin the run of a cell, or resume the one that there is, with what was given for this machine."""
    from pix2pix.cli.train import train_with_options
    from pix2pix.evaluation.experiment import FREE, find_free_name

    where = {"checkpoints_dir": cell.options.run.checkpoints_dir}
    if run is not None:
        free = {option: value for option, value in given.items() if option in FREE}
        chosen = {**free, **where, "name": run.name, "resume": True}
    else:
        name = find_free_name(cell.options.run.name, Path(where["checkpoints_dir"]))
        chosen = {**get_values(cell.options), "name": name, "overwrite": True}  # what has no step yet is worth nothing
    with default_interrupt():
        status = train_with_options(ParsedOptions(Pix2PixOptions, given=chosen, claims={}))
    gc.collect()  # a method lies in cycles, and its GPU memory with it
    return status


def _keep_networks(folder: Path) -> None:
    from pix2pix.training.checkpointing import keep_networks_only, lock_folder

    with lock_folder(folder):
        keep_networks_only(folder)
