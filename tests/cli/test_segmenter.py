"""A segmenter through the programs: trained on photos and labels, resumed, and asked for the classes of photos."""

import json
import re

import numpy as np
import pytest
import torch

from pix2pix import checkpoint
from pix2pix.cli import main
from pix2pix.data.generated import generate
from pix2pix.data.io import read_image, write_image
from pix2pix.data.labels import PALETTES

NETWORK = ("--generator", "unet_16", "--ngf", 2, "--load_size", 18, "--crop_size", 16, "--batch_size", 2)
CLOCK = ("--steps", 6, "--log_every", 1, "--val_every", 3, "--save_every", 3, "--num_workers", 0, "--device", "cpu")
PALETTE = ("--target_palette", "facades")


@pytest.fixture(scope="session")
def facades(tmp_path_factory):
    """Pairs of photo and labels of 20 x 20 pixels: 4 to train on, 2 for validation and 2 for the test."""
    root = tmp_path_factory.mktemp("facades")
    for phase, numbers in {"train": range(4), "val": range(4, 6), "test": range(6, 8)}.items():
        (root / phase).mkdir()
        for number in numbers:
            write_image(root / phase / f"{number}.png", np.concatenate(generate(0, number, size=(20, 20))[:2], axis=1))
    return root


@pytest.fixture
def train(facades, tmp_path):
    def begin(name, *flags):
        words = ["--model", "segmenter", "--dataroot", facades, *NETWORK, *CLOCK, *PALETTE, *named(tmp_path, name)]
        return main(["train", *map(str, (*words, *flags))])

    return begin


def named(root, name):
    return "--name", name, "--checkpoints_dir", root / "runs"


def asked(root, name, *flags):
    return main(["test", *map(str, (*named(root, name), "--results_dir", root / "results", *flags))])


def content(root, name):
    return checkpoint.load_file(checkpoint.resolve(root / "runs" / name, "latest"))


def test_a_segmenter_is_trained_and_paints_the_classes_of_photos(train, facades, tmp_path, capsys):
    assert train("run") == 0
    said = capsys.readouterr().err
    assert "direction AtoB: 3 channels of uint8 to labels of 12 classes, a channel each" in said
    assert "M parameters\n" in said  # and no D
    lines = [json.loads(line) for line in (tmp_path / "runs/run/metrics.jsonl").read_text().splitlines()]
    validated = [line for line in lines if "val/loss" in line]
    assert [line["step"] for line in validated] == [3, 6]
    assert all(0 <= line["val/pixel_accuracy"] <= 1 for line in validated)
    best = max(validated, key=lambda line: line["val/pixel_accuracy"])
    assert checkpoint.read_pointer(tmp_path / "runs/run", "best").name == f"step_{best['step']:08d}.pt"
    assert content(tmp_path, "run")["description"]["palette"]["names"] == list(PALETTES["facades"].names)

    assert asked(tmp_path, "run") == 0
    assert "accuracy" in capsys.readouterr().out
    outputs = [read_image(path) for path in sorted((tmp_path / "results/run/test_latest/output").iterdir())]
    assert [output.shape for output in outputs] == [(16, 16, 3)] * 2
    colours = {tuple(pixel) for output in outputs for pixel in output.reshape(-1, 3).tolist()}
    assert colours <= set(PALETTES["facades"].colors)
    page = (tmp_path / "results/run/test_latest/index.html").read_text()
    assert "running" in page
    assert "drawn from seed" not in page

    photo = tmp_path / "photo.png"
    write_image(photo, generate(0, 9, size=(30, 50))[0])
    assert asked(tmp_path, "run", "--input", photo) == 0
    assert read_image(tmp_path / "results/run/input_latest/output/photo.png").shape == (30, 50, 3)


def test_a_resumed_run_equals_one_that_was_not_stopped_bit_for_bit(train, tmp_path):
    assert train("whole") == 0
    assert train("cut", "--stop_at_step", 3) == 0
    assert main(["train", *map(str, named(tmp_path, "cut")), "--resume"]) == 0
    whole, cut = (content(tmp_path, name) for name in ("whole", "cut"))
    for name, weight in whole["networks"]["G"].items():
        assert torch.equal(weight, cut["networks"]["G"][name])
    assert whole["description"] == cut["description"]
    assert whole["best"] == cut["best"]


def test_class_numbers_are_learned_and_come_out(tmp_path, facades):
    for side, phase in ((side, phase) for side in "AB" for phase in ("train", "val", "test")):
        (tmp_path / "data" / phase / side).mkdir(parents=True)
        for path in (facades / phase).iterdir():
            image = read_image(path)[:, :20] if side == "A" else np.full((20, 20, 1), int(path.stem) % 3, np.uint8)
            write_image(tmp_path / "data" / phase / side / path.name, image)
    words = ["--model", "segmenter", "--dataroot", tmp_path / "data", *NETWORK, *CLOCK, *named(tmp_path, "run")]
    assert main(["train", *map(str, words)]) == 0
    assert content(tmp_path, "run")["description"]["palette"]["colours"] == [(0,), (1,), (2,)]
    assert asked(tmp_path, "run") == 0
    output = read_image(tmp_path / "results/run/test_latest/output/6.png")
    assert output.shape == (16, 16, 1)
    assert set(np.unique(output)) <= {0, 1, 2}


@pytest.mark.parametrize("flag", ["--dropout on", "--samples 2", "--seed 1", "--style x.png", "--keep_colors coral"])
def test_what_a_segmenter_has_no_use_for_is_refused(train, tmp_path, capsys, flag):
    assert train("run", "--steps", 1) == 0
    assert asked(tmp_path, "run", *flag.split()) == 2
    name = flag.split()[0]
    assert re.search(f"error:.*{name}.*segmenter", capsys.readouterr().err)


def test_a_dry_run_writes_nothing(train, tmp_path):
    assert train("run", "--dry_run") == 0
    assert not (tmp_path / "runs").exists()
