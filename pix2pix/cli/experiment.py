"""`python -m pix2pix experiment FILE`: train and evaluate what a grid asks for, and write a table."""

import gc
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.cli import ended_at_once
from pix2pix.errors import UserError
from pix2pix.options import (
    Asked,
    EvaluateOptions,
    Parsed,
    Pix2PixOptions,
    parse_experiment,
    read_experiment,
    read_scale,
)
from pix2pix.options.experiment import SHARED
from pix2pix.options.records import build, values

if TYPE_CHECKING:
    from pix2pix.experiments import Cell, Result, Run


def experiment(argv: Sequence[str]) -> int:
    """Make an experiment, or the rest of it; return the exit status."""
    asked = parse_experiment(argv)
    plan = read_experiment(asked.options.file)
    scale = read_scale(plan.file, asked.options.scale)
    from pix2pix import ranks
    from pix2pix.experiments import cells, write_report

    if ranks.count() > 1:
        raise UserError("an experiment is made by one process: start it without torchrun")
    grid = cells(plan, scale, asked)
    if asked.options.dry_run:
        return _dry(grid)
    folder = Path(asked.options.out) / f"{plan.name}_{asked.options.scale}"
    results: list[Result] = []
    for number, cell in enumerate(grid, start=1):
        result = _made(cell, f"{number} of {len(grid)}: {' '.join(cell.labels)}, seed {cell.seed}", folder, asked)
        if isinstance(result, int):
            _say("the experiment is stopped; the same command goes on with it")
            return result
        results.append(result)
    try:
        written = write_report(folder, plan.title, list(plan.axes), results)
    except OSError as error:
        raise UserError(f"the table cannot be written to {folder}: {error.strerror or error}") from error
    print(written, end="")
    return 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _dry(grid: "Sequence[Cell]") -> int:
    """Say of each cell what there is, and do nothing."""
    from pix2pix.experiments import find

    for number, cell in enumerate(grid, start=1):
        run = find(cell.options, Path(cell.options.run.checkpoints_dir))
        state = "to be trained"
        if run is not None:
            state = f"{run.name}, trained" if run.is_finished else f"{run.name}, to be resumed after step {run.step}"
        print(f"{number} of {len(grid)}: {' '.join(cell.labels)}, seed {cell.seed}: {state}")
    return 0


def _made(cell: "Cell", title: str, folder: Path, asked: Asked) -> "Result | int":
    """Train and evaluate a cell where that is not done yet; or return the status of a training that a signal ended."""
    from pix2pix.experiments import Result, find

    runs = Path(cell.options.run.checkpoints_dir)
    run, training = find(cell.options, runs), "trained before"
    if run is None or not run.is_finished:
        training = "trained"
        _say(f"{title}: {f'resuming {run.name} after step {run.step}' if run else 'training'}")
        if status := _train(cell, run, asked.training):
            return status
        run = find(cell.options, runs)
        assert run is not None
    if run.is_named(cell.options.run.name) and not run.networks_only:
        _keep_networks(runs / run.name)
    return Result(cell, run.name, *_evaluated(cell, runs / run.name, folder / cell.name, f"{title}: {training}"))


def _evaluated(cell: "Cell", run: Path, folder: Path, title: str) -> "tuple[Path, Mapping[str, Any]]":
    """Evaluate a run where that is not done yet; return the folder with the pictures, and what is in metrics.json."""
    from pix2pix.cli.evaluate import evaluated
    from pix2pix.experiments import evaluated_before

    shared = {name: value for name, value in values(cell.options).items() if name in SHARED}
    where = {"name": run.name, "checkpoints_dir": str(run.parent), "out": str(folder)}
    options = build(EvaluateOptions, {**shared, **cell.evaluate, **where})
    metrics = evaluated_before(folder, options, run)
    _say(f"{title}, {'evaluated before' if metrics else 'evaluating'}")
    if metrics is None:
        metrics = json.loads(evaluated(options).read_text(encoding="utf-8"))
    return folder, metrics


def _train(cell: "Cell", run: "Run | None", given: Mapping[str, Any]) -> int:
    """Begin the run of a cell, or resume the one that there is, with what was given for this machine."""
    from pix2pix.cli.train import train_as
    from pix2pix.experiments import FREE, free_name

    where = {"checkpoints_dir": cell.options.run.checkpoints_dir}
    if run is not None:
        free = {option: value for option, value in given.items() if option in FREE}
        chosen = {**free, **where, "name": run.name, "resume": True}
    else:
        name = free_name(cell.options.run.name, Path(where["checkpoints_dir"]))
        chosen = {**values(cell.options), "name": name, "overwrite": True}  # what has no step yet is worth nothing
    with ended_at_once():
        status = train_as(Parsed(Pix2PixOptions, given=chosen, claims={}))
    gc.collect()  # a method lies in cycles, and its GPU memory with it
    return status


def _keep_networks(folder: Path) -> None:
    from pix2pix.lock import locked
    from pix2pix.training import keep_networks

    with locked(folder):
        keep_networks(folder)
