"""Training of the style methods: on a few small pictures, with tiny networks and random weights of the backbone."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from pix2pix import checkpoint
from pix2pix.cli import main
from pix2pix.cli.console import describe_changes
from pix2pix.config.yaml import load_yaml
from pix2pix.data.io import write_image

METHODS = ("johnson", "multi_style", "adain")
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
            "multi_style": (*NETWORK, *BACKBONE, "--styles", self.root / "styles"),
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
        return checkpoint.load_file(checkpoint.resolve(self.folder(name), "latest"))


@pytest.fixture(autouse=True)
def _small_examples(monkeypatch):
    """Rescale a VGG by small pictures."""
    monkeypatch.setattr("pix2pix.methods.feature_loss.EXAMPLE_SIDE", 32)


def write_pictures(root):
    random = np.random.default_rng(0)
    for folder, names in {"photos": "uvwxyz", "styles": "abc"}.items():
        for number, name in enumerate(names):
            (root / folder).mkdir(exist_ok=True)
            write_image(root / folder / f"{name}.png", random.integers(0, 256, (36 + number, 44, 3), dtype=np.uint8))
    return Studio(root)


@pytest.fixture
def studio(tmp_path):
    return write_pictures(tmp_path)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run of johnson that was stopped at step 2; tests that share it leave it as it is."""
    studio = write_pictures(tmp_path_factory.mktemp("stopped"))
    assert studio.begin("johnson", "run", "--stop_at_step", 2) == 0
    return studio


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("method", METHODS)
def test_a_run_tells_what_it_learns_from_and_what_to_type_next(studio, capsys, method):
    assert studio.begin(method, "run", "--steps", 2) == 0
    printed = capsys.readouterr().err
    assert f"train: photos in {studio.root}/photos (5 of 6: train by --val_fraction 0.05): 5 photos\n" in printed
    assert f"val: photos in {studio.root}/photos (1 of 6: val by --val_fraction 0.05): 1 photos\n" in printed
    styles = {
        "johnson": "style: a\n",
        "multi_style": "styles: a, b, c\n",
        "adain": f"styles: 3 images in {studio.root}/styles\n",
    }
    assert styles[method] in printed
    assert "steps: 1 to 2 (0.8 epochs)\n" in printed
    asked = {"johnson": "", "multi_style": " --style all", "adain": " --style IMAGE"}
    assert printed.endswith(f"--checkpoints_dir {studio.root}/runs --content PHOTO{asked[method]}\n")
    description = studio.content()["description"]
    assert description["photos"] == 5
    assert description.get("paintings") == (3 if method == "adain" else None)
    assert load_yaml(studio.folder() / "options.yaml")["model"] == method
    assert (studio.folder() / "best").exists()


@pytest.mark.parametrize("method", METHODS)
def test_a_run_cut_and_resumed_equals_one_that_was_not(studio, method):
    flags = ("--ema", 0.9) if method != "adain" else ("--ema", 0.9, "--steps", 2, "--val_every", 9)  # of large files
    assert studio.begin(method, "whole", *flags) == 0
    assert studio.begin(method, "cut", *flags, "--stop_at_step", 1) == 0
    assert studio.resume("cut") == 0
    whole, cut = studio.content("whole"), studio.content("cut")
    assert cut["step"] == whole["step"] == (2 if method == "adain" else 3)
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
    assert studio.begin("multi_style", "run", "--dry_run") == 0
    assert sorted(studio.root.rglob("*")) == before
    assert capsys.readouterr().err.endswith("one validation step succeeded; nothing was written\n")


def test_batch_norm_learns_otherwise_than_instance_norm(studio, capsys):
    assert studio.begin("johnson", "run", "--norm", "batch") == 0
    assert "norm: batch\n" in capsys.readouterr().err
    assert any("running" in name for name in studio.content()["networks"]["G"])


def test_a_run_that_exists_is_replaced_only_when_reported(studio, error):
    studio.begin("johnson", "run", "--steps", 1)
    assert error(2, studio.begin, "multi_style").startswith(str(studio.folder()))
    assert studio.begin("multi_style", "run", "--overwrite", "--steps", 1) == 0
    assert studio.content()["options"]["model"] == "multi_style"


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (("--ngf", 8), "--resume.*ngf is 4.*got 8"),
        (("--model", "adain"), "--model.*johnson.*'adain'"),
        (("--direction", "BtoA"), "--direction.*--model pix2pix or segmenter"),
        (("--steps", 1), "--steps 1.*step 2"),
    ],
)
def test_a_resumed_run_stays_the_run_that_it_was(stopped, error, flags, names):
    assert re.search(names, error(2, stopped.resume, "run", *flags))


def test_the_checkpoint_knows_the_method_where_the_options_are_lost(studio, error):
    studio.begin("johnson", "run", "--stop_at_step", 2)
    (studio.folder() / "options.yaml").unlink()
    line = error(2, studio.resume, "run", "--direction", "BtoA")
    assert re.search("--direction.*johnson", line)
    assert studio.resume() == 0
    assert studio.content()["step"] == 3


def test_a_run_goes_on_with_the_same_style_wherever_it_lies(studio, error):
    studio.begin("johnson", "run", "--stop_at_step", 1)
    moved = (studio.root / "styles" / "a.png").rename(studio.root / "moved.png")
    assert studio.resume("run", "--style_image", moved, "--stop_at_step", 2) == 0
    assert "--style_image" in error(2, studio.resume, "run", "--style_image", studio.root / "styles" / "b.png")


def test_photos_that_went_bad_are_left_out_when_reported(studio, error, capsys):
    studio.begin("johnson", "run", "--stop_at_step", 1)
    bad = [studio.root / "photos" / f"{name}.png" for name in "uv"]
    for path in bad:
        path.write_bytes(b"no picture")
    line = error(2, studio.resume)
    assert line.startswith(str(studio.root / "photos"))
    assert "--resume --skip_bad" in line
    assert studio.resume("run", "--skip_bad") == 0
    printed = capsys.readouterr().err
    assert all(f"skipped: {path}" in printed for path in bad)
    skipped = studio.content()["description"]["skipped"]
    assert sorted(name for names in skipped.values() for name in names) == ["u.png", "v.png"]


def test_a_changed_number_of_images_is_reported(studio, capsys):
    studio.begin("johnson", "run", "--stop_at_step", 1)
    write_image(studio.root / "photos" / "zz.png", np.zeros((40, 40, 3), np.uint8))
    capsys.readouterr()
    assert studio.resume() == 0
    assert re.search("data has changed: 5 .*6 now", capsys.readouterr().err)
    content = {"description": {"photos": 5, "paintings": 3}, "processes": 2}
    paintings, processes = describe_changes(content, {"photos": 5, "paintings": 2}, 1)
    assert re.search("3 .*paintings.* 2 now", paintings)
    assert re.search("2 before, 1 now.*1/2 of the photos", processes)


def test_one_more_style_leaves_all_others_as_they_were(studio, capsys):
    studio.begin("multi_style", "three", "--steps", 1)
    new = (studio.root / "styles" / "c.png").rename(studio.root / "new.png")
    words = [word for word in studio.words("multi_style", "four") if word != str(studio.root / "styles")]
    words.remove("--styles")
    words += ["--add_style", str(new), "--init_from", str(studio.folder("three")), "--stop_at_step", "1"]
    assert main(["train", *words]) == 0
    assert studio.resume("four") == 0
    assert "styles: a, b, c, new\n" in capsys.readouterr().err
    three, four = (studio.content(name)["networks"]["G"] for name in ("three", "four"))
    assert all(torch.equal(weights, four[name][: len(weights)]) for name, weights in three.items())
    assert any(len(four[name]) == 4 for name in three)


@pytest.mark.parametrize(
    ("method", "flags", "names"),
    [
        ("johnson", ("--style_image", "ROOT/none.png"), "--style_image ROOT/none.png"),
        ("johnson", ("--dataroot", "ROOT/nowhere"), "--dataroot ROOT/nowhere"),
        ("johnson", ("--load_size", 30), "crop_size 32x32.*load_size 30"),
        ("johnson", ("--styles", "ROOT/styles"), "--styles.*--model multi_style or adain"),
        ("multi_style", ("--styles", "ROOT/empty"), "--styles ROOT/empty"),
        ("multi_style", ("--add_style", "x.png"), "--styles.*--add_style"),
        ("multi_style", ("--norm", "batch"), "--norm.*--model pix2pix or johnson or segmenter"),
        ("adain", ("--styles", "ROOT/empty"), "--styles ROOT/empty"),
        ("adain", ("--style_image", "ROOT/a.png"), "--style_image.*--model pix2pix or johnson"),
        ("adain", ("--ngf", 8), "--ngf.*--model pix2pix or johnson or multi_style or segmenter"),
    ],
)
def test_wrong_use_is_reported_in_one_line_and_leaves_no_run(studio, error, method, flags, names):
    (studio.root / "empty").mkdir()
    flags = [str(flag).replace("ROOT", str(studio.root)) for flag in flags]
    assert re.search(names.replace("ROOT", str(studio.root)), error(2, studio.begin, method, "run", *flags))
    assert not (studio.folder() / "options.yaml").exists()


def test_one_more_style_is_for_a_run_of_this_method(studio, error):
    studio.begin("johnson", "single", "--steps", 1)
    words = studio.words("multi_style", "more", "--add_style", studio.root / "styles" / "a.png")
    place = words.index("--styles")
    del words[place : place + 2]
    line = error(2, main, ["train", *words, "--init_from", str(studio.folder("single"))])
    assert re.search("--model multi_style.*johnson", line)
    line = error(2, main, ["train", *words, "--init_from", str(studio.folder("more"))])
    assert re.search(f"--init_from {studio.folder('more')}.*--name", line)
