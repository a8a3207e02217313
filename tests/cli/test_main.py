import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

import pix2pix
from pix2pix.cli import COMMANDS, main
from pix2pix.errors import UserError
from pix2pix.runtime.device import NonFiniteError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_without_a_command_it_tells_which_there_are(capsys, arguments):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: python -m pix2pix COMMAND [PRESET.yaml] [--option value ...]\n")
    assert all(f"  {command}  " in out for command in ("train", "test", "prepare", "activations", "env"))


@pytest.mark.parametrize("arguments", [["--version"], ["train", "--version"], ["test", "--version"]])
def test_version(capsys, arguments):
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"pix2pix {pix2pix.__version__}\n"


@pytest.mark.parametrize("command", ["train", "test"])
def test_the_help_of_a_command_lists_its_options(capsys, command):
    assert main([command, "--help"]) == 0
    assert "--name" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "got", "hint"),
    [
        (["trian"], "'trian'", "did you mean train?"),
        (["serve-all"], "'serve-all'", ", ".join(COMMANDS)),
        (["train", "--nmae", "x"], "--nmae", "did you mean --name?"),
        (["env", "--name"], "'--name'", "no options"),
    ],
)
def test_a_mistyped_word_is_answered_in_one_line(error, arguments, got, hint):
    message = error(2, main, arguments)
    assert got in message
    assert hint in message


def test_env_prints_what_a_bug_report_needs(capsys):
    assert main(["env"]) == 0
    assert {"pix2pix", "python", "platform", "packages"} <= json.loads(capsys.readouterr().out).keys()


def test_env_may_be_cut_short_by_head(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as cut:
        monkeypatch.setattr(sys, "stdout", cut)
        assert main(["env"]) == 0


@pytest.mark.parametrize(
    ("problem", "status", "message"),
    [
        (UserError("got a cat; a dog is needed"), 2, "error: got a cat; a dog is needed\n"),
        (NonFiniteError("step 3: loss/G is nan"), 1, "error: step 3: loss/G is nan\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_ends_a_command_decides_the_exit_status(monkeypatch, capsys, problem, status, message):
    def command(arguments):
        raise problem

    monkeypatch.setattr("pix2pix.cli.train.train", command)
    assert main(["train"]) == status
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    ("problem", "cause"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 9 GiB.\nMore"), "CUDA out of memory. Tried"),
        (cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed"), "Insufficient memory"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_out_of_memory_is_one_line_that_names_what_to_lower(monkeypatch, error, problem, cause):
    def command(arguments):
        raise problem

    monkeypatch.setattr("pix2pix.cli.train.train", command)
    message = error(1, main, ["train"])
    assert message.startswith("out of memory; lower --crop_size, --batch_size, ")
    assert cause in message


def test_a_mistake_of_the_program_shows_its_traceback(monkeypatch):
    def command(arguments):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("pix2pix.cli.train.train", command)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["train"])


def test_arguments_come_from_the_command_line_if_not_given(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pix2pix", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("pix2pix ")


def test_a_rank_that_is_not_of_torchrun_hides_no_answer(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    assert main(["train", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: ")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "of a process long gone")
    assert main(["prepare", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: ")


@pytest.mark.parametrize("door", [["train.py"], ["test.py"], ["-m", "pix2pix", "train"]])
def test_help_comes_without_waiting_for_torch(door):
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", *door, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "pix2pix.config.pix2pix" in imported
    assert not imported & {"torch", "numpy", "cv2", "PIL", "albumentations"}
    assert answer.stdout.startswith("usage: ")
