import contextlib
import errno
import io
import os
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pix2pix.images import (
    ImageError,
    convert_channels,
    find_images,
    natural_order,
    read,
    reflect_to_multiple,
    resize,
    to_array,
    to_tensor,
    write,
)


def noise(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_what_is_written_is_read(tmp_path):
    image = noise(5, 7, 3)
    write(tmp_path / "a.png", image)
    assert np.array_equal(read(tmp_path / "a.png"), image)


@pytest.mark.parametrize(
    ("suffix", "channels"), [(".png", 1), (".png", 3), (".png", 4), (".webp", 3), (".webp", 4), (".PNG", 1)]
)
def test_png_and_webp_keep_every_value(tmp_path, suffix, channels):
    image = noise(9, 4, channels)
    write(tmp_path / f"a{suffix}", image)
    assert np.array_equal(read(tmp_path / f"a{suffix}"), image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_keeps_channels_and_nearly_the_values(tmp_path, suffix, channels):
    image = cv2.blur(noise(32, 48, channels), (9, 9)).reshape(32, 48, channels)
    write(tmp_path / f"a{suffix}", image)
    copy = read(tmp_path / f"a{suffix}")
    assert copy.shape == image.shape
    assert np.abs(copy.astype(int) - image).mean() < 3


@pytest.mark.parametrize(
    ("mode", "settings", "shape"),
    [
        ("1", {}, (4, 6, 1)),
        ("L", {}, (4, 6, 1)),
        ("L", {"transparency": 0}, (4, 6, 4)),
        ("LA", {}, (4, 6, 4)),
        ("RGB", {}, (4, 6, 3)),
        ("RGB", {"transparency": (0, 0, 0)}, (4, 6, 4)),
        ("RGBA", {}, (4, 6, 4)),
        ("P", {}, (4, 6, 3)),
        ("P", {"transparency": 0}, (4, 6, 4)),
    ],
)
def test_png_modes_become_1_3_or_4_channels(tmp_path, mode, settings, shape):
    Image.new(mode, (6, 4)).save(tmp_path / "a.png", **settings)
    assert read(tmp_path / "a.png").shape == shape


def test_a_palette_is_replaced_by_its_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (6, 4), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg").tolist() == np.full((4, 6, 3), 255).tolist()


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_an_animation_gives_its_first_frame(tmp_path, suffix):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("#ff0000", "#00ff00")]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    assert read(tmp_path / f"a{suffix}")[0, 0].tolist() == [255, 0, 0]


def test_the_content_decides_on_the_format_not_the_suffix(tmp_path):
    image = noise(5, 7, 3)
    write(tmp_path / "a.png", image)
    assert np.array_equal(read((tmp_path / "a.png").rename(tmp_path / "a.jpg")), image)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_exif_orientation_is_applied_as_opencv_applies_it(tmp_path, orientation, suffix):
    corner = np.zeros((8, 16, 3), np.uint8)
    corner[:4, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(corner).save(tmp_path / f"a{suffix}", exif=exif, quality=100)
    image = read(tmp_path / f"a{suffix}")
    with Image.open(tmp_path / f"a{suffix}") as stored:
        assert np.array_equal(image, np.asarray(ImageOps.exif_transpose(stored)))
    if suffix == ".jpg":
        assert np.abs(image.astype(int) - cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]).max() <= 2
    assert image.shape == ((8, 16, 3) if orientation < 5 else (16, 8, 3))


def refusal(path, **options):
    with pytest.raises(ImageError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("dtype_channels", [1, 3, 4])
def test_16_bits_a_channel_are_refused_not_clipped(tmp_path, dtype_channels):
    path = tmp_path / "deep.png"
    assert cv2.imwrite(str(path), noise(4, 4, dtype_channels).astype(np.uint16) * 257)
    assert refusal(path) == f"{path}: 16 bits a channel, where 8 are read: convert it to 8 bits"


@pytest.mark.parametrize("format_", ["TIFF", "GIF", "BMP"])
def test_other_formats_are_refused(tmp_path, format_):
    Image.new("L", (4, 4)).save(tmp_path / "a.png", format_)
    assert (
        refusal(tmp_path / "a.png") == f"{tmp_path}/a.png: not a PNG, JPEG or WebP image: convert it, or take it away"
    )


@pytest.mark.parametrize("content", [b"", b"hello\n", b"<svg/>", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    assert "not a PNG, JPEG or WebP image" in refusal(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_cut_off_files_are_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, noise(64, 64, 3))
    path.write_bytes(path.read_bytes()[:3000])
    assert refusal(path).startswith(f"{path}: ")


def test_missing_files_folders_and_impossible_names_are_refused(tmp_path):
    assert refusal(tmp_path / "a.png") == f"{tmp_path}/a.png: No such file or directory"
    assert refusal(tmp_path) == f"{tmp_path}: Is a directory"
    assert refusal("a\0\n.png") == r"'a\x00\n.png': embedded null byte"


def test_too_many_pixels_are_refused_by_the_header_alone(tmp_path):
    header = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR"
    for width, cause in ((10_000, "10000x10000 are more than 90000000 pixels"), (20_000, "decompression bomb")):
        chunk = width.to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
        checksum = zlib.crc32(b"IHDR" + chunk).to_bytes(4, "big")
        (tmp_path / "bomb.png").write_bytes(header + chunk + checksum + b"\0\0\0\0IDAT" + b"\x35\xaf\x06\x1e")
        assert cause in refusal(tmp_path / "bomb.png", max_pixels=90_000_000)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    encoded = io.BytesIO()
    Image.fromarray(noise(6, 6, 3)).save(encoded, data.draw(st.sampled_from(["PNG", "JPEG", "WEBP"])))
    content = bytearray(encoded.getvalue())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with contextlib.suppress(ImageError):
        assert read(path, max_pixels=10**6).dtype == np.uint8


def test_an_image_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(ImageError, match=r"^cannot write .*/a.png: No space left on device$"):
        write(tmp_path / "a.png", noise(4, 4, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.tif", "images are written as .png, .jpg, .jpeg, .webp: choose one of them"),
        ("a.jpg", "cannot write mode RGBA as JPEG"),
        ("missing/a.png", "No such file or directory"),
        ("file/a.png", "Not a directory"),
    ],
)
def test_an_image_that_does_not_fit_its_path_is_refused(tmp_path, name, message):
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=f"{message}$"):
        write(tmp_path / name, noise(4, 4, 4))


def test_images_are_found_in_natural_order_without_hidden_files_and_loops(tmp_path):
    kept = ["1.png", "2.JPG", "10.webp", "sub/3.jpeg", "é ü.png"]
    for name in [*kept, ".hidden.png", ".cache/4.png", "Thumbs.db", "notes.txt", "._1.png"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == kept


def test_what_is_no_folder_has_no_images(tmp_path):
    with pytest.raises(ImageError, match="/missing: No such file or directory: a folder of images is needed"):
        find_images(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="/file: Not a directory: a folder of images is needed"):
        find_images(tmp_path / "file")


@given(st.lists(st.tuples(st.integers(0, 10**30), st.integers(0, 99)), unique=True))
def test_natural_order_is_that_of_the_numbers(pairs):
    assert sorted([f"a{i}_{j}.png" for i, j in pairs], key=natural_order) == [f"a{i}_{j}.png" for i, j in sorted(pairs)]


def test_all_256_values_survive_as_tensors():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    tensor = to_tensor(values)
    assert tensor.shape == (1, 16, 16)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert np.array_equal(to_array(tensor), values)


def test_tensors_become_rounded_and_clipped_bytes():
    grey = torch.tensor([-1.5, -1, -1 + 1.4 / 127.5, -1 + 1.6 / 127.5, 1, 7]).reshape(1, 2, 3)
    assert to_array(grey).ravel().tolist() == [0, 0, 1, 2, 255, 255]


def test_tensors_are_copies_even_of_mirrored_and_locked_arrays():
    image = noise(3, 4, 1)
    image.setflags(write=False)
    tensor = to_tensor(image[:, ::-1])
    tensor += 0.5
    assert np.array_equal(to_array(tensor.flip(-1) - 0.5), image)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shrinking_by_a_whole_factor_is_the_mean_of_the_blocks(channels):
    image = noise(12, 20, channels)
    blocks = image.reshape(4, 3, 5, 4, channels).mean(axis=(1, 3))
    assert np.abs(resize(image, (4, 5)) - blocks).max() <= 0.51


def test_growing_is_bicubic():
    image = noise(8, 8, 3)
    assert np.array_equal(resize(image, (20, 20)), cv2.resize(image, (20, 20), interpolation=cv2.INTER_CUBIC))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 4]))
def test_any_size_goes_to_any_other_and_a_plain_colour_stays(height, width, new_height, new_width, channels):
    image = np.full((height, width, channels), 77, np.uint8)
    assert np.array_equal(resize(image, (new_height, new_width)), np.full((new_height, new_width, channels), 77))


def test_a_side_that_keeps_its_length_is_not_filtered():
    rows = np.broadcast_to(noise(9, 1, 3), (9, 12, 3)).copy()
    assert np.array_equal(resize(rows, (9, 5)), rows[:, :5])
    assert np.array_equal(resize(rows, (9, 30)), np.broadcast_to(rows[:, :1], (9, 30, 3)))
    assert resize(rows, (9, 12)) is rows


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_is_the_luminance_of_pillow(channels):
    image = noise(16, 16, channels)
    grey = np.asarray(Image.fromarray(image[..., :3]).convert("L"))
    assert np.abs(convert_channels(image, 1)[..., 0].astype(int) - grey).max() <= 1


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_is_repeated_and_comes_back(channels):
    grey = noise(4, 4, 1)
    colour = convert_channels(grey, channels)
    assert colour.shape == (4, 4, channels)
    assert np.array_equal(convert_channels(colour, 1), grey)


def test_alpha_is_dropped_and_new_alpha_is_opaque():
    image = noise(4, 4, 4)
    assert np.array_equal(convert_channels(image, 3), image[..., :3])
    assert np.array_equal(convert_channels(image[..., :3], 4)[..., 3], np.full((4, 4), 255))
    assert convert_channels(image, 4) is image


def test_padding_mirrors_without_repeating_the_edge():
    row = torch.arange(3.0).reshape(1, 1, 1, 3)
    padded, (_, columns) = reflect_to_multiple(row, 8)
    assert padded[0, 0, 0].tolist() == [2, 1, 0, 1, 2, 1, 0, 1]
    assert padded[0, 0, :, 0].tolist() == [2] * 8
    assert columns == slice(2, 5)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 32))
def test_padding_is_that_of_numpy_and_the_slices_undo_it(height, width, multiple):
    image = torch.arange(2.0 * height * width).reshape(1, 2, height, width)
    padded, (rows, columns) = reflect_to_multiple(image, multiple)
    around = [(part.start, length - part.stop) for part, length in zip((rows, columns), padded.shape[-2:], strict=True)]
    assert all(0 <= after - before <= 1 and before + after < multiple for before, after in around)
    assert padded.shape[-2] % multiple == padded.shape[-1] % multiple == 0
    assert torch.equal(padded[..., rows, columns], image)
    assert np.array_equal(padded[0].numpy(), np.pad(image[0].numpy(), [(0, 0), *around], mode="reflect"))


def test_what_fits_is_not_copied():
    image = torch.zeros(1, 3, 16, 32)
    padded, inside = reflect_to_multiple(image, 16)
    assert padded is image
    assert inside == (slice(0, 16), slice(0, 32))


def test_relative_paths_are_read_as_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("-a #1?.png", noise(2, 2, 1))
    assert read(Path("-a #1?.png")).shape == (2, 2, 1)
