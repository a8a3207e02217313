"""The command line of an experiment: some options are its own, the others those of training and of evaluating."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pix2pix.options import junyanz
from pix2pix.options.command_line import parse
from pix2pix.options.evaluate import EvaluateOptions
from pix2pix.options.experiment import EVALUATION, REFUSED, ExperimentOptions
from pix2pix.options.models import TRAINED
from pix2pix.options.pix2pix import Pix2PixOptions
from pix2pix.options.records import OptionError, leaves
from pix2pix.options.suggest import did_you_mean

_PROGRAM = "python -m pix2pix experiment FILE"


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
        parse(words, ExperimentOptions, program=_PROGRAM)  # which answers
    of_experiment: list[str] = []
    of_training: list[str] = []
    of_evaluation: list[str] = []
    for flag, part in _parts(words):
        if why := REFUSED.get("resume" if flag == "continue_train" else flag):  # which is junyanz's name of it
            raise OptionError(f"--{flag}: {why}; leave it out")
        if flag in leaves(ExperimentOptions) or not flag:
            of_experiment += part
        elif flag in EVALUATION:
            of_evaluation += part
        else:
            of_training += _known(flag, part)
    options = parse(of_experiment, ExperimentOptions, program=_PROGRAM).options
    training = parse(of_training, Pix2PixOptions, program=_PROGRAM)
    evaluation = parse(of_evaluation, EvaluateOptions, program=_PROGRAM)
    return Asked(options, training.given, evaluation.given)


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
