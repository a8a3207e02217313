import pytest

from pix2pix.config.base import OptionError, from_dict, list_options, to_dict
from pix2pix.config.losses import FeatureOptions
from pix2pix.config.parse import parse
from pix2pix.config.tools import ActivationsOptions


def parsed(line, record=ActivationsOptions):
    return parse(line.split(), record, program="python -m pix2pix activations").options


@pytest.mark.parametrize("names", ["vgg19 resnet50", "vgg19,resnet50", "vgg19 resnet50,vgg19"])
def test_backbones_have_spaces_or_commas_between_them(names):
    options = parsed(f"--backbone {names} --images photos")
    assert (options.backbone, options.images) == (("vgg19", "resnet50"), "photos")
    assert from_dict(ActivationsOptions, to_dict(options)) == options


def test_layers_and_their_weights_may_have_spaces_too():
    options = parsed("--style_layers relu1_1 relu2_1,relu3_1 --style_layer_weights 1 0.5 0 --smoothing", FeatureOptions)
    assert options.style_layers == ("relu1_1", "relu2_1", "relu3_1")
    assert options.style_layer_weights == (1, 0.5, 0)
    assert options.smoothing


def test_no_other_option_takes_several_words():
    listed = {name for name, leaf in list_options(ActivationsOptions).items() if leaf.is_listed}
    assert listed == {"backbone", "layers"}


def test_the_study_of_swag_needs_no_options():
    options = parsed("")
    assert options.backbone == ("vgg19", "resnet50", "noresnet", "pseudo_vgg", "pseudo_resvgg")
    assert (options.weights, options.count, options.temperature) == ("random", 10, 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--backbone resnet51", "--backbone: got 'resnet51'; one or more of vgg16, vgg19, .* is needed: did you mean "),
        ("--backbone vgg19 xyz", "--backbone: got 'vgg19,xyz'; one or more of vgg16, .*, pseudo_resvgg is needed$"),
        ("--backbone", "--backbone: its value is missing; one or more of vgg16, .* is needed"),
        ("--backbone=", "--backbone: got ''; one or more of vgg16, .* is needed"),
        ("--images a b", "got 'b', which follows no option"),
        ("--count 0", "--count: got '0'; a whole number > 0 is needed"),
        ("--layers layer1 layer1", "layer1 is named twice"),
        ("--backbone vgg19 resnet50 --weights vgg.safetensors", "^--weights vgg.safetensors .*--backbone names 2"),
    ],
)
def test_what_cannot_be_meant_is_reported_in_one_line(line, message):
    with pytest.raises(OptionError, match=message) as error:
        parsed(line)
    assert "\n" not in str(error.value)


def test_one_backbone_may_have_a_file():
    assert parsed("--backbone vgg19 --weights a.safetensors").weights == "a.safetensors"
