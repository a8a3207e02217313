import json

import torch

from benchmarks.report import conditions, measured_cells, milliseconds, table, write_json


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
    content = json.loads((tmp_path / "all.json").read_text())
    assert content["threads"] == torch.get_num_threads()
    assert content["packages"]["torch"]
    assert content["cpu"]
    assert len(content["load_average"]) == 3
    assert {"command", "commit", "cpu_capability"} <= content.keys()


def test_cells_of_a_record_are_median_quartiles_ratios_and_memory():
    record = {
        "spread": {"least": 0.1, "lower": 0.15, "median": 0.2, "upper": 0.25},
        "ratio": {"medians": 2.0, "rounds": 2.5, "least": 3.0, "lower": 2.0, "upper": 3.0},
        "memory": {"peak": 2e9, "growth": 1e9},
    }
    cells = ["200", "150 - 250", "2.00 / 2.50 / 3.00", "2.00 / 1.00"]
    assert measured_cells(record) == cells
    assert measured_cells(record | {"memory": None}, digits=1) == [*cells[:2], "2.0 / 2.5 / 3.0", ""]
