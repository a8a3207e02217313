import re
import shlex
from pathlib import Path

import pytest

from pix2pix.config.base import OptionError, build_options, from_dict, get_groups, get_values, list_options, to_dict
from pix2pix.config.gatys import LEARNING_RATES, GatysOptions, SwagOptions
from pix2pix.config.parse import parse, select_optimization_options, select_training_options
from pix2pix.config.yaml import load_yaml, to_yaml

ROOT = Path(__file__).parents[2]
PICTURES = ("--content", "a.jpg", "--style", "b.jpg")


def read(*arguments, record=GatysOptions):
    return parse(arguments, record, program="test.py").options


def refused(*arguments, record=GatysOptions):
    with pytest.raises(OptionError) as caught:
        read(*arguments, record=record)
    return str(caught.value)


def test_a_content_and_a_style_are_enough():
    options = read(*PICTURES)
    assert (options.data.content, options.data.style) == ("a.jpg", ("b.jpg",))
    assert (options.features.backbone, options.optimize.optimizer, options.optimize.init) == (
        "vgg19",
        "lbfgs",
        "content",
    )


def test_input_and_gpu_ids_mean_what_they_mean_elsewhere():
    assert read("--input", "a.jpg", "--style", "b.jpg") == read(*PICTURES)
    assert read(*PICTURES, "--gpu_ids", "-1").run.device == "cpu"


def test_swag_is_gatys_with_other_defaults_and_nothing_else():
    swag, gatys = read(*PICTURES, record=SwagOptions), read(*PICTURES)
    differing = {name for name, value in get_values(swag).items() if get_values(gatys)[name] != value}
    assert differing == {"model", "backbone", "smoothing"}
    assert (swag.features.backbone, swag.features.smoothing) == ("resnet50", True)
    described = {name: leaf.field.description for name, leaf in list_options(GatysOptions).items() if name != "model"}
    assert (
        described.items() <= {name: leaf.field.description for name, leaf in list_options(SwagOptions).items()}.items()
    )


def test_several_styles_are_a_list_on_the_command_line_and_in_yaml(tmp_path):
    preset = tmp_path / "two.yaml"
    preset.write_text("model: gatys\ncontent: a.jpg\nstyle: [b.jpg, ./c d.jpg]\nstyle_weights: [3, 1]\n")
    options = read(str(preset))
    assert options.data.style == ("b.jpg", "c d.jpg")
    assert options.data.style_weights == (3, 1)
    assert read("--content", "a.jpg", "--style", "b.jpg,./c d.jpg", "--style_weights", "3,1") == options
    assert read("--content", "a.jpg", "--style", "b.jpg", "./c d.jpg", "--style_weights", "3", "1") == options


@pytest.mark.parametrize("record", [GatysOptions, SwagOptions])
def test_options_come_back_from_yaml_and_json(tmp_path, record):
    options = read(
        *PICTURES, "--style", "b.jpg,c.jpg", "--style_weights", "1,2", "--pyramid_levels", "3", record=record
    )
    assert from_dict(record, to_dict(options)) == options
    (tmp_path / "options.yaml").write_text(to_yaml(options))
    assert from_dict(record, load_yaml(tmp_path / "options.yaml")) == options


def test_each_optimizer_has_a_learning_rate_of_its_own():
    for optimizer, rate in LEARNING_RATES.items():
        assert read(*PICTURES, "--optimizer", optimizer).optimize.rate == rate
        assert read(*PICTURES, "--optimizer", optimizer, "--learning_rate", "0.5").optimize.rate == 0.5


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("--style_weights 1,2", "--style_weights: got 2 for 1 --style"),
        ("--content_masks m.png,n.png", "--content_masks: got 2 for 1 --style"),
        ("--style_masks m.png,n.png", "--style_masks: got 2 for 1 --style"),
        ("--style b.jpg,c.jpg --style_weights 0,0", "--style_weights"),
        ("--content_weight 0 --style_weight 0", "--content_weight or --style_weight"),
        ("--iterations 2 --pyramid_levels 3", "--iterations 2 .*--pyramid_levels 3"),
        ("--reconstructions --style b.jpg,c.jpg", "--reconstructions .*one style"),
        (
            "--reconstructions --style_layers relu1_1,relu2_1 --style_layer_weights 1,2",
            "--reconstructions .*leave --style_layer_weights out",
        ),
        ("--mmd_kernel rbf", "--mmd_kernel .*--style_loss mmd"),
        ("--temperature 2", "--temperature .*--smoothing"),
        ("--backbone resnet50 --rescale_on photos", "--rescale_on .*--rescaled true"),
        ("--style b.jpg,,c.jpg", "--style: got 'b.jpg,,c.jpg'; a path"),
        ("--alpha 1", "unknown option --alpha"),
        ("--optimizer sgd", "--optimizer: got 'sgd'; lbfgs or adam"),
    ],
)
def test_a_contradiction_is_one_line_that_names_the_options(line, named):
    message = refused(*PICTURES, *line.split())
    assert re.match(f".*{named}", message)
    assert "\n" not in message


def test_what_goes_together_is_taken():
    assert read(*PICTURES, "--style_loss", "mmd", "--mmd_kernel", "rbf").features.mmd_kernel == "rbf"
    assert read(*PICTURES, "--smoothing", "--temperature", "2").features.temperature == 2
    assert read(*PICTURES, "--rescale_on", "photos").features.is_rescaled
    assert read(
        *PICTURES, "--backbone", "resnet50", "--rescaled", "true", "--rescale_on", "photos"
    ).features.is_rescaled


def test_a_comma_in_a_name_of_a_list_is_refused(tmp_path):
    preset = tmp_path / "odd.yaml"
    preset.write_text('content: a.jpg\nstyle: ["b,c.jpg"]\n')
    assert "odd.yaml: style: got ['b,c.jpg']" in refused(str(preset))


@pytest.mark.parametrize(("given", "missing"), [(PICTURES[2:], "--content"), (PICTURES[:2], "--style")])
def test_a_picture_that_is_missing_is_named(given, missing):
    assert refused(*given).startswith(f"{missing} is missing: ")


@pytest.mark.parametrize(
    ("arguments", "record"),
    [
        (["--model", "gatys"], GatysOptions),
        (["--model=swag", "--help"], SwagOptions),
        (["--content", "x", "--model", "swag"], SwagOptions),
        (["--model", "swag", "--model", "gatys"], GatysOptions),
        ([str(ROOT / "options" / "gatys.yaml")], GatysOptions),
        ([str(ROOT / "options" / "gatys.yaml"), "--model", "swag"], SwagOptions),
        ([str(ROOT / "options" / "facades.yaml")], None),
        (["--name", "run"], None),
        (["--model", "pix2pix"], None),
        (["--model", "test"], None),
        (["--model", "cycle_gan"], None),
        (["nowhere.yaml"], None),
        ([], None),
    ],
)
def test_the_model_says_whose_options_are_read(arguments, record):
    assert select_optimization_options(arguments) is record


def test_an_unknown_model_is_answered_with_those_there_are(tmp_path):
    (tmp_path / "p.yaml").write_text("model: swg\n")
    allowed = ".*pix2pix, johnson, multi_style, adain, segmenter, gatys or swag is needed"
    with pytest.raises(OptionError, match=f"^--model: got 'gatis'; {allowed}: did you mean gatys"):
        select_optimization_options(["--model", "gatis"])
    with pytest.raises(OptionError, match=f"^--model: got ''; {allowed}"):
        select_optimization_options(["--model"])
    with pytest.raises(OptionError, match=f"p.yaml: model: got 'swg'; {allowed}: did you mean swag"):
        select_optimization_options([str(tmp_path / "p.yaml")])


def test_to_train_them_is_refused_with_the_command_to_type():
    with pytest.raises(OptionError, match=r"^--model: swag .*python test\.py --model swag --content "):
        select_training_options(["--model", "swag", "--dataroot", "x"])
    with pytest.raises(OptionError, match=r"model: gatys .*python test\.py options/gatys\.yaml --content "):
        select_training_options(["options/gatys.yaml"])


@pytest.mark.parametrize("name", ["gatys", "swag"])
def test_the_commands_in_the_head_of_a_preset_are_right(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = (ROOT / "options" / f"{name}.yaml").read_text().splitlines()
    manual = "\n".join(line for line in lines if line.startswith("#"))
    commands = re.findall(r"python test\.py (.*)", manual)
    assert commands
    for words in map(shlex.split, commands):
        assert words[0] == f"options/{name}.yaml"
        record = select_optimization_options(words)
        assert record in (GatysOptions, SwagOptions)
        assert read(*words, record=record).model == name


@pytest.mark.parametrize("record", [GatysOptions, SwagOptions])
def test_no_two_options_have_one_name(record):
    tops = [name for name in record.model_fields if name not in get_groups(record)]
    assert len(tops) + sum(len(kind.model_fields) for kind in get_groups(record).values()) == len(list_options(record))


def test_the_weight_of_the_style_suits_the_loss():
    def beta(**given):
        return build_options(GatysOptions, {"content": "a", "style": ("b",)} | given).beta

    assert beta() == 10
    assert beta(style_loss="mrf") == 1
    assert beta(smoothing=True) == 100
    assert beta(style_loss="mrf", style_weight=0.0) == 0
