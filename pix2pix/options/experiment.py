"""The command line of an experiment: some options are its own, the others those of training and of evaluating."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer

from pix2pix.options import junyanz
from pix2pix.options.command_line import Parsed, parse
from pix2pix.options.evaluate import EvaluateOptions
from pix2pix.options.fields import Needs, Path, RunName, Seed
from pix2pix.options.models import TRAINED
from pix2pix.options.pix2pix import Pix2PixOptions
from pix2pix.options.records import OptionError, Record, leaves
from pix2pix.options.suggest import did_you_mean

PROGRAM = "python -m pix2pix experiment FILE"
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
    """Options of `python -m pix2pix experiment FILE`: a grid of runs, each trained and evaluated once, and one table."""

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

_FOLLOWING = (
    *("name", "checkpoints_dir", "results_dir", "results", "truth", "labels", "out"),
    *("epoch", "dataroot", "preprocess", "seed", "tile"),
)
EVALUATION = tuple(name for name in leaves(EvaluateOptions) if name not in _FOLLOWING)
"""Options of evaluating that may be chosen; which run, on what, and where to, follows from the experiment."""
BOTH = frozenset({"device", "fast", "compile", "precision", "max_pixels", "skip_bad"}) & set(EVALUATION)
"""Those of them that are of training as well, and mean the same there."""


class Asked(NamedTuple):
    """A command line: the experiment's own options, and what was given of those of training and of evaluating."""

    options: ExperimentOptions
    training: Mapping[str, Any]
    evaluation: Mapping[str, Any]


def parse_experiment(argv: Sequence[str]) -> Asked:
    """Read `FILE --option value ...`.

    Raises:
        OptionError: anything that cannot be meant, in one line.
        Answer: --help or --version is among the arguments.
    """
    words = ["--file", *argv] if argv and not argv[0].startswith("-") else list(argv)
    if {"-h", "--help", "--version"} & set(words):
        parse(words, ExperimentOptions, program=PROGRAM)  # which answers
    of_experiment: list[str] = []
    of_training: list[str] = []
    of_evaluation: list[str] = []
    for flag, part in _parts(words):
        if flag in REFUSED:
            raise OptionError(f"--{flag}: {REFUSED[flag]}; leave it out")
        if flag in leaves(ExperimentOptions) or not flag:
            of_experiment += part
            continue
        of_evaluation += part if flag in EVALUATION else []
        if flag not in EVALUATION or flag in BOTH:
            of_training += _known(flag, part)
    options = parse(of_experiment, ExperimentOptions, program=PROGRAM).options
    training: Parsed[Pix2PixOptions] = parse(of_training, Pix2PixOptions, program=PROGRAM)
    return Asked(options, training.given, parse(of_evaluation, EvaluateOptions, program=PROGRAM).given)


def _parts(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each flag's name with the words that belong to it; "" for those before the first."""
    part: list[str] = []
    for word in [*words, "--"]:
        if word.startswith("--") and part:
            yield part[0].partition("=")[0][2:] if part[0].startswith("--") else "", part
            part = []
        part.append(word)


def _known(flag: str, part: list[str]) -> list[str]:
    """Return the words of an option of training.

    Raises:
        OptionError: it is none of any kind; those that have its name nearly are suggested.
    """
    known = {*leaves(Pix2PixOptions), *junyanz.TRAIN, *(name for record in TRAINED.values() for name in leaves(record))}
    if flag not in known:
        names = [*leaves(ExperimentOptions), *EVALUATION, *leaves(Pix2PixOptions), *junyanz.TRAIN]
        hint = did_you_mean(flag, dict.fromkeys(names), prefix="--")
        if hint:
            raise OptionError(f"unknown option --{flag}{hint}")
    return part
