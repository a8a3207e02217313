"""`python -m pix2pix experiment FILE`: train and evaluate a grid of runs, and write a table."""

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
    """Run an experiment, or continue it; return the exit status."""
    arguments = parse_experiment(argv)
    plan = load_experiment(arguments.options.file)
    scale = load_scale(plan.file, arguments.options.scale)
    from pix2pix import distributed
    from pix2pix.evaluation.experiment import expand_grid
    from pix2pix.report.experiment_report import write_report

    if distributed.world_size() > 1:
        raise UserError("an experiment runs in one process: start it without torchrun")
    grid = expand_grid(plan, scale, arguments)
    if arguments.options.dry_run:
        return _list_cells(grid)
    folder = Path(arguments.options.out) / f"{plan.name}_{arguments.options.scale}"
    _check_folder(folder)
    measuring = _load_metric_networks(grid)
    results: list[Result] = []
    for number, (cell, by) in enumerate(zip(grid, measuring, strict=True), start=1):
        title = f"{number} of {len(grid)}: {' '.join(cell.labels)}, seed {cell.seed}"
        result = _run_cell(cell, title, folder, arguments, by)
        if isinstance(result, int):
            _print("the experiment is stopped; the same command continues it")
            return result
        results.append(result)
    try:
        written = write_report(folder, plan.title, list(plan.axes), results)
    except OSError as error:
        raise UserError(f"the table cannot be written to {folder}: {error.strerror or error}") from error
    print(written, end="")
    if all(result.metrics["histograms"] for result in results) and find_spec("matplotlib") is None:
        _print('no colours.png: matplotlib is not installed: pip install -e ".[evaluate]"')
    return 0


def _print(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _list_cells(grid: "Sequence[Cell]") -> int:
    """Print the state of each cell."""
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
    """Create the folder for the results, to report errors before hours of training.

    Raises:
        UserError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            f"the results cannot be written to {folder}: {error.strerror or error}; choose another --out"
        ) from error


def _load_metric_networks(grid: "Sequence[Cell]") -> list[dict[str, Any]]:
    """Open the metric networks of each cell, to report errors now, and return their descriptions."""
    from pix2pix.evaluation.evaluate import build_scorer
    from pix2pix.evaluation.experiment import describe_metric_networks
    from pix2pix.evaluation.metric_networks import load_metric_networks
    from pix2pix.runtime.device import Runtime

    known: dict[str, dict[str, Any]] = {}
    for cell in grid:
        if (arguments := str(cell.evaluate)) not in known:
            options = _get_evaluation_options(cell, cell.options.run.name, Path())
            networks = load_metric_networks(options, Runtime(options.device).device)
            if cell.options.data.target_kind != "labels":
                build_scorer(options.segmentation, None, networks)
            known[arguments] = describe_metric_networks(networks)
    return [known[str(cell.evaluate)] for cell in grid]


def _run_cell(
    cell: "Cell", title: str, folder: Path, arguments: ExperimentArguments, by: Mapping[str, Any]
) -> "Result | int":
    """Train and evaluate a cell unless done; return its result, or the exit status after a signal."""
    from pix2pix.cli.evaluate import run_evaluation
    from pix2pix.evaluation.experiment import Result, find_run, load_finished_evaluation

    runs = Path(cell.options.run.checkpoints_dir)
    run, training = find_run(cell.options, runs), "trained before"
    if run is None or not run.is_finished:
        training = "trained"
        _print(f"{title}: {f'resuming {run.name} after step {run.step}' if run else 'training'}")
        if status := _train(cell, run, arguments.training):
            return status
        run = find_run(cell.options, runs)
        assert run is not None
    if run.is_named(cell.options.run.name) and not run.networks_only:
        _keep_networks(runs / run.name)
    options = _get_evaluation_options(cell, run.name, folder / cell.name, _find_epoch(runs / run.name, run.step))
    metrics = load_finished_evaluation(folder / cell.name, options, runs / run.name, by)
    _print(f"{title}: {training}, {'evaluated before' if metrics else 'evaluating'}")
    if metrics is None:
        metrics = json.loads(run_evaluation(options).read_text(encoding="utf-8"))
    return Result(cell, run.name, folder / cell.name, metrics)


def _get_evaluation_options(cell: "Cell", run: str, folder: Path, epoch: str | int = "latest") -> EvaluateOptions:
    """Return the options of evaluation of a cell."""
    shared = {name: value for name, value in get_values(cell.options).items() if name in SHARED}
    where = {"name": run, "checkpoints_dir": cell.options.run.checkpoints_dir, "out": str(folder), "epoch": epoch}
    return build_options(EvaluateOptions, {**shared, **cell.evaluate, **where})


def _find_epoch(run: Path, step: int) -> str | int:
    """Return the checkpoint of the last step: "latest", unless a process was killed before updating it."""
    from pix2pix import checkpoint

    return "latest" if checkpoint.read_pointer(run, "latest") == checkpoint.checkpoint_path(run, step) else step


def _train(cell: "Cell", run: "Run | None", given: Mapping[str, Any]) -> int:
    """Start or resume the run of a cell, with the options given for this machine."""
    from pix2pix.cli.train import train_with_options
    from pix2pix.evaluation.experiment import UNLEARNED, find_free_name

    where = {"checkpoints_dir": cell.options.run.checkpoints_dir}
    if run is not None:
        free = {option: value for option, value in given.items() if option in UNLEARNED}
        chosen = {**free, **where, "name": run.name, "resume": True}
    else:
        name = find_free_name(cell.options.run.name, Path(where["checkpoints_dir"]))
        chosen = {**get_values(cell.options), "name": name, "overwrite": True}  # a run without steps is replaced
    with default_interrupt():
        status = train_with_options(ParsedOptions(Pix2PixOptions, given=chosen, claims={}))
    gc.collect()  # frees the GPU memory of methods in reference cycles
    return status


def _keep_networks(folder: Path) -> None:
    from pix2pix.training.checkpointing import keep_networks_only, lock_folder

    with lock_folder(folder):
        keep_networks_only(folder)
