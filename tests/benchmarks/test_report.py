import json
from xml.etree import ElementTree

import torch

from benchmarks.report import Bar, chart, conditions, milliseconds, table, write_json


def test_a_table_is_markdown():
    assert table(["a", "b"], [["1", "2"], ["3", "4"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"


def test_milliseconds_have_three_digits_or_more():
    assert [milliseconds(seconds) for seconds in (12.3456, 0.12345, 0.012345, 0.0012345)] == [
        "12,346",
        "123",
        "12.3",
        "1.23",
    ]


def test_conditions_are_plain_values_and_tell_the_machine(tmp_path):
    write_json(tmp_path / "all.json", conditions())
    told = json.loads((tmp_path / "all.json").read_text())
    assert told["threads"] == torch.get_num_threads()
    assert told["packages"]["torch"]
    assert told["cpu"]
    assert len(told["load_average"]) == 3
    assert {"command", "commit", "cpu_capability"} <= told.keys()


def test_the_bars_of_a_chart_are_as_long_as_their_values_on_one_scale():
    picture = ElementTree.fromstring(chart("a < b", [Bar("one", 1, 0.5, 1.5), Bar("<three>", 3, 2.5, 4)]))
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["a < b", "one", "1.00", "<three>", "3.00"]
    widths = [bar.attrib["width"] for bar in picture.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert widths == ["90.0", "270.0"]
