import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pix2pix.config.pix2pix import DataOptions
from pix2pix.data.batch import RawPair
from pix2pix.data.codec import ImageCodec
from pix2pix.data.io import write_image
from pix2pix.data.labels import PALETTES
from pix2pix.data.validate import check_pairs, open_training_set, reopen_training_set
from pix2pix.errors import UserError


def silent(seen, count, phase):
    return seen


def image(number, channels=3, dtype=np.uint8, high=256):
    return np.random.default_rng(number).integers(0, high, (8, 8, channels)).astype(dtype)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, array)


def two_folders(root, count=4, a=image, b=image, phase="train", suffix=".png"):
    for number in range(count):
        save(root / f"{phase}A" / f"{number}{suffix}", a(number))
        save(root / f"{phase}B" / f"{number}{suffix}", b(100 + number))


def open_(root, **given):
    return open_training_set(DataOptions(dataroot=str(root), **{"val_fraction": 0.0, **given}), silent)


def refusal(root, **given):
    with pytest.raises(UserError) as caught:
        open_(root, **given)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(root), "ROOT")


def damage(*paths):
    for path in paths:
        path.write_bytes(path.read_bytes()[:100])


def test_every_pair_of_both_phases_is_read_once(tmp_path):
    two_folders(tmp_path)
    two_folders(tmp_path, count=2, phase="val")
    calls = []

    def progress(seen, count, phase):
        names = []
        for one in seen:
            names.append(one.name)
            yield one
        calls.append((phase, count, names))

    data = open_training_set(DataOptions(dataroot=str(tmp_path)), progress)
    assert calls == [("train", 4, ["0", "1", "2", "3"]), ("val", 2, ["0", "1"])]
    assert (len(data.train), len(data.val), data.faults) == (4, 2, ())
    assert data.codec == (ImageCodec("photo", 3), ImageCodec("photo", 3))


ADVICE = "; `python -m pix2pix check ROOT` lists all, --skip_bad leaves them out"


def test_the_first_fault_is_named_and_the_others_counted(tmp_path):
    two_folders(tmp_path)
    two_folders(tmp_path, count=2, phase="val")
    damage(tmp_path / "trainB" / "1.png")
    assert refusal(tmp_path).startswith("ROOT/trainB/1.png: ")
    assert refusal(tmp_path).endswith(ADVICE)
    assert "more fault" not in refusal(tmp_path)
    damage(tmp_path / "trainA" / "3.png")
    assert refusal(tmp_path).endswith(" (and 1 more fault)" + ADVICE)
    damage(tmp_path / "valA" / "0.png")
    assert refusal(tmp_path).startswith("ROOT/trainB/1.png: ")
    assert refusal(tmp_path).endswith(" (and 2 more faults)" + ADVICE)


def test_skip_bad_leaves_faulty_pairs_out_and_says_why(tmp_path):
    two_folders(tmp_path)
    two_folders(tmp_path, count=2, phase="val")
    save(tmp_path / "trainA" / "alone.png", image(0))
    save(tmp_path / "trainA" / "2.png", image(0, channels=1))
    damage(tmp_path / "trainB" / "1.png", tmp_path / "valA" / "0.png")
    data = open_(tmp_path, skip_bad=True)
    assert data.train.names == ("0", "3")
    assert data.val.names == ("1",)
    assert data.skipped == {"train": ["1", "2"], "val": ["0"]}
    assert [fault.replace(str(tmp_path), "").split(maxsplit=1)[0].strip(":") for fault in data.faults] == [
        *("/trainA/alone.png", "/trainB/1.png", "/trainA/2.png", "/valA/0.png")
    ]


def test_a_resumed_run_keeps_what_was_left_out_without_reading_anything(tmp_path, monkeypatch):
    two_folders(tmp_path)
    damage(tmp_path / "trainB" / "1.png")
    options = DataOptions(dataroot=str(tmp_path), val_fraction=0.0, skip_bad=True)
    data = open_training_set(options, silent)
    monkeypatch.setattr("pix2pix.data.layouts.read_image", None)
    again = reopen_training_set(options, data.codec, data.skipped)
    assert again.train == data.train
    assert again.val == data.val


def test_where_no_pair_can_be_used_the_first_fault_says_why(tmp_path):
    two_folders(tmp_path, count=2)
    damage(tmp_path / "trainB" / "0.png", tmp_path / "trainB" / "1.png")
    for skip_bad in (False, True):
        assert refusal(tmp_path, skip_bad=skip_bad).startswith("no pair of train can be used: ROOT/trainB/0.png: ")


def test_where_no_file_has_a_partner_the_first_of_them_says_why(tmp_path):
    save(tmp_path / "trainA" / "1.png", image(0))
    save(tmp_path / "trainB" / "2.png", image(0))
    assert refusal(tmp_path, skip_bad=True) == (
        "--dataroot ROOT: there are no training pairs, no pair is left: ROOT/trainA/1.png has no partner in "
        "ROOT/trainB: partners need equal names"
    )


def test_where_validation_takes_all_pairs_it_is_said(tmp_path, monkeypatch):
    two_folders(tmp_path, count=2)
    monkeypatch.setattr("pix2pix.data.dataset.select_validation_names", lambda names, fraction: set(names))
    assert refusal(tmp_path, val_fraction=0.5) == (
        "--dataroot ROOT: there are no training pairs, all pairs are in val: lower --val_fraction"
    )


def deep(number):
    return image(number, channels=1, dtype=np.uint16, high=4000)


def classes(number):
    return image(number, channels=1, high=12)


def test_without_the_check_the_first_pair_alone_is_read(tmp_path):
    two_folders(tmp_path)
    damage(tmp_path / "trainB" / "1.png")
    data = open_(tmp_path, check=False)
    assert data.train.names == ("0", "1", "2", "3")
    assert data.codec == (ImageCodec("photo", 3), ImageCodec("photo", 3))
    damage(tmp_path / "trainA" / "0.png")
    assert refusal(tmp_path, check=False).startswith("ROOT/trainA/0.png: ")


@pytest.mark.parametrize(
    ("a", "b", "given", "needed"),
    [
        (deep, image, {}, "--source_range LO,HI"),
        (image, deep, {}, "--target_range LO,HI"),
        (deep, image, {"direction": "BtoA"}, "--target_range LO,HI"),
        (deep, deep, {}, "--source_range LO,HI and --target_range LO,HI"),
        (deep, deep, {"source_range": "0,4000"}, "--target_range LO,HI"),
        (classes, image, {"source_kind": "labels"}, "--source_range LO,HI"),
        (image, image, {"target_kind": "labels"}, "--target_palette PALETTE"),
        (deep, classes, {"target_kind": "labels"}, "--source_range LO,HI and --target_palette PALETTE"),
    ],
)
def test_without_the_check_what_it_would_measure_has_to_be_given(tmp_path, a, b, given, needed):
    two_folders(tmp_path, a=a, b=b)
    assert refusal(tmp_path, check=False, **given) == (
        f"--check false reads only the first pair: give {needed}, or leave it out"
    )


@pytest.mark.parametrize(
    ("a", "b", "given"),
    [
        (deep, deep, {"source_range": "0,4000", "target_range": "0,4000"}),
        (classes, image, {"source_kind": "labels", "source_range": "0,11"}),
        (classes, image, {"source_kind": "labels", "source_onehot": "facades"}),
        (image, image, {"source_kind": "labels"}),
        (image, classes, {"target_kind": "labels", "target_palette": "facades"}),
    ],
)
def test_without_the_check_pairs_are_encoded_as_with_it_where_all_is_given(tmp_path, a, b, given):
    two_folders(tmp_path, count=30, a=a, b=b)
    assert open_(tmp_path, check=False, **given).codec == open_(tmp_path, **given).codec


def test_photos_to_color_have_a_known_range_up_to_16_bits(tmp_path):
    for number in range(2):
        save(tmp_path / "train" / f"{number}.png", image(number, dtype=np.uint16, high=4000))
    given = {"target_kind": "lab", "check": False}
    assert open_(tmp_path, **given).codec.source.high == (65535.0,)
    for number in range(2):
        (tmp_path / "train" / f"{number}.png").unlink()
        save(tmp_path / "train" / f"{number}.tif", image(number, dtype=np.float32))
    assert refusal(tmp_path, **given).startswith("--check false reads only the first pair: give --source_range LO,HI,")
    assert open_(tmp_path, **given, source_range="0,255").codec.target.high == (255.0,)


@dataclass(frozen=True)
class Many:
    """So many pairs in memory, each of its own noise."""

    count: int
    layout: str = "many"

    @property
    def names(self):
        return [str(number) for number in range(self.count)]

    def __len__(self):
        return self.count

    def files(self, index):
        return (Path(f"{index}.png"),) * 2

    def read(self, index):
        pixels = np.random.default_rng(index).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
        return RawPair(*pixels, str(index))


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("given", [{"colors": True}, {"closely": True}], ids=["for training", "for check"])
def test_what_is_kept_of_a_pair_is_a_few_numbers(given, count):
    list(check_pairs(Many(3), **given))
    tracemalloc.start()
    try:
        seen = list(check_pairs(Many(count), **given))
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(seen) == count
    assert kept < 5000 * count
    assert peak - kept < 3_000_000


def test_reading_stays_a_little_ahead_of_who_asks():
    read = []

    class Counted(Many):
        def read(self, index):
            read.append(index)
            return super().read(index)

    one_by_one = check_pairs(Counted(5000))
    assert next(one_by_one).name == "0"
    one_by_one.close()
    assert len(read) < 50


def test_an_error_of_the_program_stops_the_reading():
    class Broken(Many):
        def read(self, index):
            raise ZeroDivisionError("a bug" if index == 2 else "another")

    with pytest.raises(ZeroDivisionError, match="another"):
        list(check_pairs(Broken(5)))


def test_training_refuses_a_faulty_pair_before_its_first_step(tiny, error, tmp_path):
    for number in range(3):
        tiny.write_pair(tmp_path / "data" / "train" / f"{number}.png", number)
    damage(tmp_path / "data" / "train" / "1.png")
    flags = ("--dataroot", tmp_path / "data", "--val_fraction", 0)
    line = error(2, tiny.train, "run", *flags)
    assert line.startswith(f"{tmp_path}/data/train/1.png: ")
    assert line.endswith("lists all, --skip_bad leaves them out")
    assert tiny.files() == {}


def test_a_run_that_skips_and_is_resumed_ends_bit_equal_without_reading_all_again(tiny, tmp_path, monkeypatch):
    for number in range(4):
        tiny.write_pair(tmp_path / "data" / "train" / f"{number}.png", number)
    damage(tmp_path / "data" / "train" / "1.png")
    flags = ("--dataroot", tmp_path / "data", "--val_fraction", 0, "--skip_bad")
    assert tiny.train("whole", *flags) == 0
    assert tiny.train("parted", *flags, "--stop_at_step", 4) == 0
    log = (tiny.folder("parted") / "train.log").read_text()
    assert log.count("skipped: ") == 1
    assert ": 3 pairs" in log
    assert tiny.content("parted")["description"]["skipped"] == {"train": ["1"], "val": []}
    monkeypatch.setattr("pix2pix.data.validate.check_pairs", None)
    assert tiny.resume("parted", "--stop_at_step", 8) == 0
    whole, parted = tiny.content("whole"), tiny.content("parted")
    for network, weights in whole["networks"].items():
        assert all(value.equal(parted["networks"][network][name]) for name, value in weights.items())


def test_a_file_damaged_later_is_left_out_on_resuming_with_skip_bad(tiny, error, tmp_path):
    for number in range(4):
        tiny.write_pair(tmp_path / "data" / "train" / f"{number}.png", number)
    assert tiny.train("run", "--dataroot", tmp_path / "data", "--val_fraction", 0, "--stop_at_step", 4) == 0
    damage(tmp_path / "data" / "train" / "1.png")
    assert error(2, tiny.resume, "run", "--stop_at_step", 8).startswith(f"{tmp_path}/data/train/1.png: ")
    assert tiny.resume("run", "--stop_at_step", 8, "--skip_bad") == 0
    assert tiny.content()["description"]["skipped"]["train"] == ["1"]


def test_a_test_refuses_faulty_pairs_with_the_old_results_untouched_or_leaves_them_out(tiny, error, tmp_path, capsys):
    for number in range(3):
        tiny.write_pair(tmp_path / "data" / "test" / f"{number}.png", number)
    assert tiny.train("run", "--steps", 2) == 0
    assert tiny.test("run", "--dataroot", tmp_path / "data") == 0
    before = {path: path.read_bytes() for path in tiny.results().rglob("*") if path.is_file()}
    damage(tmp_path / "data" / "test" / "1.png")
    line = error(2, tiny.test, "run", "--dataroot", tmp_path / "data")
    assert line.startswith(f"{tmp_path}/data/test/1.png: ")
    assert before == {path: path.read_bytes() for path in tiny.results().rglob("*") if path.is_file()}
    assert tiny.test("run", "--dataroot", tmp_path / "data", "--skip_bad") == 0
    assert f"skipped: {tmp_path}/data/test/1.png: " in capsys.readouterr().err
    assert sorted(path.stem for path in (tiny.results() / "output").iterdir()) == ["0", "2"]
    assert "2, 1 skipped" in (tiny.results() / "index.html").read_text()


@pytest.mark.parametrize(("phase", "other"), [("train", "val"), ("val", "train")])
def test_one_side_of_a_phase_is_not_passed_over(tmp_path, phase, other):
    two_folders(tmp_path, phase=other)
    save(tmp_path / phase / "A" / "1.png", image(1))
    message = f"ROOT/{phase}/A has no partner folder ROOT/{phase}/B: put the other side of its images there"
    assert refusal(tmp_path) == refusal(tmp_path, skip_bad=True) == message


@pytest.mark.parametrize("channels", [2, 5])
def test_photos_to_color_have_one_three_or_four_channels(tmp_path, channels):
    for number in range(3):
        save(tmp_path / "train" / f"{number}.tif", image(number))
    save(tmp_path / "train" / "1.tif", image(1, channels=channels))
    message = refusal(tmp_path, target_kind="lab")
    assert message.startswith(f"ROOT/train/1.tif: {channels} channels, but photos need 1, 3 or 4: keep three of them")


def test_gray_validation_images_are_converted_as_check_says(tmp_path):
    two_folders(tmp_path)
    two_folders(tmp_path, count=5, phase="val", a=lambda number: image(number, channels=1))
    assert open_(tmp_path).val.read(0).source.shape == (8, 8, 3)


def facades(number):
    return np.array(PALETTES["facades"].colors, np.uint8)[image(number, 1, high=12)[..., 0]]


def test_labels_without_a_class_for_most_pixels_are_refused(tmp_path):
    two_folders(tmp_path)
    for side, given in (
        ("sources", {"source_onehot": "facades"}),
        ("targets", {"target_kind": "labels", "target_palette": "facades"}),
    ):
        message = refusal(tmp_path, **given)
        assert message.endswith(
            f"% of the {side}' pixels have no class in the palette: check --direction, and whether the images "
            "have the palette's colors, or indices of its classes"
        )


def test_labels_with_some_pixels_of_no_class_are_remarked_on(tmp_path):
    two_folders(tmp_path, a=lambda n: np.where(image(n, 1) < 80, 255, image(n, 1) % 12).astype(np.uint8))
    (remark,) = open_(tmp_path, source_onehot="facades").remarks
    assert remark.endswith("% of the sources' pixels have no class in the palette; its indices are 0 to 11")
    two_folders(tmp_path / "mostly", a=lambda n: np.where(image(n, 1) < 220, 255, image(n, 1) % 12).astype(np.uint8))
    assert len(open_(tmp_path / "mostly", source_onehot="facades").remarks) == 1
    two_folders(tmp_path / "ids", a=lambda n: image(n, 1, high=34))
    assert "of the sources' pixels have no class" in refusal(tmp_path / "ids", source_onehot="facades")
    two_folders(tmp_path / "clean", a=facades)
    assert open_(tmp_path / "clean", source_onehot="facades").remarks == ()


def test_a_range_that_clips_is_remarked_on_and_one_without_values_refused(tmp_path):
    two_folders(tmp_path, a=lambda n: image(n, 1, np.uint16, high=4096) + np.uint16(7))
    (remark,) = open_(tmp_path, source_range="0,1000").remarks
    assert remark.startswith("the sources have values from ")
    assert remark.endswith(": those outside 0 to 1000 are clipped")
    message = refusal(tmp_path, source_range="70000,80000")
    assert message.startswith("--source_range 70000,80000: the sources have values from ")
    assert message.endswith(": give a range that includes them")
    assert open_(tmp_path).remarks == ()
