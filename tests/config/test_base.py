import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pix2pix.config.base import OptionError, from_dict, get_values, list_options, to_dict
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.test import TestOptions
from pix2pix.config.tools import GeneratedOptions

MINIMAL = {"data": {"dataroot": "facades"}, "run": {"name": "a"}}


def test_a_dict_of_options_becomes_a_frozen_record_and_back():
    record = from_dict(Pix2PixOptions, {"dataroot": "facades", "name": "a", "loss": {"lambda_l1": 50.0}})
    assert record.loss.lambda_l1 == 50
    assert record.data.crop_size == (256, 256)
    assert from_dict(Pix2PixOptions, json.loads(json.dumps(to_dict(record)))) == record
    with pytest.raises(ValueError, match="frozen"):
        record.data.flip = False


def test_a_default_is_the_papers():
    record = from_dict(Pix2PixOptions, MINIMAL)
    known = {
        "generator": "unet_256",
        "ngf": 64,
        "patch": 70,
        "gan_mode": "vanilla",
        "conditional": True,
        "lambda_l1": 100,
        "batch_size": 1,
        "lr": 2e-4,
        "beta1": 0.5,
        "beta2": 0.999,
        "load_size": (286, 286),
        "norm_stats": "image",
        "dropout": "on",
    }
    assert {name: get_values(record)[name] for name in known} == known


def test_option_names_are_unique_across_groups_and_described():
    for record in (Pix2PixOptions, TestOptions, GeneratedOptions):
        grouped = [kind.annotation for kind in record.model_fields.values() if hasattr(kind.annotation, "model_fields")]
        count = sum(len(kind.model_fields) for kind in grouped) + len(record.model_fields) - len(grouped)
        assert count == len(list_options(record))
        assert all(leaf.field.description for leaf in list_options(record).values())


def test_switches_of_one_start_are_not_stored():
    stored = to_dict(from_dict(Pix2PixOptions, {**MINIMAL, "overwrite": True, "dry_run": True}))
    assert not {"resume", "overwrite", "dry_run"} & stored["run"].keys()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lr": "fast"}, "stored: lr: got 'fast'; a number > 0 is needed"),
        ({"lr": float("nan")}, "stored: lr: got nan; a number > 0 is needed"),
        ({"lr": "inf"}, "stored: lr: got 'inf'; a number > 0 is needed"),
        ({"train": {"batch_size": True}}, "stored: train.batch_size: got True; a whole number > 0 is needed"),
        ({"beta1": 1}, "stored: beta1: got 1; a number >= 0 and < 1 is needed"),
        ({"flip": None}, "stored: flip: got None; true or false is needed"),
        (
            {"ema": "x" * 500},
            f"stored: ema: got '{'x' * 59}... (502 characters); a number > 0 and < 1 or none is needed",
        ),
        ({"patch": "71"}, "stored: patch: got '71'; 1, 16, 34, 70, 142 or 286 is needed"),
        ({"direction": "A2B"}, "stored: direction: got 'A2B'; AtoB or BtoA is needed"),
        ({"input_nc": 0}, "stored: input_nc: got 0; a whole number from 1 to 1024 or none is needed"),
        (
            {"source_range": "5,1"},
            "stored: source_range: got '5,1'; LO,HI, two numbers of which the first is smaller, is needed",
        ),
        ({"crop_size": "0"}, "stored: crop_size: got '0'; N or HxW with sides from 1 to 65535 is needed"),
        ({"device": "gpu"}, "stored: device: got 'gpu'; auto, cpu, cuda, cuda:N or mps is needed"),
        ({"dataroot": ""}, "stored: dataroot: got ''; a path is needed"),
        ({"lamda_l1": 1}, "stored: unknown option lamda_l1: did you mean lambda_l1"),
        ({"los": {}}, "stored: unknown option los: did you mean loss?"),
        ({"loss": {"lamda_gan": 1}}, "stored: unknown option lamda_gan: did you mean lambda_gan"),
        ({"loss": {"lr": 1}}, "stored: loss.lr: lr belongs to train; move it there"),
        ({"loss": {"model": "pix2pix"}}, "stored: loss.model: model belongs to the top level; move it there"),
        ({"lr": 1, "train": {"lr": 1}}, "stored: train.lr: given twice, also as stored: lr; leave one out"),
        ({"train": 5}, "stored: train: got 5; a group of options is needed"),
    ],
)
def test_a_mistake_is_one_line_that_names_what_is_allowed(given, message):
    with pytest.raises(OptionError) as error:
        from_dict(Pix2PixOptions, given, "stored")
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"crop_size": 300}, "crop_size 300x300 is larger than load_size 286x286: raise --load_size"),
        ({"crop_size": "100x287", "preprocess": "scale_width_and_crop"}, "crop_size 100x287 is larger than load_size"),
        ({"n_epochs": 0, "n_epochs_decay": 0}, "no epoch to train: --n_epochs or --n_epochs_decay must be above 0"),
        ({"resume": True, "overwrite": True}, r"^--resume .*--overwrite "),
        ({"resume": True, "dry_run": True}, r"^--dry_run .*--resume"),
        ({"norm_stats": "running"}, r"^--norm_stats .*--norm batch"),
        ({"sync_batchnorm": True}, r"^--sync_batchnorm.*--norm batch"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given, message):
    with pytest.raises(OptionError, match=message):
        from_dict(Pix2PixOptions, {"dataroot": "x", "name": "a"} | given)


@pytest.mark.parametrize(
    "given",
    [
        {"crop_size": 300, "preprocess": "crop"},
        {"crop_size": "300x200", "preprocess": "scale_width_and_crop"},
        {"norm_stats": "running", "norm": "batch"},
        {"norm_stats": "running", "batch_size": 4},
    ],
)
def test_options_that_only_seem_to_contradict_each_other_are_accepted(given):
    from_dict(Pix2PixOptions, {"dataroot": "x", "name": "a"} | given)


def test_a_missing_option_is_named_with_its_meaning():
    with pytest.raises(OptionError, match=r"^--dataroot is missing: the folder of pairs, or `generated`"):
        from_dict(Pix2PixOptions, {"name": "a"})


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "-a", "a\n", "a\x7f", " a", "\ud800", "é" * 101])
def test_a_run_name_that_is_no_plain_folder_name_is_refused(name):
    with pytest.raises(OptionError, match=r"a folder name .*is needed"):
        from_dict(Pix2PixOptions, {"dataroot": "x", "name": name})


@pytest.mark.parametrize("name", ["facades_pix2pix", "x.1", "größe 2", "😀", "é" * 100])
def test_any_other_run_name_is_accepted(name):
    assert from_dict(Pix2PixOptions, {"dataroot": "x", "name": name}).run.name == name


@pytest.mark.parametrize("name", ["unet_8", "unet_4096", "encoder_decoder", "encoder_decoder_512", "resnet_6blocks"])
def test_generators_of_any_depth_have_names(name):
    assert from_dict(Pix2PixOptions, {**MINIMAL, "generator": name}).network.generator == name


@pytest.mark.parametrize(("name", "meant"), [("unet_255", "unet_256"), ("unet256", "unet_256"), ("unet_4", "unet_64")])
def test_an_unknown_generator_is_reported_its_nearest_name(name, meant):
    with pytest.raises(OptionError, match=f"encoder_decoder_N .N a power of two.* is needed: did you mean.*{meant}"):
        from_dict(Pix2PixOptions, {**MINIMAL, "generator": name})


@pytest.mark.parametrize(
    ("said", "size"), [("286", (286, 286)), ("256x512", (256, 512)), (64, (64, 64)), ([1, 2], (1, 2))]
)
def test_a_size_is_one_side_or_height_x_width(said, size):
    assert from_dict(GeneratedOptions, {"out": "x", "size": said}).size == size


@pytest.mark.parametrize("said", ["", "x", "1x2x3", "-1", "1.5", "65536", "999999", True, [1], ["1", "2"], None])
def test_any_other_size_is_refused(said):
    if said == [1]:
        said = [1, 2, 3]
    with pytest.raises(OptionError, match="N or HxW"):
        from_dict(GeneratedOptions, {"out": "x", "size": said})


def test_paths_to_one_folder_are_equal():
    roots = ("./datasets/facades", "datasets/facades/", "datasets//facades")
    assert {from_dict(Pix2PixOptions, {"dataroot": root, "name": "a"}).data.dataroot for root in roots} == {
        str(Path("datasets/facades"))
    }


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(sorted(list_options(Pix2PixOptions))),
    value=st.text() | st.none() | st.floats() | st.integers(),
)
def test_any_value_of_any_option_is_read_or_refused_in_one_line(name, value):
    try:
        message = str(list_options(Pix2PixOptions)[name].check(value, name) and "")
    except OptionError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 300
