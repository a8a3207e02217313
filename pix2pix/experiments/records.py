"""What an experiment is made of: cells of its grid, and what came of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pix2pix.options import Pix2PixOptions


class Cell(NamedTuple):
    """One choice of each axis and one seed: what to train, and how to evaluate it.

    `labels` has one of each axis, in their order; `evaluate` holds the options of evaluating that were given.
    """

    labels: tuple[str, ...]
    seed: int
    options: Pix2PixOptions
    evaluate: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What tells it from the others of its experiment: its folder's name."""
        return f"{' '.join(self.labels)}_{self.seed}"


class Result(NamedTuple):
    """A cell whose run is trained and evaluated.

    `run` is the name of the run that the cell uses, `folder` the evaluated one: output/, source/, target/ and
    metrics.json, whose content is `metrics`.
    """

    cell: Cell
    run: str
    folder: Path
    metrics: Mapping[str, Any]
