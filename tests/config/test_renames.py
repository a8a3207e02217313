import logging
from pathlib import Path

import pytest

from pix2pix.config import renames
from pix2pix.config.base import OptionError, from_dict, list_options, to_dict
from pix2pix.config.experiment import load_experiment
from pix2pix.config.gatys import GatysOptions
from pix2pix.config.legacy import load_preset
from pix2pix.config.parse import (
    TRAINING_OPTIONS,
    load_stored_options,
    parse,
    parse_experiment,
    select_training_options,
)
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.style import MultiStyleOptions
from pix2pix.config.test import TestOptions
from pix2pix.config.tools import ActivationsOptions, EvaluateOptions

RECORDS = (TestOptions, GatysOptions, EvaluateOptions, ActivationsOptions, *TRAINING_OPTIONS.values())
SAMPLES = {
    "norm_stats": "running",
    "normalize_losses": "false",
    "weights_format": "caffe",
    "lpips_format": "caffe",
    "distance_format": "caffe",
    "pyramid_levels": "3",
    "stop_at_step": "7",
    "keep_colors": "luminance",
}


def lines(caplog):
    return [record.getMessage() for record in caplog.records]


def test_an_old_option_works_with_one_line_that_names_the_new_one(caplog):
    new = parse(["--norm_stats", "running"], TestOptions, program="test.py").given
    assert lines(caplog) == []
    assert parse(["--statistics", "running"], TestOptions, program="test.py").given == new
    assert lines(caplog) == ["--statistics is now --norm_stats"]


@pytest.mark.parametrize(("old", "new"), renames.OPTIONS.items())
def test_every_old_option_is_accepted_by_each_command_that_has_it(old, new, caplog):
    records = [record for record in RECORDS if new in list_options(record)]
    assert records
    for record in records:
        assert old not in list_options(record)
        caplog.clear()
        assert parse([f"--{old}={SAMPLES[new]}"], record, program="p").given.keys() == {new}
        assert lines(caplog) == [f"--{old} is now --{new}"]


@pytest.mark.parametrize(("old", "new"), [("memory,products", "malloc,gemm"), ("minimal", "winograd")])
def test_old_speedups_are_accepted(old, new, caplog):
    assert parse(["--fast", old], TestOptions, program="test.py").given == {"fast": new}
    assert lines(caplog) == [f"--fast {old} is now --fast {new}"]


def test_an_old_model_is_accepted(tmp_path, caplog):
    assert select_training_options(["--model", "conditional"]) is MultiStyleOptions
    assert parse(["--model", "conditional"], MultiStyleOptions, program="train.py").given == {"model": "multi_style"}
    assert lines(caplog) == ["--model conditional is now --model multi_style"]
    (tmp_path / "p.yaml").write_text("model: conditional\n")
    assert select_training_options([str(tmp_path / "p.yaml")]) is MultiStyleOptions


def test_a_suggestion_names_the_new_option():
    with pytest.raises(OptionError, match="--norm_stats"):
        parse(["--norm_stat", "running"], TestOptions, program="test.py")


def test_stored_options_with_old_names_load_silently(caplog):
    new = from_dict(GatysOptions, {"content": "a", "style": "b", "pyramid_levels": 2, "normalize_losses": False})
    stored = to_dict(new)
    stored["optimise"] = {"scales" if key == "pyramid_levels" else key: x for key, x in stored.pop("optimize").items()}
    stored["features"]["units"] = stored["features"].pop("normalize_losses")
    stored["data"]["keep_colours"] = stored["data"].pop("keep_colors")
    assert from_dict(GatysOptions, stored) == new
    old_run = {"model": "conditional", "dataroot": "d", "name": "n", "styles": "s", "fast": ["memory", "minimal"]}
    options = load_stored_options(old_run)
    assert (options.model, options.run.fast) == ("multi_style", "malloc,winograd")
    assert lines(caplog) == []


def test_an_experiment_with_old_names_loads_silently(tmp_path, caplog):
    (tmp_path / "base.yaml").write_text("dataroot: d\nnorm: batch\nstatistics: running\n")
    (tmp_path / "e.yaml").write_text(
        "base: base.yaml\ngrid: {a: {x: {evaluate: {statistics: image}}, y: {units: false}}}\n"
    )
    experiment = load_experiment(str(tmp_path / "e.yaml"))
    assert experiment.base["norm_stats"] == "running"
    assert experiment.axes["a"]["x"].evaluate == {"norm_stats": "image"}
    assert experiment.axes["a"]["y"].options == {"normalize_losses": False}
    assert lines(caplog) == []


def test_old_options_of_an_experiment_are_sorted_like_the_new_ones(caplog):
    assert parse_experiment(["e.yaml", "--statistics", "running"]).evaluation == {"norm_stats": "running"}
    assert lines(caplog) == ["--statistics is now --norm_stats"]
    with pytest.raises(OptionError, match=r"^--stop_at: an experiment can be stopped at any time"):
        parse_experiment(["e.yaml", "--stop_at", "3"])


@pytest.mark.parametrize(("old", "new"), renames.PRESETS.items())
def test_an_old_preset_path_loads_the_new_file_with_one_line(old, new, caplog):
    with caplog.at_level(logging.WARNING):
        folder = "options/experiments" if old.startswith("experiments/") else "options"
        old = f"{folder}/{Path(old).name}"
        assert load_preset(old) == load_preset(f"{folder}/{new}")
    assert lines(caplog) == [f"{old} is now {folder}/{new}"]


def test_a_resumed_run_compares_by_the_new_names():
    options = from_dict(Pix2PixOptions, {"dataroot": "d", "name": "n", "norm": "batch", "statistics": "running"})
    assert options.test.norm_stats == "running"
    assert "norm_stats" in to_dict(options)["test"]
