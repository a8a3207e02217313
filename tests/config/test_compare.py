import pytest

from pix2pix.config.base import OptionError, from_dict, list_options
from pix2pix.config.compare import check_claims, check_resume
from pix2pix.config.parse import parse
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.test import TestOptions
from pix2pix.config.types import OptionFlag

STORED = from_dict(Pix2PixOptions, {"dataroot": "datasets/facades", "name": "a", "direction": "BtoA", "crop_size": 128})


def resumed(*argv):
    return check_resume(STORED, parse(argv, Pix2PixOptions, program="train.py").given)


def test_a_resumed_run_is_the_stored_one_with_what_may_change():
    record = resumed("--resume", "--name", "a", "--steps", "5000", "--device", "cpu")
    assert record.data == STORED.data
    assert (record.train.steps, record.run.device, record.run.resume) == (5000, "cpu", True)


def test_equal_values_may_be_retyped():
    assert resumed("--name", "a", "--dataroot", "./datasets/facades/", "--crop_size", "128", "--lr", "2e-4") == STORED


def test_an_equal_value_that_would_contradict_a_default_may_be_retyped():
    stored = from_dict(Pix2PixOptions, {"dataroot": "x", "name": "a", "load_size": 600, "crop_size": 512})
    assert check_resume(stored, parse(["--crop_size=512"], Pix2PixOptions, program="train.py").given) == stored


def test_whatever_else_differs_is_refused_by_name():
    with pytest.raises(OptionError, match=r"^--resume .*: lr is 0\.0002 there, got 0\.001; .*--name$"):
        resumed("--lr", "1e-3")
    with pytest.raises(OptionError, match=r"lr is 0.0002 there, got 0.001, crop_size is 128 there, got 64x32"):
        resumed("--lr", "1e-3", "--crop_size", "64x32", "--steps", "7")


def test_a_change_that_contradicts_another_is_refused():
    with pytest.raises(OptionError, match="give one of them"):
        resumed("--resume", "--overwrite")


def test_what_may_change_is_steps_loading_device_reporting_and_what_is_left_out():
    may_change = {
        name for name, leaf in list_options(Pix2PixOptions).items() if OptionFlag.MAY_CHANGE in leaf.field.metadata
    }
    run = {name for name, leaf in list_options(Pix2PixOptions).items() if leaf.group == "run"}
    others = {"steps", "sync_batchnorm", "num_workers", "loader_timeout", "cache", "cache_gb", "max_pixels"}
    others |= {"skip_bad", "check", "tile"}
    checked = {"weights", "style_image"}  # files, by their SHA-256
    assert may_change == others | checked | run - {"seed", "precision"}


def claim(*argv, stored=STORED):
    check_claims(stored, parse(["--name", "a", *argv], TestOptions, program="test.py").claims)


def test_training_options_retyped_at_test_may_agree_with_the_checkpoint():
    claim("--direction", "BtoA", "--model", "pix2pix", "--netG", "unet_256", "--netD", "basic", "--ngf", "64")
    claim("--load_size", "286", "--crop_size", "128", "--input_nc", "3", "--norm", "batch")
    claim("--load_size", "128")  # what junyanz/pytorch-CycleGAN-and-pix2pix takes at test by default


def test_training_options_that_disagree_with_the_checkpoint_are_refused_by_name():
    with pytest.raises(OptionError, match=r"^the checkpoint .*: direction is BtoA there, got AtoB; [^\n]*$"):
        claim("--direction", "AtoB")
    with pytest.raises(OptionError, match=r"ngf is 64 there, got 32, crop_size is 128 there, got 64"):
        claim("--ngf", "32", "--crop_size", "64")
    with pytest.raises(OptionError, match="norm is auto there, got none"):
        claim("--norm", "none")
    grey = from_dict(Pix2PixOptions, {"dataroot": "x", "name": "a", "input_nc": 1})
    with pytest.raises(OptionError, match="input_nc is 1 there, got 3"):
        claim("--input_nc", "3", stored=grey)
