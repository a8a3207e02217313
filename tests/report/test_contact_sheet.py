import numpy as np
import pytest

from pix2pix.report.contact_sheet import COLUMNS, TILE, PairTile, draw_contact_sheet

WIDE, HIGH, MARGIN, TOP = 2 * TILE + 20, TILE + 28, 10, 28


def photo(height=60, width=60):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def placed(sheet, number=0, side=0, height=TILE, width=TILE):
    left = MARGIN + number % COLUMNS * WIDE + side * (TILE + 2)
    top = TOP + number // COLUMNS * HIGH
    return sheet[top : top + height, left : left + width]


def thumbnail(image, **size):
    return placed(draw_contact_sheet([PairTile("1", (image, photo()))]), **size)


def caption(text, **given):
    return draw_contact_sheet([PairTile(text, (photo(),), **given)])[MARGIN : TOP - 2]


def test_pairs_stand_in_rows_a_beside_b():
    a, b = np.full((8, 8, 3), 60, np.uint8), np.full((8, 8, 3), 200, np.uint8)
    sheet = draw_contact_sheet([PairTile(str(number), (a, b)) for number in range(COLUMNS + 1)])
    assert sheet.shape == (2 * HIGH + MARGIN, COLUMNS * WIDE + MARGIN, 3)
    assert sheet.dtype == np.uint8
    for number in range(COLUMNS + 1):
        assert (placed(sheet, number) == 60).all()
        assert (placed(sheet, number, side=1) == 200).all()
    assert (sheet[HIGH + TOP :, WIDE + MARGIN :] == 255).all()


def test_no_pairs_make_an_empty_sheet():
    assert (draw_contact_sheet([]) == 255).all()


def test_photos_are_shown_as_they_are():
    image = np.full((30, 30, 3), (10, 200, 90), np.uint8)
    assert (thumbnail(image) == (10, 200, 90)).all()
    dim = np.full((30, 30, 3), 20, np.uint8)
    assert (thumbnail(dim) == 20).all()


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("uint16", 0, 4095), ("int16", -300, 300), ("uint32", 7, 2**32 - 1), ("float32", -1e30, 1e30), ("uint8", 0, 40)],
)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 9])
def test_images_of_any_depth_and_channels_span_black_to_white(dtype, low, high, channels):
    ramp = np.linspace(low, high, 300 * 300).reshape(300, 300, 1).astype(dtype)
    seen = thumbnail(np.concatenate([ramp] * channels, axis=2))
    assert seen.min() <= 5
    assert seen.max() >= 250
    assert abs(float(seen.mean()) - 127.5) < 6


def test_of_other_channels_the_first_is_shown_over_its_own_range():
    ramp = np.linspace(0, 1, 150 * 150).reshape(150, 150, 1).astype(np.float32)
    seen = thumbnail(np.concatenate([ramp, *[ramp * 1e6] * 4], axis=2))
    assert (seen.min(), seen.max()) == (0, 255)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("numbers", [[*range(12)], [*range(34), 255]])
def test_class_numbers_are_distinguished(dtype, numbers):
    labels = np.array(numbers, dtype).repeat(10)[None, :, None].repeat(20, 0)
    seen = thumbnail(labels, height=8, width=TILE)[4, :, 0].astype(int)
    assert (seen.min(), seen.max()) == (0, 255)
    places = ((np.arange(len(numbers)) + 0.5) * TILE / len(numbers)).astype(int)
    assert np.diff(seen[places]).min() >= 5


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (3, 9000), (1, 40)])
def test_tiny_and_extreme_images_keep_their_form(size, dtype):
    image = np.random.default_rng(0).integers(100, 256, (*size, 3)).astype(dtype)
    sheet = draw_contact_sheet([PairTile("1", (image, image))])
    scale = TILE / max(size)
    height, width = (max(round(side * scale), 1) for side in size)
    assert (placed(sheet, side=1, height=height, width=1) != 255).any()
    beyond = placed(sheet)[height + 1 :, width + 1 :]
    assert (beyond == 255).all()


def test_captions_are_red_where_a_pair_is_odd():
    marked, plain = caption("train/1", marked=True), caption("train/1")
    assert (plain[..., 0] == plain[..., 1]).all()
    assert ((marked[..., 0] > 150) & (marked[..., 1] < 60)).any()


@pytest.mark.parametrize(
    "name",
    [
        *("new\nline", "\N{HOUSE BUILDING}", "\u05e9\u05dc\u05d5\u05dd", "\u202eright to left", "\u5bb6" * 66),
        *("not unicode \udce9", "W" * 300, "", "\x1b[31m"),
    ],
)
def test_any_name_is_one_line_that_ends_before_the_next_pair(name):
    sheet = draw_contact_sheet([PairTile(name, ())])
    assert (sheet[TOP - 2 :] == 255).all()
    assert (sheet[:, MARGIN + 2 * TILE + 4 :] == 255).all()
    assert (sheet[:TOP] < 255).any() == bool(name)


def test_names_in_other_scripts_are_distinguished():
    assert not np.array_equal(caption("\u5bb6"), caption("\u68ee"))
    assert not np.array_equal(caption("W" * 300 + "1"), caption("W" * 300 + "2"))
