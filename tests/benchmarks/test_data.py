import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.data import alternate, summary

ROOT = Path(__file__).parents[2]


def test_a_ratio_is_the_median_of_those_within_each_round():
    table = summary({"reference": [1.0, 2.0, 4.0], "ours": [10.0, 10.0, 10.0]})
    assert table["reference"] == {"median": 2, "q1": 1.5, "q3": 3, "ms": 500, "ratio": 1}
    assert (table["ours"]["median"], table["ours"]["ratio"]) == (10, 5)


def test_variants_take_turns_and_one_from_a_cache_takes_longer_ones():
    turns = []
    variants = {name: lambda count, name=name: turns.append((name, count)) for name in ("reference", "ours, cache")}
    found = alternate(variants, rounds=2, pairs=8, batch=4)
    assert turns[2:] == [("reference", 2), ("ours, cache", 20), ("ours, cache", 20), ("reference", 2)]
    assert [len(speeds) for speeds in found.values()] == [2, 2]


@pytest.mark.slow
def test_it_says_what_it_needs():
    command = [sys.executable, "-m", "benchmarks.data", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "--reference" in told.stdout
