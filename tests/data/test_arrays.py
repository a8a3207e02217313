import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pix2pix.data.arrays import DTYPES, convert_channels, fit_size, resize, resize_nearest
from pix2pix.errors import ImageError


def noise(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [((30, 60), 20, (10, 20)), ((6, 4), 9, (9, 6)), ((7, 7), 3, (3, 3)), ((1, 1000), 10, (1, 10))],
)
def test_a_size_is_fitted_in_its_proportions(size, longest, expected):
    assert fit_size(size, longest) == expected


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shrinking_by_a_whole_factor_is_the_mean_of_the_blocks(channels):
    image = noise(12, 20, channels)
    blocks = image.reshape(4, 3, 5, 4, channels).mean(axis=(1, 3))
    assert np.abs(resize(image, (4, 5)) - blocks).max() <= 0.51


def test_growing_is_bicubic():
    image = noise(8, 8, 3)
    assert np.array_equal(resize(image, (20, 20)), cv2.resize(image, (20, 20), interpolation=cv2.INTER_CUBIC))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 4]))
def test_any_size_goes_to_any_other_and_a_plain_color_stays(height, width, new_height, new_width, channels):
    image = np.full((height, width, channels), 77, np.uint8)
    assert np.array_equal(resize(image, (new_height, new_width)), np.full((new_height, new_width, channels), 77))


def test_a_side_that_keeps_its_length_is_not_filtered():
    rows = np.broadcast_to(noise(9, 1, 3), (9, 12, 3)).copy()
    assert np.array_equal(resize(rows, (9, 5)), rows[:, :5])
    assert np.array_equal(resize(rows, (9, 30)), np.broadcast_to(rows[:, :1], (9, 30, 3)))
    assert resize(rows, (9, 12)) is rows


@pytest.mark.parametrize("channels", [3, 4])
def test_gray_is_the_luminance_of_pillow(channels):
    image = noise(16, 16, channels)
    grey = np.asarray(Image.fromarray(image[..., :3]).convert("L"))
    assert np.abs(convert_channels(image, 1)[..., 0].astype(int) - grey).max() <= 1


@pytest.mark.parametrize("channels", [3, 4])
def test_gray_is_repeated_and_comes_back(channels):
    grey = noise(4, 4, 1)
    colour = convert_channels(grey, channels)
    assert colour.shape == (4, 4, channels)
    assert np.array_equal(convert_channels(colour, 1), grey)


def test_alpha_is_dropped_and_new_alpha_is_opaque():
    image = noise(4, 4, 4)
    assert np.array_equal(convert_channels(image, 3), image[..., :3])
    assert np.array_equal(convert_channels(image[..., :3], 4)[..., 3], np.full((4, 4), 255))
    assert convert_channels(image, 4) is image


def wide(height, width, channels, dtype):
    """Random values over half of the dtype's range, away from its ends, so that no curve overshoots them."""
    unit = np.random.default_rng(0).uniform(0.25, 0.75, (height, width, channels))
    limits = (-1000, 1000) if dtype == "float32" else (float(np.iinfo(dtype).min), float(np.iinfo(dtype).max))
    return (limits[0] + unit * (limits[1] - limits[0])).astype(dtype)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 130])
@pytest.mark.parametrize("dtype", DTYPES)
def test_shrinking_is_the_mean_for_every_type_and_number_of_channels(dtype, channels):
    image = wide(12, 20, channels, dtype)
    blocks = image.astype(float).reshape(4, 3, 5, 4, channels).mean(axis=(1, 3))
    shrunk = resize(image, (4, 5))
    assert (shrunk.dtype, shrunk.shape) == (dtype, (4, 5, channels))
    assert np.abs(shrunk - blocks).max() <= {"float32": 1e-3, "int32": 2**8, "uint32": 2**8}.get(dtype, 0.51)


@pytest.mark.parametrize("dtype", DTYPES)
def test_growing_is_that_of_each_channel_alone_and_bicubic_in_doubles(dtype):
    image = wide(6, 7, 9, dtype)
    grown = resize(image, (15, 11))
    exact = [cv2.resize(image[..., place].astype(float), (11, 15), interpolation=cv2.INTER_CUBIC) for place in range(9)]
    assert np.abs(grown - np.dstack(exact)).max() <= {"uint8": 1.01, "float32": 1e-3}.get(dtype, 0.51)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32"])
def test_a_curve_that_overshoots_the_type_is_clipped(dtype):
    limits = np.iinfo(dtype)
    edge = np.full((1, 8, 1), limits.min, dtype)
    edge[:, 4:] = limits.max
    grown = resize(edge, (1, 32)).ravel()
    assert (grown[0], grown[-1]) == (limits.min, limits.max)
    assert (np.diff(grown.astype(float)) >= 0).all()


@given(*[st.integers(1, 30)] * 4, st.sampled_from(DTYPES))
def test_nearest_takes_the_pixel_beneath_the_centre(height, width, new_height, new_width, dtype):
    image = np.arange(height * width * 2).reshape(height, width, 2).astype(dtype)
    rows = [int(np.floor((2 * row + 1) * height / (2 * new_height))) for row in range(new_height)]
    columns = [int(np.floor((2 * column + 1) * width / (2 * new_width))) for column in range(new_width)]
    nearest = resize_nearest(image, (new_height, new_width))
    assert nearest.dtype == dtype
    assert np.array_equal(nearest, image[rows][:, columns])


def test_nearest_leaves_a_size_that_stays():
    image = noise(3, 4, 5)
    assert resize_nearest(image, (3, 4)) is image


def test_nearest_by_a_whole_factor_repeats_and_the_reverse_undoes_it():
    image = noise(3, 4, 2)
    large = resize_nearest(image, (9, 8))
    assert np.array_equal(large, image.repeat(3, axis=0).repeat(2, axis=1))
    assert np.array_equal(resize_nearest(large, (3, 4)), image)


OPAQUE = {"uint8": 255, "uint16": 65535, "int16": 32767, "int32": 2**31 - 1, "uint32": 2**32 - 1, "float32": 1}


@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_are_converted_in_the_type_of_the_image(dtype):
    image = wide(3, 4, 3, dtype)
    grey = convert_channels(image, 1)
    exact = image.astype(float) @ [0.299, 0.587, 0.114]
    assert grey.dtype == dtype
    assert np.abs(grey[..., 0] - exact).max() <= (1e-3 if dtype == "float32" else 0.51)
    for source in (image, grey):
        four = convert_channels(source, 4)
        assert four.dtype == dtype
        assert np.array_equal(four[..., :3], np.broadcast_to(source, image.shape))
        assert (four[..., 3] == OPAQUE[dtype]).all()
    assert np.array_equal(convert_channels(grey, 7), grey.repeat(7, axis=2))


@pytest.mark.parametrize(("present", "wanted"), [(5, 3), (5, 1), (2, 1), (4, 2), (4, 3)])
def test_fewer_channels_are_the_first(present, wanted):
    image = noise(3, 4, present)
    assert np.array_equal(convert_channels(image, wanted), image[..., :wanted])


@pytest.mark.parametrize(("present", "wanted"), [(2, 3), (3, 5), (4, 5), (5, 8), (2, 4)])
def test_channels_are_not_invented(present, wanted):
    with pytest.raises(
        ImageError, match=f"has {present} channels, but {wanted} are needed: only images of 1 and 3 channels"
    ):
        convert_channels(noise(3, 4, present), wanted)
