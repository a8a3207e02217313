"""The commands of `python -m pix2pix`: train, test, evaluate, experiment and those around them."""

import io
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from pix2pix.cli.console import default_interrupt, print_long
from pix2pix.errors import UserError, is_out_of_memory

USAGE = """usage: python -m pix2pix COMMAND [PRESET.yaml] [--option value ...]

  train        train a translator on pairs of images
  test         translate with a trained one, and show the results as a page; --model gatys and swag: paint a picture
  evaluate     measure how good the translations of a run, or a folder, are; evaluate train-segmenter
  experiment   train and evaluate a grid of runs, and write one table of them: experiment FILE.yaml
  check        tell what is wrong or odd in a data set: check DATAROOT
  prepare      make data: side-by-side pairs, edges, a split, or generated facades
  activations  measure how even the activations of backbones are: --backbone A B ...
  import       make a run of a network that another program trained: import FILE --name NAME
  env          print what a bug report needs

COMMAND --help lists a command's options."""

COMMANDS = ("train", "test", "evaluate", "experiment", "check", "prepare", "activations", "import", "env")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    0: done; 1: training or the machine failed; 2: a mistake in what was asked; 130 and 143: SIGINT and SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):  # file names may hold what the terminal's encoding cannot
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _together():
            return _answered(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        asked = "--size" if arguments[:1] == ["activations"] else "--crop_size, --batch_size, --ngf or --num_workers"
        print(
            f"error: out of memory; lower {asked}, or use smaller images "
            f"({str(error).splitlines()[0] if str(error) else 'MemoryError'})",
            file=sys.stderr,
        )
        return 1


def _together() -> AbstractContextManager[None]:
    """Join the other processes that torchrun started; without it nothing is imported."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return nullcontext()
    from pix2pix.distributed import process_group

    return process_group()


def _is_not_first() -> bool:
    """Tell whether torchrun started this process beside the first one."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return False
    from pix2pix import distributed

    return not distributed.is_main()


def _answered(arguments: list[str]) -> int:
    """Run a command, or print the answer that it gives instead."""
    from pix2pix.config.parse import TextRequested

    try:
        return _run(arguments)
    except TextRequested as answer:
        print_long(str(answer))
        return 0


def _run(arguments: list[str]) -> int:
    command = arguments[0] if arguments else "--help"
    if command not in ("train", "test", "evaluate") and _is_not_first():
        return 0  # there is no work to share: the first process does all
    if command in ("-h", "--help"):
        print(USAGE)
        return 0
    if command == "--version":
        from pix2pix import __version__

        print(f"pix2pix {__version__}")
        return 0
    if command == "train":
        return _train(arguments[1:])
    if command == "test":
        return _test(arguments[1:])
    if command == "evaluate":
        return _evaluate(arguments[1:])
    if command == "check":
        from pix2pix.cli.data import check as run
    elif command == "prepare":
        from pix2pix.cli.data import prepare as run
    elif command == "activations":
        from pix2pix.cli.activations import activations as run
    elif command == "import":
        from pix2pix.cli.models import import_network as run
    elif command == "experiment":
        from pix2pix.cli.experiment import experiment as run
    elif command == "env":
        from pix2pix.cli.models import env as run
    else:
        from pix2pix.config.types import did_you_mean

        hint = did_you_mean(command, COMMANDS) or f"; allowed: {', '.join(COMMANDS)}"
        raise UserError(f"unknown command {command!r}{hint}")
    return run(arguments[1:])


def _test(arguments: list[str]) -> int:
    """Translate with a trained network, or paint by the method that --model names."""
    from pix2pix.config.parse import select_optimization_options

    if record := select_optimization_options(arguments):
        from pix2pix.cli.stylize import optimize_style

        return optimize_style(arguments, record)
    from pix2pix.cli.test import test

    return test(arguments)


def _evaluate(arguments: list[str]) -> int:
    """Evaluate, or train what evaluates."""
    if arguments[:1] == ["train-segmenter"]:
        if any(word.partition("=")[0] == "--model" for word in arguments):
            raise UserError("--model: evaluate train-segmenter trains a segmenter and nothing else: leave --model out")
        return _train([*arguments[1:], "--model", "segmenter"])
    from pix2pix.cli.evaluate import evaluate

    return evaluate(arguments)


def _train(arguments: list[str]) -> int:
    with default_interrupt():
        from pix2pix.cli.train import train

        return train(arguments)
