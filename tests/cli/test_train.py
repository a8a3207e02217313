import itertools
import math
import re
from pathlib import Path

import pytest
import torch

from pix2pix.cli import main
from pix2pix.data.io import IMAGE_SUFFIXES, read_image
from pix2pix.methods.pix2pix import Pix2Pix

D = {"loss/D", "loss/G_gan", "D/real", "D/fake", "grad_norm/D"}
G = {"loss/G", "grad_norm/G"}


def logged(tiny, step=1):
    return next(line for line in tiny.metrics() if line["step"] == step and "lr" in line)


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
    assert "norm: instance, because the batch size is 1 (--norm auto, the paper's rule)\n" in err
    assert err.endswith(f"done: 8 steps in {tiny.folder()}; now: python test.py --name run {tiny.places[0]} "
                        f"{tiny.places[1]}\n")  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "scalars", "channels_of_d"),
    [
        (("--gan_mode", "none"), G | {"loss/G_l1"}, None),
        (("--conditional", "false", "--lambda_l1", 0), G | D, 3),
        (("--lambda_l1", 0), G | D, 6),
        (("--conditional", "false"), G | D | {"loss/G_l1"}, 3),
        ((), G | D | {"loss/G_l1"}, 6),
    ],
)
def test_the_papers_five_objectives_train_the_networks_and_log_the_losses_that_they_have(
    tiny, flags, scalars, channels_of_d
):
    assert tiny.train("run", *flags, "--steps", 2) == 0
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
    sizes = [(17, 23), (20, 31), (33, 16)]
    for phase in ("train", "val", "test"):
        for number, size in enumerate(sizes):
            tiny.write_pair(tmp_path / "data" / phase / f"{number}.png", number, size)
    assert tiny.train("run", "--dataroot", tmp_path / "data", "--preprocess", "none") == 0
    assert tiny.test() == 0
    assert [read_image(tiny.results() / f"output/{number}.png").shape[:2] for number in range(3)] == sizes


def test_an_image_too_small_for_the_discriminator_is_named(tiny, error, tmp_path):
    tiny.write_pair(tmp_path / "data/train/0.png", 0, size=(16, 40))
    flags = ("--dataroot", tmp_path / "data", "--val_fraction", 0, "--preprocess", "none", "--patch", 70)
    assert re.search("^0: 16x48.*--patch 70.* 24 ", error(2, tiny.train, "run", *flags))


def test_without_validation_pairs_it_trains_and_says_that_there_is_no_best(tiny, tmp_path):
    tiny.write_pair(tmp_path / "data/train/0.png", 0)
    assert tiny.train("run", "--dataroot", tmp_path / "data", "--val_fraction", 0) == 0
    assert "val: none, so no best checkpoint\n" in (tiny.folder() / "train.log").read_text()
    assert not (tiny.folder() / "best").exists()
    assert not any(name.startswith("val/") for line in tiny.metrics() for name in line)


def test_the_norm_follows_the_batch_size_and_is_kept(tiny, error):
    tiny.train("single")
    tiny.train("batch", "--batch_size", 4)
    assert tiny.content("single")["description"]["norm"] == "instance"
    assert tiny.content("batch")["description"]["norm"] == "batch"
    assert (
        "norm: batch, because the batch size is 4 (--norm auto, the paper's rule)\n"
        in (tiny.folder("batch") / "train.log").read_text()
    )
    assert tiny.test("batch", "--norm_stats", "running") == 0
    assert re.search("--norm_stats.*BatchNorm.*InstanceNorm", error(2, tiny.test, "single", "--norm_stats", "running"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--crop_size", 18),
            "crop_size.*18x18.*unet_16.*multiples of 16",
        ),
        (
            ("--patch", 70),
            "crop_size.*16x16.*--patch 70.* 24 ",
        ),
        (
            ("--preprocess", "crop", "--crop_size", 32),
            "20x20.*--crop_size.*32x32",
        ),
        (("--val_fraction", 0.6), r"--val_fraction.*'0\.6'"),
        (("--device", "cuda:99"), None),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(tiny, error, flags, message):
    line = error(2, tiny.train, "run", "--seed", 3, "--max_dataset_size", 1, *flags)
    assert re.search(message or "--device cuda:99", line)
    assert not list(tiny.home.rglob("*.pt"))


def test_a_name_is_needed(tiny, error):
    words = tiny.words("run")
    place = words.index("--name")
    assert error(2, main, ["train", *words[:place], *words[place + 2 :]]).startswith("--name is missing: ")


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_found_broken_in_training_is_named(tiny, error, tmp_path, workers):
    for number in range(5):
        tiny.write_pair(tmp_path / f"data/train/{number}.png", number)
    broken = tmp_path / "data/train/3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    where = ("--dataroot", tmp_path / "data", "--val_fraction", 0, "--num_workers", workers)
    assert error(2, tiny.train, "run", *where).startswith(f"{broken}: ")


def test_a_missing_or_empty_data_folder_is_reported(tiny, error, tmp_path):
    assert re.search(f"--dataroot {tmp_path}/nowhere", error(2, tiny.train, "run", "--dataroot", tmp_path / "nowhere"))
    (tmp_path / "bare/train").mkdir(parents=True)
    assert re.search(
        f"{tmp_path}/bare/train.*{', '.join(IMAGE_SUFFIXES)}",
        error(2, tiny.train, "run", "--dataroot", tmp_path / "bare"),
    )


def test_running_out_of_memory_gives_a_hint_and_keeps_the_checkpoints(tiny, error, monkeypatch):
    step, calls = Pix2Pix.training_step, itertools.count(1)

    def greedy(method, batch):
        if next(calls) == 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return step(method, batch)

    monkeypatch.setattr(Pix2Pix, "training_step", greedy)
    assert re.search("--crop_size, --batch_size", error(1, tiny.train))
    assert tiny.content()["step"] == 4


@pytest.mark.parametrize("cache", ["auto", "disk"])
def test_the_cache_is_named_changes_no_weight_and_leaves_no_file(tiny, cache):
    tiny.train("without", "--cache", "off")
    tiny.train("run", "--cache", cache, "--stop_at_step", 3)
    tiny.resume("run", "--cache_gb", 1)
    log = (tiny.folder() / "train.log").read_text()
    place = {"auto": "memory", "disk": "disk, until the training ends"}[cache]
    assert log.count(f"cache: 5 pairs in 0.01 GiB of {place}\n") == 2
    assert "cache: off\n" in (tiny.folder("without") / "train.log").read_text()
    ours, theirs = tiny.content()["networks"], tiny.content("without")["networks"]
    for name in ours:
        for key, value in ours[name].items():
            assert torch.equal(value, theirs[name][key])
    assert {path.parts[0] for path in tiny.files()} == {path.parts[0] for path in tiny.files("without")}


def test_a_full_disk_under_the_cache_is_reported_once_and_training_goes_on(tiny, monkeypatch):
    def refuse(file, data, offset):
        if offset:
            raise OSError(28, "No space left on device")
        return len(data)

    monkeypatch.setattr("os.pwrite", refuse)
    assert tiny.train("run", "--cache", "disk") == 0
    sentence = "cache: the disk is full, so further pairs are read each time\n"
    assert (tiny.folder() / "train.log").read_text().count(sentence) == 1


def test_a_cache_on_disk_needs_pairs_of_one_size(tiny, error):
    assert re.search(
        "--cache.*--preprocess.*--cache", error(2, tiny.train, "run", "--cache", "disk", "--preprocess", "none")
    )


def test_speedups_are_chosen_in_yaml_or_on_the_line_and_may_change_on_resuming(tiny, tmp_path, error):
    preset = tmp_path / "fast.yaml"
    preset.write_text("fast: [gemm, channels_last]\n")
    assert main(["train", str(preset), *tiny.words("run", "--stop_at_step", 4)]) == 0
    assert re.search("--fast.*CUDA", error(2, tiny.resume, "run", "--fast", "graph"))
    assert tiny.resume("run", "--fast", "winograd,channels_last") == 0
    said = (tiny.folder() / "train.log").read_text()
    assert "fast: channels_last, gemm (--fast none turns them off)" in said
    assert "fast: channels_last, winograd (--fast none turns them off)" in said
