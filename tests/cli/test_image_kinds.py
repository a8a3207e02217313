"""Every kind of pair through the programs: trained, validated, tested, and out again at its own depth."""

import json

import cv2
import numpy as np
import pytest

from pix2pix.data.generated import generate
from pix2pix.data.io import read_image, write_image
from pix2pix.data.labels import PALETTES

FAST = ("--steps", 4, "--val_every", 2, "--save_every", 4)


@pytest.fixture
def make(tiny, tmp_path):
    """Write two folders of pairs for every phase; return the tiny runs on them."""

    def write_pairs(a, b, suffixes, count=3):
        for phase, first in (("train", 0), ("val", 10), ("test", 20)):
            for number in range(first, first + count):
                for side, image, suffix in zip("AB", (a(number), b(number)), suffixes, strict=True):
                    path = tmp_path / "data" / f"{phase}{side}" / f"{number}{suffix}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_image(path, image)
        return type(tiny)(tmp_path / "data", tiny.home)

    return write_pairs


def smooth(number, channels, low=0.0, high=1.0):
    coarse = np.random.default_rng(number).random((4, 4, channels), dtype=np.float32)
    return (low + (high - low) * cv2.resize(coarse, (20, 20)).reshape(20, 20, channels)).astype(np.float32)


def photo(number):
    return generate(0, number, size=(20, 20))[0]


def labels(number):
    return generate(0, number, size=(20, 20))[1]


def results(runs, part, phase="test_latest"):
    return [read_image(path) for path in sorted((runs.results("run", phase) / part).iterdir())]


def trained(runs, *flags):
    assert runs.train("run", *FAST, *flags) == 0
    assert {line["step"] for line in runs.metrics() if "val/l1" in line} == {2, 4}
    assert runs.test("run", "--preprocess", "none") == 0
    return results(runs, "output")


def test_16_bit_gray_becomes_8_bit_color(make):
    runs = make(lambda n: (smooth(n, 1) * 4095).astype(np.uint16), photo, (".png", ".jpg"))
    outputs = trained(runs)
    assert {(image.dtype.name, image.shape) for image in outputs} == {("uint8", (20, 20, 3))}
    assert [path.suffix for path in (runs.results() / "source").iterdir()] == [".png"] * 3
    assert results(runs, "source")[0].dtype == np.uint16
    assert np.ptp(results(runs, "preview_source")[0]) > 128, "a 12-bit image would look black"


def test_five_float_channels_become_one(make):
    runs = make(lambda n: smooth(n, 5, -3, 2000), lambda n: smooth(n, 1, -1, 1), (".tif", ".tiff"))
    outputs = trained(runs)
    assert {(image.dtype.name, image.shape) for image in outputs} == {("float32", (20, 20, 1))}
    assert {path.suffix for path in (runs.results() / "output").iterdir()} == {".tiff"}
    page = (runs.results() / "index.html").read_text()
    assert "preview_output/20.png" in page
    assert 'href="output/20.tiff"' in page


@pytest.mark.parametrize(
    ("flags", "channels"),
    [(("--source_kind", "labels"), 3), (("--source_onehot", "facades"), 12)],
    ids=["rgb", "onehot"],
)
def test_labels_become_photos(make, flags, channels):
    runs = make(labels, photo, (".png", ".png"))
    outputs = trained(runs, *flags)
    assert {(image.dtype.name, image.shape) for image in outputs} == {("uint8", (20, 20, 3))}
    first = next(iter(runs.content()["networks"]["G"].values()))
    assert first.shape[1] == channels


def test_photos_become_labels_in_the_colors_of_the_palette_alone(make, capsys):
    runs = make(labels, photo, (".png", ".png"))
    outputs = trained(runs, "--direction", "BtoA", "--target_kind", "labels", "--target_palette", "facades")
    assert {tuple(colour) for image in outputs for colour in image.reshape(-1, 3).tolist()} <= set(
        PALETTES["facades"].colors
    )
    assert "accuracy 0." in capsys.readouterr().out


def test_class_numbers_come_out_as_class_numbers(make):
    palette = np.array(PALETTES["facades"].colors)
    runs = make(
        photo,
        lambda n: (labels(n)[..., None, :] == palette).all(-1).argmax(-1).astype(np.uint8)[..., None],
        (".png",) * 2,
    )
    outputs = trained(runs, "--target_kind", "labels", "--target_palette", "facades")
    assert {(image.dtype.name, image.shape) for image in outputs} == {("uint8", (20, 20, 1))}
    assert max(image.max() for image in outputs) < 12
    assert results(runs, "preview_target")[0].shape == (20, 20, 3)


def test_gray_photos_are_colored_and_keep_their_lightness(make, tiny, tmp_path):
    runs = make(photo, photo, (".png", ".png"))
    for phase in ("train", "val", "test"):
        (tmp_path / "data" / f"{phase}A").rename(tmp_path / "data" / phase)
    runs.train("run", *FAST, "--target_kind", "lab")
    assert runs.test("run", "--preprocess", "none") == 0
    for grey, output in zip(results(runs, "source"), results(runs, "output"), strict=True):
        assert (grey.shape[2], output.shape[2]) == (1, 3)
        assert np.array_equal(grey_of(output), grey[..., 0])
    write_image(tmp_path / "grey.png", results(runs, "source")[0])
    assert runs.test("run", "--input", tmp_path / "grey.png") == 0
    assert np.array_equal(grey_of(results(runs, "output", "input_latest")[0]), results(runs, "source")[0][..., 0])


def grey_of(image):
    """The 8-bit grey of the same luminance."""
    linear = np.where(image / 255 <= 0.04045, image / 255 / 12.92, ((image / 255 + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126729, 0.7151522, 0.0721750])
    return np.round(255 * np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055)).astype(np.uint8)


def test_a_resumed_run_keeps_what_was_measured_at_its_start(make):
    runs = make(lambda n: smooth(n, 2, 0, 10), lambda n: smooth(n, 1), (".npy", ".npy"))
    assert runs.train("run", "--stop_at_step", 2) == 0
    before = runs.content()["description"]
    for path in (runs.data / "trainA").iterdir():
        write_image(path, read_image(path) * 9)
    assert runs.resume() == 0
    assert runs.content()["description"] == before
    assert before["source"]["channels"] == 2
    json.dumps(before)


def test_a_translator_takes_and_gives_arrays_of_its_own_depths(make):
    import pix2pix

    runs = make(lambda n: smooth(n, 5, -3, 2000), lambda n: smooth(n, 1, -1, 1), (".tif", ".npy"))
    trained(runs)
    output = pix2pix.load(runs.folder(), device="cpu").translate(smooth(20, 5, -3, 2000), name="20")
    assert np.array_equal(output, read_image(runs.results() / "output" / "20.npy"))
