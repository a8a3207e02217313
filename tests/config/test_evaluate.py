import pytest

from pix2pix.config.base import OptionError, to_dict
from pix2pix.config.parse import parse
from pix2pix.config.tools import EvaluateOptions


def parsed(*words):
    return parse([str(word) for word in words], EvaluateOptions, program="evaluate").options


def refusal(*words):
    with pytest.raises(OptionError) as caught:
        parsed(*words)
    return str(caught.value)


def test_a_name_or_a_folder_is_enough():
    assert parsed("--name", "facades").name == "facades"
    assert parsed("--results", "a/").results == "a"


def test_one_of_them_is_needed():
    for message in (refusal(), refusal("--name", "a", "--results", "b")):
        assert message.startswith("--name ")
        assert "--results " in message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("epoch", "best"), ("phase", "val"), ("dataroot", "a"), ("preprocess", "none"), ("num_test", 1)),
        *(("skip_bad", "true"), ("norm_stats", "image"), ("dropout", "off"), ("seed", 0), ("precision", "bf16")),
        *(("tile", 64), ("fast", "none"), ("compile", "true")),
    ],
)
def test_options_of_translating_are_not_for_what_is_translated_already(option, value):
    message = refusal("--results", "a", f"--{option}", value)
    assert message.startswith(f"--{option} ")
    assert "--results is translated already" in message


@pytest.mark.parametrize("option", ["truth", "labels"])
def test_a_run_has_its_own_truth_and_labels(option):
    assert refusal("--name", "a", f"--{option}", "b").startswith(f"--{option} is for --results")


def test_labels_are_for_a_segmenter():
    words = ("--results", "a", "--truth", "b", "--labels", "c")
    assert refusal(*words).startswith("--labels needs --segmenter")
    assert parsed(*words, "--segmenter", "d").labels == "c"


def test_how_photos_are_fed_is_for_onnx_files():
    message = refusal("--name", "a", "--segmenter", "run", "--segmenter_input", "unit")
    assert message.startswith("--segmenter_input needs --segmenter FILE.onnx")
    assert (
        parsed("--name", "a", "--segmenter", "x.onnx", "--segmenter_input", "unit").segmentation.segmenter == "x.onnx"
    )


def test_classes_to_ignore_are_a_list():
    options = parsed("--name", "a", "--palette", "cityscapes", "--ignore", "sky", "traffic light")
    assert options.segmentation.ignore == ("sky", "traffic light")
    assert to_dict(options)["segmentation"]["ignore"] == "sky,traffic light"
    assert refusal("--name", "a", "--ignore", "sky,,car").startswith("--ignore: got 'sky,,car'; a list of class names")


def test_what_was_asked_does_not_tell_where_things_lie():
    here = ("--checkpoints_dir", "c", "--results_dir", "r", "--out", "o", "--device", "cpu", "--tile", 64)
    assert to_dict(parsed("--name", "a", *here)) == to_dict(parsed("--name", "a"))
    assert to_dict(parsed("--name", "a", "--seed", 0)) != to_dict(parsed("--name", "a"))


def test_the_options_of_translating_are_those_of_test_py():
    said = ("--name", "a", "--phase", "val", "--num_test", 3, "--dropout", "off", "--seed", 5)
    test = parsed(*said).test
    assert (test.name, test.phase, test.num_test, test.dropout, test.seed) == ("a", "val", 3, "off", 5)
    assert (test.input, test.samples) == (None, 1)
