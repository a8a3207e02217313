import os
import re
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from pix2pix.cli import main
from pix2pix.data.io import IMAGE_SUFFIXES, read_image, write_image

RESULTS = {"index.html", "translation.json", "source", "output", "target"}


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    """The folder of runs "run" (norm by image) and "batch"; kaiming's weights make dropout visible in 8 bits."""
    home = tmp_path_factory.mktemp("trained")
    network = ("--generator", "unet_16", "--ngf", 2, "--ndf", 2, "--patch", 16, "--init_type", "kaiming")
    data = ("--dataroot", tiny_data, "--load_size", 18, "--crop_size", 16, "--num_workers", 0, "--device", "cpu")
    clock = ("--steps", 4, "--val_every", 2, "--save_every", 1, "--lr", 0.05)
    for name, more in (("run", ()), ("batch", ("--batch_size", 4))):
        words = (*data, *network, *clock, "--name", name, "--checkpoints_dir", home / "checkpoints", *more)
        assert main(["train", *map(str, words)]) == 0
    return home / "checkpoints"


@pytest.fixture
def ready(tiny, trained):
    """Runs that are trained already."""
    (tiny.home / "checkpoints").symlink_to(trained)
    return tiny


@pytest.fixture
def photos(tmp_path):
    """A folder of images without partners, some inside folders and some of equal stems."""
    rng = np.random.default_rng(0)
    for name in ("1.png", "2.png", "10.png", "a/1.png", "b/1.png", "b/1.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (19, 25, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def outputs(folder, part="output"):
    root = folder / part
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}


def test_a_name_is_enough(ready, capsys):
    assert ready.test() == 0
    folder = ready.results()
    assert {path.name for path in folder.iterdir()} == RESULTS
    assert {path.name for path in (folder / "output").iterdir()} == {"7.png", "8.png", "9.png"}
    scores, page = capsys.readouterr().out.splitlines()
    assert scores.startswith("3 pairs: L1 0.")
    assert "  PSNR " in scores
    assert "  SSIM " in scores
    assert page == str(folder / "index.html")
    html = (folder / "index.html").read_text()
    assert "resized to 16x16 (height x width), no crop" in html
    assert "run, latest, step 4" in html


def test_a_batch_normalized_run_translates_by_either_statistics(ready):
    ready.test("batch")
    by_image = outputs(ready.results("batch"))
    assert ready.test("batch", "--norm_stats", "running") == 0
    assert outputs(ready.results("batch")) != by_image


def test_an_image_alone_in_a_folder_or_among_others_becomes_the_same(ready, photos, tmp_path):
    assert ready.test("run", "--input", photos) == 0
    together = outputs(ready.results(part="input_latest"))
    for name in ("1.png", "2.png", "10.png"):
        assert ready.test("run", "--input", photos / name) == 0
        assert outputs(ready.results(part="input_latest")) == {name: together[name]}
    (tmp_path / "some").mkdir()
    for name in ("0.png", "2.png", "10.png"):
        shutil.copy(photos / ("1.png" if name == "0.png" else name), tmp_path / "some" / name)
    assert ready.test("run", "--input", tmp_path / "some") == 0
    some = outputs(ready.results(part="input_latest"))
    assert {name: some[name] for name in ("2.png", "10.png")} == {name: together[name] for name in ("2.png", "10.png")}


def test_nested_folders_and_equal_stems_keep_apart(ready, photos):
    assert ready.test("run", "--input", photos) == 0
    found = outputs(ready.results(part="input_latest"))
    assert set(found) == {"1.png", "2.png", "10.png", "a/1.png", "b/1.png.png", "b/1.jpg.png"}


def test_samples_differ_by_dropout_alone(ready):
    assert ready.test("run", "--samples", 2) == 0
    one, two = (outputs(ready.results(), f"output_{number}") for number in (1, 2))
    assert all(one[name] != two[name] for name in one)
    assert ready.test("run", "--samples", 2, "--dropout", "off") == 0
    assert outputs(ready.results(), "output_1") == outputs(ready.results(), "output_2")


def test_the_seed_of_the_dropout_is_that_of_the_training_unless_given(ready):
    def translated(*flags):
        assert ready.test("run", *flags) == 0
        return outputs(ready.results())

    assert translated() == translated("--seed", 0) != translated("--seed", 1)


@pytest.mark.parametrize(
    "size",
    [
        *((1, 1), (1, 7), (2, 3), (15, 16), (17, 33), (130, 129)),
        *(pytest.param((side, 131 - side), marks=pytest.mark.slow) for side in range(1, 131)),
    ],
)
def test_an_output_has_the_size_of_its_image(ready, tmp_path, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "photo.jpg")
    assert ready.test("run", "--input", tmp_path / "photo.jpg") == 0
    assert read_image(ready.results(part="input_latest") / "output/photo.png").shape == image.shape


def test_pairs_can_keep_their_size_and_be_few(ready):
    assert ready.test("run", "--preprocess", "none", "--num_test", 2) == 0
    assert [read_image(path).shape for path in (ready.results() / "output").iterdir()] == [(20, 20, 3)] * 2


def test_another_phase_and_checkpoint_have_their_own_folder(ready):
    for epoch in ("best", 2):
        assert ready.test("run", "--phase", "val", "--epoch", epoch) == 0
        assert set(outputs(ready.results(part=f"val_{epoch}"))) == {"5.png", "6.png"}
    assert "run, 2, step 2" in (ready.results(part="val_2") / "index.html").read_text()


def test_a_second_test_leaves_nothing_of_the_first(ready):
    ready.test("run", "--samples", 2)
    ready.test("run", "--num_test", 1)
    assert {path.name for path in ready.results().iterdir()} == RESULTS
    assert set(outputs(ready.results())) == {"7.png"}


@pytest.mark.parametrize(
    "flags",
    [
        (
            "--model",
            "pix2pix",
            "--direction",
            "AtoB",
            "--netG",
            "unet_16",
            "--norm",
            "batch",
            "--dataset_mode",
            "aligned",
        ),
        ("--eval", "--name", "batch"),
        ("--gpu_ids", -1, "--num_threads", 0, "--batch_size", 1, "--serial_batches", "--no_flip", "--load_size", 16),
    ],
)
def test_flags_retyped_as_elsewhere_are_accepted(ready, flags):
    assert ready.test("run", *flags) == 0


def test_single_images_may_be_asked_for_as_elsewhere(ready, photos):
    assert ready.test("run", "--model", "test", "--dataroot", photos) == 0
    assert len(outputs(ready.results(part="input_latest"))) == 6


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--direction", "BtoA", "--ngf", 64),
            "direction.*AtoB.*BtoA.*ngf",
        ),
        (("--model", "cycle_gan"), "--model: got 'cycle_gan'; "),
        (
            ("--eval",),
            "--norm_stats.*BatchNorm.*InstanceNorm",
        ),
        (("--name", "runn"), "{runs}/runn"),
        (("--checkpoints_dir", "nowhere"), "nowhere/run"),
        (("--epoch", 3000), "{runs}/run.*'3000'.*latest"),
        (("--epoch", "newest"), "--epoch.*'newest'.*latest"),
        (
            ("--dataroot", "nowhere"),
            "--dataroot nowhere",
        ),
        (("--input", "nowhere"), "nowhere:"),
        (("--style", "a.jpg"), "--style.*pix2pix"),
        (("--keep_colors", "luminance"), "--keep_colors.*pix2pix"),
        (("--input", "a", "--dataroot", "b"), "--dataroot.*--input"),
        (("--device", "cuda:99"), "--device cuda:99"),
    ],
)
def test_a_mistake_is_reported_in_one_line_and_writes_nothing(ready, error, flags, message):
    line = error(2, ready.test, "run", *flags)
    assert re.search(message.format(runs=ready.home / "checkpoints"), line)
    assert not (ready.home / "results").exists()


def test_a_name_is_needed(error):
    assert re.search("--name.*missing", error(2, main, ["test"]))


def test_a_folder_without_images_is_reported(ready, error, tmp_path):
    (tmp_path / "bare").mkdir()
    assert re.search(
        f"--input {tmp_path}/bare.*{', '.join(IMAGE_SUFFIXES)}",
        error(2, ready.test, "run", "--input", tmp_path / "bare"),
    )


def test_an_image_that_cannot_be_read_is_named(ready, error, photos):
    (photos / "3.png").write_text("text")
    assert re.search(rf"{photos}/3\.png.*PNG.*JPEG", error(2, ready.test, "run", "--input", photos))


def test_a_damaged_checkpoint_is_refused(tiny, trained, error):
    shutil.copytree(trained / "run", tiny.folder())
    file = tiny.folder() / "step_00000004.pt"
    os.truncate(file, file.stat().st_size // 2)
    line = error(2, tiny.test)
    assert re.search(f"{file}", line)
    assert tiny.test("run", "--epoch", 3) == 0


def test_results_that_cannot_be_written_are_reported(ready, error):
    (ready.home / "results").write_text("")
    line = error(2, ready.test)
    assert re.search(f"{ready.results()}", line)


def test_names_of_any_letters_come_through(ready, photos):
    names = [f"{letter}x" for letter in "'\"<&%#? é猫-"]
    for name in names:
        shutil.copy(photos / "1.png", photos / f"{name}.png")
    assert ready.test("run", "--input", photos) == 0
    assert {f"{name}.png" for name in names} <= set(outputs(ready.results(part="input_latest")))


def test_no_two_results_have_one_name(ready, tmp_path):
    for name in ("a.jpg", "a.png", "a.jpg.png", "b/a.jpg", "c.webp"):
        (tmp_path / "alike" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "alike" / name, np.zeros((16, 16, 3), np.uint8))
    assert ready.test("run", "--input", tmp_path / "alike") == 0
    names = {"a.jpg.png", "a.png.png", "a.jpg.png.png", "b/a.png", "c.png"}
    assert set(outputs(ready.results(part="input_latest"))) == names


def test_a_test_that_fails_leaves_the_earlier_results(ready, error, photos):
    assert ready.test("run", "--input", photos) == 0
    before = outputs(ready.results(part="input_latest"))
    (photos / "99.png").write_text("text")
    assert re.search(rf"{photos}/99\.png.*PNG", error(2, ready.test, "run", "--input", photos))
    assert outputs(ready.results(part="input_latest")) == before
    assert not list(ready.results(part="input_latest").glob(".*"))


def test_new_results_replace_the_earlier_ones_and_nothing_else(ready, photos):
    assert ready.test("run", "--input", photos, "--samples", 2) == 0
    mine = ready.results(part="input_latest") / "output of mine"
    mine.mkdir()
    (ready.results(part="input_latest") / ".new-killed" / "output").mkdir(parents=True)
    assert ready.test("run", "--input", photos / "1.png") == 0
    names = {path.name for path in ready.results(part="input_latest").iterdir()}
    assert names == {"index.html", "source", "output", "output of mine"}


def test_results_are_not_translated_into_themselves(ready, error, photos):
    assert ready.test("run", "--input", photos) == 0
    there = ready.results(part="input_latest")
    line = error(2, ready.test, "run", "--input", there / "output")
    assert str(there) in line
    assert outputs(there)


def test_a_file_has_the_same_dropout_alone_and_in_a_folder(ready, photos, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    shutil.copy(photos / "1.png", tmp_path / "deep" / "er")
    shutil.copy(photos / "2.png", tmp_path / "deep" / "1.jpg.png")
    ready.test("run", "--input", photos / "1.png")
    alone = outputs(ready.results(part="input_latest"))["1.png"]
    ready.test("run", "--input", tmp_path / "deep")
    assert outputs(ready.results(part="input_latest"))["er/1.png"] == alone


def test_a_name_that_is_no_utf_8_is_translated(ready, photos, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    shutil.copy(photos / "1.png", os.path.join(os.fsencode(folder), b"bad\xff.png"))
    assert ready.test("run", "--input", folder) == 0


def test_a_phase_without_pairs_is_reported(ready, tiny, error):
    for number in range(2):
        tiny.write_pair(tiny.home / "few" / "train" / f"{number}.png", number)
    assert tiny.train("few", "--dataroot", tiny.home / "few", "--val_fraction", 0, "--stop_at_step", 1) == 0
    assert re.search("--phase val", error(2, tiny.test, "few", "--phase", "val"))


def test_images_may_be_as_large_as_in_training_unless_said(tiny, error):
    assert tiny.train("run", "--max_pixels", 800) == 0  # side by side, 20 x 40
    large = tiny.home / "large.png"
    tiny.write_pair(large, 0, size=(21, 20))
    assert re.search("21x40.*800", error(2, tiny.test, "run", "--input", large))
    assert tiny.test("run", "--input", large, "--max_pixels", 840) == 0


@pytest.fixture
def large(tmp_path):
    """The same image as PNG and, too large for --max_pixels 3000, as TIFF."""
    image = np.random.default_rng(0).integers(0, 256, (70, 45, 3), dtype=np.uint8)
    (tmp_path / "large").mkdir()
    write_image(tmp_path / "large" / "a.png", image)
    write_image(tmp_path / "large" / "b.tif", image)
    return tmp_path / "large"


def test_a_tiff_that_is_too_large_is_translated_by_windows_into_a_tiff(ready, large):
    assert ready.test("run", "--input", large / "b.tif", "--max_pixels", 3000, "--dropout", "off") == 0
    folder = ready.results(part="input_latest")
    by_windows = read_image(folder / "output" / "b.tif")
    assert read_image(folder / "source" / "b.png").shape == (70, 45, 3)
    assert read_image(folder / "preview_output" / "b.png").shape == (70, 45, 3)
    assert '<a class="file" href="output/b.tif"' in (folder / "index.html").read_text()
    assert ready.test("run", "--input", large / "a.png", "--dropout", "off") == 0
    assert np.abs(by_windows.astype(int) - read_image(folder / "output" / "a.png")).max() <= 1


def test_without_tiles_a_tiff_that_is_too_large_is_refused(ready, large, error):
    message = error(2, ready.test, "run", "--input", large / "b.tif", "--max_pixels", 3000, "--tile", "off")
    assert re.search(r"b\.tif.*70x45.*3000", message)


def test_a_large_tiff_of_other_channels_is_refused_by_name(ready, large, error):
    write_image(large / "c.tif", np.zeros((70, 45, 3), np.uint16))
    message = error(2, ready.test, "run", "--input", large / "c.tif", "--max_pixels", 3000)
    assert re.search(r"c\.tif.*uint16.*uint8", message)


def test_a_large_tiff_that_is_damaged_is_left_out(ready, large, capsys):
    image = np.random.default_rng(1).integers(0, 256, (70, 45, 3), dtype=np.uint8)
    tifffile.imwrite(large / "c.tif", image, compression="zlib", rowsperstrip=10, metadata=None)
    content = (large / "c.tif").read_bytes()
    (large / "c.tif").write_bytes(content[:-500])
    (large / "a.png").unlink()
    wanted = ("--input", large, "--max_pixels", 3000, "--dropout", "off")
    assert ready.test("run", *wanted) == 2
    assert "c.tif: " in capsys.readouterr().err
    assert ready.test("run", *wanted, "--skip_bad") == 0
    assert "skipped: " in capsys.readouterr().err


def test_tiles_of_a_given_side_give_what_the_whole_image_gives(ready, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (150, 90, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", image)
    outputs = []
    for tile in (64, "off", "auto"):
        assert ready.test("run", "--input", tmp_path / "a.png", "--tile", tile) == 0
        outputs.append(read_image(ready.results(part="input_latest") / "output" / "a.png").astype(int))
    assert np.abs(outputs[0] - outputs[1]).max() <= 1
    assert np.array_equal(outputs[1], outputs[2])


def test_a_tile_that_is_too_small_is_refused(ready, error):
    assert re.search("64 to 1048576", error(2, ready.test, "run", "--tile", 8))


def test_a_page_shows_large_images_reduced(ready, tmp_path, monkeypatch):
    monkeypatch.setattr("pix2pix.cli.results.PREVIEW", 32)
    write_image(tmp_path / "a.png", np.zeros((64, 40, 3), np.uint8))
    assert ready.test("run", "--input", tmp_path / "a.png") == 0
    folder = ready.results(part="input_latest")
    assert read_image(folder / "output" / "a.png").shape == (64, 40, 3)
    assert read_image(folder / "preview_output" / "a.png").shape == (32, 20, 3)
