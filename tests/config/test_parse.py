import os
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pix2pix import __version__
from pix2pix.config.base import OptionError, list_options
from pix2pix.config.help import PROGRAMS
from pix2pix.config.parse import TextRequested, parse
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.test import TestOptions
from pix2pix.config.tools import GeneratedOptions
from pix2pix.config.yaml import to_yaml


def train(*argv):
    return parse(argv, Pix2PixOptions, program="python train.py")


def test_a_command_line_becomes_options():
    record = train(
        "--dataroot", "datasets/facades", "--name=a", "--lr", "1e-3", "--flip", "false", "--overwrite"
    ).options
    assert (record.data.dataroot, record.run.name) == ("datasets/facades", "a")
    assert (record.train.lr, record.data.flip, record.run.overwrite) == (1e-3, False, True)


def test_the_command_line_wins_over_the_preset_and_the_preset_over_defaults(tmp_path):
    preset = tmp_path / "p.yaml"
    preset.write_text("dataroot: x\nname: a\nlambda_l1: 10\nngf: 32\n")
    parsed = train(str(preset), "--lambda_l1", "20")
    assert parsed.given == {"dataroot": "x", "name": "a", "lambda_l1": 20, "ngf": 32}
    assert (parsed.options.loss.lambda_l1, parsed.options.network.ngf, parsed.options.network.ndf) == (20, 32, 64)


def test_a_resumed_run_needs_no_options_retyped():
    parsed = train("--resume", "--name", "a")
    assert parsed.value("resume") is True
    assert parsed.value("checkpoints_dir") == "checkpoints"
    with pytest.raises(OptionError, match="--dataroot is missing"):
        parsed.value("dataroot")
    with pytest.raises(OptionError, match="--dataroot is missing"):
        _ = parsed.options


def test_of_an_option_given_twice_the_last_counts():
    assert train("--lr", "1", "--lr", "2").given == {"lr": 2}
    assert train("--generator", "unet_128", "--netG", "unet_64").given == {"generator": "unet_64"}
    assert train("--netG", "unet_64", "--lr", "1", "--generator", "unet_128", "--netG", "unet_32").given == {
        "lr": 1,
        "generator": "unet_32",
    }


def test_values_may_begin_with_a_dash():
    assert train("--gpu_ids", "-1").given == {"device": "cpu"}
    assert train("--target_range", "-1,1").given == train("--target_range=-1,1").given == {"target_range": (-1, 1)}
    assert train("--source_range", "-1e-3,.5").given == {"source_range": (-1e-3, 0.5)}
    parsed = parse(["--input=-a.png"], TestOptions, program="test.py")
    assert parsed.given == {"input": "-a.png"}
    assert parse(["--input", "-a.png"], TestOptions, program="test.py").given == {"input": "-a.png"}
    assert train("--dataroot=--odd=name").given == {"dataroot": "--odd=name"}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("--lr fast", "--lr: 'fast' number > 0"),
        ("--lr -1", "--lr: '-1' number > 0"),
        ("--lr", "--lr: missing number > 0"),
        ("--lr --name a", "--lr: missing"),
        ("--netG", "--netG: missing --generator"),
        ("--flip maybe", "--flip: 'maybe' true or false"),
        ("--no_flip=1", "--no_flip: '1' no value"),
        ("--lambda_l 1", "unknown --lambda_l: --lambda_l1 --lambda_l2"),
        ("--lambda_l=1", "unknown --lambda_l: --lambda_l1 --lambda_l2"),
        ("-lr 1", "unknown -lr: --lr?"),
        ("--flip -lr 1", "unknown -lr: --lr?"),
        ("--batch-size 1", "unknown --batch-size: --batch_size?"),
        ("--data x", "unknown --data: --dataroot"),
        ("--zzzzzz 1", "unknown --zzzzzz; --help"),
        ("--", "unknown --; --help"),
        ("--lr 1 p.yaml", "'p.yaml' [PRESET.yaml] --OPTION VALUE"),
        ("--lr 1 a=b", "'a=b' [PRESET.yaml] --OPTION VALUE"),
        ("--target_range -1 1", "'1' [PRESET.yaml] --OPTION VALUE"),
    ],
)
def test_a_mistake_is_one_line_that_names_what_is_allowed(argv, words):
    with pytest.raises(OptionError) as error:
        train(*argv.split())
    message = str(error.value)
    assert "\n" not in message
    assert [word for word in words.split() if word not in message] == []


def test_training_options_are_no_test_options():
    with pytest.raises(OptionError, match="unknown option --lr"):
        parse(["--lr", "1"], TestOptions, program="test.py")


def test_pairs_and_single_images_are_not_mixed():
    parsed = parse(["--name", "a", "--dataroot", "x", "--input", "y"], TestOptions, program="test.py")
    with pytest.raises(OptionError, match=r"--dataroot .*--input "):
        _ = parsed.options


@pytest.mark.parametrize(("text", "epoch"), [("latest", "latest"), ("best", "best"), ("5000", 5000)])
def test_a_checkpoint_is_latest_best_or_a_step(text, epoch):
    assert parse(["--epoch", text, "--name", "a"], TestOptions, program="test.py").options.epoch == epoch


def test_other_checkpoints_are_refused():
    with pytest.raises(OptionError, match="--epoch: got '0'; latest, best"):
        parse(["--epoch", "0"], TestOptions, program="test.py")


def test_generated_data_has_options_of_its_own():
    record = parse(["--out", "x", "--train", "3", "--size", "64"], GeneratedOptions, program="prepare").options
    assert (record.out, record.train, record.val, record.test, record.size) == ("x", 3, 50, 100, (64, 64))
    with pytest.raises(OptionError, match="unknown option --netG"):
        parse(["--netG", "x"], GeneratedOptions, program="prepare")


@pytest.mark.parametrize("record", PROGRAMS.values())
def test_help_shows_every_option_and_fits_the_terminal(record, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    with pytest.raises(TextRequested) as answer:
        parse(["--nonsense", "--help"], record, program="python x.py")
    text = str(answer.value)
    assert text.startswith("usage: python x.py [PRESET.yaml] [--OPTION VALUE ...]\n")
    assert {f"--{name}" for name in list_options(record)} <= set(text.split())
    assert max(map(len, text.splitlines())) <= 90


def test_help_names_choices_and_limits():
    with pytest.raises(TextRequested) as answer:
        train("-h")
    assert "[vanilla, lsgan, hinge or none; default: vanilla]" in " ".join(str(answer.value).split())


def test_version_is_the_packages():
    with pytest.raises(TextRequested, match=f"^pix2pix {__version__}$"):
        train("--version")


def test_help_is_quick_because_nothing_heavy_is_imported():
    code = (
        "import sys, pix2pix.config.parse as o\n"
        "try: o.parse(['--help'], o.Pix2PixOptions, program='train.py')\n"
        "except o.TextRequested: print(*{'torch', 'numpy', 'cv2', 'albumentations', 'PIL'} & set(sys.modules))"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert time.perf_counter() - started < 10
    assert done.stdout.strip() == ""


VALUES = {
    "lr": st.floats(1e-9, 1e3).map(str),
    "lambda_l1": st.integers(0, 1000).map(str),
    "steps": st.sampled_from(["none", "1", "20"]),
    "norm": st.sampled_from(["auto", "none"]),
    "flip": st.sampled_from(["true", "no", "on", "0"]),
    "name": st.sampled_from(["a", "null-like", "1e5", "on"]),
    "crop_size": st.sampled_from(["64", "32x64"]),
}
CHOICES = st.fixed_dictionaries({}, optional=VALUES)


@settings(max_examples=60, deadline=None)
@given(preset=CHOICES, flags=CHOICES)
def test_a_preset_and_flags_merge_as_their_union_typed_on_one_command_line(preset, flags, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "merge.yaml"
    file.write_text("".join(f"{name}: {text}\n" for name, text in preset.items()) or "{}")
    typed = [word for name, text in flags.items() for word in (f"--{name}", text)]
    both = [word for name, text in (preset | flags).items() for word in (f"--{name}", text)]
    assert train(str(file), *typed).given == train(*both).given


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=8) | st.sampled_from(["--lr", "--name", "--flip", "--eval=", "=", "-", "--netD"])))
def test_any_command_line_is_read_or_refused_in_one_line(argv):
    try:
        message = to_yaml(train(*argv).options).splitlines()[0]
    except TextRequested as text:
        message = str(text).splitlines()[0]
    except OptionError as error:
        message = str(error)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("./generated", "./generated"), ("generated", "generated"), ("./a//b/", "a/b"), ("a/../b", "a/../b")],
)
def test_a_path_is_made_plain_but_leads_where_it_led(typed, meant):
    assert parse(["--dataroot", typed, "--name", "a"], Pix2PixOptions, program="x").options.data.dataroot == meant


def test_a_path_that_is_no_utf_8_is_refused():
    with pytest.raises(OptionError, match="a path of valid UTF-8 is needed"):
        parse(["--dataroot", os.fsdecode(b"r\xff"), "--name", "a"], Pix2PixOptions, program="x")
