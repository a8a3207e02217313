"""A run that an earlier state of the program trained (commit 4608c0a) goes on, translates and is evaluated as it was.

It was made there by

    python train.py --name run --checkpoints_dir . --dataroot generated --direction BtoA --generator unet_32 --ngf 1
      --ndf 2 --patch 70 --crop_size 32 --load_size 36 --batch_size 1 --steps 6 --num_workers 0 --seed 0 --device cpu
      --fast none --log_every 1 --val_every 6 --save_every 6 --keep 1
"""

import json
import shutil
from pathlib import Path

import pytest

from pix2pix.cli import main
from pix2pix.data.io import read_image

RUN = Path(__file__).parent / "fixtures" / "run"

RESUMED = {  # by the earlier state itself, with --resume --steps 9
    7: {"loss/D": 0.6713278889656067, "loss/G_gan": 0.724362850189209, "loss/G_l1": 0.3681981563568115},
    8: {"loss/D": 0.6649417281150818, "loss/G_gan": 0.7523165345191956, "loss/G_l1": 0.4381452798843384},
    9: {"loss/D": 0.6640899777412415, "loss/G_gan": 0.7216238379478455, "loss/G_l1": 0.34882426261901855},
}
VALIDATED = {"val/l1": 0.3428108030557632, "val/psnr": 14.019412956237794, "val/ssim": 0.08167761962860823}
EVALUATED = {"L1": 0.3568302057683468, "PSNR": 13.725576877593994, "SSIM": 0.06356967985630035}
HISTOGRAMS = {"histogram L": 0.11393229166666667, "histogram a": 0.41455078125, "histogram b": 0.3157552083333333}
OUTPUT_MEANS = {
    "test_0001.png": 127.53678385416667,
    "test_0002.png": 127.55891927083333,
    "test_0003.png": 127.55598958333333,
    "test_0004.png": 127.55013020833333,
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The flags that name a copy of the run, in whose folder the program then works."""
    shutil.copytree(RUN, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return "--name", "run", "--checkpoints_dir", "."


def test_three_more_steps_are_those_of_the_earlier_state(place):
    assert main(["train", *place, "--resume", "--steps", "9"]) == 0
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line for line in lines if "loss/D" in line}
    for step, expected in RESUMED.items():
        assert {name: losses[step][name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert {name: lines[-1][name] for name in VALIDATED} == pytest.approx(VALIDATED, rel=1e-5)


def test_its_translations_are_those_of_the_earlier_state(place):
    assert (
        main(["test", *place, "--device", "cpu", "--fast", "none", "--results_dir", "results", "--num_test", "4"]) == 0
    )
    outputs = sorted(Path("results/run/test_latest/output").iterdir())
    assert {path.name: read_image(path).mean() for path in outputs} == pytest.approx(
        OUTPUT_MEANS, abs=1e-2
    )  # of 0 to 255


def test_its_evaluation_is_that_of_the_earlier_state(place):
    flags = ("--device", "cpu", "--fast", "none", "--results_dir", "results", "--num_test", "12")
    assert main(["evaluate", *place, *flags]) == 0
    metrics = json.loads(Path("results/run/test_latest/metrics.json").read_text())["metrics"]
    found = {name: metric["value"] for name, metric in metrics.items() if "value" in metric}
    assert found.keys() == {*EVALUATED, *HISTOGRAMS}
    assert {name: found[name] for name in EVALUATED} == pytest.approx(EVALUATED, rel=1e-5)
    # A pixel that another processor rounds to the other side changes bin: 1 of 12,288.
    assert {name: found[name] for name in HISTOGRAMS} == pytest.approx(HISTOGRAMS, abs=1e-3)
