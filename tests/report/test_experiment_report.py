import math
import sys
from pathlib import Path

import numpy as np
import pytest

from pix2pix.config.base import from_dict
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.data.io import read_image, write_image
from pix2pix.evaluation.experiment import Cell, Result
from pix2pix.metrics import is_lower_better
from pix2pix.report.experiment_report import (
    Entry,
    build_table,
    find_best,
    format_markdown,
    plot_color_histograms,
    write_report,
)

OPTIONS = from_dict(Pix2PixOptions, {"data": {"dataroot": "generated"}, "run": {"name": "x"}})


def result(label, seed, metrics, folder=Path("nowhere"), **more):
    return Result(Cell((label,), seed, OPTIONS, {}), f"{label}_{seed}", folder, {"metrics": metrics, **more})


def value(number, **more):
    return {"value": number, **more}


def test_seeds_become_a_mean_and_their_deviation():
    table = build_table(["objective"], [result("L1", seed, {"PSNR": value(x)}) for seed, x in enumerate([10, 12, 14])])
    assert table.rows[0].entries == {"PSNR": Entry(12, 2, None)}
    assert table.rows[0].seeds == (0, 1, 2)
    assert format_markdown(table) == (
        "| objective | seeds | PSNR ↑ |\n| --- | --: | --: |\n| L1 | 3 | **12.0 ± 2.0** |\n"
    )


def test_one_seed_shows_the_interval_over_images():
    table = build_table(["objective"], [result("L1", 0, {"L1": value(0.25, interval=[0.2, 0.31])})])
    assert table.rows[0].entries["L1"] == Entry(0.25, None, (0.2, 0.31))
    assert "**0.250 [0.200, 0.310]**" in format_markdown(table)


def test_the_best_is_the_least_of_distances_and_the_most_of_scores():
    names = ["L1", "PSNR", "Frechet distance (vgg19 relu4_1)", "class IoU"]
    table = build_table(["o"], [result(label, 0, dict.fromkeys(names, value(x))) for label, x in [("a", 1), ("b", 2)]])
    assert [find_best(table, name) for name in names] == [1, 2, 1, 2]
    assert [is_lower_better(name) for name in names] == [True, False, True, False]


def test_metrics_stand_in_one_order_whatever_that_of_the_file():
    names = ["FID", "L1", "PSNR", "class IoU", "class accuracy", "histogram L", "pixel accuracy"]
    table = build_table(["o"], [result("a", 0, dict.fromkeys(names, value(1)))])
    assert table.metrics == ("L1", "PSNR", "FID", "histogram L", "pixel accuracy", "class accuracy", "class IoU")


def test_a_metric_that_a_seed_lacks_is_left_out_of_its_row():
    missing = {"not_computed": "no weights"}
    table = build_table(
        ["o"],
        [
            result("a", 0, {"FID": value(1), "L1": value(1)}),
            result("a", 1, {"FID": missing, "L1": value(3)}),
            result("b", 0, {"FID": value(5), "L1": value(5)}),
        ],
    )
    assert [set(row.entries) for row in table.rows] == [{"L1"}, {"FID", "L1"}]
    assert "| a | 2 | **2.00 ± 1.41** | - |" in format_markdown(table)


def test_the_true_images_are_the_last_row_and_never_the_best():
    table = build_table(["o", "p"], [_two("a", "b", {"class IoU": value(0.2, of_truth=0.5)})])
    assert table.rows[-1].labels == ("ground truth", "")
    assert table.rows[-1].entries == {"class IoU": Entry(0.5, None, None)}
    assert format_markdown(table).splitlines()[2:] == ["| a | b | 1 | **0.200** |", "| ground truth |  |  | 0.500 |"]


def _two(first, second, metrics):
    one = result(first, 0, metrics)
    return one._replace(cell=one.cell._replace(labels=(first, second)))


@pytest.mark.parametrize(("number", "shown"), [(0.00215, "0.00215"), (21.34, "21.3"), (1234.6, "1235"), (0, "0.000")])
def test_numbers_have_three_digits_that_count(number, shown):
    assert f"**{shown}**" in format_markdown(build_table(["o"], [result("a", 0, {"PSNR": value(number)})]))


def test_a_report_has_a_table_pictures_and_colors(tmp_path):
    results = []
    for shade, label in [(50, "L1"), (150, "cGAN")]:
        for seed in (0, 1):
            folder = tmp_path / f"{label}_{seed}"
            for column, grey in [("source", 0), ("output", shade + seed), ("target", 255)]:
                (folder / column).mkdir(parents=True)
                write_image(folder / column / "house.png", np.full((40, 40, 3), grey, np.uint8))
            results.append(
                result(
                    label,
                    seed,
                    {"L1": value(shade + seed), "FID": {"not_computed": "no weights"}},
                    folder,
                    histograms=HISTOGRAMS,
                )
            )
    text = write_report(tmp_path / "report", "Objectives", ["objective"], results)
    made = {path.name for path in (tmp_path / "report").iterdir()}
    assert made == {"table.md", "experiment.json", "pictures.png", "colours.png"}
    written = (tmp_path / "report" / "table.md").read_text(encoding="utf-8")
    assert written.startswith(f"# Objectives\n\n{text}\n±: ")
    assert "FID: no weights" in written
    row = read_image(tmp_path / "report" / "pictures.png")[-20]
    greys = [int(row[column, 0]) for column in np.flatnonzero(row[:, 0] != 255)]
    assert sorted(set(greys)) == [0, 50, 150]  # the source and the first seed of each choice; the target is white
    assert read_image(tmp_path / "report" / "colours.png").shape == (576, 1560, 4)


def test_a_bar_in_a_name_does_not_end_its_cell_and_a_line_break_not_its_row():
    table = build_table(["o|p\nq"], [result("a|b", 0, {"L1": value(1)})])
    assert format_markdown(table).splitlines()[::2] == [r"| o\|p q | seeds | L1 ↓ |", r"| a\|b | 1 | **1.00** |"]


def cell_folder(folder, names):
    for name in names:
        for column in ("source", "output", "target"):
            place = folder / column / f"{name}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            write_image(place, np.full((8, 8, 3), 90, np.uint8))
    return folder


HISTOGRAMS = {
    "ranges": {"L": [0, 100], "a": [-110, 110], "b": [-110, 110]},
    "output": {channel: [0, 1, 3] for channel in "Lab"},
    "truth": {channel: [1, 1, 1] for channel in "Lab"},
}


def test_images_of_any_name_are_shown(tmp_path):
    folder = cell_folder(tmp_path / "cell", ["1", "1.b", "c [1]", "deep/d"])
    write_report(tmp_path / "report", "t", ["o"], [result("L1", 0, {}, folder, histograms=None)])
    assert read_image(tmp_path / "report" / "pictures.png").shape[0] > 4 * 256


def test_only_images_that_all_choices_translate_are_shown(tmp_path):
    folders = [cell_folder(tmp_path / label, names) for label, names in (("a", "123"), ("b", "3"), ("c", "4"))]
    found = [result(folder.name, 0, {}, folder, histograms=None) for folder in folders]
    write_report(tmp_path / "report", "t", ["o"], found[:2])
    assert 256 < read_image(tmp_path / "report" / "pictures.png").shape[0] < 2 * 256
    write_report(tmp_path / "report", "t", ["o"], found)
    assert not (tmp_path / "report" / "pictures.png").exists()


def test_label_maps_have_no_colors(tmp_path):
    folder = cell_folder(tmp_path / "cell", "1")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "colours.png").touch()  # of another experiment of this name
    write_report(tmp_path / "report", "t", ["o"], [result("L1", 0, {}, folder, histograms=None)])
    assert not (tmp_path / "report" / "colours.png").exists()


def test_without_matplotlib_there_are_no_colors(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    folder = cell_folder(tmp_path / "cell", "1")
    write_report(tmp_path / "report", "t", ["o"], [result("L1", 0, {}, folder, histograms=HISTOGRAMS)])
    assert {"table.md", "pictures.png"} < {file.name for file in (tmp_path / "report").iterdir()}
    assert not (tmp_path / "report" / "colours.png").exists()


def test_names_are_drawn_as_they_are_written(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    legends, legend = [], Figure.legend
    monkeypatch.setattr(Figure, "legend", lambda *args, **more: legends.append(legend(*args, **more)))
    found = [result(label, 0, {}, histograms=HISTOGRAMS) for label in ("$\\frac{$", "_L1")]
    plot_color_histograms(tmp_path / "colours.png", found, "$\\frac{$")
    assert len(legends[0].get_texts()) == 3


def test_nan_is_not_the_best():
    assert math.isnan(find_best(build_table(["o"], [result("a", 0, {})]), "L1"))
