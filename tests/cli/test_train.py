import itertools
import math
import os
import re
from pathlib import Path

import pytest
import torch

from pix2pix import checkpoint
from pix2pix.cli import main
from pix2pix.methods.pix2pix import Pix2Pix

PRESETS = Path(__file__).parents[2] / "options"
D = {"loss/D", "loss/G_gan", "D/real", "D/fake", "grad_norm/D"}
G = {"loss/G", "grad_norm/G"}


def logged(tiny, step=1):
    return next(line for line in tiny.metrics() if line["step"] == step and "lr" in line)


def said(tiny):
    return (tiny.folder() / "train.log").read_text()


def test_a_run_leaves_a_folder_that_tells_all_about_it(tiny, capsys):
    assert tiny.train() == 0
    assert {path.parts[0] for path in map(Path, tiny.files())} == {
        *("options.yaml", "env.json", "train.log", "metrics.jsonl", "tb", "latest", "best"),
        *("step_00000004.pt", "step_00000006.pt", "step_00000008.pt"),
    }
    assert tiny.content()["step"] == 8
    out, err = capsys.readouterr()
    assert out == ""
    assert "train: side-by-side A|B images in " in err
    assert "norm: instance, because the batch size is 1, and the paper's rule is --norm auto\n" in err
    assert err.endswith(f"done: 8 steps in {tiny.folder()}; now: python test.py --name run {tiny.places[0]} "
                        f"{tiny.places[1]}\n")  # fmt: skip


@pytest.mark.parametrize(
    ("preset", "scalars", "channels_of_d"),
    [
        ("l1", G | {"loss/G_l1"}, None),
        ("gan", G | D, 3),
        ("cgan", G | D, 6),
        ("l1_gan", G | D | {"loss/G_l1"}, 3),
        ("l1_cgan", G | D | {"loss/G_l1"}, 6),
    ],
)
def test_the_five_objectives_of_the_paper_are_presets(tiny, preset, scalars, channels_of_d):
    assert main(["train", str(PRESETS / f"{preset}.yaml"), *tiny.words("run", "--steps", 2)]) == 0
    assert logged(tiny).keys() == scalars | {"step", "lr"}
    networks = tiny.content()["networks"]
    assert networks.keys() == ({"G", "D"} if channels_of_d else {"G"})
    assert channels_of_d is None or networks["D"]["layers.0.weight"].shape[1] == channels_of_d


@pytest.mark.parametrize(
    "flags",
    [
        ("--gan_mode", "lsgan", "--upsample", "nearest", "--init_type", "xavier"),
        ("--gan_mode", "hinge", "--upsample", "bilinear", "--init_type", "kaiming", "--patch", 1),
        ("--generator", "resnet_6blocks", "--norm", "none", "--precision", "bf16"),
        ("--generator", "encoder_decoder_16", "--norm", "batch", "--init_type", "orthogonal"),
        ("--preprocess", "crop", "--crop_size", "16x32", "--direction", "BtoA", "--input_nc", 1, "--output_nc", 4),
        ("--preprocess", "scale_width", "--flip", "false", "--use_dropout", "false"),
        ("--preprocess", "scale_width_and_crop", "--load_size", 40, "--lambda_l2", 10, "--lr_policy", "constant"),
    ],
)
def test_other_choices_train_and_validate_too(tiny, tmp_path, flags):
    for phase in ("train", "val"):
        for number in range(2):
            tiny.write_pair(tmp_path / "data" / phase / f"{number}.png", number, size=(21, 35))
    assert tiny.train("run", "--dataroot", tmp_path / "data", *flags, "--steps", 2) == 0
    assert all(math.isfinite(value) for line in tiny.metrics() for value in line.values())
    assert [line["step"] for line in tiny.metrics()] == [1, 2, 2]
    assert ("loss/G_l2" in logged(tiny)) == ("--lambda_l2" in flags)


def test_pairs_of_odd_and_unequal_sizes_train_and_test_at_their_own(tiny, tmp_path):
    from pix2pix.images import read

    sizes = [(17, 23), (20, 31), (33, 16)]
    for phase in ("train", "val", "test"):
        for number, size in enumerate(sizes):
            tiny.write_pair(tmp_path / "data" / phase / f"{number}.png", number, size)
    assert tiny.train("run", "--dataroot", tmp_path / "data", "--preprocess", "none") == 0
    assert tiny.test() == 0
    assert [read(tiny.results() / f"output/{number}.png").shape[:2] for number in range(3)] == sizes


def test_an_image_too_small_for_the_discriminator_is_named(tiny, error, tmp_path):
    tiny.write_pair(tmp_path / "data/train/0.png", 0, size=(16, 40))
    flags = ("--dataroot", tmp_path / "data", "--val_fraction", 0, "--preprocess", "none", "--patch", 70)
    assert error(2, tiny.train, "run", *flags) == (
        "0: 16x48 is too small for --patch 70, which needs 24 at least; choose a smaller --patch or larger images"
    )


def test_without_validation_pairs_it_trains_and_says_that_there_is_no_best(tiny, tmp_path):
    tiny.write_pair(tmp_path / "data/train/0.png", 0)
    assert tiny.train("run", "--dataroot", tmp_path / "data", "--val_fraction", 0) == 0
    assert "val: none, so no best checkpoint\n" in said(tiny)
    assert not (tiny.folder() / "best").exists()
    assert not any(name.startswith("val/") for line in tiny.metrics() for name in line)


def test_the_norm_follows_the_batch_size_and_is_kept(tiny, error):
    tiny.train("single")
    tiny.train("batch", "--batch_size", 4)
    assert tiny.content("single")["description"]["norm"] == "instance"
    assert tiny.content("batch")["description"]["norm"] == "batch"
    assert (
        "norm: batch, because the batch size is 4, and the paper's rule is --norm auto\n"
        in (tiny.folder("batch") / "train.log").read_text()
    )
    assert tiny.test("batch", "--statistics", "running") == 0
    assert error(2, tiny.test, "single", "--statistics", "running") == (
        "--statistics running needs a network trained with BatchNorm, and this one has InstanceNorm, "
        "which keeps no running statistics; use --statistics image"
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--crop_size", 18),
            "crop_size 18x18 does not fit --generator unet_16, which needs multiples of 16; "
            "choose another --crop_size, or a smaller network with --generator or --patch",
        ),
        (
            ("--patch", 70),
            "crop_size 16x16 does not fit --patch 70, which needs 24 at least; "
            "choose another --crop_size, or a smaller network with --generator or --patch",
        ),
        (
            ("--preprocess", "crop", "--crop_size", 32),
            "0: 20x20 is too small for --crop_size 32x32: choose a smaller one, or --preprocess resize_and_crop",
        ),
        (("--val_fraction", 0.6), "--val_fraction: got '0.6'; a number >= 0 and <= 0.5 is needed"),
        (("--device", "cuda:99"), None),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(tiny, error, flags, message):
    line = error(2, tiny.train, "run", "--seed", 3, "--max_dataset_size", 1, *flags)
    assert line == message or (message is None and line.startswith("--device cuda:99: PyTorch sees "))
    assert not list(tiny.home.rglob("*.pt"))


def test_a_name_is_needed(tiny, error):
    words = tiny.words("run")
    place = words.index("--name")
    assert error(2, main, ["train", *words[:place], *words[place + 2 :]]).startswith("--name is missing: ")


def test_an_existing_run_is_not_touched_without_being_told(tiny, error):
    tiny.train("run", "--stop_at", 3)
    before = tiny.files()
    assert error(2, tiny.train, "run") == (
        f"{tiny.folder()} holds a run already; continue it with --resume, replace it with --overwrite, "
        "or choose another --name"
    )
    assert tiny.files() == before


@pytest.mark.parametrize("mistake", [("--dataroot", "nowhere"), ("--crop_size", 17), ("--device", "cuda:99")])
def test_overwriting_waits_until_the_new_options_prove_right(tiny, error, mistake):
    tiny.train("run", "--stop_at", 3)
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
    assert err.endswith("dry run: one training step and one validation step went well; nothing was written\n")


def test_resuming_needs_a_name_and_nothing_more(tiny):
    tiny.train("run", "--stop_at", 3)
    assert said(tiny).endswith(
        f"stopped after step 3, which is saved; go on with: python train.py --name run --checkpoints_dir "
        f"{tiny.home / 'checkpoints'} --resume\n"
    )
    assert tiny.resume() == 0
    assert "steps: 4 to 8 (" in said(tiny)
    assert tiny.content()["step"] == 8
    assert tiny.resume() == 0, "a finished run has nothing left to do"
    assert [line["step"] for line in tiny.metrics() if "lr" in line] == list(range(1, 9))


def test_flags_may_be_retyped_and_those_of_the_clock_changed(tiny):
    tiny.train("run", "--stop_at", 3)
    clock = ("--steps", 9, "--log_every", 2, "--val_every", 5, "--save_every", 3, "--keep", 1, "--stop_at", 8)
    assert main(["train", *tiny.words("run", *clock, "--num_workers", 1, "--continue_train")]) == 0
    assert [line["step"] for line in tiny.metrics() if "lr" in line] == [1, 2, 3, 4, 6, 8]
    assert [line["step"] for line in tiny.metrics() if "val/l1" in line] == [5]
    assert tiny.steps() == [5, 8]
    assert tiny.content()["options"]["train"]["steps"] == 9


def test_resuming_refuses_by_name_what_would_be_another_run(tiny, error):
    tiny.train("run", "--stop_at", 3)
    before = tiny.files()
    assert error(2, tiny.resume, "run", "--lr", 0.1, "--keep", 5, "--ngf", 4) == (
        "--resume continues the run as it was: lr is 0.0002 there, got 0.1, ngf is 2 there, got 4; "
        "leave them out or start a new --name"
    )
    assert tiny.files() == before


@pytest.mark.parametrize("made", [False, True])
def test_there_must_be_a_run_to_resume(tiny, error, made):
    if made:
        tiny.folder().mkdir(parents=True)
    problem = f"{tiny.folder()} holds no run to resume" if made else f"there is no run {tiny.folder()} to resume"
    assert error(2, tiny.resume) == f"{problem}; leave --resume out to begin it, or mend --name"


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
        (flip, "is damaged: its SHA-256 does not match; use another --epoch"),
        (cut, "is cut short or was not written by this program; use another --epoch"),
        (empty, "is cut short or was not written by this program; use another --epoch"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_and_named(tiny, error, damage, cause):
    tiny.train("straight")
    tiny.train("run", "--stop_at", 6)
    damage(tiny.folder() / "step_00000006.pt")
    assert tiny.resume() == 0
    assert f"{tiny.folder()}/step_00000006.pt {cause}: skipped\n" in said(tiny)
    assert tiny.metrics() == tiny.metrics("straight")


def test_where_no_checkpoint_is_whole_nothing_is_touched(tiny, error):
    tiny.train("run", "--stop_at", 6)
    for file, damage in zip(sorted(tiny.folder().glob("*.pt")), (flip, cut, empty), strict=True):
        damage(file)
    before = tiny.files()
    assert error(2, tiny.resume) == (
        f"no checkpoint in {tiny.folder()} is whole: {tiny.folder()}/step_00000006.pt is cut short or was not "
        "written by this program; use another --epoch; begin anew with --overwrite"
    )
    assert tiny.files() == before


def test_a_damaged_checkpoint_left_ahead_costs_no_newer_one(tiny):
    tiny.train("run", "--stop_at", 6, "--val_every", 4)
    flip(tiny.folder() / "step_00000006.pt")
    tiny.resume("run", "--keep", 1, "--save_every", 1, "--val_every", 100, "--stop_at", 5)
    assert tiny.content()["step"] == 5


def test_a_full_disk_is_seen_before_writing(tiny, error, monkeypatch):
    tiny.train("run", "--stop_at", 2)
    usage = checkpoint.shutil.disk_usage(tiny.home)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    line = error(2, tiny.resume)
    needed = sum(x.numel() * x.element_size() for x in checkpoint._tensors(tiny.content()))
    assert line == (
        f"{tiny.folder()}/step_00000004.pt needs {needed} bytes and the disk has 1000 free; make room, then --resume"
    )
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
    assert line.endswith("); older checkpoints are untouched")
    assert not list(tiny.folder().glob(".*.tmp"))
    assert tiny.content()["step"] == 2
    monkeypatch.undo()
    assert tiny.resume() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full stands for a full disk")
def test_a_disk_too_full_for_the_log_stops_the_run_in_one_line(tiny, error):
    tiny.train("run", "--stop_at", 2)
    (tiny.folder() / "train.log").unlink()
    (tiny.folder() / "train.log").symlink_to("/dev/full")
    assert error(2, tiny.resume) == f"the run folder {tiny.folder()} cannot be written: No space left on device"
    assert tiny.content()["step"] == 2


def test_a_file_in_the_place_of_a_folder_is_told_at_once(tiny, error):
    (tiny.home / "checkpoints").write_text("")
    assert error(2, tiny.train) == f"the run folder {tiny.folder()} cannot be written: Not a directory"


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_found_broken_in_training_is_named(tiny, error, tmp_path, workers):
    for number in range(5):
        tiny.write_pair(tmp_path / f"data/train/{number}.png", number)
    broken = tmp_path / "data/train/3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    where = ("--dataroot", tmp_path / "data", "--val_fraction", 0, "--num_workers", workers)
    assert error(2, tiny.train, "run", *where).startswith(f"{broken}: ")


def test_a_missing_or_empty_data_folder_is_told(tiny, error, tmp_path):
    assert error(2, tiny.train, "run", "--dataroot", tmp_path / "nowhere").startswith(
        f"--dataroot {tmp_path}/nowhere: no train pairs found: put A|B images side by side into train/, or "
    )
    (tmp_path / "bare/train").mkdir(parents=True)
    assert error(2, tiny.train, "run", "--dataroot", tmp_path / "bare") == (
        f"{tmp_path}/bare/train: no images: files ending in .png, .jpg, .jpeg, .webp are needed"
    )


def test_running_out_of_memory_gives_a_hint_and_keeps_the_checkpoints(tiny, error, monkeypatch):
    step, calls = Pix2Pix.training_step, itertools.count(1)

    def greedy(method, batch):
        if next(calls) == 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return step(method, batch)

    monkeypatch.setattr(Pix2Pix, "training_step", greedy)
    assert error(1, tiny.train).startswith("out of memory; lower --crop_size, --batch_size, --ngf or --num_workers, ")
    assert tiny.content()["step"] == 4
