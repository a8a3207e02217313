"""What a training does to its folder: begun, overwritten, resumed, damaged, on a full disk."""

import os
import re
from pathlib import Path

import pytest

from pix2pix import checkpoint
from pix2pix.cli import main
from pix2pix.data.io import read_image, write_image


def said(tiny):
    return (tiny.folder() / "train.log").read_text()


def test_an_existing_run_is_not_touched_without_being_reported(tiny, error):
    tiny.train("run", "--stop_at_step", 3)
    before = tiny.files()
    assert error(2, tiny.train, "run") == (
        f"{tiny.folder()} holds a run already; continue it with --resume, replace it with --overwrite, "
        "or choose another --name"
    )
    assert tiny.files() == before


@pytest.mark.parametrize("mistake", [("--dataroot", "nowhere"), ("--crop_size", 17), ("--device", "cuda:99")])
def test_overwriting_waits_until_the_new_options_prove_right(tiny, error, mistake):
    tiny.train("run", "--stop_at_step", 3)
    before = tiny.files()
    error(2, tiny.train, "run", "--overwrite", *mistake)
    assert tiny.files() == before


def test_overwriting_replaces_the_old_run_and_nothing_else(tiny):
    tiny.train("run", "--steps", 5, "--lr", 0.1)
    (tiny.folder() / "notes.txt").write_text("mine")
    (tiny.folder() / ".step_00000005.pt.tmp").write_text("left by a kill")
    assert tiny.train("run", "--overwrite") == 0
    tiny.train("fresh")
    assert tiny.steps() == tiny.steps("fresh")
    assert tiny.metrics() == tiny.metrics("fresh")
    assert (tiny.folder() / "notes.txt").read_text() == "mine"
    assert not list(tiny.folder().glob(".*.tmp"))
    assert len(list((tiny.folder() / "tb").iterdir())) == 1


def test_the_lock_of_a_dead_process_is_no_obstacle(tiny):
    tiny.folder().mkdir(parents=True)
    (tiny.folder() / "LOCK").write_text("process 4194305 on elsewhere\n")
    assert tiny.train() == 0
    assert (tiny.folder() / "LOCK").read_text().startswith(f"process {os.getpid()} on ")


def test_a_dry_run_writes_no_file(tiny, monkeypatch, capsys):
    monkeypatch.chdir(tiny.home)
    assert tiny.train("run", "--dry_run") == 0
    assert list(tiny.home.iterdir()) == []
    err = capsys.readouterr().err
    assert re.search("^step 1 .*  loss/G_l1 0[.]", err, re.MULTILINE)
    assert re.search("^step 1  val/l1 0[.]", err, re.MULTILINE)
    assert err.endswith("dry run: one training step and one validation step succeeded; nothing was written\n")


def test_resuming_needs_a_name_and_nothing_more(tiny):
    tiny.train("run", "--stop_at_step", 3)
    assert said(tiny).endswith(
        f"stopped after step 3, which is saved; continue with: python train.py --name run --checkpoints_dir "
        f"{tiny.home / 'checkpoints'} --resume\n"
    )
    assert tiny.resume() == 0
    assert "steps: 4 to 8 (" in said(tiny)
    assert tiny.content()["step"] == 8
    assert tiny.resume() == 0, "a finished run has nothing left to do"
    assert [line["step"] for line in tiny.metrics() if "lr" in line] == list(range(1, 9))


def test_flags_may_be_retyped_and_those_of_the_clock_changed(tiny):
    tiny.train("run", "--stop_at_step", 3)
    clock = ("--steps", 9, "--log_every", 2, "--val_every", 5, "--save_every", 3, "--keep", 1, "--stop_at_step", 8)
    assert main(["train", *tiny.words("run", *clock, "--num_workers", 1, "--continue_train")]) == 0
    assert [line["step"] for line in tiny.metrics() if "lr" in line] == [1, 2, 3, 4, 6, 8]
    assert [line["step"] for line in tiny.metrics() if "val/l1" in line] == [5]
    assert tiny.steps() == [5, 8]
    assert tiny.content()["options"]["train"]["steps"] == 9


def test_resuming_refuses_by_name_what_would_be_another_run(tiny, error):
    tiny.train("run", "--stop_at_step", 3)
    before = tiny.files()
    message = error(2, tiny.resume, "run", "--lr", 0.1, "--keep", 5, "--ngf", 4)
    assert "lr is 0.0002 there, got 0.1, ngf is 2 there, got 4; " in message
    assert "keep" not in message
    assert tiny.files() == before


def test_a_start_broken_off_while_it_describes_itself_can_be_resumed(tiny, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("pix2pix.runtime.environment.collect_environment", interrupted)
    assert tiny.train() == 130
    assert {str(path) for path in tiny.files()} == {"options.yaml"}
    monkeypatch.undo()
    assert tiny.resume() == 0


@pytest.mark.parametrize("made", [False, True])
def test_there_must_be_a_run_to_resume(tiny, error, made):
    if made:
        tiny.folder().mkdir(parents=True)
    problem = f"{tiny.folder()} has no run to resume" if made else f"there is no run {tiny.folder()} to resume"
    assert error(2, tiny.resume) == f"{problem}; leave --resume out to start it, or correct --name"


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.write_bytes(content)


def cut(file):
    file.write_bytes(file.read_bytes()[:-1000])


def empty(file):
    file.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (flip, "is damaged: its SHA-256 does not match; use another checkpoint"),
        (cut, "is truncated or was not written by this program; use another checkpoint"),
        (empty, "is truncated or was not written by this program; use another checkpoint"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_and_named(tiny, error, damage, cause):
    tiny.train("straight")
    tiny.train("run", "--stop_at_step", 6)
    damage(tiny.folder() / "step_00000006.pt")
    assert tiny.resume() == 0
    assert f"{tiny.folder()}/step_00000006.pt {cause}: skipped\n" in said(tiny)
    assert tiny.metrics() == tiny.metrics("straight")


def test_where_no_checkpoint_is_whole_nothing_is_touched(tiny, error):
    tiny.train("run", "--stop_at_step", 6)
    for file, damage in zip(sorted(tiny.folder().glob("*.pt")), (flip, cut, empty), strict=True):
        damage(file)
    before = tiny.files()
    assert error(2, tiny.resume) == (
        f"no checkpoint in {tiny.folder()} is intact: {tiny.folder()}/step_00000006.pt is truncated or was not "
        "written by this program; use another checkpoint; start again with --overwrite"
    )
    assert tiny.files() == before


def test_a_damaged_checkpoint_left_ahead_costs_no_newer_one(tiny):
    tiny.train("run", "--stop_at_step", 6, "--val_every", 4)
    flip(tiny.folder() / "step_00000006.pt")
    tiny.resume("run", "--keep", 1, "--save_every", 1, "--val_every", 100, "--stop_at_step", 5)
    assert tiny.content()["step"] == 5


def test_a_full_disk_is_seen_before_writing(tiny, error, monkeypatch):
    tiny.train("run", "--stop_at_step", 2)
    usage = checkpoint.shutil.disk_usage(tiny.home)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    line = error(2, tiny.resume)
    weights = [x for network in tiny.content()["networks"].values() for x in network.values()]
    (needed,) = re.findall(r"step_00000004\.pt needs (\d+) bytes and the disk has 1000 free.*--resume", line)
    assert int(needed) > 2 * sum(x.numel() * x.element_size() for x in weights)  # and Adam's moments
    assert tiny.steps() == [2]
    monkeypatch.undo()
    assert tiny.resume() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full stands for a full disk")
def test_a_disk_that_fills_while_saving_costs_no_older_checkpoint(tiny, error, monkeypatch):
    usage = checkpoint.shutil.disk_usage

    def fill_before_step_4(folder):
        temporary = tiny.folder() / ".step_00000004.pt.tmp"
        if tiny.steps() == [2] and not temporary.is_symlink():
            temporary.symlink_to("/dev/full")
        return usage(folder)

    monkeypatch.setattr(checkpoint.shutil, "disk_usage", fill_before_step_4)
    line = error(2, tiny.train)
    assert line.startswith(f"{tiny.folder()}/step_00000004.pt cannot be written (")
    assert line.endswith("); older checkpoints are unchanged")
    assert not list(tiny.folder().glob(".*.tmp"))
    assert tiny.content()["step"] == 2
    monkeypatch.undo()
    assert tiny.resume() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full stands for a full disk")
def test_a_disk_too_full_for_the_log_stops_the_run_in_one_line(tiny, error):
    tiny.train("run", "--stop_at_step", 2)
    (tiny.folder() / "train.log").unlink()
    (tiny.folder() / "train.log").symlink_to("/dev/full")
    assert error(2, tiny.resume) == "the run cannot continue: No space left on device"
    assert tiny.content()["step"] == 2


def test_a_file_in_the_place_of_a_folder_is_reported_at_once(tiny, error):
    (tiny.home / "checkpoints").write_text("")
    assert error(2, tiny.train) == f"{tiny.folder()} cannot be used: Not a directory"


def test_what_the_system_refuses_is_reported_the_file_that_it_names(tiny, error, monkeypatch):
    def refused(options, progress):
        raise OSError(24, "Too many open files", "/data/1.png")

    monkeypatch.setattr("pix2pix.data.validate.open_training_set", refused)
    assert error(2, tiny.train) == "/data/1.png cannot be used: Too many open files"


def test_a_run_goes_on_in_a_folder_that_was_renamed(tiny):
    tiny.train("run", "--stop_at_step", 3)
    tiny.folder().rename(tiny.folder("moved"))
    assert tiny.resume("moved") == 0
    assert tiny.content("moved")["options"]["run"]["name"] == "moved"
    assert tiny.content("moved")["step"] == 8


def test_overwriting_leaves_what_is_not_of_the_run(tiny):
    tiny.train("run", "--stop_at_step", 3)
    (tiny.folder() / "tb" / "plugins").mkdir()
    (tiny.folder() / "step_mine.pt").write_text("mine")
    assert tiny.train("run", "--overwrite") == 0
    assert (tiny.folder() / "step_mine.pt").read_text() == "mine"


@pytest.mark.parametrize("phase", ["train", "val"])
def test_a_bad_image_costs_no_step_already_made(tiny, error, phase):
    for folder, number in (("train", 0), ("train", 1), ("val", 2)):
        tiny.write_pair(tiny.home / "data" / folder / f"{number}.png", number)
    (tiny.home / "data" / phase / "9.png").write_text("text")
    line = error(2, tiny.train, "run", "--dataroot", tiny.home / "data", "--save_every", 100, "--check", "false")
    assert "9.png: not a PNG" in line
    assert tiny.content()["step"] == (4 if phase == "val" else tiny.steps()[-1])
    assert not list(tiny.folder().glob(".*"))


def test_validation_pairs_get_the_channels_of_training(tiny):
    for folder, number in (("train", 0), ("train", 1), ("val", 2)):
        tiny.write_pair(tiny.home / "data" / folder / f"{number}.png", number)
    grey = tiny.home / "data" / "val" / "2.png"
    write_image(grey, read_image(grey)[..., :1])
    assert tiny.train("run", "--dataroot", tiny.home / "data", "--steps", 4) == 0


def test_another_measure_of_the_best_begins_without_one(tiny):
    tiny.train("run", "--stop_at_step", 4)
    assert tiny.resume("run", "--best_metric", "val/psnr") == 0
    values = [line["val/psnr"] for line in tiny.metrics() if "val/psnr" in line]
    assert tiny.content(epoch="latest")["best"] == values[-1]


@pytest.mark.parametrize("end", ["steps", "stop_at_step"])
def test_an_end_that_lies_behind_is_refused(tiny, error, end):
    tiny.train("run", "--stop_at_step", 4)
    before = tiny.files()
    assert error(2, tiny.resume, "run", f"--{end}", 2).startswith(f"--{end} 2 is in the past: the run is at step 4")
    assert tiny.files() == before


def test_data_that_changed_since_is_remarked(tiny):
    for number in range(3):
        tiny.write_pair(tiny.home / "data" / "train" / f"{number}.png", number)
    tiny.train("run", "--dataroot", tiny.home / "data", "--val_fraction", 0, "--stop_at_step", 2)
    tiny.write_pair(tiny.home / "data" / "train" / "3.png", 3)
    assert tiny.resume() == 0
    assert "the data has changed: 3 training pairs before, 4 now" in said(tiny)


def test_a_run_goes_on_without_an_image_that_went_bad_whatever_it_began_with(tiny, error):
    for folder, number in (("train", 0), ("train", 1), ("train", 2), ("val", 3)):
        tiny.write_pair(tiny.home / "data" / folder / f"{number}.png", number)
    assert tiny.train("run", "--dataroot", tiny.home / "data", "--skip_bad", "--stop_at_step", 2) == 0
    (tiny.home / "data" / "train" / "1.png").write_text("text")
    line = error(2, tiny.resume)
    assert line.endswith("convert or remove it; or skip it with --resume --skip_bad")
    assert tiny.resume("run", "--skip_bad") == 0
    assert tiny.content()["description"]["skipped"]["train"] == ["1"]
    assert "skipped: " in (tiny.folder() / "train.log").read_text()


def test_a_dry_run_of_a_resume_is_refused_before_anything_is_asked_for(tiny, error):
    line = error(2, tiny.resume, "run", "--dry_run")
    assert line == "--dry_run is for new runs: leave --resume out"
