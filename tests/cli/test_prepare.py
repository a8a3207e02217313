import pytest

from pix2pix.cli import main
from pix2pix.data.pairs import open_pairs
from pix2pix.images import read


def prepare(out, *flags):
    return main(["prepare", "generated", "--out", str(out), "--size", "32", *map(str, flags)])


def test_it_writes_pairs_that_training_reads(tmp_path, capsys):
    assert prepare(tmp_path / "facades", "--train", 3, "--val", 1, "--test", 2) == 0
    assert capsys.readouterr().out == (
        f"6 pairs in {tmp_path}/facades; train with: python train.py --dataroot {tmp_path}/facades --direction BtoA "
        "--name NAME\n"
    )
    for phase, count in (("train", 3), ("val", 1), ("test", 2)):
        pairs = open_pairs(str(tmp_path / "facades"), phase, direction="BtoA", val_fraction=0.05)
        assert len(pairs) == count
        assert pairs.read(0).source.shape == pairs.read(0).target.shape == (32, 32, 3)


def test_the_same_seed_writes_the_same_pairs_and_each_pair_is_another(tmp_path):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        prepare(tmp_path / name, "--train", 2, "--val", 1, "--test", 1, "--seed", seed)
    written = {name: [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.png"))] for name in
               ("one", "again", "other")}  # fmt: skip
    assert written["one"] == written["again"]
    assert len({*written["one"], *written["other"]}) == 8


def test_the_files_hold_what_the_built_in_data_set_shows(tmp_path):
    prepare(tmp_path / "facades", "--train", 1, "--val", 0, "--test", 0)
    built_in = open_pairs("generated", "train", direction="AtoB", val_fraction=0, size=(32, 32)).read(0)
    written = read(tmp_path / "facades/train/0001.png")
    assert (written[:, :32] == built_in.source).all()
    assert (written[:, 32:] == built_in.target).all()


def test_nothing_is_written_over(tmp_path, error):
    (tmp_path / "mine.txt").write_text("mine")
    assert error(2, prepare, tmp_path) == (
        f"--out {tmp_path} exists and is no empty folder; choose another, nothing is written over"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_place_that_cannot_be_written_is_told(tmp_path, error):
    (tmp_path / "file").write_text("")
    assert error(2, prepare, tmp_path / "file/facades") == (
        f"--out {tmp_path}/file/facades cannot be written: Not a directory"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "prepare got 'nothing'; allowed: generated"),
        (["photos"], "prepare got 'photos'; allowed: generated"),
        (["generated"], "--out is missing: the folder to write"),
        (["generated", "--out", "x", "--sizes", "32"], "unknown option --sizes: did you mean --size?"),
    ],
)
def test_a_mistake_is_told_in_one_line(error, arguments, message):
    assert error(2, main, ["prepare", *arguments]) == message


@pytest.mark.parametrize("arguments", [["--help"], ["generated", "--help"]])
def test_help_lists_its_options(capsys, arguments):
    assert main(["prepare", *arguments]) == 0
    assert "--out" in capsys.readouterr().out
