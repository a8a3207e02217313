"""Training of the style methods: on a few small pictures, with tiny networks and random weights of the backbone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from pix2pix import checkpoint
from pix2pix.cli import main
from pix2pix.cli.sentences import changes
from pix2pix.images import write
from pix2pix.options import load_yaml

METHODS = ("johnson", "conditional", "adain")
PICTURES = ("--load_size", 36, "--crop_size", 32, "--num_workers", 0)
CLOCK = ("--steps", 3, "--log_every", 1, "--val_every", 2, "--save_every", 9, "--batch_size", 2, "--device", "cpu")
NETWORK = ("--ngf", 4, "--blocks", 1)
BACKBONE = ("--rescaled", "false", "--content_layers", "relu2_1", "--style_layers", "relu1_1,relu2_1")


@dataclass(frozen=True)
class Studio:
    """Photographs, paintings and runs below one folder; `begin` and `resume` return the exit status."""

    root: Path

    def words(self, method, name, *flags):
        own = {
            "johnson": (*NETWORK, *BACKBONE, "--style_image", self.root / "styles" / "a.png"),
            "conditional": (*NETWORK, *BACKBONE, "--styles", self.root / "styles"),
            "adain": ("--styles", self.root / "styles"),
        }
        given = ("--model", method, "--dataroot", self.root / "photos", *PICTURES, *CLOCK, "--weights", "random")
        return [str(word) for word in (*given, *own[method], *self.named(name), *flags)]

    def named(self, name):
        return ("--name", name, "--checkpoints_dir", self.root / "runs")

    def begin(self, method, name="run", *flags):
        return main(["train", *self.words(method, name, *flags)])

    def resume(self, name="run", *flags):
        return main(["train", *map(str, (*self.named(name), "--resume", *flags))])

    def folder(self, name="run"):
        return self.root / "runs" / name

    def content(self, name="run"):
        return checkpoint.read(checkpoint.resolve(self.folder(name), "latest"))


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setattr("pix2pix.methods.objective._SIDE", 64)  # of the pictures that a VGG is rescaled by
    random = np.random.default_rng(0)
    for folder, names in {"photos": "uvwxyz", "styles": "abc"}.items():
        for number, name in enumerate(names):
            (tmp_path / folder).mkdir(exist_ok=True)
            write(tmp_path / folder / f"{name}.png", random.integers(0, 256, (36 + number, 44, 3), dtype=np.uint8))
    return Studio(tmp_path)


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("method", METHODS)
def test_a_run_tells_what_it_learns_from_and_what_to_type_next(studio, capsys, method):
    assert studio.begin(method, "run", "--steps", 2) == 0
    told = capsys.readouterr().err
    assert f"train: photos in {studio.root}/photos (5 of 6: train by --val_fraction 0.05): 5 photos\n" in told
    assert f"val: photos in {studio.root}/photos (1 of 6: val by --val_fraction 0.05): 1 photos\n" in told
    styles = {
        "johnson": "style: a\n",
        "conditional": "styles: a, b, c\n",
        "adain": f"styles: 3 pictures in {studio.root}/styles\n",
    }
    assert styles[method] in told
    assert "steps: 1 to 2 (0.8 epochs)\n" in told
    asked = {"johnson": "", "conditional": " --style all", "adain": " --style PICTURE"}
    assert told.endswith(f"--checkpoints_dir {studio.root}/runs --content PHOTO{asked[method]}\n")
    description = studio.content()["description"]
    assert description["photos"] == 5
    assert description.get("paintings") == (3 if method == "adain" else None)
    assert load_yaml(studio.folder() / "options.yaml")["model"] == method
    assert (studio.folder() / "best").exists()


@pytest.mark.parametrize("method", METHODS)
def test_a_run_cut_and_resumed_equals_one_that_was_not(studio, method):
    flags = ("--ema", 0.9)
    assert studio.begin(method, "whole", *flags) == 0
    assert studio.begin(method, "cut", *flags, "--stop_at", 1) == 0
    assert studio.resume("cut") == 0
    whole, cut = studio.content("whole"), studio.content("cut")
    assert cut["step"] == 3
    for name, weights in whole["networks"].items():
        assert same(weights, cut["networks"][name])
    assert same(whole["ema"], cut["ema"])
    assert (whole["best"], whole["shown"], whole["description"].keys()) == (
        cut["best"],
        cut["shown"],
        cut["description"].keys(),
    )


def test_a_dry_run_writes_nothing(studio, capsys):
    before = sorted(studio.root.rglob("*"))
    assert studio.begin("conditional", "run", "--dry_run") == 0
    assert sorted(studio.root.rglob("*")) == before
    assert capsys.readouterr().err.endswith("one validation step went well; nothing was written\n")


def test_batch_norm_learns_otherwise_than_instance_norm(studio, capsys):
    assert studio.begin("johnson", "run", "--norm", "batch") == 0
    assert "norm: batch\n" in capsys.readouterr().err
    assert any("running" in name for name in studio.content()["networks"]["G"])


def test_a_run_that_exists_is_replaced_only_when_told(studio, error):
    studio.begin("johnson", "run", "--steps", 1)
    assert error(2, studio.begin, "conditional").startswith(f"{studio.folder()} holds a run already; continue it with ")
    assert studio.begin("conditional", "run", "--overwrite", "--steps", 1) == 0
    assert studio.content()["options"]["model"] == "conditional"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ("--ngf", 8),
            "--resume continues the run as it was: ngf is 4 there, got 8; leave it out or start a new --name",
        ),
        (("--model", "adain"), "--model: the run is of johnson, got 'adain'; leave --model out, or start a new --name"),
        (
            ("--direction", "BtoA"),
            "--direction is an option of --model pix2pix or segmenter: leave it out, or choose that method",
        ),
        (("--steps", 1), "--steps 1 lies behind: the run is at step 2; give more, or leave it out"),
    ],
)
def test_a_resumed_run_stays_the_run_that_it_was(studio, error, flags, line):
    studio.begin("johnson", "run", "--stop_at", 2)
    assert error(2, studio.resume, "run", *flags) == line


def test_the_checkpoint_knows_the_method_where_the_options_are_lost(studio, error):
    studio.begin("johnson", "run", "--stop_at", 2)
    (studio.folder() / "options.yaml").unlink()
    line = error(2, studio.resume, "run", "--direction", "BtoA")
    assert line == (
        "--direction: the run is of johnson, which has no such option; leave --direction out, or start a new --name"
    )
    assert studio.resume() == 0
    assert studio.content()["step"] == 3


def test_a_run_goes_on_with_the_same_style_wherever_it_lies(studio, error):
    studio.begin("johnson", "run", "--stop_at", 1)
    moved = (studio.root / "styles" / "a.png").rename(studio.root / "moved.png")
    assert studio.resume("run", "--style_image", moved, "--stop_at", 2) == 0
    assert error(2, studio.resume, "run", "--style_image", studio.root / "styles" / "b.png").startswith(
        "--style_image: the SHA-256 is "
    )


def test_photos_that_went_bad_are_left_out_when_told(studio, error, capsys):
    studio.begin("johnson", "run", "--stop_at", 1)
    bad = [studio.root / "photos" / f"{name}.png" for name in "uv"]
    for path in bad:
        path.write_bytes(b"no picture")
    line = error(2, studio.resume)
    assert line.startswith(str(studio.root / "photos"))
    assert line.endswith("; or leave it out by --resume --skip_bad")
    assert studio.resume("run", "--skip_bad") == 0
    told = capsys.readouterr().err
    assert all(f"left out: {path}" in told for path in bad)
    skipped = studio.content()["description"]["skipped"]
    assert sorted(name for names in skipped.values() for name in names) == ["u.png", "v.png"]


def test_a_changed_number_of_images_is_told(studio, capsys):
    studio.begin("johnson", "run", "--stop_at", 1)
    write(studio.root / "photos" / "zz.png", np.zeros((40, 40, 3), np.uint8))
    capsys.readouterr()
    assert studio.resume() == 0
    assert "the data has changed: 5 training photos then, 6 now, and another order\n" in capsys.readouterr().err
    content = {"description": {"photos": 5, "paintings": 3}, "processes": 2}
    paintings, processes = changes(content, {"photos": 5, "paintings": 2}, 1)
    assert paintings == "the data has changed: 3 training paintings then, 2 now, and another order"
    assert processes.endswith("2 then, 1 now; a step has 1/2 of the photos that it had, in the same order")


def test_one_more_style_leaves_all_others_as_they_were(studio, capsys):
    studio.begin("conditional", "three", "--steps", 1)
    new = (studio.root / "styles" / "c.png").rename(studio.root / "new.png")
    words = [word for word in studio.words("conditional", "four") if word != str(studio.root / "styles")]
    words.remove("--styles")
    words += ["--add_style", str(new), "--init_from", str(studio.folder("three")), "--stop_at", "1"]
    assert main(["train", *words]) == 0
    assert studio.resume("four") == 0
    assert "styles: a, b, c, new\n" in capsys.readouterr().err
    three, four = (studio.content(name)["networks"]["G"] for name in ("three", "four"))
    assert all(torch.equal(weights, four[name][: len(weights)]) for name, weights in three.items())
    assert any(len(four[name]) == 4 for name in three)


@pytest.mark.parametrize(
    ("method", "flags", "line"),
    [
        ("johnson", ("--style_image", "ROOT/none.png"), "--style_image ROOT/none.png: "),
        ("johnson", ("--dataroot", "ROOT/nowhere"), "--dataroot ROOT/nowhere is no folder: a folder tree of photos is"),
        ("johnson", ("--load_size", 30), "crop_size 32x32 is larger than load_size 30, the shorter side of a photo: "),
        ("johnson", ("--styles", "ROOT/styles"), "--styles is an option of --model conditional or adain: leave it out"),
        ("conditional", ("--styles", "ROOT/empty"), "--styles ROOT/empty: no images there; a folder of pictures is"),
        ("conditional", ("--add_style", "x.png"), "--styles begins a network, --add_style gives one a further style: "),
        ("conditional", ("--norm", "batch"), "--norm is an option of --model pix2pix or johnson or segmenter: leave"),
        ("adain", ("--styles", "ROOT/empty"), "--styles ROOT/empty: no photos: files ending in "),
        (
            "adain",
            ("--style_image", "ROOT/a.png"),
            "--style_image is an option of --model pix2pix or johnson: leave it",
        ),
        (
            "adain",
            ("--ngf", 8),
            "--ngf is an option of --model pix2pix or johnson or conditional or segmenter: leave it out",
        ),
    ],
)
def test_wrong_use_is_told_in_one_line_and_leaves_no_run(studio, error, method, flags, line):
    (studio.root / "empty").mkdir()
    flags = [str(flag).replace("ROOT", str(studio.root)) for flag in flags]
    assert error(2, studio.begin, method, "run", *flags).startswith(line.replace("ROOT", str(studio.root)))
    assert not (studio.folder() / "options.yaml").exists()


def test_one_more_style_is_for_a_run_of_this_method(studio, error):
    studio.begin("johnson", "single", "--steps", 1)
    words = studio.words("conditional", "more", "--add_style", studio.root / "styles" / "a.png")
    place = words.index("--styles")
    del words[place : place + 2]
    line = error(2, main, ["train", *words, "--init_from", str(studio.folder("single"))])
    assert line.endswith("a run of --model conditional is needed, not of johnson")
    line = error(2, main, ["train", *words, "--init_from", str(studio.folder("more"))])
    assert line == f"--init_from {studio.folder('more')} is the run itself: choose another --name"
