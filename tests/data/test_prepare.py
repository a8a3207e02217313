import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pix2pix.data.io import read_image, write_image
from pix2pix.data.prepare import (
    PARTIAL,
    FileToCopy,
    ImageToWrite,
    atomic_folder,
    choose_phase,
    choose_suffix,
    draw_edges,
    find_problem,
    join_side_by_side,
    plan_edges,
    plan_pairs,
    plan_split,
    write_item,
)
from pix2pix.errors import ImageError, UserError

NAMES = [f"photo {number}" for number in range(10_000)]
CANNY = {"low": 100, "high": 200, "blur": 1}


def image(height=8, width=6, channels=3, dtype=np.uint8, seed=0):
    numbers = np.random.default_rng(seed).integers(0, 65536, (height, width, channels))
    return (numbers % 256 if dtype == np.uint8 else numbers).astype(dtype)


def test_a_pair_is_a_beside_b():
    a, b = image(seed=1), image(seed=2)
    pair = join_side_by_side(a, b)
    assert (pair[:, :6] == a).all()
    assert (pair[:, 6:] == b).all()


def test_gray_beside_color_becomes_color_of_the_same_values():
    grey, colour = image(channels=1), image()
    assert (join_side_by_side(grey, colour)[:, :6] == grey).all()
    assert (join_side_by_side(colour, grey)[:, 6:] == grey).all()
    assert join_side_by_side(grey, grey).shape == (8, 12, 1)


@pytest.mark.parametrize(
    ("b", "message"),
    [
        (image(8, 7), "A is 8x6 but B is 8x7: the images of a pair need equal sizes: resize one of them"),
        (image(dtype=np.uint16), "A is uint8 but B uint16: "),
        (image(channels=4), "A has 3 channels but B 4: "),
        (image(channels=2), "A has 3 channels but B 2: "),
    ],
)
def test_what_cannot_be_joined_is_reported(b, message):
    with pytest.raises(ImageError) as error:
        join_side_by_side(image(), b)
    alike = "" if "size" in message else "a file needs equal ones: convert one, or train from two folders"
    assert str(error.value) == message + alike


def test_edges_are_black_where_a_step_is_and_white_elsewhere():
    photo = np.zeros((20, 30, 3), np.uint8)
    photo[:, 15:] = 255
    drawn = draw_edges(photo, **CANNY)
    assert drawn.shape == (20, 30, 1)
    black = (drawn[..., 0] == 0).nonzero()[1]
    assert len(black) == 20
    assert set(black) <= {14, 15}
    assert (drawn[drawn != 0] == 255).all()


def test_a_plain_photo_has_no_edges():
    assert (draw_edges(np.full((9, 9, 3), 77, np.uint8), **CANNY) == 255).all()
    assert (draw_edges(np.full((1, 1, 1), 77, np.uint8), **CANNY) == 255).all()


def test_edges_are_the_same_at_either_depth():
    photo = image(40, 40, channels=1)
    assert (draw_edges(photo, **CANNY) == draw_edges(photo.astype(np.uint16) * 257, **CANNY)).all()
    assert (draw_edges(photo, **CANNY) == 0).any()


def test_lower_thresholds_and_less_blur_draw_more():
    photo = image(64, 64)
    few, more, most = (
        (draw_edges(photo, low, high, blur) == 0).sum() for low, high, blur in ((100, 200, 2), (20, 40, 2), (20, 40, 0))
    )
    assert few < more < most


def test_transparency_plays_no_part_in_edges():
    photo = image(20, 20)
    with_alpha = np.dstack([photo, image(20, 20, 1, seed=3)])
    assert (draw_edges(photo, **CANNY) == draw_edges(with_alpha, **CANNY)).all()


@pytest.mark.parametrize("photo", [image(channels=5), image(dtype=np.float32)])
def test_what_has_no_edges_to_draw_is_reported(photo):
    with pytest.raises(ImageError, match="edges need 1, 3 or 4 channels of uint8 or uint16: convert it"):
        draw_edges(photo, **CANNY)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_sketch_keeps_the_photo_and_is_black_and_white_in_its_depth(tmp_path, channels, dtype):
    photo = image(20, 30, channels, dtype)
    write_image(tmp_path / "a.png", photo)
    (drawing,), faults = plan_edges(tmp_path, 20, 40, 0, 10**6)
    pair = drawing.make()
    assert faults == []
    assert pair.dtype == dtype
    assert (pair[:, 30:] == photo).all()
    assert set(np.unique(pair[:, :30, : min(channels, 3)])) == {0, np.iinfo(dtype).max}


def test_a_phase_is_a_function_of_the_name_in_the_shares_that_are_asked():
    counts = Counter(str(choose_phase(name, 0.1, 0.2)) for name in NAMES)
    for phase, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        assert abs(counts[phase] - share * 10_000) < 4 * (10_000 * share * (1 - share)) ** 0.5


def test_the_phase_of_a_name_stays_what_it_is():
    assert [str(choose_phase(name, 0.3, 0.3)) for name in ("1", "2", "3", "4", "5")] == PINNED


# the first digits of their SHA-256, by sha256sum: 0.6b 0.d4 0.4e 0.4b 0.ef, on a scale from 0 to 0.ff
PINNED = ["val", "train", "val", "test", "train"]


def test_shares_may_grow_without_moving_what_is_in_test():
    tenth, fifth = ({name for name in NAMES if str(choose_phase(name, 0, test)) == "test"} for test in (0.1, 0.2))
    assert tenth < fifth
    assert all(str(choose_phase(name, 0, 0)) == "train" for name in NAMES)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def test_more_images_move_no_others(tmp_path):
    touch(tmp_path / "one", *(f"{n}.png" for n in range(0, 60, 2)))
    touch(tmp_path / "two", *(f"{n}.jpg" for n in range(60)))
    one, two = (
        {copy.path.with_suffix("") for copy in plan_split(tmp_path / name, 0.2, 0.2)[0]} for name in ("one", "two")
    )
    assert one < two
    assert len(two) == 60


def test_partners_stay_together_in_whatever_form_their_names_are(tmp_path):
    touch(tmp_path / "A", *(f"x/{n} \u00fc.png" for n in range(40)))
    touch(tmp_path / "B", *(f"x/{n} u\u0308.jpg" for n in range(40)))
    copies, faults, _ = plan_split(tmp_path, 0.2, 0.2)
    assert faults == []
    sides = {side: {(copy.path.parts[0], copy.path.stem.split()[0]) for copy in copies if copy.path.parts[1] == side}
             for side in "AB"}  # fmt: skip
    assert sides["A"] == sides["B"]
    assert len(sides["A"]) == 40
    assert {copy.path.parts[2] for copy in copies} == {"x"}


def test_a_split_that_leaves_nothing_to_train_is_refused(tmp_path):
    touch(tmp_path, "3.png", "4.png")
    with pytest.raises(UserError) as error:
        plan_split(tmp_path, 0.3, 0.3)
    assert str(error.value) == f"{tmp_path}: none of 2 images would be in train: lower --val and --test"


def test_what_is_without_a_partner_or_has_a_name_twice_is_reported(tmp_path):
    touch(tmp_path / "A", "1.png", "2.png", "3.png", "3.jpg")
    touch(tmp_path / "B", "1.jpg", "4.png")
    copies, faults, _ = plan_split(tmp_path, 0, 0)
    _, same = plan_pairs(tmp_path / "A", tmp_path / "B", 1)
    assert {copy.file.stem for copy in copies} == {"1"}
    assert faults == same == [
        f"{tmp_path}/A/3.jpg and {tmp_path}/A/3.png have the same name without suffix: keep one of them",
        f"{tmp_path}/A/2.png has no partner in {tmp_path}/B: partners need equal names",
        f"{tmp_path}/B/4.png has no partner in {tmp_path}/A: partners need equal names",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "channels", "suffix", "written"),
    [
        (np.uint8, 3, ".jpg", ".png"),
        (np.uint16, 4, ".tif", ".png"),
        (np.uint8, 1, ".npy", ".png"),
        (np.uint8, 5, ".tif", ".tif"),
        (np.float32, 3, ".NPY", ".npy"),
        (np.int32, 1, ".tiff", ".tif"),
    ],
)
def test_png_is_written_where_it_can_hold_the_image(tmp_path, dtype, channels, suffix, written):
    pair = image(channels=channels, dtype=dtype)
    assert choose_suffix(pair, suffix) == written
    write_item(ImageToWrite(Path(f"deep/x{suffix}"), lambda: pair), tmp_path)
    (file,) = (tmp_path / "deep").iterdir()
    assert file.name == f"x{written}"
    again = read_image(file)
    assert again.dtype == dtype
    assert (again == pair).all()


def test_a_problem_is_found_without_writing(tmp_path):
    touch(tmp_path, "text.png")
    out = tmp_path.with_name("out")
    out.mkdir()
    (drawing,), _ = plan_edges(tmp_path, 1, 2, 0, 10**6)
    assert find_problem(drawing, out).startswith(f"{tmp_path}/text.png: not a PNG")
    write_image(tmp_path / "text.png", image(channels=3))
    assert find_problem(drawing, out) is None
    (small,), _ = plan_edges(tmp_path, 1, 2, 0, 47)
    assert "pixels" in find_problem(small, out)
    np.save(tmp_path / "text.npy", image(channels=5))
    (tmp_path / "text.png").unlink()
    (odd,), _ = plan_edges(tmp_path, 1, 2, 0, 10**6)
    assert find_problem(odd, out).startswith(f"{tmp_path}/text.npy: 5 channels of uint8: ")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "shape", "why"),
    [
        (".npy", (3, 80, 65), "an array of shape (3, 80, 65), but (H, W, C) is needed: "),
        (".tif", (0, 80, 65), "a .tif file cannot store float32 of shape (0, 80, 65): "),
    ],
)
def test_a_pair_that_its_format_cannot_hold_is_found_without_writing(tmp_path, suffix, shape, why):
    said = find_problem(ImageToWrite(Path(f"x/1{suffix}"), lambda: np.ones(shape, np.float32)), tmp_path)
    assert said.startswith(f"x/1{suffix} could not be read again, train from two folders: {why}")
    assert str(tmp_path) not in said
    assert list(tmp_path.iterdir()) == []


def test_what_hinders_writing_is_reported_without_the_unfinished_folder(tmp_path):
    (tmp_path / PARTIAL / "x/1.png").mkdir(parents=True)
    with pytest.raises(UserError) as error:
        write_item(ImageToWrite(Path("x/1.jpg"), image), tmp_path / PARTIAL)
    assert str(error.value) == "cannot write x/1.png: Is a directory"


def test_png_is_not_written_where_it_is_too_long_to_be_read():
    assert choose_suffix(np.zeros((1, 1_000_000, 1), np.uint16), ".png") == ".png"
    assert choose_suffix(np.zeros((1, 1_000_001, 1), np.uint16), ".png") == ".tif"


def test_one_folder_is_no_pair_of_folders(tmp_path):
    touch(tmp_path / "a", "1.png")
    with pytest.raises(UserError) as error:
        plan_pairs(tmp_path / "a", tmp_path / "b/../a", 1)
    assert str(error.value) == f"--a and --b are the same folder, {tmp_path}/a: pairs need two"


@pytest.mark.parametrize("name", ["train", "val", "test/A", "trainA", "testB", "A/train", "B/val"])
def test_what_is_split_already_is_not_split_again(tmp_path, name):
    touch(tmp_path, f"{name}/1.png", "2.png")
    place = name.removesuffix("/A") if name.startswith("test/") else name
    with pytest.raises(UserError) as error:
        plan_split(tmp_path, 0.1, 0.1)
    assert str(error.value) == (
        f"{tmp_path} is split already, it has {tmp_path}/{place}: train from it, or split what is inside"
    )


@pytest.mark.parametrize(("a", "b"), [("a", "b"), ("photos", "labels"), ("photos/x", "labels/x")])
def test_partners_in_folders_of_other_names_are_not_torn_apart(tmp_path, a, b):
    touch(tmp_path / a, "1.png", "2.png")
    touch(tmp_path / b, "1.jpg", "2.jpg")
    with pytest.raises(UserError, match=r"with images of equal names: call them A/ and B/ if they are partners"):
        plan_split(tmp_path, 0.1, 0.1)


def test_images_beside_partners_are_not_left_behind(tmp_path):
    touch(tmp_path, "A/1.png", "B/1.png", "C/2.png")
    advice = "beside A/ and B/: put partners into both, or remove the images"
    with pytest.raises(UserError) as error:
        plan_split(tmp_path, 0.1, 0.1)
    assert str(error.value) == f"{tmp_path}/C/2.png {advice}"
    touch(tmp_path, "C/10.png", "C/3.png")
    with pytest.raises(UserError) as error:
        plan_split(tmp_path, 0.1, 0.1)
    assert str(error.value) == f"{tmp_path}/C/2.png and 2 more {advice}"


def test_a_name_that_is_double_in_one_folder_is_reported_once(tmp_path):
    touch(tmp_path, "a/1.png", "a/1.jpg", "b/1.png", "a/Two.png", "b/two.png")
    _, faults = plan_pairs(tmp_path / "a", tmp_path / "b", 1)
    assert faults == [
        f"{tmp_path}/a/1.jpg and {tmp_path}/a/1.png have the same name without suffix: keep one of them",
        f"{tmp_path}/a/Two.png has no partner in {tmp_path}/b: two.png differs in case only, rename it",
        f"{tmp_path}/b/two.png has no partner in {tmp_path}/a: Two.png differs in case only, rename it",
    ]


def test_a_file_that_cannot_be_copied_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"^cannot write train/gone\.png: No such file or directory$"):
        write_item(FileToCopy(tmp_path / "gone.png", Path("train/gone.png")), tmp_path)


def test_a_new_folder_is_filled_at_once(tmp_path):
    out = tmp_path / "deep/out"
    with atomic_folder(out) as folder:
        touch(folder, "train/1.png", "2.png")
        assert [path.name for path in out.iterdir()] == [PARTIAL]
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*")) == ["2.png", "train", "train/1.png"]


def fill_and_fail(out, why, name="train/1.png"):
    with atomic_folder(out) as folder:
        touch(folder, name)
        raise why


@pytest.mark.parametrize("was_there", [False, True])
@pytest.mark.parametrize("why", [UserError, KeyboardInterrupt])
def test_a_failure_leaves_the_folder_as_it_was(tmp_path, was_there, why):
    out = tmp_path / "out"
    if was_there:
        out.mkdir()
    with pytest.raises(why):
        fill_and_fail(out, why)
    assert out.exists() == was_there
    assert not was_there or list(out.iterdir()) == []


def test_a_failure_takes_the_folders_above_that_were_made_and_no_others(tmp_path):
    (tmp_path / "was").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fill_and_fail(tmp_path / "was/new/newer/out", KeyboardInterrupt)
    assert [path.name for path in tmp_path.rglob("*")] == ["was"]
    with pytest.raises(UserError, match=r"cannot be written: File name too long$"):
        fill_and_fail(tmp_path / "was/new" / ("x" * 300), KeyboardInterrupt)
    assert [path.name for path in tmp_path.rglob("*")] == ["was"]


def test_a_failure_leaves_what_others_have_put_beside(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fill_and_fail(tmp_path / "new/out", KeyboardInterrupt, "../../theirs.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["theirs.png"]


def test_what_a_killed_command_left_is_reported_from_a_whole_data_set(tmp_path):
    touch(tmp_path / PARTIAL, "1.png")
    with pytest.raises(UserError) as error, atomic_folder(tmp_path):
        pass
    assert str(error.value) == (
        f"--out {tmp_path} has .partial: a command was interrupted, or is still writing; delete the folder if "
        "none is, or choose another"
    )
    shutil.rmtree(tmp_path / PARTIAL)
    with atomic_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_linked_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    with atomic_folder(tmp_path / "out") as folder:
        touch(folder, "1.png")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk/1.png").exists()
