from pathlib import Path

import pytest

from pix2pix.options import LossOptions, Pix2PixOptions, parse

PRESETS = sorted((Path(__file__).parents[2] / "options").glob("*.yaml"))
FIVE = {
    "l1": LossOptions(gan_mode="none", lambda_l1=100),
    "gan": LossOptions(conditional=False, lambda_l1=0),
    "cgan": LossOptions(conditional=True, lambda_l1=0),
    "l1_gan": LossOptions(conditional=False, lambda_l1=100),
    "l1_cgan": LossOptions(conditional=True, lambda_l1=100),
}


def test_the_demo_needs_nothing_else():
    demo = next(path for path in PRESETS if path.stem == "demo")
    record = parse([str(demo)], Pix2PixOptions, program="train.py").options
    assert (record.data.dataroot, record.data.crop_size, record.network.generator) == (
        "generated",
        (128, 128),
        "unet_128",
    )


def test_facades_is_the_papers_run_by_default():
    facades = next(path for path in PRESETS if path.stem == "facades")
    record = parse([str(facades)], Pix2PixOptions, program="train.py").options
    assert record.loss == FIVE["l1_cgan"] == LossOptions()
    assert record.data.direction == "BtoA"


@pytest.mark.parametrize("name", FIVE)
def test_the_papers_five_objectives_are_presets(name):
    preset = next(path for path in PRESETS if path.stem == name)
    parsed = parse([str(preset), "--dataroot", "x", "--name", "a"], Pix2PixOptions, program="train.py")
    assert parsed.options.loss == FIVE[name]
    assert parsed.given.keys() - {"dataroot", "name"} <= {"gan_mode", "conditional", "lambda_l1"}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_the_head_of_a_preset_is_its_manual_and_its_command_is_right(preset):
    head = [line for line in preset.read_text().splitlines() if line.startswith("#")]
    command = next(line for line in head if "python train.py" in line).partition("python train.py ")[2].split()
    assert command[0] == f"options/{preset.name}"
    parse([str(preset), *command[1:]], Pix2PixOptions, program="train.py").options.run  # noqa: B018
