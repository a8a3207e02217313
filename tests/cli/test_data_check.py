import os
import re
import shutil
import signal
import threading
import time

import numpy as np
import pytest

from pix2pix.cli import main
from pix2pix.data.io import read_image, write_image
from pix2pix.data.layouts import FilePairs


def noise(number, width=16, channels=3, dtype=np.uint8):
    high = np.iinfo(dtype).max
    return np.random.default_rng(number).integers(0, high, (16, width, channels), dtype=dtype, endpoint=True)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


def two_folders(root, phase="train", count=6, first=0):
    for number in range(first, first + count):
        save(root / f"{phase}A" / f"{number}.png", noise(number))
        save(root / f"{phase}B" / f"{number}.png", noise(1000 + number))


def side_by_side(root, phase="test", count=4, first=100):
    for number in range(first, first + count):
        save(root / phase / f"{number}.png", noise(number, width=32))


@pytest.fixture
def check(tmp_path, capsys):
    """Run the command on tmp_path/data; return its status and lines, in which ROOT is the data set."""

    def run(*flags, root=tmp_path / "data"):
        status = main(["check", str(root), "--out", str(tmp_path / "out"), *map(str, flags)])
        out, err = capsys.readouterr()
        assert err == ""
        return status, out.replace(str(root), "ROOT").replace(str(tmp_path), "TMP").splitlines()

    return run


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def lines_of(lines, kind):
    return [line.removeprefix(f"{kind}: ") for line in lines if line.startswith(f"{kind}: ")]


def test_a_sound_data_set_is_described_and_drawn(check, data, tmp_path):
    two_folders(data)
    side_by_side(data)
    assert check() == (
        0,
        [
            "train: A in ROOT/trainA, B of the same names in ROOT/trainB: 6 pairs",
            "  height x width: 16x16 (6)",
            "  A: channels x depth: 3 x uint8 (6); values 0 to 255",
            "  B: channels x depth: 3 x uint8 (6); values 0 to 255",
            "val: none",
            "test: side-by-side A|B images in ROOT/test: 4 pairs",
            "  height x width: 16x16 (4)",
            "  A: channels x depth: 3 x uint8 (4); values 0 to 255",
            "  B: channels x depth: 3 x uint8 (4); values 0 to 255",
            "no errors, 0 warnings",
            "contact sheet: TMP/out/data.png",
        ],
    )
    assert read_image(tmp_path / "out" / "data.png").std() > 50


def faulty(data):
    """Write a data set with one of each fault; return the file that each fault has to name, and words of it."""
    two_folders(data, count=8)
    a, b = data / "trainA", data / "trainB"
    save(a / "alone_a.png", noise(20))
    save(b / "alone_b.png", noise(21))
    save(a / "Case.png", noise(22))
    save(b / "case.png", noise(23))
    for number, name in enumerate(("unequal", "unreadable", "truncated", "bomb", "deep", "grey", "loop", "nan")):
        save(a / f"{name}.png", noise(40 + number))
        save(b / f"{name}.png", noise(50 + number))
    save(b / "unequal.png", noise(24, width=18))
    (a / "unreadable.png").write_text("no image")
    (b / "truncated.png").write_bytes((b / "truncated.png").read_bytes()[:300])
    save(a / "bomb.png", np.zeros((101, 100, 3), np.uint8))
    save(b / "deep.png", noise(25, dtype=np.uint16))
    save(a / "grey.png", noise(26, channels=1))
    (a / "loop.png").unlink()
    (a / "loop.png").symlink_to("loop.png")
    (b / "nan.png").unlink()
    np.save(b / "nan.npy", np.full((16, 16), np.nan))
    side_by_side(data)
    save(data / "test" / "odd.png", noise(27, width=31))
    save(data / "test" / "twice.png", noise(28, width=32))
    save(data / "test" / "twice.webp", noise(29, width=32))
    (data / "val").mkdir()
    (data / "val" / "Thumbs.db").touch()
    save(data / "test" / ".hidden.png", noise(30))
    (data / "test" / "again").symlink_to("..")
    return {
        "trainA/alone_a.png": "has no partner in ROOT/trainB: partners need equal names",
        "trainB/alone_b.png": "has no partner in ROOT/trainA: partners need equal names",
        "trainA/Case.png": "has no partner in ROOT/trainB: case.png differs in case only, rename it",
        "trainB/case.png": "has no partner in ROOT/trainA: Case.png differs in case only, rename it",
        "trainB/unequal.png": "is 16x18: the images of a pair need equal sizes",
        "trainA/unreadable.png": "not a PNG, JPEG, WebP, TIFF or NPY image",
        "trainB/truncated.png": "",
        "trainA/bomb.png": "101x100 are more than 10000 pixels: make it smaller, or raise --max_pixels",
        "trainB/deep.png": "the B has 3 channels of uint16, but",
        "trainA/grey.png": "the A has 1 channel of uint8, but",
        "trainA/loop.png": "Too many levels of symbolic links",
        "trainB/nan.npy": "has values that are NaN, infinite",
        "test/odd.png": "31 pixels wide, but A|B side by side needs an even width",
        "test/twice.webp": "have the same name without suffix: keep one of them",
        "val: ": "no images: files ending in .png",
    }


def test_one_of_each_fault_is_listed_in_one_run(check, data):
    expected = faulty(data)
    status, lines = check("--max_pixels", 10000)
    assert status == 2
    wrong = lines_of(lines, "error")
    for file, words in expected.items():
        naming = [line for line in wrong if f"ROOT/{file}" in line]
        assert len(naming) == 1, (file, wrong)
        assert words in naming[0]
    assert len(wrong) == len(expected)
    assert lines[-2] == f"{len(expected)} errors, 0 warnings"
    assert "train: A in ROOT/trainA, B of the same names in ROOT/trainB: 10 pairs of 16" in lines
    assert "test: side-by-side A|B images in ROOT/test: 4 pairs of 5" in lines
    assert "  A: channels x depth: 3 x uint8 (9), 1 x uint8 (1); values 0 to 255" in lines
    assert not any(word in line for line in lines for word in ("hidden", "Thumbs", "test/again"))


def test_warnings_alone_are_no_fault(check, data):
    two_folders(data, count=12)
    side_by_side(data)
    save(data / "trainB" / "3.png", np.full((16, 16, 3), 9, np.uint8))
    shutil.copy(data / "test" / "100.png", data / "test" / "copy.png")
    for name in ("notes.TXT", "more.txt", "LICENSE"):
        (data / name).touch()
    status, lines = check()
    assert status == 0
    assert lines_of(lines, "warning") == [
        "1 file of no suffix, such as ROOT/LICENSE: not read",
        "2 files of .txt, such as ROOT/more.txt: not read",
        "ROOT/trainB/3.png: 100% of B is one color",
        "ROOT/test/100.png and ROOT/test/copy.png are the same file",
    ]
    assert lines[-2] == "no errors, 4 warnings"


def test_the_sheet_begins_with_what_stands_out(check, data, monkeypatch):
    from pix2pix.report import contact_sheet

    two_folders(data, count=60)
    save(data / "trainA" / "41.png", noise(0, channels=1))
    save(data / "trainB" / "50.png", np.full((16, 16, 3), 9, np.uint8))
    drawn = []
    monkeypatch.setattr(
        contact_sheet, "draw_contact_sheet", lambda tiles: drawn.extend(tiles) or np.zeros((1, 1, 3), "u1")
    )
    assert check()[0] == 2
    assert [(tile.caption, tile.marked) for tile in drawn[:3]] == [
        ("train/41", True),
        ("train/50", True),
        ("train/0", False),
    ]
    assert len(drawn) in range(20, 25)
    assert all(len(tile.images) == 2 for tile in drawn)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda data: None, "ROOT.*folder"),
        (lambda data: data.write_text("x"), "ROOT.*folder"),
        (
            lambda data: (data / "pictures").mkdir(parents=True),
            "ROOT.*train/.*trainA/.*trainB/",
        ),
    ],
    ids=["nothing", "a file", "no phase"],
)
def test_what_is_no_data_set_is_one_line(data, error, make, message):
    make(data)
    assert re.search(message, error(2, main, ["check", str(data)]).replace(str(data), "ROOT"))


def test_the_data_set_has_to_be_named(error):
    assert re.search("--dataroot.*missing", error(2, main, ["check"]))


def test_a_line_break_in_the_name_of_what_is_missing_is_escaped(error):
    assert re.search(r"'no\\nsuch'", error(2, main, ["check", "no\nsuch"]))


def test_a_side_without_the_other_is_wrong(check, data):
    two_folders(data)
    save(data / "testA" / "1.png", noise(1))
    save(data / "valA" / "1.png", noise(1))
    status, lines = check()
    assert status == 2
    assert lines_of(lines, "error") == [
        "ROOT/valA has no partner folder ROOT/valB: put the other side of its images there",
        "for test.py only: ROOT/testA has no partner folder ROOT/testB: put the other side of its images there",
    ]
    assert lines_of(lines, "warning") == []


def test_without_one_sound_pair_the_sheet_is_empty(check, data, tmp_path):
    (data / "train").mkdir(parents=True)
    (data / "train" / "1.png").write_text("no image")
    status, lines = check()
    assert status == 2
    assert lines[0] == "train: side-by-side A|B images in ROOT/train: 0 pairs of 1"
    assert (read_image(tmp_path / "out" / "data.png") == 255).all()


def test_photos_need_no_partners(check, data, monkeypatch):
    from pix2pix.report import contact_sheet

    drawn = []
    monkeypatch.setattr(
        contact_sheet, "draw_contact_sheet", lambda tiles: drawn.extend(tiles) or np.zeros((1, 1, 3), "u1")
    )
    for number in range(3):
        save(data / f"{number}.png", noise(number, width=15))
    status, lines = check("--photos")
    assert (status, lines[0]) == (0, "train: photos in ROOT: 3 pairs")
    assert [len(tile.images) for tile in drawn] == [1, 1, 1]


NAMES = ("new\nline", "\u202eright to left", "\N{HOUSE BUILDING}", "-x", "50%", "<b>", "tab\t\x1b[31m")


def test_any_name_makes_one_line_a_finding(check, data):
    two_folders(data, count=1)
    for name in NAMES:
        save(data / "trainA" / f"{name}.png", noise(1))
        (data / f"{name}.{name}").touch()
    save(data / "trainB" / "-x.png", noise(2))
    status, lines = check()
    assert status == 2
    assert len(lines_of(lines, "error")) == len(NAMES) - 1
    assert len(lines_of(lines, "warning")) == len(NAMES)
    assert len(lines) == 6 + 2 * len(NAMES) - 1 + 2


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_may_have_any_name(check, tmp_path, name, monkeypatch):
    side_by_side(tmp_path / name, "train")
    status, lines = check(root=tmp_path / name)
    assert (status, len(lines)) == (0, 8)
    monkeypatch.chdir(tmp_path)
    assert main(["check", f"--dataroot={name}", "--out", "out"]) == 0


def test_a_folder_that_cannot_be_listed_is_one_fault_among_others(check, data, monkeypatch):
    two_folders(data)
    save(data / "trainA" / "alone.png", noise(1))
    (data / "extra").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("extra"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    status, lines = check()
    assert status == 2
    assert [line.partition(": ")[0] for line in lines_of(lines, "error")] == [
        "ROOT/trainA/alone.png has no partner in ROOT/trainB",
        "ROOT/extra",
    ]


def test_where_the_sheet_cannot_be_written_the_findings_are_still_reported(data, tmp_path, capsys):
    side_by_side(data, "train")
    (tmp_path / "file").touch()
    assert main(["check", str(data), "--out", str(tmp_path / "file")]) == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "no errors, 0 warnings"
    assert re.search(f"error:.*--out {tmp_path}/file", err)


def test_a_sheet_among_the_data_is_refused(data, error):
    side_by_side(data, "train")
    for out in (data, data / "train", data / "sheets"):
        message = f"--out {out}.*{data}"
        assert re.search(message, error(2, main, ["check", str(data), "--out", str(out)]))


def test_the_sheet_of_a_folder_with_a_very_long_name_has_a_shorter_one(check, tmp_path):
    root = tmp_path / ("é" * 126)
    side_by_side(root, "train")
    status, lines = check(root=root)
    assert (status, lines[-1]) == (0, f"contact sheet: TMP/out/{'é' * 100}.png")


def test_validation_photos_alone_are_no_train(check, data):
    save(data / "val" / "1.png", noise(1))
    assert lines_of(check("--photos")[1], "error") == ["ROOT has no train folder: add it"]


@pytest.mark.parametrize("phase", ["test", "val"])
def test_without_train_there_is_nothing_to_learn(check, data, phase):
    side_by_side(data, phase)
    assert lines_of(check()[1], "error") == ["ROOT has no train folder: add it"]


def test_what_is_not_read_is_reported_with_what_may_have_been_meant(check, data):
    two_folders(data, "train/")
    for number, place in enumerate(("validation/A", "Test", "trainA", "trainB", "train", "extra/deep", ".")):
        save(data / place / "x.png", noise(200 + number))
    status, lines = check()
    assert status == 0
    read_from = ": train is A in ROOT/train/A, B of the same names in ROOT/train/B"
    assert sorted(lines_of(lines, "warning")) == [
        "1 image in ROOT, such as ROOT/x.png: not read",
        "1 image in ROOT/Test, such as ROOT/Test/x.png: not read: call it test/",
        "1 image in ROOT/extra, such as ROOT/extra/deep/x.png: not read",
        f"1 image in ROOT/train, such as ROOT/train/x.png: not read{read_from}",
        f"1 image in ROOT/trainA, such as ROOT/trainA/x.png: not read{read_from}",
        f"1 image in ROOT/trainB, such as ROOT/trainB/x.png: not read{read_from}",
        "1 image in ROOT/validation, such as ROOT/validation/A/x.png: not read: call it val/",
    ]


def test_val_and_test_are_held_to_what_train_has(check, data):
    two_folders(data, "train", count=2)
    two_folders(data, "val", count=5, first=20)
    for number in range(20, 25):
        save(data / "valA" / f"{number}.png", noise(number, channels=1))
    save(data / "valB" / "22.png", noise(30, dtype=np.uint16))
    two_folders(data, "test", count=1, first=40)
    save(data / "testA" / "40.png", noise(31, dtype=np.uint16))
    save(data / "testB" / "40.png", noise(32, dtype=np.uint16))
    status, lines = check()
    assert status == 2
    depth = "is uint16, but training images are uint8: convert it"
    assert lines_of(lines, "error") == [
        f"ROOT/valB/22.png: {depth}",
        f"for test.py only: ROOT/testA/40.png: {depth}; ROOT/testB/40.png: {depth}",
    ]
    assert lines_of(lines, "warning") == [
        "val: 5 of 5 A have other channels than train, such as ROOT/valA/20.png with 1 for 3: photos are converted, "
        "label maps refused"
    ]


def test_both_faults_of_a_pair_are_reported(check, data):
    two_folders(data)
    save(data / "trainA" / "1.png", noise(1, dtype=np.uint16))
    save(data / "trainB" / "1.png", noise(2, channels=1))
    save(data / "trainA" / "2.png", np.zeros((101, 100, 3), np.uint8))
    (data / "trainB" / "2.png").write_text("no image")
    first, second = sorted(lines_of(check("--max_pixels", 10000)[1], "error"))
    assert "1.png: the A has 3 channels of uint16, but" in first
    assert "; ROOT/trainB/1.png: the B has 1 channel of uint8, but" in first
    assert "2.png: 101x100 are more than 10000 pixels" in second
    assert "; ROOT/trainB/2.png: not a PNG" in second


def test_photos_may_differ_in_channels_that_training_converts(check, data):
    for number, channels in enumerate((3, 3, 1, 4)):
        save(data / "train" / f"{number}.png", noise(number, channels=channels))
    assert lines_of(check("--photos")[1], "error") == []
    save(data / "train" / "deep.png", noise(9, dtype=np.uint16))
    save(data / "train" / "two.tif", noise(10, channels=2))
    save(data / "train" / "five.tif", noise(11, channels=5))
    assert sorted(lines_of(check("--photos")[1], "error")) == [
        "ROOT/train/deep.png: the photo has values of uint16, but 4 of 5 have values of uint8: make them equal",
        "ROOT/train/five.tif: 5 channels, but photos need 1, 3 or 4: keep three of them",
        "ROOT/train/two.tif: 2 channels, but photos need 1, 3 or 4: keep three of them",
    ]


def test_an_error_of_the_program_is_not_taken_for_a_fault_of_the_data(data, monkeypatch):
    side_by_side(data)

    def fail(pairs, index):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(FilePairs, "read", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["check", str(data)])


def test_ctrl_c_ends_it_at_once(data, monkeypatch):
    side_by_side(data, count=200)
    read_one = FilePairs.read

    def slowly(pairs, index):
        time.sleep(0.2)
        return read_one(pairs, index)

    monkeypatch.setattr(FilePairs, "read", slowly)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    assert main(["check", str(data)]) == 130
    assert time.monotonic() - began < 5
    timer.join()
