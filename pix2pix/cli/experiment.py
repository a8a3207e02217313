"""`python -m pix2pix experiment FILE`: train and evaluate what a grid asks for and is not there yet, and write a table."""

import gc
import json
import sys
from collections.abc import Mapping, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.cli import ended_at_once
from pix2pix.errors import UserError
from pix2pix.options import (
    Asked,
    EvaluateOptions,
    Experiment,
    Parsed,
    Pix2PixOptions,
    as_dict,
    parse_experiment,
    read_experiment,
    read_scale,
)
from pix2pix.options.records import build, values

if TYPE_CHECKING:
    from pix2pix.experiments import Cell, Result


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
    print(written)
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
    """Train and evaluate a cell where that is not done yet; the status of a training that a signal ended."""
    from pix2pix.experiments import Result, find
    from pix2pix.training import keep_networks
    from pix2pix.lock import locked

    runs = Path(cell.options.run.checkpoints_dir)
    run = find(cell.options, runs)
    was_finished = run is not None and run.is_finished
    if not was_finished:
        _say(f"{title}: {f'resuming {run.name} after step {run.step}' if run else 'training'}")
        status = _train(cell, run, asked)
        if status:
            return status
    
    return Result(cell, run.name, place, metrics)
