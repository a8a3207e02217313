import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import against_reference, data, feed_forward, gatys, ours, soak
from benchmarks.soak import Sample, growth, sample

ROOT = Path(ours.__file__).parent.parent
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}

# The interface of the reference that is called, around one weight.
STAND_IN = """
import torch

class Pix2PixModel:
    def __init__(self, opt):
        assert (opt.netG, opt.netD, opt.norm, opt.gan_mode) == ("unet_256", "basic", opt.norm, "vanilla")
        self.weight = torch.nn.Parameter(torch.ones(3, 3, 1, 1))
        print("built")

    def set_input(self, input):
        self.source, self.target = input["A"], input["B"]

    def optimize_parameters(self):
        (torch.nn.functional.conv2d(self.source, self.weight) - self.target).abs().mean().backward()

    def eval(self):
        pass

    def test(self):
        torch.nn.functional.conv2d(self.source, self.weight)
"""


@pytest.fixture
def stand_in(tmp_path):
    models = tmp_path / "checkout" / "models"
    models.mkdir(parents=True)
    (models / "pix2pix_model.py").write_text(STAND_IN)
    return models.parent


@pytest.mark.parametrize("name", ["against_reference", "data", "feed_forward", "gatys", "ranks", "soak", "tiles"])
def test_help_names_the_options(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}").main()
    assert ended.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_a_folder_that_is_no_checkout_of_the_reference_is_an_error(tmp_path, capsys):
    assert against_reference.main(["--reference", str(tmp_path)]) == 2
    assert f"--reference {tmp_path}" in capsys.readouterr().err


def test_the_ratio_of_loaders_is_the_median_of_those_within_each_round():
    table = data.summary({"reference": [1, 1 / 2, 1 / 4], "ours": [0.1, 0.1, 0.1]})
    assert table["reference"] == {"median": 2, "q1": 1.5, "q3": 3, "ms": 500, "ratio": 1}
    assert (table["ours"]["median"], table["ours"]["ratio"]) == (10, pytest.approx(5))


def test_the_error_is_a_share_of_the_exact_norm():
    assert ours.error(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 4.0])) == pytest.approx(1 / 5)


@pytest.mark.slow
def test_the_plain_loop_starts_from_the_same_loss_and_lowers_it_as_much():
    task = gatys.Task(gatys.picture(None, 0, 32), gatys.picture(None, 1, 32), "random", 40, 100)
    plain, fast = ([mark.loss for mark in gatys.build(side, task)()] for side in ("plain", "fast"))
    assert len(plain) == len(fast) == 40
    assert fast[0] == pytest.approx(plain[0], rel=1e-4)
    assert fast[-1] == pytest.approx(plain[-1], rel=0.05)
    assert plain[-1] < 0.1 * plain[0]


def samples(*values):
    return [Sample(step, value, value, 7) for step, value in enumerate(values, 1)]


def test_growth_compares_the_end_with_the_steps_after_the_warm_up():
    flat = samples(*[50] * 20, *[100] * 80)
    grown = samples(*[50] * 19, *[100] * 20, *[110] * 61)
    assert (growth(flat, "rss"), growth(flat, "files")) == (0, 0)
    assert growth(grown, "rss") == pytest.approx(0.1)


def test_too_few_samples_are_an_error():
    with pytest.raises(ValueError, match="1 samples"):
        growth([Sample(100, 1, 1, 1)], "rss")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")
def test_a_process_is_looked_at_while_it_runs_and_not_after_its_end(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    with subprocess.Popen([sys.executable, "-c", "print('up', flush=True); input()"], **PIPES) as process:
        process.stdout.readline()
        assert sample(process.pid, metrics) is None  # no step is logged yet
        metrics.write_text('{"step": 1}\n{"step": 50}\n')
        seen = sample(process.pid, metrics)
        assert (seen.step, seen.files) == (50, 3)
        assert seen.rss >= seen.pss > 1e6
        process.stdin.close()
        process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
        assert sample(process.pid, metrics) is None


@pytest.mark.slow
def test_both_sides_are_measured_and_reported(stand_in, tmp_path):
    file = tmp_path / "found.json"
    flags = ("--cases", "in_b1", "translate_256", "--rounds", 1, "--warm_up", 0, "--steps", 1, "--device", "cpu")
    command = [sys.executable, "-m", "benchmarks.against_reference", "--reference", stand_in, *flags, "--json", file]
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert [(one["case"], one["variant"]) for one in found["results"]] == [
        (case, variant) for case in ("in_b1", "translate_256") for variant in ("reference", "fp32")
    ]
    assert found["results"][0]["flops"] == 2 * (2 * 3 * 3 * 256 * 256)
    assert found["results"][1]["hours_of_facades"] > 0
    assert found["results"][3]["error"] < 1e-3
    assert "| in_b1 | fp32 | " in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "flags", "sides"),
    [
        (gatys, ("--size", 48, "--iterations", 3), ["plain", "unaided", "fast"]),
        (feed_forward, ("--sizes", 32, "--iterations", 7, "--device", "cpu"), list(feed_forward.SIDES)),
    ],
)
def test_every_side_of_a_painting_is_measured(script, flags, sides, tmp_path):
    assert script.main(list(map(str, (*flags, "--rounds", 1, "--json", tmp_path / "found.json")))) == 0
    found = json.loads((tmp_path / "found.json").read_text())["results"]
    assert [one.get("side") or one["method"] for one in found] == sides
    assert all(one["seconds"][0] > 0 for one in found)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_thousand_steps_grow_less_than_three_percent_and_keep_their_files(tmp_path):
    soak.main(["--json", str(tmp_path / "found.json")])
    grown = json.loads((tmp_path / "found.json").read_text())["growth"]
    assert grown["rss"] < 0.03
    assert grown["files"] == 0
