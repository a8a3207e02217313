import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pix2pix.config.base import OptionError, from_dict
from pix2pix.config.parse import parse
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.test import TestOptions
from pix2pix.config.yaml import format_scalar, load_yaml, parse_yaml, to_yaml

BASE = {"dataroot": "x", "name": "a"}


def test_a_preset_holds_options_in_their_groups_or_not(tmp_path):
    preset = tmp_path / "p.yaml"
    preset.write_text("dataroot: facades\nlr: 2e-4\nloss: {lambda_l1: 50}\nrun:\n  name: a  # the run\n")
    record = parse([str(preset)], Pix2PixOptions, program="train.py").options
    assert (record.data.dataroot, record.train.lr, record.loss.lambda_l1, record.run.name) == ("facades", 2e-4, 50, "a")


def test_written_options_load_back_and_mark_what_is_not_default():
    record = from_dict(Pix2PixOptions, {**BASE, "lambda_l1": 50, "crop_size": "64x128", "ema": 0.999, "lr": 1e-5})
    text = to_yaml(record)
    assert "  lambda_l1: 50  # default: 100\n" in text
    assert "  crop_size: 64x128  # default: 256\n" in text
    assert "  ema: 0.999  # default: null\n" in text
    assert "  dataroot: x\n" in text
    assert from_dict(Pix2PixOptions, parse_yaml(text.encode(), "written")) == record


def test_any_other_yaml_reader_reads_the_same():
    record = from_dict(Pix2PixOptions, {**BASE, "lr": 1e-5})
    read = yaml.safe_load(to_yaml(record))
    assert from_dict(Pix2PixOptions, read) == record
    assert read["train"]["lr"] == 1e-5
    assert read["test"]["dropout"] == "on"


def test_a_flat_record_is_written_without_groups():
    record = from_dict(TestOptions, {"name": "a", "preprocess": "none"})
    assert to_yaml(record).startswith("name: a\ncheckpoints_dir: checkpoints\n")
    assert from_dict(TestOptions, parse_yaml(to_yaml(record).encode(), "written")) == record


@pytest.mark.parametrize("word", ["true", "True", "yes", "on", "1", "false", "no", "off", "0"])
def test_yes_and_no_have_many_words(word):
    assert from_dict(Pix2PixOptions, BASE | parse_yaml(f"flip: {word}".encode(), "p")).data.flip is (
        word.lower() in ("true", "yes", "on", "1")
    )


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("lr: 2e-4", "lr", 2e-4),
        ("lr: '1'", "lr", 1.0),
        ("ema: null", "ema", None),
        ("ema:", "ema", None),
        ("ema: none", "ema", None),
        ("norm: none", "norm", "none"),
        ("patch: 16", "patch", 16),
        ("input_nc: 1", "input_nc", 1),
        ("crop_size: 64x32", "crop_size", (64, 32)),
        ("name: 2026-01-01", "name", "2026-01-01"),
        ("name: 007", "name", "007"),
        ("name: 'null'", "name", "null"),
        ("\ufeffname: b", "name", "b"),
    ],
)
def test_a_value_means_what_it_would_on_the_command_line(text, name, value, tmp_path):
    preset = tmp_path / "p.yaml"
    preset.write_text(text, encoding="utf-8")
    assert parse([str(preset)], Pix2PixOptions, program="train.py").given == {name: value}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "p: got None; a mapping of options, such as 'lr: 2e-4', is needed"),
        (b"- lr", "p: got ['lr']; a mapping of options"),
        (b"lr: 1\nname: a\nlr: 2\n", "p, line 3: 'lr' is given twice; keep one"),
        (b"a: &x [1]\nb: *x", "p, line 1: anchors and aliases are not read"),
        (b"b: *x", "p, line 1: anchors and aliases are not read"),
        (b"lr: !!python/object/apply:os.system [ls]", "p, line 1: got the tag 'tag:yaml.org,2002:python/object"),
        (b"[" * 5000, "p, line 1: more than 20 levels deep; options have two"),
        (b"? [a]\n: 1", "p, line 1: a key must be the name of an option"),
        (b"lr: 1\n---\nlr: 2\n", "p: holds more than one YAML document; keep one"),
        (b"run:\n\tname: a\n", "p, line 2: not YAML: found character '\\t' that cannot start any token"),
        (b"lr: [1\n", "p, line 2: not YAML: "),
        (b"name: a\xff", "p: byte 7 is not UTF-8; save the file as UTF-8 text"),
        ("lr: 1".encode("utf-16"), "p: byte 0 is not UTF-8"),
        (b"\x00\x01\x02", "p: character 0 "),
    ],
)
def test_what_is_no_plain_mapping_of_options_is_refused_in_one_line(content, message):
    with pytest.raises(OptionError) as error:
        parse_yaml(content, "p")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"[" * 99_999, b"{" * 99_999, b"a: &a [x]\n" + b"b: [*a]\n" * 9_999])
def test_hostile_files_are_refused_at_once(content):
    started = time.process_time()
    with pytest.raises(OptionError):
        parse_yaml(content, "p")
    assert time.process_time() - started < 3


@pytest.mark.parametrize("name", ["missing.yaml", ".", "nul\0.yaml", "a\nb.yaml"])
def test_a_file_that_cannot_be_read_is_named(name, tmp_path):
    with pytest.raises(OptionError, match=r"^[^\n]* cannot be read: .*; a YAML file of options is needed$"):
        load_yaml(f"{tmp_path}/{name}")


def test_a_huge_file_is_refused_without_reading_it(tmp_path):
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(OptionError, match="more than 100000 bytes"):
        load_yaml(huge)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: fast", "{p}: lr: got 'fast'; a number > 0 is needed"),
        ("train: {lr: .nan}", "{p}: train.lr: got '.nan'; a number > 0 is needed"),
        ("lr: nan", "{p}: lr: got 'nan'; a number > 0 is needed"),
        ("train:\n  learning_rat: 1", "{p}: unknown option learning_rat"),
        ("lamda_l1: 1", "{p}: unknown option lamda_l1: did you mean lambda_l1"),
        ("lr: {a: 1}", "{p}: lr: got {{'a': '1'}}; a number > 0 is needed"),
        ("lr: 1\ntrain: {lr: 1}", "{p}: train.lr: given twice, also as {p}: lr; leave one out"),
        ("<<: {lr: 1}", "{p}: unknown option <<"),
    ],
)
def test_a_mistake_in_a_preset_names_file_and_key(text, message, tmp_path):
    preset = tmp_path / "p.yaml"
    preset.write_text(text)
    with pytest.raises(OptionError) as error:
        parse([str(preset)], Pix2PixOptions, program="train.py")
    assert str(error.value).startswith(message.format(p=preset))


TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).map(lambda s: f"x{s}x")
RECORDS = st.fixed_dictionaries(
    {"dataroot": TEXTS, "name": TEXTS.map(lambda s: s.replace("/", "").replace("\\", "").replace("\u2028", ""))},
    optional={
        "lr": st.floats(1e-12, 1e12),
        "steps": st.none() | st.integers(1, 10**12),
        "ema": st.none() | st.floats(0.001, 0.999),
        "crop_size": st.tuples(st.integers(1, 286), st.integers(1, 286)),
        "patch": st.sampled_from([1, 16, 34, 70, 142, 286]),
        "dropout": st.sampled_from(["on", "off"]),
        "flip": st.booleans(),
        "norm": st.sampled_from(["auto", "batch", "instance", "none"]),
    },
).filter(lambda values: "\u2029" not in values["name"])


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_dump_and_load_is_a_fixed_point(values):
    record = from_dict(Pix2PixOptions, values)
    text = to_yaml(record)
    again = from_dict(Pix2PixOptions, parse_yaml(text.encode(), "written"))
    assert again == record
    assert to_yaml(again) == text


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | st.text(st.sampled_from("ab:-{}[],&*!|>'\"#%@\n\t ?~<"), max_size=40).map(str.encode))
def test_any_bytes_are_options_or_refused_in_one_line(content):
    try:
        result: object = parse_yaml(content, "p")
    except OptionError as error:
        result = str(error)
    assert isinstance(result, dict) or "\n" not in result


@given(st.text(max_size=20))
def test_any_text_survives_as_a_value(text):
    assert parse_yaml(f"name: {format_scalar(text)}".encode(), "p") == {"name": text}
