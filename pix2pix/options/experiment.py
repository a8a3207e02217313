"""Options of an experiment, and which of those of training and of evaluating it leaves to choose."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer

from pix2pix.options.evaluate import EvaluateOptions
from pix2pix.options.fields import Needs, Path, RunName, Seed
from pix2pix.options.records import Record, leaves

SEEDS = Needs("a list of different whole numbers from 0 to 4294967295, such as 0,1,2,", listed=True)


def _seeds(value: object) -> tuple[int, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    words = [str(part).strip() for part in parts] if isinstance(parts, list | tuple) else []
    seeds = tuple(int(word) for word in words if word.isascii() and word.isdecimal() and len(word) <= 10)
    if not words or len(set(seeds)) != len(words) or max(seeds) >= 2**32:
        raise ValueError(SEEDS.words + " is needed")
    return seeds


def _seeds_text(seeds: tuple[int, ...]) -> str:
    return ",".join(map(str, seeds))


Seeds = Annotated[tuple[Seed, ...], BeforeValidator(_seeds), PlainSerializer(_seeds_text), SEEDS]


class ExperimentOptions(Record):
    """Options of `python -m pix2pix experiment FILE`: a grid of runs, each made once, and one table."""

    file: Path = Field(description="the experiment, such as options/experiments/objectives.yaml")
    scale: RunName = Field(
        "paper", description="how large: small, paper, or another file of scales/ beside the experiment"
    )
    seeds: Seeds | None = Field(None, description="train every choice with each of these; none: those of the file")
    out: Path = Field("results/experiments", description="folder for the results")
    dry_run: bool = Field(False, description="only say which runs there are, and which would be trained")


REFUSED: Mapping[str, str] = {
    "name": "an experiment names its runs itself",
    "seed": "an experiment has seeds, such as seeds 0,1,2",
    "resume": "an experiment resumes by itself what is unfinished",
    "overwrite": "an experiment uses what there is; delete the folder of a run to have it trained anew",
    "stop_at": "an experiment can be stopped at any time and goes on when it is started again",
}
"""Options of a run that no one may choose in an experiment, and why."""

SHARED = ("device", "fast", "compile", "max_pixels", "skip_bad")
"""Options of training by which its results are evaluated too."""
_FOLLOWING = (
    *("name", "checkpoints_dir", "results_dir", "results", "truth", "labels", "out"),
    *("epoch", "dataroot", "preprocess", "precision", "seed", "tile"),
)
EVALUATION = tuple(name for name in leaves(EvaluateOptions) if name not in (*_FOLLOWING, *SHARED))
"""Options of evaluating that may be chosen; which run, on what, and where to, follows from the experiment."""
