import numpy as np
import pytest

from pix2pix.data.generated import generate
from pix2pix.data.labels import PALETTES, sample_pixels


def noise(*shape, dtype=np.uint8, high=256):
    return np.random.default_rng(0).integers(0, high, shape).astype(dtype)


def test_a_plain_picture_is_one_color():
    look = sample_pixels(np.full((40, 60, 3), (255, 0, 0), np.uint8))
    assert look == ((7, 0, 0), 1.0, 1, look.palette)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.97])
@pytest.mark.parametrize("shape", [(64, 64), (1000, 300), (4096, 255), (255, 1001), (512, 512)])
def test_the_share_of_the_commonest_color_is_that_of_all_pixels(shape, share):
    image = noise(*shape, 3)
    image[:, : round(share * shape[1])] = 255
    assert sample_pixels(image).share == pytest.approx(share, abs=0.02)
    image = noise(*shape, 3)
    image[: round(share * shape[0])] = 255
    assert sample_pixels(image).share == pytest.approx(share, abs=0.02)


def test_every_column_has_its_turn_whatever_the_width():
    for width in (*range(1, 40), 255, 256, 257, 1000, 1001):
        columns = np.arange(width) % 251
        image = np.broadcast_to(columns[None, :, None], (4096, width, 1)).astype(np.uint8)
        assert sample_pixels(image).distinct == min(width, 251), width


def test_compression_noise_is_one_color_but_many_distinct_ones():
    image = 120 + noise(64, 64, 3, high=8)
    look = sample_pixels(image.astype(np.uint8))
    assert look.share == 1.0
    assert look.distinct > 64


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.float32])
def test_deep_images_are_seen_over_their_own_range(dtype):
    image = np.zeros((20, 20, 1), dtype)
    image[:5] = 3000
    look = sample_pixels(image)
    assert (look.color, look.share, look.distinct, look.palette) == ((0,), 0.75, 2, None)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 40])
def test_any_number_of_channels_can_be_looked_at(channels):
    look = sample_pixels(np.full((1, 1, channels), 7, np.uint8))
    assert (look.share, look.distinct, look.palette) == (1.0, 1, None)
    assert len(look.color) == min(channels, 12)


@pytest.mark.parametrize("name", PALETTES)
def test_labels_in_the_colors_of_a_palette_name_it_even_when_blurred_a_little(name):
    colours = np.array(PALETTES[name].colors, np.int64)
    labels = colours[np.random.default_rng(0).integers(0, len(colours), (8, 8))].repeat(16, 0).repeat(16, 1)
    spoilt = np.clip(labels + np.random.default_rng(1).integers(-5, 6, labels.shape), 0, 255)
    assert sample_pixels(labels.astype(np.uint8)).palette == name
    assert sample_pixels(spoilt.astype(np.uint8)).palette == name


def test_noise_and_photos_have_no_palette():
    assert sample_pixels(noise(200, 200, 3)).palette is None
    photo, labels = generate(0, 3, size=(128, 128))
    assert sample_pixels(labels).palette == "facades"
    assert sample_pixels(photo).palette is None
