import json
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from pix2pix.config.augmentation import Augmentations, Transform
from pix2pix.config.base import OptionError, Record, from_dict, to_dict
from pix2pix.config.compare import check_resume
from pix2pix.config.help import format_help
from pix2pix.config.parse import parse
from pix2pix.config.types import OptionFlag
from pix2pix.config.yaml import load_yaml, to_yaml

NEEDED = 'none or a list of transforms, such as [{"Rotate": {"limit": 10, "p": 0.5}}, "Transpose"] is needed'


class Data(Record):
    """What this page needs of the data."""

    augment: Augmentations = Field((), description="transforms of the training pairs, in their order")
    lr: Annotated[float, OptionFlag.MAY_CHANGE] = Field(1, description="a second option")


class Options(Record):
    """A record with one group."""

    data: Data = Data()


EXAMPLE = """
data:
  augment:
    - Rotate: {limit: 10, p: 0.5}
    - ColorJitter: {brightness: 0.2, p: 0.8}
    - GaussNoise: {std_range: [0.05, .1], to: both}
    - Transpose
    - Affine:
        translate_percent: {x: [-1e-1, "0.1"], y: null}
        keep_ratio: true
        fill: other
    - VerticalFlip:
"""
MEANT = (
    Transform("Rotate", {"limit": 10, "p": 0.5}),
    Transform("ColorJitter", {"brightness": 0.2, "p": 0.8}),
    Transform("GaussNoise", {"std_range": [0.05, 0.1]}, "both"),
    Transform("Transpose"),
    Transform("Affine", {"translate_percent": {"x": [-0.1, 0.1], "y": None}, "keep_ratio": True, "fill": "other"}),
    Transform("VerticalFlip"),
)


def read(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return from_dict(Options, load_yaml(path), "a.yaml").data.augment


def given_json(text):
    return parse(["--augment", text], Options, program="p").options.data.augment


def test_a_list_of_transforms_is_read_from_yaml(tmp_path):
    assert read(tmp_path, EXAMPLE) == MEANT


def test_the_command_line_takes_the_same_list_as_json():
    assert given_json('[{"Rotate": {"limit": 10, "p": 0.5}}, "Transpose"]') == (MEANT[0], MEANT[3])
    assert given_json('[{"GaussNoise": {"to": "both", "std_range": [0.05, 0.1]}}]') == (MEANT[2],)


@pytest.mark.parametrize("text", ["none", "[]"])
def test_an_empty_list_is_none_at_all(text, tmp_path):
    assert given_json(text) == ()
    assert read(tmp_path, f"augment: {text}") == read(tmp_path, "augment:") == ()
    assert to_dict(Options())["data"]["augment"] == "none"


def test_in_yaml_a_number_is_a_number_and_in_json_a_text_stays_one(tmp_path):
    texts = {
        "1": 1,
        "-2": -2,
        "+3.5": 3.5,
        "1e-3": 1e-3,
        "5.": 5.0,
        "9" * 20: 1e20,
        "TRUE": True,
        "x1": "x1",
        "1_0": "1_0",
    }
    (found,) = read(tmp_path, f"augment: [{{A: {{values: {list(texts)}}}}}]")
    assert found.arguments["values"] == list(texts.values())
    assert [type(value) for value in found.arguments["values"]] == [type(value) for value in texts.values()]
    assert given_json('[{"A": {"value": "1"}}]')[0].arguments == {"value": "1"}


arguments = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
words = st.dictionaries(names.filter(lambda name: name != "to"), arguments, max_size=3)
transforms = st.lists(
    st.builds(Transform, names, words, st.sampled_from([None, "source", "target", "both"])), max_size=4
).map(tuple)


def is_plain(one):
    """No text of `nan` or `inf` and no depth that is refused."""
    try:
        return from_dict(Options, {"augment": (one,)}) is not None and given_json(written((one,))) is not None
    except OptionError:
        return False


def written(augment):
    return to_dict(Options(data=Data(augment=augment)))["data"]["augment"]


@settings(deadline=None, max_examples=60)
@given(augment=transforms.map(lambda many: tuple(filter(is_plain, many))))
def test_stored_options_come_back_equal_and_as_one_line(augment, tmp_path_factory):
    options = Options(data=Data(augment=augment))
    assert written(augment).isprintable()
    assert from_dict(Options, json.loads(json.dumps(to_dict(options)))) == options
    path = tmp_path_factory.getbasetemp() / "stored.yaml"
    path.write_text(to_yaml(options), encoding="utf-8")
    assert from_dict(Options, load_yaml(path)) == options
    assert len(to_yaml(options).splitlines()) == 3


def test_a_run_is_resumed_with_the_same_list_alone(tmp_path):
    stored = Options(data=Data(augment=read(tmp_path, EXAMPLE)))
    retyped = parse(["--augment", written(stored.data.augment)], Options, program="p").given
    assert check_resume(stored, retyped) == stored
    with pytest.raises(OptionError, match=r"augment is .* there, got .*Transpose"):
        check_resume(stored, {"augment": (Transform("Transpose"),)})


def test_the_help_says_what_is_needed():
    words = " ".join(format_help(Options, "p").split())
    assert NEEDED.removesuffix(" is needed") + "; default: none]" in words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", NEEDED + ": Expecting value at character 1"),
        ("Transpose", NEEDED + ": Expecting value at character 1"),
        ('{"Rotate": {}}', NEEDED),
        ("3", NEEDED),
        ("null", NEEDED),
        ("[" * 9999, NEEDED + ": this is too deep"),
        ('[{"A": {}, "p": 1}]', "entry 1 names 2 transforms (A, p): begin each with a dash, or brace"),
        ('["A", {}]', "entry 2 names none: begin each"),
        ("[3]", "entry 1 names none: begin each"),
        ('["A b"]', "entry 1 is called 'A b': the name of a transform is needed"),
        ('["\\u00c4"]', "entry 1 is called 'Ä': the name of a transform is needed"),
        ('[{"A": [1]}]', "the arguments of A are [1]: a mapping such as {p: 0.5} is needed"),
        ('[{"A": {"to": "all"}}]', "A: `to` is 'all'; source, target or both"),
        ('[{"A": {"to": ["source"]}}]', "A: `to` is ['source']; source, target or both"),
        ('[{"A": {"a": [[[[1]]]]}}]', "the arguments of A are more than 4 levels deep"),
        ('[{"A": {"a": NaN}}]', "the arguments of A hold nan: finite numbers are needed"),
        ('[{"A": {"a": [1e999]}}]', "the arguments of A hold inf: finite numbers are needed"),
        ('[{"A": {"a": ' + "9" * 5000 + "}}]", "the arguments of A hold inf: finite numbers are needed"),
        ('[{"A": {"a": "-Inf"}}]', "the arguments of A hold '-Inf': finite numbers are needed"),
        ('[{"A": {"p": 1, "p": 0}}]', "'p' is given twice; keep one"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(text, message):
    with pytest.raises(OptionError) as caught:
        given_json(text)
    assert str(caught.value).startswith("--augment: got ")
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("augment:\n  - Rotate:\n    limit: 10", "entry 1 names 2 transforms (Rotate, limit): begin each with a dash"),
        ("augment: [{A: {a: .nan}}]", "the arguments of A hold '.nan': finite numbers are needed"),
        ("augment: [{A: {a: 1e999}}]", "the arguments of A hold inf: finite numbers are needed"),
        ("augment: {Rotate: {limit: 10}}", NEEDED),
        ("augment: Rotate", NEEDED),
    ],
)
def test_yaml_that_cannot_be_meant_is_refused_too(text, message, tmp_path):
    with pytest.raises(OptionError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith("a.yaml: augment: got ")
    assert message in str(caught.value)


def test_python_values_that_no_file_holds_are_refused():
    with pytest.raises(OptionError, match="hold b'x': numbers, texts, lists and mappings are needed"):
        from_dict(Options, {"augment": [{"A": {"a": b"x"}}]})
