"""The commands of `python -m pix2pix`: parse, call and print."""

import io
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from pix2pix.cli.console import default_interrupt, print_long
from pix2pix.errors import UserError, is_out_of_memory

USAGE = """usage: python -m pix2pix COMMAND [PRESET.yaml] [--option value ...]

  train        train a translator on pairs of images
  test         translate with a trained one and write a page of results; --model gatys, swag: optimize an image
  evaluate     compute metrics of a run or a folder; evaluate train-segmenter
  experiment   train and evaluate a grid of runs and write a table: experiment FILE.yaml
  check        list the faults of a dataset: check DATAROOT
  prepare      make datasets: side-by-side pairs, edges, a split, or generated facades
  activations  measure maximum and entropy of activations: --backbone A B ...
  import       convert a TransformerNet of the PyTorch examples to a run: import FILE --name NAME
  env          print versions and devices, for bug reports

COMMAND --help lists a command's options."""

COMMANDS = ("train", "test", "evaluate", "experiment", "check", "prepare", "activations", "import", "env")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    0: done; 1: the training or the machine failed; 2: a mistake in the command or data; 130 and 143: SIGINT and
    SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):  # file names may contain what the terminal cannot encode
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _join_processes():
            return _run_or_print(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        options = "--size" if arguments[:1] == ["activations"] else "--crop_size, --batch_size, --ngf or --num_workers"
        print(
            f"error: out of memory; lower {options}, or use smaller images "
            f"({str(error).splitlines()[0] if str(error) else 'MemoryError'})",
            file=sys.stderr,
        )
        return 1


def _join_processes() -> AbstractContextManager[None]:
    """Join the process group if torchrun started this process."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return nullcontext()
    from pix2pix.distributed import process_group

    return process_group()


def _is_secondary() -> bool:
    """Return whether torchrun started this process and its rank is above 0."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return False
    from pix2pix import distributed

    return not distributed.is_main()


def _run_or_print(arguments: list[str]) -> int:
    """Run a command, or print --help or --version."""
    from pix2pix.config.parse import TextRequested

    try:
        return _run(arguments)
    except TextRequested as text:
        print_long(str(text))
        return 0


def _run(arguments: list[str]) -> int:
    command = arguments[0] if arguments else "--help"
    if command not in ("train", "test", "evaluate") and _is_secondary():
        return 0  # not distributed: the first process does it
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
    """Translate with a trained network, or optimize an image with --model gatys or swag."""
    from pix2pix.config.parse import select_optimization_options

    if record := select_optimization_options(arguments):
        from pix2pix.cli.stylize import optimize_style

        return optimize_style(arguments, record)
    from pix2pix.cli.test import test

    return test(arguments)


def _evaluate(arguments: list[str]) -> int:
    """Evaluate, or train a segmenter."""
    if arguments[:1] == ["train-segmenter"]:
        if any(word.partition("=")[0] == "--model" for word in arguments):
            raise UserError("--model: evaluate train-segmenter always trains a segmenter: leave --model out")
        return _train([*arguments[1:], "--model", "segmenter"])
    from pix2pix.cli.evaluate import evaluate

    return evaluate(arguments)


def _train(arguments: list[str]) -> int:
    with default_interrupt():
        from pix2pix.cli.train import train

        return train(arguments)
