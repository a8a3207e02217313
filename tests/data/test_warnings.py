import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix.data.generated import generate
from pix2pix.data.io import write_image
from pix2pix.data.layouts import list_pairs
from pix2pix.data.validate import check_pairs
from pix2pix.data.warnings import find_warnings

SIZE = (32, 32, 3)


def noise(number, size=SIZE):
    return np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8)


def sketch(number):
    """White with one black line, as drawn edges are: 97 % of it is white."""
    image = np.full(SIZE, 255, np.uint8)
    image[number % 32] = 0
    return image


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)


def two_folders(root, pairs, phase="train", suffix=".png"):
    for number, (a, b) in enumerate(pairs):
        save(root / f"{phase}A" / f"{number}{suffix}", a)
        save(root / f"{phase}B" / f"{number}{suffix}", b)


def found(root, photos=False):
    listings = {phase: list_pairs(root, phase, photos=photos) for phase in ("train", "val", "test")}
    seen = {phase: list(check_pairs(one.pairs, closely=True)) for phase, one in listings.items() if one}
    return find_warnings(seen, photos=photos)


def sentences(root, **given):
    return [warning.sentence.replace(str(root), "ROOT") for warning in found(root, **given)]


def test_a_plain_picture_is_named_with_its_pair(tmp_path):
    plain = np.full(SIZE, 40, np.uint8)
    two_folders(tmp_path, [(noise(n), plain if n == 3 else noise(100 + n)) for n in range(5)])
    (warning,) = found(tmp_path)
    assert warning.sentence == f"{tmp_path}/trainB/3.png: 100% of B is one color"
    assert [one.name for one in warning.pairs] == ["3"]


def test_one_that_differs_from_the_others_is_named(tmp_path):
    def half(number, colour):
        image = noise(number)
        image[:20] = colour
        return image

    two_folders(tmp_path, [(half(n, (0, 0, 90) if n == 42 else 255), noise(1000 + n)) for n in range(120)])
    assert sentences(tmp_path) == ["ROOT/trainA/42.png: 62% of A is one color"]


@pytest.mark.parametrize("count", [2, 5, 150])
def test_edges_that_are_nearly_white_are_not_odd_one_by_one(tmp_path, count):
    two_folders(tmp_path, [(sketch(0) // 2 * 2 + noise(n) % 2, noise(1000 + n)) for n in range(count)])
    assert not any("is one color" in sentence for sentence in sentences(tmp_path))


def test_the_same_file_in_train_and_test_is_a_leak_and_in_one_phase_a_copy(tmp_path):
    for number, phase in enumerate(["train"] * 4 + ["test"] * 2):
        save(tmp_path / phase / f"{number}.png", noise(number, (32, 64, 3)))
    shutil.copy(tmp_path / "train" / "0.png", tmp_path / "train" / "copy.png")
    shutil.copy(tmp_path / "train" / "2.png", tmp_path / "test" / "leak.png")
    assert sentences(tmp_path) == [
        "ROOT/train/0.png and ROOT/train/copy.png are the same file",
        "ROOT/train/2.png and ROOT/test/leak.png are the same file, in train and test: scores will be too good",
    ]
    assert [[one.name for one in warning.pairs] for warning in found(tmp_path)] == [["0", "copy"], ["2", "leak"]]


def test_both_sides_in_one_file_twice_or_many_copies_make_one_short_line(tmp_path):
    image = noise(0)
    two_folders(tmp_path, [(image, image)] * 10)
    (line,) = sentences(tmp_path)
    assert line == "ROOT/trainA/0.png and ROOT/trainB/0.png and ROOT/trainA/1.png and 17 more are the same file"


def test_only_files_that_look_alike_are_read_again(tmp_path, monkeypatch):
    two_folders(tmp_path, [(noise(n), noise(100 + n)) for n in range(6)])
    shutil.copy(tmp_path / "trainB" / "1.png", tmp_path / "trainA" / "5.png")
    listing = list_pairs(tmp_path, "train", photos=False)
    seen = {"train": list(check_pairs(listing.pairs, closely=True))}
    opened, open_file = [], Path.open
    monkeypatch.setattr(Path, "open", lambda path, *mode: opened.append(path.name) or open_file(path, *mode))
    monkeypatch.setattr("pix2pix.data.warnings.estimate_jpeg_quality", lambda path: None)
    assert len(find_warnings(seen)) == 1
    assert sorted(opened) == ["1.png", "5.png"]


def labelled(root, phase="train", count=4, suffix=".png", **options):
    for number in range(count):
        photo, labels = generate(0, number, size=(128, 128))
        save(root / phase / f"{number}{suffix}", np.hstack([photo, labels]), **options)


def test_label_maps_mixed_by_jpeg_are_reported_with_their_palette(tmp_path):
    labelled(tmp_path, suffix=".jpg", quality=90)
    assert sentences(tmp_path) == [
        "B looks like label maps with the colors of `facades`, mixed by JPEG or resizing: as source "
        "--source_onehot facades, as target --target_kind labels --target_palette facades restore them"
    ]


def test_clean_labels_are_reported_with_the_options_that_keep_them_so(tmp_path):
    labelled(tmp_path)
    assert sentences(tmp_path) == [
        "B has the colors of `facades`: --source_kind labels or --target_kind labels prevents mixing them"
    ]


def test_few_colors_of_no_known_palette_are_reported(tmp_path):
    classes = [np.random.default_rng(n).integers(0, 12, (32, 32), dtype=np.uint8) for n in range(3)]
    two_folders(tmp_path, [(one, noise(n)) for n, one in enumerate(classes)])
    assert sentences(tmp_path) == [
        "A has few colors (about 12), like label maps: --source_kind labels or --target_kind labels prevents "
        "mixing them"
    ]


def test_another_jpeg_quality_in_another_phase_is_reported(tmp_path):
    for phase, quality in (("train", 90), ("test", 60)):
        for number in range(3):
            save(tmp_path / phase / f"{number}.jpg", noise(number + quality, (32, 64, 3)), quality=quality)
    assert sentences(tmp_path) == ["the JPEG quality of A|B differs between phases: train about 90, test about 60"]


def test_the_quality_of_each_side_is_its_own(tmp_path):
    for phase, quality in (("train", 90), ("test", 75)):
        for number in range(3):
            save(tmp_path / f"{phase}A" / f"{number}.jpg", noise(number + quality), quality=quality)
            save(tmp_path / f"{phase}B" / f"{number}.png", noise(10 + number + quality))
    assert sentences(tmp_path) == ["the JPEG quality of A differs between phases: train about 90, test about 75"]


def test_far_fewer_bytes_at_the_same_quality_are_reported(tmp_path):
    for phase, coarse in (("train", 1), ("test", 8)):
        for number in range(3):
            image = noise(number + coarse, (32 // coarse, 64 // coarse, 3)).repeat(coarse, 0).repeat(coarse, 1)
            save(tmp_path / phase / f"{number}.jpg", image, quality=90)
    (line,) = sentences(tmp_path)
    assert line.startswith("test: the JPEG files of A|B have ")
    assert line.endswith("% fewer bytes per pixel than those of train, at the same quality: smoother images, or "
                         "compressed twice")  # fmt: skip


def test_layouts_that_differ_between_phases_are_not_compared(tmp_path):
    for number in range(3):
        save(tmp_path / "train" / f"{number}.jpg", noise(number, (32, 64, 3)), quality=90)
        save(tmp_path / "testA" / f"{number}.jpg", noise(10 + number), quality=60)
        save(tmp_path / "testB" / f"{number}.jpg", noise(20 + number), quality=60)
    assert sentences(tmp_path) == []


def test_photos_are_reported_once(tmp_path):
    for number in range(3):
        save(tmp_path / "train" / f"{number}.png", noise(number))
    write_image(tmp_path / "train" / "plain.png", np.full(SIZE, 9, np.uint8))
    assert sentences(tmp_path, photos=True) == ["ROOT/train/plain.png: 100% of the photo is one color"]


def test_faulty_pairs_and_no_pairs_have_no_warnings(tmp_path):
    two_folders(tmp_path, [(noise(0), noise(1)[:5])])
    assert sentences(tmp_path) == []
    assert find_warnings({}) == find_warnings({"train": []}) == []


def test_more_channels_than_rows_look_like_axes_in_another_order(tmp_path):
    for number in range(2):
        for side in "AB":
            (tmp_path / f"train{side}").mkdir(exist_ok=True)
            image = np.random.default_rng(number).random((3, 64, 64 if side == "A" else 16))
            np.save(tmp_path / f"train{side}" / f"{number}.npy", image)
    assert [line for line in sentences(tmp_path) if "channels first" in line] == [
        "ROOT/trainA/0.npy (and 1 more): 64 channels of a 3x64 image: channels first? put them last"
    ]
