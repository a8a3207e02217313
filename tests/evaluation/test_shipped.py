"""The experiments that come with the program."""

import re
import shlex
from pathlib import Path

import pytest

from pix2pix.config.experiment import load_experiment, load_scale
from pix2pix.config.losses import LossOptions
from pix2pix.config.parse import parse, parse_experiment
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.evaluation.experiment import expand_grid, get_learned_options

FOLDER = Path(__file__).parents[2] / "options" / "experiments"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
SMALL = "--load_size 143 --crop_size 128 --ngf 32 --ndf 32"
L1, CGAN, L1_CGAN = "--gan_mode none", "--lambda_l1 0", ""
LABELS = "--direction AtoB --target_kind labels --target_palette facades"
BATCH = "--batch_size 4 --norm batch --steps 500"
# What each choice is as a command line of train.py, on facades from labels to photos if it does not say otherwise.
CHOICES = {
    "objectives": {
        "L1": L1,
        "L2": "--gan_mode none --lambda_l1 0 --lambda_l2 100",
        "GAN": "--conditional false --lambda_l1 0",
        "cGAN": CGAN,
        "L1+GAN": "--conditional false",
        "L1+cGAN": L1_CGAN,
    },
    "patch": {f"{side}x{side}": f"--patch {side}" for side in (1, 16, 70, 286)},
    "generator": {
        "U-Net L1": L1,
        "U-Net L1+cGAN": L1_CGAN,
        "encoder-decoder L1": "--generator encoder_decoder_128 --gan_mode none",
        "encoder-decoder L1+cGAN": "--generator encoder_decoder_128",
    },
    "norm_batch": {
        "1 pair": "",
        "4 pairs, batch norm": BATCH,
        "4 pairs, instance norm": BATCH.replace("batch --", "instance --"),
    },
    "photo_to_labels": {"L1": f"{L1} {LABELS}", "cGAN": f"{CGAN} {LABELS}", "L1+cGAN": LABELS},
    "color": {"L1": L1, "cGAN": CGAN, "L1+cGAN": L1_CGAN, "PixelGAN": "--patch 1"},
    "style_losses": {
        "L1+cGAN": "",
        "L1+cGAN, perceptual": "--lambda_perceptual 10",
        "L1+cGAN, Gram style": "--lambda_style 10",
    },
    "test_time": {
        f"{statistics} statistics dropout {dropout}": BATCH
        for statistics in ("image", "running")
        for dropout in ("on", "off")
    },
}


def grid(name, *words):
    asked = parse_experiment([str(FILES[name]), *words])
    return expand_grid(load_experiment(str(FILES[name])), load_scale(str(FILES[name]), asked.options.scale), asked)


def trained(words):
    first = "--dataroot datasets/facades --name x --direction BtoA --generator unet_128 --steps 2000"
    return parse(f"{first} {SMALL} {words}".split(), Pix2PixOptions, program="train.py").options


def test_every_experiment_is_held_to_what_it_says():
    assert set(FILES) == set(CHOICES)


@pytest.mark.parametrize("name", FILES)
def test_at_the_small_scale_a_choice_is_what_one_would_type(name):
    found = {" ".join(cell.labels): cell.options for cell in grid(name, "--scale", "small", "--seeds", "0")}
    assert {label: get_learned_options(options) for label, options in found.items()} == {
        label: get_learned_options(trained(words)) for label, words in CHOICES[name].items()
    }
    assert {label: options.train.steps for label, options in found.items()} == {
        label: trained(words).train.steps for label, words in CHOICES[name].items()
    }


@pytest.mark.parametrize("name", FILES)
def test_at_the_papers_scale_a_choice_is_as_long_and_as_wide_as_there(name):
    for cell in grid(name):
        options = cell.options
        assert (options.data.load_size, options.data.crop_size) == ((286, 286), (256, 256))
        assert (options.network.ngf, options.network.ndf, options.train.steps) == (64, 64, None)
        assert (options.train.n_epochs, options.train.n_epochs_decay, options.run.keep) == (100, 100, 1)
        assert options.network.generator in ("unet_256", "encoder_decoder")


def test_the_tables_with_spread_have_three_seeds():
    three = {"objectives", "patch", "generator"}
    assert {name for name in FILES if {cell.seed for cell in grid(name)} == {0, 1, 2}} == three
    assert all({cell.seed for cell in grid(name)} == {0} for name in set(FILES) - three)


def test_experiments_share_the_papers_own_run():
    """L1+cGAN with a U-Net, 70x70 patches and one pair in a step."""
    own = get_learned_options(trained(""))
    sharing = {
        name for name in FILES for cell in grid(name, "--scale", "small") if get_learned_options(cell.options) == own
    }
    assert sharing == {"objectives", "patch", "generator", "norm_batch", "color", "style_losses"}
    assert LossOptions() == trained("").loss


def test_the_four_ways_to_translate_are_of_one_run():
    found = grid("test_time", "--scale", "small")
    assert len({str(get_learned_options(cell.options)) for cell in found}) == 1
    ways = [cell.evaluate for cell in found]
    assert ways == [{"norm_stats": way, "dropout": drop} for way in ("image", "running") for drop in ("on", "off")]


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_all_commands_of_a_manual_can_be_typed(path):
    commands = re.findall(r"python -m pix2pix experiment (\S.*)", path.read_text())
    assert commands
    for words in map(shlex.split, commands):
        assert words[0] == f"options/experiments/{path.name}"
        grid(path.stem, *words[1:])
