import pytest

from pix2pix.config.base import OptionError, from_dict, to_dict
from pix2pix.config.parse import parse
from pix2pix.config.pix2pix import DataOptions, Pix2PixOptions
from pix2pix.config.yaml import parse_yaml, to_yaml


def options(line):
    return parse(["--dataroot", "x", "--name", "a", *line.split()], Pix2PixOptions, program="train.py").options


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--target_palette facades", "--target_palette needs --target_kind labels"),
        ("--target_kind lab --source_kind labels", "leave --source_kind and --source_onehot out"),
        (
            "--target_kind lab --source_onehot camvid",
            "leave --source_kind and --source_onehot out",
        ),
        (
            "--target_kind lab --direction BtoA",
            "leave --direction, --input_nc and --output_nc out",
        ),
        ("--target_kind lab --input_nc 1", "leave --direction, --input_nc and --output_nc out"),
        ("--target_kind lab --output_nc 2", "leave --direction, --input_nc and --output_nc out"),
        ("--source_range 5", "--source_range: got '5'; LO,HI, two numbers of which the first is smaller, is needed"),
        ("--source_range 1,1", "two numbers of which the first is smaller, is needed"),
        ("--source_range nan,1", "two numbers of which the first is smaller, is needed"),
        ("--source_range 0,inf", "two numbers of which the first is smaller, is needed"),
        ("--target_range 0,1,2", "two numbers of which the first is smaller, is needed"),
        ("--max_pixels 0", "--max_pixels: got '0'; a whole number > 0 is needed"),
    ],
)
def test_kinds_that_contradict_each_other_are_refused(line, message):
    with pytest.raises(OptionError) as error:
        options(line)
    assert message in str(error.value)


def test_a_range_may_begin_below_zero_and_survives_being_written():
    record = options("--source_range -1,1 --target_range 0.1,4095")
    assert (record.data.source_range, record.data.target_range) == ((-1.0, 1.0), (0.1, 4095.0))
    assert from_dict(Pix2PixOptions, to_dict(record)) == record
    assert from_dict(Pix2PixOptions, parse_yaml(to_yaml(record).encode(), "a.yaml")) == record


def test_labels_and_photos_are_the_kinds_by_default():
    data = DataOptions(dataroot="x")
    assert (data.source_kind, data.target_kind, data.source_onehot, data.augment) == ("photo", "photo", None, ())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--skip_bad --check false", r"^--skip_bad .*--check false"),
        ("--source_onehot facades --source_range 0,9", r"^--source_onehot .*--source_range"),
    ],
)
def test_options_that_undo_each_other_are_refused(line, message):
    with pytest.raises(OptionError, match=message):
        options(line)
