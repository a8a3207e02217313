import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pix2pix.data.arrays import DTYPES, resize
from pix2pix.data.io import find_images, find_other_files, natural_sort_key, read_image, write_image
from pix2pix.data.pillow import from_pil, to_pil
from pix2pix.errors import ImageError


def noise(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_what_is_written_is_read(tmp_path):
    image = noise(5, 7, 3)
    write_image(tmp_path / "a.png", image)
    assert np.array_equal(read_image(tmp_path / "a.png"), image)


@pytest.mark.parametrize(
    ("suffix", "channels"), [(".png", 1), (".png", 3), (".png", 4), (".webp", 3), (".webp", 4), (".PNG", 1)]
)
def test_png_and_webp_keep_every_value(tmp_path, suffix, channels):
    image = noise(9, 4, channels)
    write_image(tmp_path / f"a{suffix}", image)
    assert np.array_equal(read_image(tmp_path / f"a{suffix}"), image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_keeps_channels_and_nearly_the_values(tmp_path, suffix, channels):
    image = cv2.blur(noise(32, 48, channels), (9, 9)).reshape(32, 48, channels)
    write_image(tmp_path / f"a{suffix}", image)
    copy = read_image(tmp_path / f"a{suffix}")
    assert copy.shape == image.shape
    assert np.abs(copy.astype(int) - image).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_exif_orientation_is_applied_as_opencv_applies_it(tmp_path, orientation, suffix):
    corner = np.zeros((8, 16, 3), np.uint8)
    corner[:4, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(corner).save(tmp_path / f"a{suffix}", exif=exif, quality=100)
    image = read_image(tmp_path / f"a{suffix}")
    with Image.open(tmp_path / f"a{suffix}") as stored:
        assert np.array_equal(image, np.asarray(ImageOps.exif_transpose(stored)))
    if suffix == ".jpg":
        assert np.abs(image.astype(int) - cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]).max() <= 2
    assert image.shape == ((8, 16, 3) if orientation < 5 else (16, 8, 3))


def refusal(path, **options):
    with pytest.raises(ImageError) as caught:
        read_image(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_files_folders_and_impossible_names_are_refused(tmp_path):
    assert refusal(tmp_path / "a.png") == f"{tmp_path}/a.png: No such file or directory"
    assert refusal(tmp_path) == f"{tmp_path}: Is a directory"
    assert refusal("a\0\n.png") == r"'a\x00\n.png': embedded null byte"


def test_an_image_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(ImageError, match=r"^cannot write .*/a.png: No space left on device$"):
        write_image(tmp_path / "a.png", noise(4, 4, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.gif", "unknown suffix: choose one of .png, .jpg, .jpeg, .webp, .tif, .tiff, .npy"),
        ("a.jpg", r"a .jpg file cannot store uint8 of shape \(4, 4, 4\): choose .png or .tif or .npy"),
        ("missing/a.png", "No such file or directory"),
        ("file/a.png", "Not a directory"),
    ],
)
def test_an_image_that_does_not_fit_its_path_is_refused(tmp_path, name, message):
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=f"{message}$"):
        write_image(tmp_path / name, noise(4, 4, 4))


def test_images_and_others_are_found_in_natural_order_without_hidden_files_and_loops(tmp_path):
    kept = ["1.png", "2.JPG", "5.tif", "6.TIFF", "7.npy", "10.webp", "sub/3.jpeg", "é ü.png"]
    others = ["no suffix", "notes.txt", "sub/3.gif"]
    passed_over = [".hidden.png", ".cache/4.png", "Thumbs.db", "desktop.ini", "._1.png", ".notes.txt"]
    for name in [*kept, *others, *passed_over]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == kept
    assert [path.relative_to(tmp_path).as_posix() for path in find_other_files(tmp_path)] == others


def test_what_is_no_folder_has_no_images(tmp_path):
    with pytest.raises(ImageError, match="/missing: No such file or directory: a folder of images is needed"):
        find_images(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="/file: Not a directory: a folder of images is needed"):
        find_images(tmp_path / "file")


@given(st.lists(st.tuples(st.integers(0, 10**30), st.integers(0, 99)), unique=True))
def test_natural_order_is_that_of_the_numbers(pairs):
    assert sorted([f"a{i}_{j}.png" for i, j in pairs], key=natural_sort_key) == [
        f"a{i}_{j}.png" for i, j in sorted(pairs)
    ]


def test_relative_paths_are_read_as_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image("-a #1?.png", noise(2, 2, 1))
    assert read_image(Path("-a #1?.png")).shape == (2, 2, 1)


def values(height, width, channels, dtype, seed=0):
    """Random bits as values: all of the integers' range; floats from -1000 to 1000."""
    random = np.random.default_rng(seed)
    if dtype == "float32":
        return random.uniform(-1000, 1000, (height, width, channels)).astype(np.float32)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, (height, width, channels), dtype, endpoint=True)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.integers(1, 40),
    dtype=st.sampled_from(DTYPES),
    suffix=st.sampled_from([".tif", ".tiff", ".npy"]),
)
def test_tiff_and_npy_keep_every_type_and_number_of_channels(tmp_path_factory, size, channels, dtype, suffix):
    path = tmp_path_factory.getbasetemp() / f"kept{suffix}"
    image = values(*size, channels, dtype)
    write_image(path, image)
    copy = read_image(path)
    assert (copy.dtype, copy.shape) == (dtype, image.shape)
    assert np.array_equal(copy, image)


@pytest.mark.parametrize(
    "shape", [(5, 65, 65), (5, 200, 90), (4, 64, 65), (4, 65, 64), (1, 1, 99), (1, 99, 1), (2, 64, 300), (3, 300, 64)]
)
def test_npy_keeps_shapes_that_might_pass_for_channels_first(tmp_path, shape):
    image = values(*shape, "uint8")
    write_image(tmp_path / "a.npy", image)
    assert np.array_equal(read_image(tmp_path / "a.npy"), image)


@pytest.mark.parametrize("shape", [(1, 65, 65), (4, 65, 65), (2, 99, 98)])
def test_npy_of_few_rows_and_many_columns_and_channels_is_written_but_not_read(tmp_path, shape):
    write_image(tmp_path / "a.npy", values(*shape, "uint8"))
    assert np.array_equal(np.load(tmp_path / "a.npy"), values(*shape, "uint8"))
    assert f"an array of shape {shape}, but (H, W, C) is needed: put channels last" in refusal(tmp_path / "a.npy")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_keeps_16_bits(tmp_path, channels):
    image = values(9, 4, channels, "uint16")
    write_image(tmp_path / "a.png", image)
    assert np.array_equal(read_image(tmp_path / "a.png"), image)
    assert np.array_equal(
        cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED).reshape(9, 4, channels),
        image if channels == 1 else image[..., [2, 1, 0, 3][:channels]],
    )


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_a_16_bit_ramp_keeps_its_mean_from_file_to_file(tmp_path, suffix):
    ramp = np.tile(np.linspace(0, 65535, 256).round().astype(np.uint16)[:, np.newaxis], (256, 1, 3))
    write_image(tmp_path / f"a{suffix}", ramp)
    write_image(tmp_path / f"b{suffix}", resize(read_image(tmp_path / f"a{suffix}"), (77, 130)))
    copy = read_image(tmp_path / f"b{suffix}")
    assert copy.dtype == np.uint16
    assert copy.mean() == pytest.approx(ramp.mean(), rel=0.005)


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "message"),
    [
        ("a.png", "uint8", (4, 4, 5), "a .png file cannot store uint8 of shape (4, 4, 5): choose .tif or .npy"),
        ("a.png", "float32", (4, 4, 1), "a .png file cannot store float32 of shape (4, 4, 1): choose .tif or .npy"),
        ("a.jpeg", "uint16", (4, 4, 3), "a .jpeg file cannot store uint16 of shape (4, 4, 3): choose .png or .tif or"),
        ("a.webp", "int32", (4, 4, 3), "a .webp file cannot store int32 of shape (4, 4, 3): choose .tif or .npy"),
        ("a.tif", "float64", (4, 4, 3), "cannot store float64 of shape (4, 4, 3): choose uint8, uint16, int16, int32"),
        ("a.npy", "uint8", (4, 4), "cannot store uint8 of shape (4, 4): choose uint8"),
    ],
)
def test_a_format_that_cannot_hold_the_array_names_those_that_can(tmp_path, name, dtype, shape, message):
    with pytest.raises(ImageError) as caught:
        write_image(tmp_path / name, np.zeros(shape, dtype))
    assert f"{tmp_path}/{name}: " in str(caught.value)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "dtype", "channels"),
    [
        *[("1", "uint8", 1), ("L", "uint8", 1), ("LA", "uint8", 4), ("P", "uint8", 3), ("PA", "uint8", 4)],
        *[("RGB", "uint8", 3), ("RGBX", "uint8", 3), ("RGBA", "uint8", 4), ("La", "uint8", 4), ("RGBa", "uint8", 4)],
        *[("CMYK", "uint8", 3), ("YCbCr", "uint8", 3), ("HSV", "uint8", 3), ("LAB", "uint8", 3)],
        *[("I;16", "uint16", 1), ("I;16B", "uint16", 1), ("I", "int32", 1), ("F", "float32", 1)],
    ],
)
def test_pil_images_of_every_mode_become_arrays(mode, dtype, channels):
    array = from_pil(Image.new(mode, (3, 2)))
    assert (array.dtype, array.shape) == (dtype, (2, 3, channels))


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_a_pil_image_without_pixels_is_an_empty_array(size):
    assert from_pil(Image.new("RGB", size)).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_a_pil_image_of_many_pixels_is_converted_in_pieces_that_join(mode):
    image = Image.fromarray((np.arange(2**22 + 5) % 251).astype(np.uint8)[:, np.newaxis]).convert(mode)
    assert np.array_equal(from_pil(image), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("dtype", "channels"),
    [("uint8", 1), ("uint8", 3), ("uint8", 4), ("uint16", 1), ("int32", 1), ("float32", 1)],
)
def test_what_pil_can_hold_comes_back_from_it(dtype, channels):
    image = values(5, 7, channels, dtype)
    copy = from_pil(to_pil(image))
    assert copy.dtype == dtype
    assert np.array_equal(copy, image)


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 2), ("uint16", 3), ("uint32", 1), ("float32", 3)])
def test_what_pil_cannot_hold_is_refused(dtype, channels):
    with pytest.raises(ImageError, match=f"PIL has no mode for {channels} channels of {dtype}: use the array"):
        to_pil(values(2, 2, channels, dtype))


def test_a_pil_image_with_a_value_that_is_no_number_is_refused():
    with pytest.raises(ImageError, match="NaN"):
        from_pil(Image.fromarray(np.full((2, 2), np.nan, np.float32)))


def test_the_alpha_that_opencv_writes_into_tiff_files_without_naming_it_is_read(tmp_path):
    image = noise(6, 5, 4)
    assert cv2.imwrite(str(tmp_path / "a.tif"), image[..., [2, 1, 0, 3]])
    assert np.array_equal(read_image(tmp_path / "a.tif"), image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_png_file_keeps_what_is_said_of_it(tmp_path, dtype):
    array = np.arange(24, dtype=dtype).reshape(2, 4, 3)
    texts = {"options": '{"seed": 1}', "weights": "caf\u00e9 \u5bb6.pth", "Software": "not unicode \udce9"}
    write_image(tmp_path / "said.png", array, texts)
    with Image.open(tmp_path / "said.png") as image:
        image.load()  # with the checksums of all chunks
        assert image.text == texts | {"Software": r"not unicode \udce9"}
    assert np.array_equal(read_image(tmp_path / "said.png"), array)
    write_image(tmp_path / "said.tif", array, texts)
    assert np.array_equal(read_image(tmp_path / "said.tif"), array)
