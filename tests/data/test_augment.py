import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pix2pix.data.augment import Augment, resized
from pix2pix.data.records import RawPair
from pix2pix.images import ImageError


def coordinates(height, width, source_channels=3, target_channels=3):
    """A pair in which a pixel's first two source values (the first alone, on the target) say where it came from."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    source = np.stack([rows, columns, rows, columns][:source_channels] if source_channels > 1 else [rows], axis=-1)
    target = np.stack([rows, columns, rows, columns][:target_channels] if target_channels > 1 else [rows], axis=-1)
    return RawPair(source, target, "pair")


def test_both_images_are_cropped_and_flipped_alike():
    augment = Augment("crop", crop_size=(8, 8), flip=True, seed=0)
    pair = augment(coordinates(20, 30), epoch=0, index=7)
    assert pair.source.shape == (8, 8, 3)
    assert np.array_equal(pair.source, pair.target)


@settings(deadline=None)
@given(
    crop=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    extra=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    channels=st.tuples(st.sampled_from([1, 3, 4]), st.sampled_from([1, 3, 4])),
    flip=st.booleans(),
    seed=st.integers(0, 2**40),
    place=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
)
def test_a_crop_is_one_window_on_both_sides(crop, extra, channels, flip, seed, place):
    raw = coordinates(crop[0] + extra[0], crop[1] + extra[1], *channels)
    pair = Augment("crop", crop, flip, seed)(raw, *place)
    common = 1 if 1 in channels else 2
    assert np.array_equal(pair.source[..., :common], pair.target[..., :common])
    assert (pair.source.shape, pair.target.shape) == ((*crop, channels[0]), (*crop, channels[1]))
    top = int(pair.source[0, 0, 0])
    windows = [raw.source[top : top + crop[0], left : left + crop[1]] for left in range(extra[1] + 1)]
    ways = [*windows, *(window[:, ::-1] for window in windows if flip)]
    assert any(np.array_equal(pair.source, way) for way in ways)


def test_the_draw_is_a_function_of_seed_epoch_and_index():
    raw = coordinates(100, 100)
    draws = [
        Augment("crop", (8, 8), True, seed)(raw, epoch, index).source
        for seed, epoch, index in [(0, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    ]
    assert [np.array_equal(draws[0], draw) for draw in draws] == [True, True, False, False, False]


def test_flips_and_crops_are_uniform_and_independent_of_each_other():
    augment = Augment("crop", (2, 2), True, seed=3)
    raw = coordinates(12, 12)
    windows = np.stack([augment(raw, 0, index).source for index in range(2000)])
    flipped = windows[:, 0, 0, 1] > windows[:, 0, 1, 1]
    top, left = windows[..., 0].min(axis=(1, 2)), windows[..., 1].min(axis=(1, 2))
    assert abs(flipped.mean() - 0.5) < 0.05
    for offset in (top, left):
        assert abs(np.bincount(offset, minlength=11) / 2000 - 1 / 11).max() < 0.03
    assert np.abs(np.corrcoef([flipped, top, left]) - np.eye(3)).max() < 0.08


@pytest.mark.parametrize("preprocess", ["scale_width", "none"])
def test_modes_without_crop_only_flip(preprocess):
    raw = coordinates(5, 9)
    assert np.array_equal(Augment(preprocess, (4, 4), False, 0)(raw, 0, 0).source, raw.source)
    seen = {Augment(preprocess, (4, 4), True, seed)(raw, 0, 0).source.tobytes() for seed in range(12)}
    assert seen == {raw.source.tobytes(), raw.source[:, ::-1].tobytes()}


@pytest.mark.parametrize(
    ("preprocess", "in_training", "otherwise"),
    [
        ("resize_and_crop", (28, 30), (20, 24)),
        ("crop", (40, 60), (40, 60)),
        ("scale_width", (20, 30), (20, 30)),
        ("scale_width_and_crop", (20, 30), (16, 24)),
        ("none", (40, 60), (40, 60)),
    ],
)
def test_each_preprocess_has_its_sizes(preprocess, in_training, otherwise):
    raw = coordinates(40, 60, 1, 4)
    for training, size in ((True, in_training), (False, otherwise)):
        pair = resized(raw, preprocess, (28, 30), (20, 24), training)
        assert (pair.source.shape, pair.target.shape) == ((*size, 1), (*size, 4))


def test_a_height_never_falls_to_nothing():
    assert resized(coordinates(1, 90), "scale_width", (9, 9), (9, 9), True).source.shape == (1, 9, 3)


@pytest.mark.parametrize("size", [(7, 20), (20, 7)])
def test_an_image_smaller_than_the_crop_is_refused_by_name(size):
    with pytest.raises(ImageError) as caught:
        Augment("crop", (8, 9), True, 0)(coordinates(*size), 0, 0)
    assert str(caught.value) == (
        f"pair: {size[0]}x{size[1]} is too small for --crop_size 8x9: "
        "choose a smaller one, or --preprocess resize_and_crop"
    )
