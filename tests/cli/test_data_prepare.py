import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from pix2pix.cli import main
from pix2pix.config.parse import parse
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.data.generated import generate
from pix2pix.data.io import read_image, write_image
from pix2pix.data.layouts import list_pairs


def prepare(command, *flags):
    return main(["prepare", command, *map(str, flags)])


def generated(out, *flags):
    return prepare("generated", "--out", out, "--size", 32, *flags)


def pairs_of(root, phase):
    return list_pairs(root, phase, photos=False).pairs


def image(height=8, width=6, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def save(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, picture)
    return picture


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def problems(capsys, *arguments):
    """The lines of a command that must refuse: what is wrong, one each, and the error at last."""
    assert prepare(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.splitlines()


def test_two_folders_become_pairs_that_training_reads(tmp_path, capsys):
    a, b = save(tmp_path / "a/train/x/1.png", image(seed=1)), save(tmp_path / "b/train/x/1.webp", image(seed=2))
    save(tmp_path / "a/val/2.png", image(seed=3))
    grey = save(tmp_path / "b/val/2.png", image(channels=1))
    assert prepare("combine", "--a", tmp_path / "a", "--b", tmp_path / "b", "--out", tmp_path / "ab") == 0
    assert capsys.readouterr().out == (
        f"2 pairs in {tmp_path}/ab (train 1, val 1); train with: python train.py --dataroot {tmp_path}/ab --name NAME\n"
    )
    assert listing(tmp_path / "ab") == ["train/x/1.png", "val/2.png"]
    pair = pairs_of(tmp_path / "ab", "train").read(0)
    assert (pair.source == a).all()
    assert (pair.target == b).all()
    assert (pairs_of(tmp_path / "ab", "val").read(0).target == grey).all()


def test_jpeg_is_kept_as_it_is_and_that_is_said_once(tmp_path, capsys):
    for name in ("a/1.jpg", "a/2.jpeg", "b/1.png", "b/2.png"):
        save(tmp_path / name, image())
    assert prepare("combine", "--a", tmp_path / "a", "--b", tmp_path / "b", "--out", tmp_path / "ab") == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first == "JPEG images are stored as PNG with their JPEG artifacts"
    assert last == (
        f"2 pairs in {tmp_path}/ab; split them with: python -m pix2pix prepare split --input {tmp_path}/ab "
        f"--out {tmp_path}/ab_split"
    )
    assert (read_image(tmp_path / "ab/1.png")[:, :6] == read_image(tmp_path / "a/1.jpg")).all()


def test_all_that_is_wrong_with_two_folders_is_listed_before_anything_is_written(tmp_path, capsys):
    for name in ("a/alone.png", "a/size.png", "a/twice.png", "a/twice.jpg", "a/text.png", "a/fine.png", "a/alpha.png"):
        save(tmp_path / name, image())
    for name in ("b/size.png", "b/text.png", "b/fine.png"):
        save(tmp_path / name, image(9 if "size" in name else 8))
    save(tmp_path / "b/alpha.png", image(channels=4))
    (tmp_path / "b/text.png").write_text("text")
    *lines, last = problems(capsys, "combine", "--a", tmp_path / "a", "--b", tmp_path / "b", "--out", tmp_path / "ab")
    assert [line.removeprefix(f"{tmp_path}/").split()[0] for line in lines] == [
        *("a/twice.jpg", "a/alone.png", "a/alpha.png", "a/size.png", "b/text.png:"),
    ]
    assert re.search("error: 5 ", last)
    assert not (tmp_path / "ab").exists()


def test_of_many_problems_twenty_are_listed(tmp_path, capsys):
    save(tmp_path / "b/x.png", image())
    for number in range(25):
        save(tmp_path / f"a/{number}.png", image())
    lines = problems(capsys, "combine", "--a", tmp_path / "a", "--b", tmp_path / "b", "--out", tmp_path / "ab")
    assert len(lines) == 22
    assert lines[20:] == [
        "and 6 more",
        "error: 26 problems, listed above; nothing was written: repair or remove the images",
    ]


def test_larger_images_are_refused_unless_they_are_allowed(tmp_path, capsys):
    save(tmp_path / "a/1.png", image())
    save(tmp_path / "b/1.png", image())
    flags = ("combine", "--a", tmp_path / "a", "--b", tmp_path / "b", "--out", tmp_path / "ab")
    assert re.search("error:", problems(capsys, *flags, "--max_pixels", 47)[-1])
    assert prepare(*flags, "--max_pixels", 48) == 0


def test_photos_become_pairs_of_edges_and_photo(tmp_path, capsys):
    photo = np.zeros((16, 16, 3), np.uint8)
    photo[:, 8:] = 200
    save(tmp_path / "photos/train/1.png", photo)
    assert prepare("edges", "--input", tmp_path / "photos", "--out", tmp_path / "pairs", "--blur", 0) == 0
    assert capsys.readouterr().out.startswith(f"1 pairs in {tmp_path}/pairs (train 1); train with: python train.py ")
    pair = pairs_of(tmp_path / "pairs", "train").read(0)
    assert (pair.target == photo).all()
    assert (pair.source == 0).all(axis=2).sum(axis=1).tolist() == [1] * 16
    assert ((pair.source == 0) | (pair.source == 255)).all()


def test_a_photo_that_cannot_be_read_stops_all_edges(tmp_path, capsys):
    save(tmp_path / "photos/1.png", image())
    (tmp_path / "photos/2.png").write_text("text")
    line, _ = problems(capsys, "edges", "--input", tmp_path / "photos", "--out", tmp_path / "pairs")
    assert line.startswith(f"{tmp_path}/photos/2.png: not a PNG")
    assert not (tmp_path / "pairs").exists()


def test_a_split_copies_every_file_byte_for_byte(tmp_path, capsys):
    for number in range(30):
        save(tmp_path / f"all/{number}.jpg", image(seed=number))
    assert prepare("split", "--input", tmp_path / "all", "--out", tmp_path / "new", "--val", 0.2, "--test", 0.2) == 0
    said = capsys.readouterr().out
    folders = {path.parent.name for path in (tmp_path / "new").rglob("*.jpg")}
    assert folders == {"train", "val", "test"}
    counts = ", ".join(f"{phase} {len(listing(tmp_path / 'new' / phase))}" for phase in ("train", "val", "test"))
    assert said == (
        f"30 images in {tmp_path}/new ({counts}); if each is A|B side by side, train with: python train.py --dataroot "
        f"{tmp_path}/new --name NAME; for photos to color: add --target_kind lab\n"
    )
    copies = {path.name: path.read_bytes() for path in (tmp_path / "new").rglob("*.jpg")}
    assert copies == {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()}


def test_partners_that_were_split_are_pairs_that_training_reads(tmp_path, capsys):
    for number in range(20):
        save(tmp_path / f"all/A/{number}.png", image(seed=number))
        save(tmp_path / f"all/B/{number}.png", 255 - image(seed=number))
    assert prepare("split", "--input", tmp_path / "all", "--out", tmp_path / "new") == 0
    assert capsys.readouterr().out.endswith(f"; train with: python train.py --dataroot {tmp_path}/new --name NAME\n")
    phases = [phase for phase in ("train", "val", "test") if (tmp_path / "new" / phase).exists()]
    assert sum(len(pairs_of(tmp_path / "new", phase)) for phase in phases) == 20
    pair = pairs_of(tmp_path / "new", "train").read(0)
    assert (pair.target == 255 - pair.source).all()


def test_a_split_of_partners_lists_those_that_are_alone(tmp_path, capsys):
    save(tmp_path / "all/A/1.png", image())
    save(tmp_path / "all/A/2.png", image())
    save(tmp_path / "all/B/1.png", image())
    line, _ = problems(capsys, "split", "--input", tmp_path / "all", "--out", tmp_path / "new")
    assert re.search(rf"{tmp_path}/all/A/2\.png.*{tmp_path}/all/B", line)


def test_the_next_command_can_be_typed_whatever_the_names(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("it's a \u00e9", "--odd", "generated"):
        for side in ("a", "b"):
            save(tmp_path / side / "train/-1 \u00fc'.png", image())
        assert prepare("combine", "--a=a", "--b", "b", f"--out={folder}") == 0
        _, _, command = capsys.readouterr().out.strip().partition("train with: ")
        python, program, *words = shlex.split(command)
        dataroot = parse(words, Pix2PixOptions, program=f"{python} {program}").options.data.dataroot
        assert dataroot != "generated"
        assert pairs_of(Path(dataroot), "train").names == ("-1 \u00fc'",)


def test_a_data_set_in_the_working_folder_is_split_beside_it(tmp_path, capsys, monkeypatch):
    save(tmp_path / "in/1.png", image())
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert prepare("edges", "--input", "../in", "--out", ".") == 0
    assert capsys.readouterr().out.endswith(f" --input . --out {tmp_path}/here_split\n")
    assert listing(tmp_path / "here") == ["1.png"]


def test_generated_facades_become_pairs_that_training_reads(tmp_path, capsys):
    assert generated(tmp_path / "facades", "--train", 3, "--val", 1, "--test", 2) == 0
    assert capsys.readouterr().out == (
        f"6 pairs in {tmp_path}/facades; train with: python train.py --dataroot {tmp_path}/facades --direction BtoA "
        "--name NAME\n"
    )
    for phase, count in (("train", 3), ("val", 1), ("test", 2)):
        pairs = pairs_of(tmp_path / "facades", phase)
        assert len(pairs) == count
        assert pairs.read(0).source.shape == pairs.read(0).target.shape == (32, 32, 3)


def test_a_phase_of_no_facades_is_not_there(tmp_path):
    assert generated(tmp_path / "facades", "--train", 1, "--val", 0, "--test", 0) == 0
    assert listing(tmp_path / "facades") == ["train/0001.png"]
    assert [path.name for path in (tmp_path / "facades").iterdir()] == ["train"]


def test_arrays_that_no_file_can_hold_side_by_side_are_found_before_any_is_written(tmp_path, capsys):
    for name in ("a/1.npy", "b/1.npy"):
        save(tmp_path / name, np.ones((3, 40, 65), np.float32))
    line, last = problems(capsys, "combine", "--a", tmp_path / "a", "--b", tmp_path / "b", "--out", tmp_path / "x/ab")
    assert re.search(r"1\.npy.*\(3, 80, 65\)", line)
    assert re.search("error:", last)
    assert not (tmp_path / "x").exists()


def test_the_same_seed_writes_the_same_pairs_and_each_pair_is_another(tmp_path):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        generated(tmp_path / name, "--train", 2, "--val", 1, "--test", 1, "--seed", seed)
    written = {name: [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.png"))] for name in
               ("one", "again", "other")}  # fmt: skip
    assert written["one"] == written["again"]
    assert len({*written["one"], *written["other"]}) == 8


def test_the_files_hold_the_generated_pair(tmp_path):
    generated(tmp_path / "facades", "--train", 1, "--val", 0, "--test", 0)
    photo, labels = generate(0, 0, size=(32, 32))
    written = read_image(tmp_path / "facades/train/0001.png")
    assert (written[:, :32] == photo).all()
    assert (written[:, 32:] == labels).all()


def test_nothing_is_written_over(tmp_path, error):
    (tmp_path / "mine.txt").write_text("mine")
    save(tmp_path / "in/1.png", image())
    save(tmp_path / "too/1.png", image())
    for command in (
        ("generated",),
        ("edges", "--input", tmp_path / "in"),
        ("split", "--input", tmp_path / "in", "--test", 0),
        ("combine", "--a", tmp_path / "in", "--b", tmp_path / "too"),
    ):
        assert re.search(f"--out {tmp_path}", error(2, prepare, *command, "--out", tmp_path))
    assert listing(tmp_path) == ["in/1.png", "mine.txt", "too/1.png"]


def test_a_place_that_cannot_be_written_is_reported(tmp_path, error):
    (tmp_path / "file").write_text("")
    assert re.search(f"--out {tmp_path}/file/facades", error(2, generated, tmp_path / "file/facades"))


def test_a_folder_without_images_is_reported(tmp_path, error):
    (tmp_path / "none").mkdir()
    message = error(2, prepare, "edges", "--input", tmp_path / "none", "--out", tmp_path / "out")
    assert message.startswith(f"{tmp_path}/none: no images: ")
    message = error(2, prepare, "split", "--input", tmp_path / "gone", "--out", tmp_path / "out")
    assert re.search(f"{tmp_path}/gone", message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "'nothing'.*combine, edges, split, generated"),
        (["photos"], "'photos'.*combine, edges, split, generated"),
        (["spilt"], "'spilt'.*split"),
        (["generated"], "--out.*missing"),
        (["generated", "--out", "x", "--sizes", "32"], "--sizes.*--size"),
        (["combine", "--a", "x"], "--b.*missing"),
        (["edges", "--input", "x", "--out", "y", "--low", "300"], "--low 300.*--high 200"),
        (["split", "--input", "x", "--out", "y", "--val", "0.5", "--test", "0.5"], "--val.*--test"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_in_one_line(error, arguments, message):
    assert re.search(message, error(2, main, ["prepare", *arguments]))


@pytest.mark.parametrize("command", ["combine", "edges", "split", "generated"])
def test_help_lists_the_options(capsys, command):
    assert main(["prepare", "--help"]) == 0
    assert f"  {command} " in capsys.readouterr().out
    assert main(["prepare", command, "--help"]) == 0
    assert "--out" in capsys.readouterr().out
