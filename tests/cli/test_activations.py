import json
import re
import sys

import numpy as np
import pytest

from pix2pix.cli import main
from pix2pix.data.io import read_image, write_image


@pytest.fixture
def photos(tmp_path):
    """Three pictures of different sizes and depths, and a fourth that `--count 3` leaves alone."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "1.png", rng.integers(0, 256, (70, 90, 3), dtype=np.uint8))
    write_image(tmp_path / "photos" / "2.jpg", rng.integers(0, 256, (80, 50, 1), dtype=np.uint8))
    write_image(tmp_path / "photos" / "3.tif", rng.integers(0, 65536, (33, 33, 3), dtype=np.uint16))
    (tmp_path / "photos" / "10.png").write_bytes(b"no picture")
    return tmp_path / "photos"


def activations(*words):
    return main(["activations", "--device", "cpu", "--size", "48", *map(str, words)])


def test_backbones_are_compared_in_a_table_numbers_and_a_plot(photos, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    words = ("--backbone", "squeezenet1_1", "resnet18", "--images", photos, "--count", 3, "--out", out)
    assert activations(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    numbers = json.loads((out / "activations.json").read_text())
    assert lines[0] == "means over 3 images; entropies are normalized: 1 if all values are equal"
    assert lines[-1] == f"numbers and plot: {out}/activations.json, {out}/activations.png, {out}/activations.svg"
    assert "squeezenet1_1 (random, seed 0)" in lines
    assert [line.split()[0] for line in lines if line.startswith("  layer")] == ["layer1", "layer2", "layer3", "layer4"]
    assert numbers["images"] == ["1.png", "2.jpg", "3.tif"]
    assert numbers["options"]["backbone"] == "squeezenet1_1,resnet18"
    backbone = numbers["backbones"]["resnet18"]
    assert (backbone["weights"], len(backbone["sha256"])) == ("random, seed 0", 64)
    printed = next(line for line in lines if line.startswith("  layer3")).split()[1:]
    stage = backbone["stages"]["layer3"]
    assert printed == [
        f"{value:.{3 if 'max' in name else 4}{'g' if 'max' in name else 'f'}}"
        for kind in ("plain", "smoothed")
        for name, value in stage[kind].items()
    ]
    assert read_image(out / "activations.png").std() > 5


def test_without_matplotlib_there_are_the_numbers_and_a_line_that_says_why_no_plot(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    (tmp_path / "activations.png").touch()  # of an earlier run
    assert activations("--backbone", "resnet18", "--layers", "stem", "--count", 1, "--out", tmp_path) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == f"numbers: {tmp_path}/activations.json"
    assert 'pip install -e ".[evaluate]"' in printed.err
    assert [file.name for file in tmp_path.iterdir()] == ["activations.json"]


def test_generated_images_and_the_same_seed_give_the_same_numbers(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pix2pix.evaluation.activations.plot_activations", lambda *_: None)

    def numbers(name, *words):
        words = ("--backbone", "resnet18", "--layers", "layer1.0 stem", "--count", 1, *words)
        assert activations(*" ".join(map(str, words)).split(), "--out", tmp_path / name) == 0
        return json.loads((tmp_path / name / "activations.json").read_text())

    first, again, other = numbers("first"), numbers("again"), numbers("other", "--seed", 1)
    assert first["images"] == ["generated 0"]
    assert capsys.readouterr().out.startswith("means over 1 image; ")
    assert list(first["backbones"]["resnet18"]["stages"]) == ["layer1.0", "stem"]
    assert first["backbones"] == again["backbones"] != other["backbones"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--images TMP/none", "TMP/none"),
        ("--images TMP/photos/1.png", r"TMP/photos/1\.png"),
        ("--images TMP/photos", "TMP/photos/10.png: "),
        ("--images TMP/empty", "--images TMP/empty"),
        ("--size 8", "8x8.*16"),
        ("--backbone vgg18", "--backbone.*'vgg18'.*vgg16"),
        ("--layers layer9", "layer9"),
        ("--weights TMP/none.safetensors", "TMP/none.safetensors"),
        ("--backbone inception_v3 --layers Mixed_7c --size 32", "inception_v3.*75x75"),
        ("--device cuda:99", "--device cuda:99"),
        ("--out TMP/photos/1.png", r"--out TMP/photos/1\.png"),
    ],
)
def test_a_mistake_is_one_line(photos, tmp_path, error, words, message):
    (tmp_path / "empty").mkdir()
    first = ("--backbone", "resnet18", "--count", 4, "--out", tmp_path / "out")
    said = error(2, activations, *first, *words.replace("TMP", str(tmp_path)).split())
    assert re.search(message.replace("TMP", str(tmp_path)), said)


def test_a_folder_that_cannot_be_written_is_reported_before_anything_is_measured(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert activations("--backbone", "resnet18", "--count", 1, "--out", tmp_path / "file") == 2
    assert capsys.readouterr().out == ""
