"""An experiment as a whole: trained, evaluated and tabulated once, whatever ends it on the way."""

import json
import os
import random
import re
import shutil
import signal
import sys
import time

import pytest
import torch

import pix2pix
from pix2pix.cli import main
from pix2pix.evaluation import metric_networks
from pix2pix.evaluation.metric_networks import MetricNetworks, Unavailable, load_backbone_features
from pix2pix.methods.pix2pix import Pix2Pix
from pix2pix.report import experiment_report

# Imports once, then runs the command of each line in a process of its own; tells its number, then its end.
NURSERY = """
import json, os, sys
import torch, pix2pix.data.transforms, pix2pix.data.loader, pix2pix.evaluation.evaluate, pix2pix.methods
import pix2pix.report.experiment_report, pix2pix.training.loop
from pix2pix.cli import main
torch.set_num_threads(1)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        os._exit(main(json.loads(line)))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
GRID = """
title: Which objective
base: base.yaml
grid:
  objective: {L1: {gan_mode: none}, L1+cGAN: {}}
"""
ONE = GRID.replace("L1: {gan_mode: none}, ", "")


@pytest.fixture(autouse=True)
def _no_plot(monkeypatch):
    """Drawing the colours takes longer than all else here, and has tests of its own."""
    monkeypatch.setattr(experiment_report, "plot_color_histograms", lambda *_: None)


@pytest.fixture
def place(tiny, tmp_path):
    """An experiment of two runs of eight steps: `words` are its command, `home` is for what it makes."""

    class Place:
        file = tmp_path / "ours.yaml"
        runs = tiny.home / "checkpoints"

        @staticmethod
        def words(*flags, home=tiny.home):
            where = ("--checkpoints_dir", home / "checkpoints", "--out", home / "out", "--device", "cpu")
            return list(map(str, ["experiment", Place.file, *where, "--num_workers", 0, *flags]))

        @staticmethod
        def table(home=tiny.home):
            return (home / "out" / "ours_paper" / "table.md").read_text()

        @staticmethod
        def metrics(label, home=tiny.home):
            return json.loads((home / "out" / "ours_paper" / label / "metrics.json").read_text())

    Place.file.write_text(GRID)
    words = tiny.words("unused")
    given = dict(zip(words[::2], words[1::2], strict=True))
    kept = {name[2:]: value for name, value in given.items() if name not in ("--checkpoints_dir", "--device")}
    (tmp_path / "base.yaml").write_text("".join(f"{name}: {value}\n" for name, value in kept.items()))
    return Place


def files(folder):
    """Every file below a folder with its content and when it was written."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_an_experiment_is_trained_evaluated_and_tabulated_and_then_there_is_nothing_to_do(
    place, tiny, capsys, monkeypatch
):
    assert main(place.words()) == 0
    printed = capsys.readouterr()
    assert "1 of 2: L1, seed 0: training\n" in printed.err
    assert "2 of 2: L1+cGAN, seed 0: trained, evaluating\n" in printed.err
    assert printed.out.endswith(place.table().partition("\n\n")[2].partition("\n±")[0])
    assert [re.split(r" *\| *", line)[1] for line in place.table().splitlines()[4:6]] == ["L1", "L1+cGAN"]
    assert place.metrics("L1_0")["translator"]["name"] == "ours_L1_0"
    before = files(tiny.home / "checkpoints") | files(tiny.home / "out" / "ours_paper" / "L1_0")
    assert main(place.words()) == 0
    again = capsys.readouterr()
    assert again.err == "".join(
        f"{number} of 2: {label}, seed 0: trained before, evaluated before\n"
        for number, label in enumerate(("L1", "L1+cGAN"), start=1)
    )
    assert files(tiny.home / "checkpoints") | files(tiny.home / "out" / "ours_paper" / "L1_0") == before
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(place.words()) == 0
    assert capsys.readouterr().err.endswith('matplotlib is not installed: pip install -e ".[evaluate]"\n')


def test_a_finished_run_keeps_its_networks_alone_and_translates_as_before(place, tiny, error):
    place.file.write_text(ONE)
    image = torch.linspace(-1, 1, 3 * 16 * 16).view(3, 16, 16)
    assert tiny.train("by_hand", "--seed", 1) == 0
    assert main(place.words("--seeds", "1,2")) == 0
    assert tiny.content("by_hand")["optimizers"]  # it is another's, and stays as it is
    reduced = tiny.content("ours_L1+cGAN_2")
    assert (reduced["optimizers"], set(reduced["networks"])) == ({}, {"G", "D"})
    assert not tiny.folder("ours_L1+cGAN_1").exists()
    assert tiny.train("straight", "--seed", 2) == 0
    translations = [pix2pix.load(tiny.folder(name)).translate(image) for name in ("ours_L1+cGAN_2", "straight")]
    assert torch.equal(*translations)
    assert tiny.test("ours_L1+cGAN_2") == 0
    assert re.search("step 8.*--overwrite.*--name", error(2, tiny.resume, "ours_L1+cGAN_2", "--steps", 12))


def test_a_dry_run_says_what_there_is_and_makes_nothing(place, tiny, capsys):
    assert tiny.train("by_hand", "--gan_mode", "none") == 0
    assert tiny.train("begun", "--stop_at_step", 4) == 0
    before = files(tiny.home)
    capsys.readouterr()
    assert main(place.words("--dry_run", "--seeds", "0,1")) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 of 4: L1, seed 0: by_hand, trained",
        "2 of 4: L1+cGAN, seed 0: begun, to be resumed after step 4",
        "3 of 4: L1, seed 1: to be trained",
        "4 of 4: L1+cGAN, seed 1: to be trained",
    ]
    assert files(tiny.home) == before


def test_a_dry_run_tells_choices_that_share_a_run(place, capsys):
    choices = "{L1: {gan_mode: none}, on: {}, off: {evaluate: {dropout: off}}}"
    place.file.write_text(f"base: base.yaml\ngrid: {{o: {choices}}}\nseeds: [0, 1]")
    assert main(place.words("--dry_run")) == 0
    said = [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == [*["to be trained"] * 2, "the run of 2", *["to be trained"] * 2, "the run of 5"]


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--segmenter", "gone"], "--segmenter.*{runs}/gone"),
        (["--ignore", "sky"], "--ignore.*--segmenter or --palette"),
        (["--out", "{runs}.file"], "{runs}.file/ours_paper.*Not a directory.*--out"),
    ],
)
def test_what_hinders_evaluating_is_reported_before_anything_is_trained(place, error, flags, names):
    place.runs.with_suffix(".file").touch()
    words = place.words(*(flag.format(runs=place.runs) for flag in flags))
    assert re.search(names.format(runs=place.runs), error(2, main, words))
    assert not place.runs.exists()


def test_only_an_evaluation_that_is_whole_and_by_the_networks_at_hand_is_not_made_again(
    place, tiny, capsys, monkeypatch
):
    place.file.write_text(ONE)
    assert tiny.train("by_hand", "--keep", 2, "--save_every", 4) == 0
    (tiny.folder("by_hand") / "latest").write_text("step_00000004.pt\n")  # as if killed before it named the last step
    folder = tiny.home / "out" / "ours_paper" / "L1+cGAN_0"

    def state(*words):
        capsys.readouterr()
        assert main(place.words(*words)) == 0
        return capsys.readouterr().err.splitlines()[0].rpartition(", ")[2]

    at_hand = dict.fromkeys(MetricNetworks._fields, Unavailable("none in this test"))
    monkeypatch.setattr(metric_networks, "load_metric_networks", lambda *_: MetricNetworks(**at_hand))
    assert [state(), state()] == ["evaluating", "evaluated before"]
    assert place.metrics("L1+cGAN_0")["translator"]["step"] == 8
    before = (folder / "metrics.json").read_bytes()
    shutil.rmtree(folder / "source")
    assert [state(), (folder / "metrics.json").read_bytes()] == ["evaluating", before]
    at_hand["distance"] = load_backbone_features("squeezenet1_1", "conv1", "random", None, "cpu")
    assert [state(), state()] == ["evaluating", "evaluated before"]
    assert "distances" in place.metrics("L1+cGAN_0")["protocol"]["networks"]
    other = "--num_test", 1
    assert [state(*other), state(*other)] == ["evaluating", "evaluated before"]


@pytest.mark.slow
def test_a_folder_with_another_runs_steps_is_left_alone(place, tiny):
    place.file.write_text(ONE)
    assert tiny.train("ours_L1+cGAN_0", "--lr", 0.1) == 0
    before = tiny.files("ours_L1+cGAN_0")
    assert main(place.words()) == 0
    assert tiny.files("ours_L1+cGAN_0") == before
    assert place.metrics("L1+cGAN_0")["translator"]["name"] == "ours_L1+cGAN_0_2"


@pytest.mark.slow
def test_what_is_asked_otherwise_is_evaluated_again(place, tiny, capsys):
    place.file.write_text(ONE)
    for words, said in [((), "trained, evaluating"), (("--num_test", 1), "trained before, evaluating")]:
        assert main(place.words(*words)) == 0
        assert f"1 of 1: L1+cGAN, seed 0: {said}\n" in capsys.readouterr().err
    assert place.metrics("L1+cGAN_0")["protocol"]["images"] == 1
    assert len(list((tiny.home / "out" / "ours_paper" / "L1+cGAN_0" / "output").iterdir())) == 1


def test_a_signal_ends_the_experiment_after_the_step_and_the_same_command_goes_on(place, tiny, capsys, monkeypatch):
    place.file.write_text(ONE)
    step, made = Pix2Pix.training_step, []

    def interrupted(self, batch):
        made.append(batch)
        if len(made) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(Pix2Pix, "training_step", interrupted)
        assert main(place.words()) == 128 + signal.SIGTERM
    assert capsys.readouterr().err.splitlines()[-1] == "the experiment is stopped; the same command continues it"
    assert main(place.words()) == 0
    assert "1 of 1: L1+cGAN, seed 0: resuming ours_L1+cGAN_0 after step 3\n" in capsys.readouterr().err
    assert tiny.content("ours_L1+cGAN_0")["step"] == 8
    straight = tiny.home / "straight"
    assert main(place.words(home=straight)) == 0
    assert place.table() == place.table(straight)
    assert place.metrics("L1+cGAN_0")["metrics"] == place.metrics("L1+cGAN_0", straight)["metrics"]


def killed(nursery, words, when):
    """Make an experiment in a process of its own, and kill it when `when` is true."""
    nursery.stdin.write(json.dumps(words) + "\n")
    nursery.stdin.flush()
    process = int(nursery.stdout.readline())
    deadline = time.monotonic() + 60
    while not when() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    return int(nursery.stdout.readline())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked from one that has imported torch")
@pytest.mark.slow
@pytest.mark.parametrize("number", range(13))
def test_killed_half_way_it_repeats_nothing_finished_and_ends_with_the_same_table(place, tiny, nursery, number, capsys):
    chance = random.Random(number)
    long = ("--steps", "12", "--save_every", "1", "--val_every", "12", "--log_every", "12")
    second = tiny.folder("ours_L1+cGAN_0")
    step = chance.randint(1, 11) if number else 5
    begun = second / f"step_{step:08d}.pt" if number < 10 else second / "tb"
    assert killed(nursery, place.words(*long), begun.exists) == -signal.SIGKILL
    finished = [tiny.folder("ours_L1_0"), tiny.home / "out" / "ours_paper" / "L1_0"]
    before = [files(folder) for folder in finished]
    assert main(place.words(*long)) == 0
    assert [files(folder) for folder in finished] == before
    said = capsys.readouterr().err
    assert "1 of 2: L1, seed 0: trained before, evaluated before\n" in said
    assert number >= 10 or "2 of 2: L1+cGAN, seed 0: resuming ours_L1+cGAN_0 after step" in said
    straight = tiny.home / "straight"
    assert main(place.words(*long, home=straight)) == 0
    assert place.table() == place.table(straight)
    for label in ("L1_0", "L1+cGAN_0"):
        assert place.metrics(label)["metrics"] == place.metrics(label, straight)["metrics"]
