import numpy as np
import pytest
import torch

from pix2pix.data.codec import read_rgb
from pix2pix.data.io import write_image
from pix2pix.errors import ImageError


@pytest.mark.parametrize(("dtype", "white"), [("uint8", 255), ("uint16", 65535)])
def test_the_whole_depth_of_a_file_becomes_minus_one_to_one(tmp_path, dtype, white):
    write_image(tmp_path / "ramp.png", np.linspace(0, white, 12).reshape(2, 2, 3).round().astype(dtype))
    assert torch.allclose(
        read_rgb(tmp_path / "ramp.png").permute(1, 2, 0).flatten(), torch.linspace(-1, 1, 12), atol=4e-3
    )


def test_floats_are_zero_to_one(tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, 2, 3), 0.5, np.float32))
    assert read_rgb(tmp_path / "x.npy").eq(0).all()


def test_gray_is_repeated_and_alpha_left_out(tmp_path):
    write_image(tmp_path / "grey.png", np.full((2, 3, 1), 255, np.uint8))
    write_image(tmp_path / "alpha.png", np.dstack([np.zeros((2, 3, 3), np.uint8), np.full((2, 3), 9, np.uint8)]))
    assert read_rgb(tmp_path / "grey.png").equal(torch.ones(3, 2, 3))
    assert read_rgb(tmp_path / "alpha.png").equal(-torch.ones(3, 2, 3))


def test_what_is_no_picture_is_refused(tmp_path):
    np.save(tmp_path / "five.npy", np.zeros((2, 2, 5), np.float32))
    np.save(tmp_path / "bytes.npy", np.full((2, 2, 3), 255, np.float32))
    np.save(tmp_path / "nan.npy", np.full((2, 2, 3), np.nan, np.float32))
    with pytest.raises(ImageError, match=r"five.npy: float32 with 5 channels; a picture of uint8, uint16 or float32"):
        read_rgb(tmp_path / "five.npy")
    with pytest.raises(ImageError, match=r"bytes.npy: has values up to 255; floats from 0 to 1 are"):
        read_rgb(tmp_path / "bytes.npy")
    with pytest.raises(ImageError, match=r"nan.npy: has values that are NaN, infinite"):
        read_rgb(tmp_path / "nan.npy")
