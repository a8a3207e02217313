import re
import shlex
from pathlib import Path

import pytest

from pix2pix.config.base import OptionError, build_options
from pix2pix.config.experiment import load_experiment
from pix2pix.config.help import PROGRAMS
from pix2pix.config.losses import FeatureOptions, LossOptions
from pix2pix.config.parse import TRAINING_OPTIONS, parse, select_optimization_options, select_training_options
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.test import TestOptions

ROOT = Path(__file__).parents[2]
PRESETS = [
    path for path in sorted((ROOT / "options").glob("*.yaml")) if select_optimization_options([str(path)]) is None
]
# The paper, section 6.2: epochs, batch size; and which side is the source in the files that its authors published.
PAPER = {
    "facades": (200, 1, "BtoA"),
    "cityscapes": (200, 1, "BtoA"),
    "maps": (200, 1, "AtoB"),
    "edges2shoes": (15, 4, "AtoB"),
    "edges2handbags": (15, 4, "AtoB"),
    "day2night": (17, 4, "BtoA"),
    "colorization": (6, 4, "AtoB"),
}
REMOVED = {
    "l1": LossOptions(gan_mode="none", lambda_l1=100),
    "gan": LossOptions(conditional=False, lambda_l1=0),
    "cgan": LossOptions(conditional=True, lambda_l1=0),
    "l1_gan": LossOptions(conditional=False, lambda_l1=100),
    "l1_cgan": LossOptions(conditional=True, lambda_l1=100),
}

ON_FEATURES = {
    "perceptual": LossOptions(lambda_perceptual=10),
    "style_gram": LossOptions(lambda_style=10),
}
STYLISING = ("johnson", "multi_style", "adain")


def test_the_demo_needs_nothing_else():
    demo = next(path for path in PRESETS if path.stem == "demo")
    record = parse([str(demo)], Pix2PixOptions, program="train.py").options
    assert (record.data.dataroot, record.data.crop_size, record.network.generator) == (
        "generated",
        (128, 128),
        "unet_128",
    )


def read(name):
    return parse([str(ROOT / "options" / f"{name}.yaml")], Pix2PixOptions, program="train.py").options


@pytest.mark.parametrize("name", PAPER)
def test_a_run_of_the_paper_is_as_long_and_as_wide_as_there(name):
    record, (epochs, batch_size, direction) = read(name), PAPER[name]
    assert record.train.n_epochs + record.train.n_epochs_decay == epochs
    assert record.train.n_epochs - record.train.n_epochs_decay in (0, 1)
    assert (record.train.batch_size, record.data.direction) == (batch_size, direction)
    assert (record.train.lr, record.network.generator, record.loss) == (2e-4, "unet_256", LossOptions())
    jitter = (256, 256) if name == "colorization" else (286, 286)
    assert (record.data.load_size, record.data.crop_size, record.data.flip) == (jitter, (256, 256), True)


def test_a_gray_photo_is_colored_in_lab():
    assert {name for name in PAPER if read(name).data.target_kind == "lab"} == {"colorization"}


@pytest.mark.parametrize("name", ON_FEATURES)
def test_losses_on_features_are_added_to_the_papers(name):
    words = [str(ROOT / "options" / f"{name}.yaml"), "--dataroot", "x", "--name", "a"]
    record = parse(words, Pix2PixOptions, program="train.py").options
    assert record.loss == ON_FEATURES[name]
    assert record.features == FeatureOptions()


@pytest.mark.parametrize("name", STYLISING)
def test_a_style_method_is_trained_as_its_paper_or_the_papers_code_does(name):
    words = [str(ROOT / "options" / f"{name}.yaml"), "--dataroot", "x", "--name", "a"]
    words += ["--style_image", "s.jpg"] if name == "johnson" else ["--styles", "s"]
    record = select_training_options(words)
    assert record is TRAINING_OPTIONS[name]
    written = parse(words, record, program="train.py")
    plain = {
        option: value
        for option, value in written.given.items()
        if option in ("dataroot", "name", "styles", "style_image")
    }
    assert written.options == build_options(record, plain)


def test_a_segmenter_is_trained_from_photos_to_labels():
    words = [str(ROOT / "options" / "segmenter.yaml"), "--dataroot", "x", "--name", "a"]
    record = select_training_options(words)
    given = parse(words, record, program="train.py").given
    assert record is TRAINING_OPTIONS["segmenter"]
    assert given == {"model": "segmenter", "direction": "AtoB", "dataroot": "x", "name": "a"}


def parse_removed(path, *flags):
    return parse([path, *flags], Pix2PixOptions, program="train.py").options


@pytest.mark.parametrize("name", REMOVED)
def test_a_removed_objective_still_loads_and_logs_the_flags_that_replace_it(name, caplog):
    flags = ["--dataroot", "x", "--name", "a"]
    record = parse_removed(f"options/{name}.yaml", *flags)
    assert record.loss == REMOVED[name]
    (line,) = caplog.messages
    assert line.startswith(f"options/{name}.yaml is gone: use ")
    replacement = line.partition(": use ")[2].split()
    assert parse([*replacement, *flags], Pix2PixOptions, program="train.py").options == record


@pytest.mark.parametrize("side", [1, 16, 70, 286])
def test_a_removed_patch_still_loads_as_facades_with_that_patch(side, caplog):
    name = f"facades_patch_{side}"
    record, facades = parse_removed(str(ROOT / "options" / f"patch_{side}.yaml")), read("facades")
    network = facades.network.model_copy(update={"patch": side})
    assert record == facades.model_copy(
        update={"network": network, "run": facades.run.model_copy(update={"name": name})}
    )
    replacement = caplog.messages[0].partition(": use ")[2].split()
    assert parse(replacement, Pix2PixOptions, program="train.py").options == record


def test_a_removed_preset_is_found_from_any_folder_and_is_the_base_of_an_experiment(tmp_path, monkeypatch, caplog):
    (tmp_path / "options" / "experiments").mkdir(parents=True)
    file = tmp_path / "options" / "experiments" / "mine.yaml"
    file.write_text("base: ../l1.yaml\ngrid: {ngf: {narrow: {ngf: 8}}}\n")
    assert load_experiment(str(file)).base == {"gan_mode": "none", "lambda_l1": 100}
    monkeypatch.chdir(tmp_path / "options")
    assert parse_removed("patch_16.yaml").network.patch == 16
    assert len(caplog.messages) == 2


def test_a_file_comes_before_a_removed_preset_of_its_name(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    Path("options").mkdir()
    Path("options/l1.yaml").write_text("lambda_l1: 7")
    record = parse_removed("options/l1.yaml", "--dataroot", "x", "--name", "a")
    assert (record.loss, caplog.messages) == (LossOptions(lambda_l1=7), [])


@pytest.mark.parametrize("path", ["l1.yaml", "elsewhere/l1.yaml", "options/l1.yml", "options/l3.yaml"])
def test_other_paths_that_do_not_exist_are_errors(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=re.escape(path)):
        parse_removed(path)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_the_head_of_a_preset_is_its_manual_and_all_its_commands_are_right(preset):
    manual = "\n".join(line for line in preset.read_text().splitlines() if line.startswith("#")).replace("\\\n#", "")
    names = set()
    for words in map(shlex.split, re.findall(r"python train\.py (.*)", manual)):
        assert words[0] == f"options/{preset.name}"
        there = [str(ROOT / words[0]), *words[1:]]
        names.add(parse(there, select_training_options(there), program="train.py").options.run.name)
    tested = {parse(shlex.split(words), TestOptions, program="test.py").options.name
              for words in re.findall(r"python test\.py (.*)", manual)}  # fmt: skip
    assert names
    assert tested <= names


def test_every_preset_is_held_to_what_it_says():
    assert {path.stem for path in PRESETS} == {*PAPER, *ON_FEATURES, *STYLISING, "demo", "segmenter"}


def test_all_commands_of_the_page_on_data_sets_can_be_typed(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "datasets.md").read_text()
    typed = re.findall(r"^python .*|(?<=`)python [^`]*(?=` \|)", page, re.MULTILINE)
    assert len(typed) > 20
    for command in typed:
        records = [(program, record) for program, record in PROGRAMS.items() if command.startswith(f"{program} ")]
        if command != "python -m pix2pix check datasets/NAME":
            ((program, record),) = records
            words = shlex.split(command.removeprefix(program))
            options = select_training_options(words) if program == "python train.py" else record
            assert parse(words, options, program=program).options
    named = {word for command in typed for word in re.findall(r"options/(\w+)\.yaml", command)}
    assert named == {"segmenter", *PAPER}
