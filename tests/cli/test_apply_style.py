import re
import shutil

import numpy as np
import pytest

import pix2pix
from pix2pix.cli import main
from pix2pix.data import color
from pix2pix.data.codec import rgb_to_tensor
from pix2pix.data.io import read_image, write_image


class Runs:
    """Runs of every style method, and a folder of photographs."""

    def __init__(self, runs, home):
        self.runs, self.home = runs, home
        self.photos = home / "photos"
        for number, name in enumerate(("1.png", "2.jpg", "deep/3.png")):
            path = self.photos / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, photo(number))

    def test(self, name, *flags):
        places = ("--checkpoints_dir", self.runs, "--results_dir", self.home / "results", "--device", "cpu")
        return main(["test", "--name", name, *map(str, (*places, *flags))])

    def results(self, name):
        return self.home / "results" / name / "input_latest"

    def outputs(self, name, part="output"):
        return {path.name: read_image(path) for path in (self.results(name) / part).iterdir()}


def photo(number, height=24, width=40, dtype="uint8"):
    unit = np.random.default_rng(number).random((height, width, 3))
    return (unit * {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]).astype(dtype)


@pytest.fixture
def runs(style_runs, tmp_path):
    return Runs(style_runs, tmp_path)


def test_a_name_and_a_content_are_enough_for_one_style(runs, capsys):
    assert runs.test("johnson", "--content", runs.photos) == 0
    folder = runs.results("johnson")
    assert capsys.readouterr().out == f"{folder / 'index.html'}\n"
    assert {path.name for path in folder.iterdir()} == {"index.html", "content", "style", "output"}
    assert set(runs.outputs("johnson")) == {"1_red.png", "2_red.png", "3_red.png"}
    assert set(runs.outputs("johnson", "content")) == {"1.png", "2.png", "3.png"}
    assert set(runs.outputs("johnson", "style")) == {"red.png"}
    page = (folder / "index.html").read_text()
    assert "johnson, latest, step 4" in page
    assert page.index('href="content/1.png"') < page.index('href="style/red.png"') < page.index('href="output/1_red')


def test_the_program_and_python_paint_the_same(runs):
    content = runs.photos / "1.png"
    assert runs.test("multi_style", "--content", content, "--style", "blue") == 0
    painted = pix2pix.load(runs.runs / "multi_style", device="cpu").translate(photo(0), style="blue")
    assert np.array_equal(runs.outputs("multi_style")["1_blue.png"], painted)


@pytest.mark.parametrize("flags", [(), ("--style", "all")])
def test_every_style_is_drawn_and_laid_out_as_a_grid(runs, flags):
    assert runs.test("multi_style", "--content", runs.photos, *flags) == 0
    assert set(runs.outputs("multi_style")) == {f"{n}_{style}.png" for n in (1, 2, 3) for style in ("red", "blue")}
    grid = read_image(runs.results("multi_style") / "grid.png")
    assert grid.shape[1] == 3 * (256 + 8) + 8  # the content and two styles
    assert 4 * round(256 * 24 / 40) < grid.shape[0] < 4 * 256  # as high as the contents, and captions
    assert "3 contents down, 2 styles across" in (runs.results("multi_style") / "index.html").read_text()


def test_several_styles_are_blended_by_their_weights(runs):
    content = runs.photos / "1.png"
    assert runs.test("multi_style", "--content", content, "--style", "1,blue", "--style_weights", "1,0") == 0
    (blended,) = runs.outputs("multi_style").values()
    assert set(runs.outputs("multi_style")) == {"1_red_blue.png"}
    assert set(runs.outputs("multi_style", "style")) == {"red.png", "blue.png"}
    assert runs.test("multi_style", "--content", content, "--style", "red") == 0
    assert np.array_equal(blended, runs.outputs("multi_style")["1_red.png"])


def test_a_folder_of_pictures_gives_each_of_them(runs):
    for name, number in (("a.png", 10), ("b.jpg", 11), ("deep/a.png", 12)):
        (runs.home / "styles" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(runs.home / "styles" / name, photo(number, 20, 30))
    words = ("--content", runs.photos, "--num_test", 2, "--style", runs.home / "styles", "--style_size", 32)
    assert runs.test("adain", *words) == 0
    painted = runs.outputs("adain")
    assert len(painted) == 6
    assert len(runs.outputs("adain", "style")) == 3
    assert read_image(runs.results("adain") / "grid.png").shape[1] == 4 * (256 + 8) + 8
    translator = pix2pix.load(runs.runs / "adain", device="cpu")
    expected = translator.translate(photo(0), style=photo(10, 20, 30), style_size=32)
    (name,) = (name for name in painted if name.startswith("1_") and "1_a" in name)
    assert np.array_equal(painted[name], expected)


def test_several_pictures_are_blended(runs):
    for number in (10, 11):
        write_image(runs.home / f"{number}.png", photo(number, 20, 30))
    styles = [runs.home / "10.png", runs.home / "11.png"]
    words = ("--content", runs.photos / "1.png", "--style", *styles, "--style_size", 32)
    assert runs.test("adain", *words, "--style_weights", "1,3", "--alpha", 0.5, "--keep_colors", "coral") == 0
    assert set(runs.outputs("adain")) == {"1_10_11.png"}
    assert set(runs.outputs("adain", "style")) == {"10.png", "11.png"}
    page = (runs.results("adain") / "index.html").read_text()
    assert "<dt>alpha</dt><dd>0.5</dd>" in page
    translator = pix2pix.load(runs.runs / "adain", device="cpu")
    said = {"style_weights": [1, 3], "alpha": 0.5, "keep_colors": "coral", "style_size": 32}
    assert np.array_equal(runs.outputs("adain")["1_10_11.png"], translator.translate(photo(0), style=styles, **said))


def test_a_style_that_cannot_be_used_is_refused_or_left_out(runs, error, capsys):
    (runs.home / "styles").mkdir()
    write_image(runs.home / "styles" / "a.png", photo(10, 20, 30))
    (runs.home / "styles" / "b.png").write_text("text")
    words = ("--content", runs.photos / "1.png", "--style", runs.home / "styles", "--style_size", 32)
    assert re.search(rf"{runs.home}/styles/b\.png.*PNG", error(2, runs.test, "adain", *words))
    assert runs.test("adain", *words, "--skip_bad") == 0
    assert capsys.readouterr().err.count("skipped: ") == 1
    assert set(runs.outputs("adain")) == {"1_a.png"}


def test_a_second_test_leaves_nothing_of_the_first(runs):
    runs.test("multi_style", "--content", runs.photos)
    (runs.results("multi_style") / "mine.txt").write_text("")
    runs.test("multi_style", "--content", runs.photos / "1.png", "--style", "red")
    assert {path.name for path in runs.results("multi_style").iterdir()} == {
        *("index.html", "content", "style", "output", "mine.txt"),
    }
    assert set(runs.outputs("multi_style")) == {"1_red.png"}


def test_luminance_keeps_the_colors(runs):
    content = runs.photos / "1.png"
    runs.test("johnson", "--content", content)
    (plain,) = runs.outputs("johnson").values()
    assert runs.test("johnson", "--content", content, "--keep_colors", "luminance") == 0
    (kept,) = runs.outputs("johnson").values()
    expected = color.keep_colors(rgb_to_tensor(plain)[None], rgb_to_tensor(photo(0))[None])[0]
    assert (rgb_to_tensor(kept) - expected).abs().max() <= 3 / 127.5  # of an output rounded before
    assert np.abs(kept.astype(int) - plain).max() > 3


def test_masks_say_where_each_style_is(runs):
    left = np.zeros((24, 40, 1), np.uint8)
    left[:, :20] = 255
    write_image(runs.home / "left.png", left)
    write_image(runs.home / "right.png", 255 - left)
    words = ("--content", runs.photos / "1.png", "--style", "red,blue")
    assert runs.test("multi_style", *words, "--masks", runs.home / "left.png", runs.home / "right.png") == 0
    (painted,) = runs.outputs("multi_style").values()
    translator = pix2pix.load(runs.runs / "multi_style", device="cpu")
    masks = [left, 255 - left]
    assert np.array_equal(painted, translator.translate(photo(0), style=["red", "blue"], masks=masks))


@pytest.mark.parametrize(("suffix", "dtype"), [(".png", "uint16"), (".tif", "float32")])
def test_an_output_has_the_depth_of_its_content(runs, suffix, dtype):
    content = runs.home / f"deep{suffix}"
    write_image(content, photo(0, dtype=dtype))
    assert runs.test("johnson", "--content", content) == 0
    output = runs.outputs("johnson")[f"deep_red{suffix}"]
    assert output.dtype == np.dtype(dtype)
    assert runs.outputs("johnson", "preview_output")["deep_red.png"].dtype == np.uint8
    assert np.array_equal(output, pix2pix.load(runs.runs / "johnson", device="cpu").translate(read_image(content)))


@pytest.mark.parametrize("flags", [(), ("--keep_colors", "luminance")])
def test_a_tiff_that_is_too_large_is_drawn_by_windows_into_a_tiff(runs, flags):
    image = photo(0, 70, 45)
    write_image(runs.home / "large.tif", image)
    assert runs.test("johnson", "--content", runs.home / "large.tif", "--max_pixels", 3000, *flags) == 0
    by_windows = runs.outputs("johnson")["large_red.tif"]
    write_image(runs.home / "small.png", image)
    assert runs.test("johnson", "--content", runs.home / "small.png", *flags) == 0
    assert np.abs(by_windows.astype(int) - runs.outputs("johnson")["small_red.png"]).max() <= 1


def test_masks_and_coral_need_a_content_in_memory(runs, error):
    write_image(runs.home / "large.tif", photo(0, 70, 45))
    write_image(runs.home / "mask.png", np.full((70, 45, 1), 255, np.uint8))
    words = ("--content", runs.home / "large.tif", "--max_pixels", 3000)
    masked = ("multi_style", *words, "--style", 1, "--masks", runs.home / "mask.png")
    recoloured = ("adain", *words, "--style", runs.photos / "1.png", "--keep_colors", "coral")
    for name, flags in (("masks", masked), ("keep_colors coral", recoloured)):
        assert re.search(f"{name}", error(2, runs.test, *flags))


def test_a_content_that_cannot_be_used_is_refused_or_left_out(runs, error, capsys):
    (runs.photos / "9.png").write_text("text")
    write_image(runs.photos / "8.npy", np.zeros((4, 4, 7), np.float32))
    assert re.search(rf"{runs.photos}/8\.npy.*float32.*7", error(2, runs.test, "multi_style", "--content", runs.photos))
    assert not runs.results("multi_style").exists() or not list(runs.results("multi_style").iterdir())
    assert runs.test("multi_style", "--content", runs.photos, "--skip_bad") == 0
    assert capsys.readouterr().err.count("skipped: ") == 4
    assert len(runs.outputs("multi_style")) == 6
    assert "6, 4 skipped" in (runs.results("multi_style") / "index.html").read_text()


def test_contents_of_one_name_keep_apart(runs):
    shutil.copy(runs.photos / "1.png", runs.photos / "deep" / "1.png")
    assert runs.test("johnson", "--content", runs.photos) == 0
    assert len(runs.outputs("johnson")) == len(runs.outputs("johnson", "content")) == 4


def test_input_and_content_are_the_same(runs):
    assert runs.test("johnson", "--input", runs.photos, "--num_test", 1) == 0
    assert set(runs.outputs("johnson")) == {"1_red.png"}


@pytest.mark.parametrize(
    ("run", "flags", "message"),
    [
        ("johnson", (), "--content.*missing"),
        (
            "johnson",
            ("--content", "nowhere"),
            "--content nowhere",
        ),
        ("johnson", ("--content", "{photos}", "--style", "red"), "--style.*johnson"),
        ("johnson", ("--content", "{photos}", "--dropout", "on"), "--dropout.*johnson"),
        ("johnson", ("--content", "{photos}", "--samples", "2"), "--samples.*johnson"),
        ("johnson", ("--phase", "val"), "--phase.*johnson"),
        ("johnson", ("--dataroot", "."), "--dataroot.*johnson"),
        ("johnson", ("--content", "{photos}", "--norm_stats", "running"), "--norm_stats running"),
        ("multi_style", ("--content", "{photos}", "--norm_stats", "image"), "--norm_stats.*multi_style"),
        ("multi_style", ("--content", "{photos}", "--alpha", "1"), "--alpha.*multi_style"),
        (
            "multi_style",
            ("--content", "{photos}", "--style", "rod"),
            "style:.*'rod'.*red",
        ),
        ("multi_style", ("--content", "{photos}", "--style", "all,red"), "style:.*'all'.*red"),
        (
            "multi_style",
            ("--content", "{photos}", "--style_weights", "1,2"),
            "style_weights.*2",
        ),
        (
            "multi_style",
            ("--content", "{photos}", "--keep_colors", "coral"),
            "keep_colors.*coral",
        ),
    ],
)
def test_a_mistake_is_reported_in_one_line(runs, error, run, flags, message):
    flags = [flag.format(photos=runs.photos) for flag in flags]
    assert re.search(message.format(photos=runs.photos), error(2, runs.test, run, *flags))
    assert not list(runs.home.glob("results/*/*/*"))


def test_results_are_not_drawn_into_themselves(runs, error):
    assert runs.test("johnson", "--content", runs.photos) == 0
    there = runs.results("johnson")
    line = error(2, runs.test, "johnson", "--content", there / "output")
    assert str(there) in line


def test_pictures_that_lie_where_results_are_replaced_are_refused(runs, error):
    words = ("adain", "--content", runs.photos / "1.png", "--style_size", 32)
    assert runs.test(*words, "--style", runs.photos / "1.png") == 0
    painted = next((runs.results("adain") / "output").iterdir())
    before = painted.read_bytes()
    for flags in (("--style", painted), ("--style", runs.photos / "1.png", "--masks", painted)):
        line = error(2, runs.test, *words, *flags)
        assert re.search(f"{flags[-2]}.*{painted}.*{runs.results('adain')}", line)
    assert painted.read_bytes() == before
