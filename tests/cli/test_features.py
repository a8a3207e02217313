import hashlib
import re

import numpy as np
import pytest
import torch

from pix2pix.data.io import write_image

LAYERS = ("--content_layers", "relu1_2", "--style_layers", "relu1_1,relu1_2")
BOTH = ("--lambda_perceptual", 2, "--lambda_style", 3, "--rescaled", "false", *LAYERS)
CLOCK = ("--steps", 4, "--val_every", 2)
RANDOM = (*BOTH, "--weights", "random", *CLOCK)


def write_weights(path, seed):
    """What a state dict holds of VGG-19 up to relu1_2."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"0.weight": (64, 3, 3, 3), "0.bias": (64,), "2.weight": (64, 64, 3, 3), "2.bias": (64,)}
    torch.save(
        {f"features.{name}": torch.randn(shape, generator=generator) / 9 for name, shape in shapes.items()}, path
    )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_both_losses_are_reported_logged_and_kept(tiny):
    assert tiny.train("run", *RANDOM, "--style_loss", "mean_std") == 0
    assert all({"loss/perceptual", "loss/style"} <= line.keys() for line in tiny.metrics() if "loss/G" in line)
    log = (tiny.folder() / "train.log").read_text()
    said = (
        "features: vgg19, weights random, seed 0: perceptual of relu1_2; "
        "style (mean_std, each target's) of relu1_1, relu1_2\n"
    )
    assert said in log
    assert re.search(r"step 1/4 .* perceptual \d\.\d+  style \d\.\d+", log)
    content = tiny.content()
    assert content["networks"].keys() == {"G", "D"}
    assert content["description"]["features"]["weights"] == "random, seed 0"
    assert len(content["description"]["features"]["weights_sha256"]) == 64


def test_without_them_a_run_knows_nothing_of_features(tiny):
    assert tiny.train("run", *CLOCK) == 0
    assert "features" not in tiny.content()["description"]
    assert "features" not in (tiny.folder() / "train.log").read_text()
    assert not any("loss/style" in line or "loss/perceptual" in line for line in tiny.metrics())


def test_a_run_cut_and_resumed_equals_one_that_was_not(tiny):
    assert tiny.train("straight", *RANDOM) == 0
    assert tiny.train("run", *RANDOM, "--stop_at_step", 3) == 0
    assert tiny.resume() == 0
    assert tiny.metrics() == tiny.metrics("straight")
    for name, state in tiny.content()["networks"].items():
        assert all(torch.equal(value, tiny.content("straight")["networks"][name][key]) for key, value in state.items())


def test_a_run_is_resumed_with_the_same_weights_alone_and_translates_without_any(tiny, error):
    file = tiny.home / "vgg.pth"
    then = write_weights(file, 1)
    assert tiny.train("run", *BOTH, "--weights", file, *CLOCK, "--stop_at_step", 3) == 0
    now = write_weights(file, 2)
    assert re.search(f"--weights.*{now}.*{then}", error(2, tiny.resume))
    file.unlink()
    assert error(2, tiny.resume).startswith(f"--weights {file}")
    assert tiny.test() == 0
    write_weights(file, 1)
    assert tiny.resume("run", "--weights", file.rename(tiny.home / "moved.pth")) == 0


def test_a_run_is_resumed_with_the_same_style_image_alone(tiny, error):
    file = tiny.home / "painting.png"
    write_image(file, np.full((20, 30, 3), 9, np.uint8))
    assert tiny.train("run", *RANDOM, "--style_image", file, "--stop_at_step", 3) == 0
    assert f"style (gram, that of {file}) of relu1_1, relu1_2" in (tiny.folder() / "train.log").read_text()
    write_image(file, np.full((20, 30, 3), 10, np.uint8))
    assert error(2, tiny.resume).startswith("--style_image")


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (("--weights", "nowhere.pth"), "--weights nowhere.pth"),
        (("--style_layers", "relu1_9"), "vgg19.*relu1_9"),
        (("--backbone", "vgg18"), "--backbone.*'vgg18'.*vgg16, vgg19"),
        (("--style_image", "nowhere.jpg"), "--style_image nowhere.jpg"),
        (("--lambda_style", 0), "--style_layers.*--lambda_style"),
        (("--style_layers", "relu5_1"), "vgg19.*16x16.*relu5_1"),
    ],
)
def test_what_is_missing_is_reported_before_any_pair_is_read(tiny, error, flags, names):
    words = ("--dataroot", "nowhere", "--crop_size", 8, "--load_size", 8)
    assert re.search(names, error(2, tiny.train, "run", *RANDOM, *words, *flags))
    assert not tiny.folder().exists() or not list(tiny.folder().glob("options.yaml"))


def test_a_lambda_may_not_change_when_a_run_is_resumed(tiny, error):
    assert tiny.train("run", *RANDOM, "--stop_at_step", 2) == 0
    line = error(2, tiny.resume, "run", "--lambda_style", 5)
    assert re.search("--resume.*lambda_style is 3.*got 5", line)
