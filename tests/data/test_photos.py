import os
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pix2pix.config.style import ContentStyleOptions, PhotoOptions
from pix2pix.data.dataset import select_validation_names
from pix2pix.data.generated import generate
from pix2pix.data.io import write_image
from pix2pix.data.photos import PhotoData, iterate_photos, open_photo_data, photo_batches, reopen_photo_data
from pix2pix.errors import ImageError, UserError


def silent(faults, count, phase):
    return faults


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng([seed, height, width]).integers(0, 256, (height, width, channels), dtype=np.uint8)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


def tree(root, count=5, size=(20, 30)):
    for number in range(count):
        save(root / f"{number}.png", noise(*size, seed=number))
    return root


def options(root, styles=None, **given):
    given = {"load_size": 16, "crop_size": 12, "num_workers": 0, "val_fraction": 0.0, "dataroot": str(root)} | given
    return PhotoOptions(**given) if styles is None else ContentStyleOptions(**given, styles=str(styles))


def open_(root, *styles, **given):
    return open_photo_data(options(root, *styles, **given), silent)


def refusal(root, *styles, **given):
    with pytest.raises(UserError) as caught:
        open_(root, *styles, **given)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(root), "ROOT")


def damage(*paths):
    for path in paths:
        path.write_bytes(path.read_bytes()[:100])


@dataclass(frozen=True)
class Held:
    """Photographs in memory, named by their numbers."""

    images: list[np.ndarray] = field(repr=False)

    def __post_init__(self):
        for image in self.images:
            image.setflags(write=False)

    @property
    def names(self):
        return [str(number) for number in range(len(self.images))]

    def __len__(self):
        return len(self.images)

    def read(self, index):
        return self.images[index]


def held(photos, styles=None):
    photos = Held(photos)
    return PhotoData(photos, photos, None if styles is None else Held(styles), {})


def flat(value, count, size=(8, 8)):
    return [np.full((*size, 3), value + number, np.uint8) for number in range(count)]


def run(found, count, start_step=0, **changes):
    given = {"batch_size": 2, "seed": 0} | {key: changes.pop(key) for key in list(changes) if key in KEYWORDS}
    stream = photo_batches(found, options("held", **changes), **given, start_step=start_step)
    batches = list(islice(stream, count))
    stream.close()
    return batches


KEYWORDS = ("batch_size", "seed", "shown", "rank", "ranks", "pinned")


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert one.name == other.name
        assert torch.equal(one.content, other.content)
        assert not hasattr(one, "style") or torch.equal(one.style, other.style)


def test_a_folder_tree_of_photos_of_any_size_becomes_batches_of_one(tmp_path):
    save(tmp_path / "a" / "tall.png", noise(40, 20))
    save(tmp_path / "b" / "c" / "wide.jpg", noise(20, 50))
    data = PhotoOptions(dataroot=str(tmp_path), load_size=16, crop_size=(12, 14), val_fraction=0, num_workers=0)
    found = open_photo_data(data, silent)
    batch = next(photo_batches(found, data, batch_size=2, seed=0))
    assert batch.content.shape == (2, 3, 12, 14)
    assert batch.content.dtype == torch.float32
    assert batch.content.abs().max() <= 1
    assert sorted(batch.name) == ["a/tall.png", "b/c/wide.jpg"]


def test_style_pictures_come_beside_the_photos(tmp_path):
    data = options(tree(tmp_path / "photos", 3), tree(tmp_path / "styles", 2, (30, 13)))
    found = open_photo_data(data, silent)
    batch = next(photo_batches(found, data, batch_size=8, seed=0))
    assert batch.content.shape == batch.style.shape == (8, 3, 12, 12)
    assert len(batch.name) == 8
    assert found.styles.layout == f"photos in {tmp_path / 'styles'}"


def places(height=20, width=30):
    """A photo whose pixels say where they are."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([rows, columns, rows * 0], axis=2)


def test_where_nothing_is_resized_a_crop_is_a_window_of_the_photo_anywhere_mirrored_half_of_the_time():
    photo, tops, lefts, mirrored = places(), set(), set(), 0
    for batch in run(held([photo]), 300, batch_size=1, load_size=20, crop_size=(16, 18)):
        crop = ((batch.content[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        if crop[0, 0, 1] > crop[0, 1, 1]:
            crop, mirrored = crop[:, ::-1], mirrored + 1
        top, left, _ = map(int, crop[0, 0])
        assert np.array_equal(crop, photo[top : top + 16, left : left + 18])
        tops.add(top)
        lefts.add(left)
    assert (tops, lefts) == (set(range(5)), set(range(13)))
    assert 110 < mirrored < 190


def test_without_flip_the_same_crops_are_shown_unmirrored():
    flipped, plain = (run(held([places()]), 20, flip=flip) for flip in (True, False))
    for one, other in zip(flipped, plain, strict=True):
        for ours, theirs in zip(one.content, other.content, strict=True):
            assert torch.equal(ours, theirs) or torch.equal(ours.flip(-1), theirs)
            assert theirs[1, 0, 0] < theirs[1, 0, -1]


@pytest.mark.parametrize("size", [(40, 64), (64, 40)])
@pytest.mark.parametrize("load_size", [10, 20, 80])
def test_the_shorter_side_becomes_load_size_in_the_photos_own_proportions(size, load_size):
    crop_size = (load_size // 2, load_size * 4 // 5)
    for batch in run(held([places(*size)]), 5, load_size=load_size, crop_size=crop_size, flip=False):
        rows, columns = ((batch.content[:, channel] + 1) * 127.5 for channel in (0, 1))
        middle = slice(1, -1)  # at the borders a bicubic curve bends
        for step in (rows.diff(dim=1)[:, middle, middle], columns.diff(dim=2)[:, middle, middle]):
            assert step.mean().item() == pytest.approx(40 / load_size, rel=0.1)
            assert (step - 40 / load_size).abs().max() <= 1  # rounded to 8 bits


@pytest.mark.parametrize(
    ("array", "suffix"),
    [
        (np.full((9, 7, 1), 51, np.uint8), ".png"),
        (np.full((9, 7, 4), 51, np.uint8), ".webp"),
        (np.full((9, 7, 3), 51, np.uint8), ".jpg"),
        (np.full((9, 7, 3), 13107, np.uint16), ".png"),
        (np.full((9, 7, 1), 0.2, np.float32), ".tif"),
        (np.full((9, 7, 4), 0.2, np.float32), ".npy"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.shape[2]}x{value.dtype}",
)
def test_depth_and_channels_play_no_part_in_a_batch(tmp_path, array, suffix):
    save(tmp_path / f"photo{suffix}", array)
    save(tmp_path / "another.png", np.full((5, 6, 3), 51, np.uint8))
    (batch,) = run(open_(tmp_path), 1)
    assert sorted(batch.name) == ["another.png", f"photo{suffix}"]
    assert torch.allclose(batch.content, torch.tensor(-0.6), atol=1e-3)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.data())
def test_a_photo_of_any_size_fills_any_crop(height, width, load_size, data):
    sides = st.integers(1, load_size)
    crop_size = data.draw(sides), data.draw(sides)
    photos = held([noise(height, width)], [noise(width, height)])
    (batch,) = run(photos, 1, batch_size=1, load_size=load_size, crop_size=crop_size)
    assert batch.content.shape == batch.style.shape == (1, 3, *crop_size)
    assert batch.content.isfinite().all()
    (batch,) = iterate_photos(photos, options("held", load_size=load_size, crop_size=crop_size))
    assert min(batch.content.shape[2:]) == min(batch.style.shape[2:]) == min(crop_size)


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1)])
def test_one_row_of_pixels_is_never_enlarged_as_a_whole(size):
    found = held([noise(*size)])
    big = {"load_size": 2048, "crop_size": (2048, 2048)}  # the whole would have 20 thousand million pixels
    (batch,) = run(found, 1, batch_size=1, **big)
    assert batch.content.shape == (1, 3, 2048, 2048)
    (batch,) = iterate_photos(found, options("held", load_size=64, crop_size=64))
    assert sorted(batch.content.shape[2:]) == [64, 256]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("styles", [None, 3])
def test_a_run_resumed_at_any_step_sees_the_same_batches(num_workers, styles):
    found = held([noise(20, 20 + number) for number in range(5)], styles and [noise(15, 9)] * styles)
    whole = run(found, 7)
    assert_equal(run(found, 4, start_step=3, num_workers=num_workers), whole[3:])


def test_a_run_goes_on_after_the_photos_shown_whatever_the_size_of_a_step_now():
    found = held(flat(0, 7), flat(0, 4))
    wide, narrow = run(found, 5, batch_size=4), run(found, 4, start_step=3, batch_size=2, shown=12)
    assert [name for batch in wide[3:] for name in batch.name] == [name for batch in narrow for name in batch.name]
    assert torch.equal(torch.cat([batch.style for batch in wide[3:]]), torch.cat([batch.style for batch in narrow]))


@pytest.mark.parametrize("styles", [1, 2, 9])
def test_processes_share_the_batch_of_one_in_its_order(styles):
    found = held([noise(12, 20, seed=number) for number in range(5)], flat(0, styles))
    whole = run(found, 4, batch_size=6)
    parts = [run(found, 4, rank=rank, ranks=3) for rank in range(3)]
    for step, batch in enumerate(whole):
        assert batch.name == [name for part in parts for name in part[step].name]
        for one in ("content", "style"):
            assert torch.equal(getattr(batch, one), torch.cat([getattr(part[step], one) for part in parts]))


def numbers(images):
    return [round(float(image.mean() + 1) * 127.5) for image in images]


def test_an_epoch_shows_each_photo_and_each_style_once_whatever_their_numbers():
    photos, styles = 6, 4
    batches = run(held(flat(0, photos), flat(100, styles)), 12)
    for shown, count, first in (("content", photos, 0), ("style", styles, 100)):
        order = [number for batch in batches for number in numbers(getattr(batch, shown))]
        epochs = [order[begin : begin + count] for begin in range(0, 24, count)]
        assert all(sorted(epoch) == list(range(first, first + count)) for epoch in epochs)
        assert len(set(map(tuple, epochs))) > 1
    assert all(batch.name == list(map(str, numbers(batch.content))) for batch in batches)


def test_as_many_styles_as_photos_are_in_an_order_of_their_own():
    batches = run(held(flat(0, 9), flat(0, 9)), 9)
    pairs = {pair for one in batches for pair in zip(numbers(one.content), numbers(one.style), strict=True)}
    assert len(pairs) > 9


def test_seeds_have_orders_and_crops_of_their_own():
    found = held([noise(12, 30)])
    first, again, other = (run(found, 3, seed=seed) for seed in (0, 0, 1))
    assert_equal(first, again)
    assert not any(torch.equal(one.content, two.content) for one, two in zip(first, other, strict=True))


def test_a_single_style_and_a_single_photo_fill_every_batch():
    batches = run(held(flat(7, 1), flat(9, 1)), 3, batch_size=5)
    assert [(numbers(one.content), numbers(one.style), one.name) for one in batches] == [
        ([7] * 5, [9] * 5, ["0"] * 5)
    ] * 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("styles", [None, 2])
def test_pinned_batches_are_the_same_in_pinned_memory(styles):
    found = held(flat(0, 3), styles and flat(9, styles))
    pinned = run(found, 2, pinned=True)
    assert all(tensor.is_pinned() for batch in pinned for tensor in batch[:-1])
    assert_equal(pinned, run(found, 2))


def test_validation_shows_whole_photos_in_order_beside_the_styles_in_turn():
    photos = [noise(20, 30), noise(30, 20), noise(9, 9), noise(40, 20)]
    found = held(photos, flat(50, 3, (10, 25)))
    data = options("held", crop_size=(12, 10))
    seen = list(iterate_photos(found, data))
    assert [one.name for one in seen] == [["0"], ["1"], ["2"], ["3"]]
    assert [one.content.shape[2:] for one in seen] == [(10, 15), (15, 10), (10, 10), (20, 10)]
    assert [one.style.shape[2:] for one in seen] == [(10, 25)] * 4
    assert [numbers(one.style) for one in seen] == [[50], [51], [52], [50]]
    small = ((seen[0].content[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(small, cv2.resize(photos[0], (15, 10), interpolation=cv2.INTER_AREA))
    assert len(list(iterate_photos(found, data, limit=2))) == 2
    shares = [list(iterate_photos(found, data, rank=rank, ranks=3)) for rank in range(3)]
    assert [[one.name[0] for one in share] for share in shares] == [["0", "3"], ["1"], ["2"]]
    assert_equal([shares[0][1]], [seen[3]])


def test_validation_without_styles_is_of_photos_alone():
    (batch,) = iterate_photos(held([noise(20, 30)]), options("held"))
    assert batch._fields == ("content", "name")


def test_photos_are_all_images_below_the_folder_whatever_they_are_called(tmp_path):
    names = ["-a.png", "b/2.png", "b/10.png", "b/10.webp", "c/d/e.png", "c/Ä 🎨\n#%.png"]
    for name in names:
        save(tmp_path / name, noise(8, 8))
    save(tmp_path / ".hidden" / "no.png", noise(8, 8))
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "c" / "loop").symlink_to(tmp_path)
    found = open_(tmp_path)
    assert found.train.names == tuple(names)
    assert {name for batch in run(found, 3) for name in batch.name} == set(names)
    assert len(found.val) == 0
    assert found.val.layout.endswith(" (0 of 6: val by --val_fraction 0)")


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names there are Unicode")
def test_names_of_any_bytes_are_read_and_reported(tmp_path):
    tree(tmp_path, 1)
    name = os.fsdecode(b"b\xff.png")
    (tmp_path / name).write_bytes((tmp_path / "0.png").read_bytes())
    assert open_(tmp_path, val_fraction=0.5).train.names in [("0.png",), (name,)]
    damage(tmp_path / name)
    assert refusal(tmp_path).startswith(r"'ROOT/b\udcff.png': ")
    found = open_(tmp_path, skip_bad=True)
    assert (found.train.names, found.skipped["train"]) == (("0.png",), [name])


def test_train_and_val_are_used_where_they_are(tmp_path):
    tree(tmp_path / "train" / "sea", 4)
    tree(tmp_path / "val", 2)
    save(tmp_path / "beside.png", noise(8, 8))
    found = open_(tmp_path, val_fraction=0.5, max_dataset_size=3)
    assert found.train.names == ("sea/0.png", "sea/1.png", "sea/2.png")
    assert found.val.names == ("0.png", "1.png")
    assert (found.train.layout, found.val.layout) == (f"photos in {tmp_path}/train", f"photos in {tmp_path}/val")


@pytest.mark.parametrize("inside", ["", "train"])
def test_without_val_a_share_of_train_is_kept_out_by_the_hash_of_its_names(tmp_path, inside):
    tree(tmp_path / inside, 10, (8, 8))
    found = open_(tmp_path, val_fraction=0.3)
    names = {f"{number}.png" for number in range(10)}
    assert set(found.val.names) == select_validation_names(sorted(names), 0.3)
    assert set(found.train.names) == names - set(found.val.names)
    assert found.train.layout == f"photos in {tmp_path / inside} (7 of 10: train by --val_fraction 0.3)"
    assert found.val.layout == f"photos in {tmp_path / inside} (3 of 10: val by --val_fraction 0.3)"
    assert len(open_(tmp_path, val_fraction=0.0).val) == 0


def test_a_single_photo_is_learned_from(tmp_path):
    found = open_(tree(tmp_path, 1), val_fraction=0.5)
    assert (len(found.train), len(found.val)) == (1, 0)
    assert list(iterate_photos(found, options(tmp_path))) == []


def test_a_folder_without_photos_to_learn_from_is_refused(tmp_path):
    assert refusal(tmp_path / "none") == "--dataroot ROOT is no folder: a folder tree of photos is needed"
    files = "files ending in .png, .jpg, .jpeg, .webp, .tif, .tiff, .npy are needed"
    assert refusal(tmp_path) == f"--dataroot ROOT: no photos: {files}"
    (tmp_path / "train").mkdir()
    assert refusal(tmp_path) == f"--dataroot ROOT/train: no photos: {files}"
    tree(tmp_path / "train")
    assert (
        refusal(tmp_path, tmp_path / "styles") == "--styles ROOT/styles is no folder: a folder tree of photos is needed"
    )


def test_what_is_for_validation_or_test_is_not_learned_from(tmp_path):
    tree(tmp_path / "val")
    assert refusal(tmp_path) == ("--dataroot ROOT: has val/ but no train/: put the training photos into train/")


ADVICE = "; --skip_bad leaves them out"


def test_the_first_fault_is_named_and_the_others_counted(tmp_path):
    root, styles = tree(tmp_path / "train").parent, tree(tmp_path / "styles", 2)
    tree(root / "val", 2)
    damage(root / "train" / "3.png")
    assert refusal(root).startswith("ROOT/train/3.png: ")
    assert refusal(root).endswith(ADVICE)
    assert "more fault" not in refusal(root)
    damage(styles / "1.png")
    assert refusal(root, styles).endswith(" (and 1 more fault)" + ADVICE)
    damage(root / "val" / "0.png")
    assert refusal(root, styles).endswith(" (and 2 more faults)" + ADVICE)


def test_skip_bad_leaves_faulty_photos_out_and_says_why_and_so_does_the_resumed_run(tmp_path, monkeypatch):
    root, styles = tree(tmp_path / "train").parent, tree(tmp_path / "styles", 3)
    tree(root / "val", 2)
    save(root / "train" / "a.npy", np.full((8, 8, 3), 255, np.float32))
    save(root / "train" / "b.tif", noise(8, 8, 5))
    damage(root / "train" / "1.png", root / "val" / "0.png", root / "val" / "1.png", styles / "2.png")
    data = options(root, styles, skip_bad=True)
    found = open_photo_data(data, silent)
    assert found.skipped == {
        "train": ["1.png", "a.npy", "b.tif"],
        "val": ["0.png", "1.png"],
        "styles": ["2.png"],
    }
    assert (found.train.names, len(found.val)) == (("0.png", "2.png", "3.png", "4.png"), 0)
    assert found.styles.names == ("0.png", "1.png")
    reasons = ["", "has values up to 255; floats", "uint8 with 5 channels; a picture", "", "", ""]
    assert len(found.faults) == 6
    assert all(reason in fault for reason, fault in zip(reasons, found.faults, strict=True))
    monkeypatch.setattr("pix2pix.data.photos.read_rgb_array", None)
    again = reopen_photo_data(data, found.skipped)
    assert again == found._replace(faults=())


def test_where_no_photo_can_be_used_the_first_fault_says_why(tmp_path):
    tree(tmp_path, 2)
    damage(tmp_path / "0.png", tmp_path / "1.png")
    assert refusal(tmp_path, skip_bad=True).startswith("no image of train can be used: ROOT/0.png: ")
    photos, styles = tree(tmp_path / "photos"), tree(tmp_path / "styles", 1)
    damage(styles / "0.png")
    assert refusal(photos, styles, skip_bad=True).startswith("no image of styles can be used: ")


def test_every_picture_is_read_once_as_the_progress_is_reported(tmp_path):
    calls = []

    def progress(faults, count, phase):
        calls.append((phase, count))
        return faults

    data = options(tree(tmp_path / "photos"), tree(tmp_path / "styles", 3), val_fraction=0.4)
    open_photo_data(data, progress)
    assert calls == [("train", 3), ("val", 2), ("styles", 3)]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_unchecked_photos_are_reported_when_they_are_reached(tmp_path, num_workers):
    damage(tree(tmp_path) / "1.png")
    found = open_(tmp_path, check=False)
    assert found.skipped == {}
    with pytest.raises(ImageError, match=r"1\.png: "):
        run(found, 5, num_workers=num_workers)


def test_more_than_max_pixels_are_refused_undecoded(tmp_path):
    tree(tmp_path, 2)
    save(tmp_path / "large.png", noise(30, 30))
    assert refusal(tmp_path, max_pixels=600).startswith("ROOT/large.png: 30x30 are more than 600 pixels")
    assert len(open_(tmp_path, max_pixels=900).train) == 3


def test_the_built_in_photos_are_the_generated_facades():
    data = options("generated", load_size=32, crop_size=32, flip=False, val_fraction=0.05)
    found = open_photo_data(data, silent)
    assert (len(found.train), len(found.val), found.skipped) == (400, 50, {})
    assert (found.train.layout, found.val.layout) == ("400 generated facades", "50 generated facades")
    assert np.array_equal(found.val.read(3), generate(0, 403, (32, 32))[0])
    (batch,) = run(found, 1, batch_size=3, load_size=32, crop_size=32)
    assert batch.content.shape == (3, 3, 32, 32)
    assert set(batch.name) < set(found.train.names)
    assert reopen_photo_data(data, {}).train == found.train


def test_a_folder_called_generated_is_meant_by_its_path(tmp_path, monkeypatch):
    tree(tmp_path / "generated")
    monkeypatch.chdir(tmp_path)
    assert len(open_("./generated").train) == 5
    assert open_(Path("generated")).train.side == 16
