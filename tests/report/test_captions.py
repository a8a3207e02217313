import numpy as np

from pix2pix.report.contact_sheet import CaptionedImage, draw_captioned_grid


def tile(value, height=40, width=60, caption="relu1_1"):
    return CaptionedImage(caption, np.full((height, width, 3), value, np.uint8))


def test_pictures_lie_in_rows_each_below_its_name():
    grid = draw_captioned_grid([[tile(10), tile(20)], [tile(30)]])
    assert grid.dtype == np.uint8
    for value, (row, column) in {10: (0, 0), 20: (0, 1), 30: (1, 0)}.items():
        rows, columns = np.nonzero((grid == value).all(axis=2))
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (40, 60)
        assert (columns.min(), rows.min() // (grid.shape[0] // 2)) == (8 + column * 68, row)
        name = grid[rows.min() - 12 : rows.min(), columns.min() : columns.max()]
        assert name.min() < 128 < name.max()


def test_a_picture_of_another_shape_is_fitted_into_the_tile_of_the_first():
    grid = draw_captioned_grid([[tile(10), tile(20, height=100, width=50)]])
    rows, columns = np.nonzero((grid == 20).all(axis=2))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (40, 20)


def test_long_names_shrink_to_the_width_of_a_tile():
    short = draw_captioned_grid([[tile(10, 200, 200)]])
    long = draw_captioned_grid([[tile(10, 200, 200, caption="relu1_1 .. relu5_1 and more")]])
    assert long.shape[0] < short.shape[0]  # the strip is as high as its letters
    assert (long[:, -8:] == 255).all()


def test_a_name_that_is_too_long_for_the_smallest_letters_does_not_run_into_the_next():
    grid = draw_captioned_grid([[tile(10, caption="L1+cGAN, " * 9), tile(20, caption="")]])
    assert (grid[:, :68] < 128).any()
    assert (grid[:12, 68:] == 255).all()


def test_names_of_any_letters_are_drawn():
    assert draw_captioned_grid([[tile(10, caption="\N{HOUSE BUILDING}\n")]]).shape[1] == 76
