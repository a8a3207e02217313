from importlib.util import find_spec

import numpy as np
import pytest
import tifffile
from PIL import Image

from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.data.io import open_image, read_image, write_image
from pix2pix.data.tiff import TiffReader, TiffWriter
from pix2pix.errors import ImageError
from pix2pix.networks.canvas import ArrayCanvas, shrink_image


def noise(*shape, dtype="uint8"):
    values = np.random.default_rng(0).integers(0, 200, shape)
    return (values / 7 if dtype == "float32" else values).astype(dtype)


def test_a_tiff_that_is_too_large_is_read_by_windows(tmp_path):
    image = noise(40, 50, 3)
    write_image(tmp_path / "a.tif", image)
    large = open_image(tmp_path / "a.tif", max_pixels=1999)
    assert isinstance(large, TiffReader)
    assert (large.shape, large.dtype) == ((40, 50, 3), np.uint8)
    assert np.array_equal(large[3:20, 5:50], image[3:20, 5:50])
    assert np.array_equal(open_image(tmp_path / "a.tif", max_pixels=2000), image)


LAYOUTS = {
    "one after the other": {},
    "of the other byte order": {"byteorder": ">"},
    "in strips": {"compression": "zlib", "rowsperstrip": 7},
    "in tiles": {"tile": (16, 32)},
    "in compressed tiles": {"compression": "zlib", "tile": (16, 32)},
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_window_is_that_of_the_image_that_is_read_whole(tmp_path, layout, channels, dtype):
    image = noise(37, 53, channels, dtype=dtype)
    kind = {"photometric": "rgb", "extrasamples": ["unassalpha"] * (channels - 3)} if channels > 2 else {}
    values = image if channels > 1 else image[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", values, metadata=None, **kind, **LAYOUTS[layout])
    whole, large = read_image(tmp_path / "a.tif"), TiffReader(tmp_path / "a.tif")
    assert np.array_equal(whole, image)
    assert (large.shape, large.dtype) == (whole.shape, whole.dtype)
    for rows, columns in ((slice(0, 37), slice(0, 53)), (slice(5, 6), slice(31, 33)), (slice(15, 36), slice(1, 52))):
        window = large[rows, columns]
        assert window.dtype == whole.dtype
        assert np.array_equal(window, whole[rows, columns])


def test_white_that_is_zero_is_turned_round(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(20, 20), photometric="miniswhite", metadata=None)
    assert np.array_equal(TiffReader(tmp_path / "a.tif")[2:9, 3:20], read_image(tmp_path / "a.tif")[2:9, 3:20])


def refusal(path, **choices):
    with pytest.raises(ImageError) as caught:
        TiffReader(path, **choices)[0:20, 0:20]
    return str(caught.value).removeprefix(f"{path}: ")


def test_what_cannot_be_read_by_windows_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(20, 20, 3), planarconfig="contig", extratags=[(274, 3, 1, 6, True)], metadata=None)
    assert "too large to be rotated" in refusal(path)
    tifffile.imwrite(path, noise(3, 20, 20), photometric="rgb", planarconfig="separate", metadata=None)
    assert "interleaved channels" in refusal(path)
    tifffile.imwrite(path, noise(20, 20) > 99, metadata=None)
    assert "8, 16 or 32 bits" in refusal(path)
    tifffile.imwrite(path, noise(20, 20), colormap=np.zeros((3, 256), np.uint16), metadata=None, photometric="palette")
    assert "PALETTE of uint8" in refusal(path)
    tifffile.imwrite(path, noise(200, 20), compression="zlib", rowsperstrip=200, metadata=None)
    assert refusal(path, max_pixels=100).startswith("4000 bytes are more than 800")


def test_a_damaged_part_is_reported_when_it_is_read(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(64, 64), compression="zlib", rowsperstrip=8, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages.first.dataoffsets[5]
    content = bytearray(path.read_bytes())
    content[offset : offset + 20] = bytes(20)
    path.write_bytes(content)
    large = TiffReader(path)
    assert large[0:40, 0:64].shape == (40, 64, 1)
    with pytest.raises(ImageError, match=r"a\.tif: damaged"):
        large[40:41, 0:1]
    path.write_bytes(content[:offset])
    with pytest.raises(ImageError, match=r"a\.tif: is truncated"):
        large[40:41, 0:1]


def test_a_cut_off_file_of_uncompressed_pixels_is_reported_when_it_is_read(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(64, 64), metadata=None)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ImageError, match=r"a\.tif: damaged"):
        TiffReader(path)[60:64, 0:64]


def test_values_that_are_no_numbers_are_refused(tmp_path):
    image = np.full((20, 20), np.nan, np.float32)
    tifffile.imwrite(tmp_path / "a.tif", image, metadata=None)
    assert refusal(tmp_path / "a.tif").startswith("has values that are NaN, infinite")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_what_is_written_by_windows_is_read(tmp_path, channels, dtype):
    image = noise(37, 53, channels, dtype=dtype)
    new = TiffWriter(tmp_path / "a.tif", image.shape, dtype)
    for rows in (slice(20, 37), slice(0, 20)):
        for columns in (slice(0, 11), slice(11, 53)):
            new[rows, columns] = image[rows, columns]
    assert np.array_equal(read_image(tmp_path / "a.tif"), image)
    assert np.array_equal(TiffReader(tmp_path / "a.tif")[0:37, 0:53], image)


def test_a_place_that_cannot_be_written_is_reported(tmp_path):
    with pytest.raises(ImageError, match=r"cannot write .*none/a\.tif: No such file or directory"):
        TiffWriter(tmp_path / "none" / "a.tif", (4, 4, 1), "uint8")
    new = TiffWriter(tmp_path / "a.tif", (4, 4, 1), "uint8")
    (tmp_path / "a.tif").unlink()
    with pytest.raises(ImageError, match=r"cannot write .*a\.tif: No such file or directory"):
        new[0:1, 0:1] = noise(1, 1, 1)


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_other_files_that_are_too_large_are_refused(tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", noise(40, 50, 3))
    with pytest.raises(ImageError, match="40x50 are more than 1999 pixels"):
        open_image(tmp_path / f"a{suffix}", max_pixels=1999)


def test_a_canvas_encodes_and_decodes_windows_as_the_whole(tmp_path):
    image = noise(30, 41, 3)
    codec = PairCodec(ImageCodec("lightness", 3), ImageCodec("chroma", 3))
    made = {}

    def make(shape, dtype):
        return made.setdefault("output", np.zeros(shape, dtype))

    canvas = ArrayCanvas(image, codec, make)
    x = codec.source.encode(image)
    chroma = x.expand(2, -1, -1) * 0.3
    for columns in (slice(0, 10), slice(10, 41)):
        assert np.allclose(canvas.read(slice(0, 30), columns)[0], x[..., columns], atol=1e-6)
        canvas.write(slice(0, 30), columns, chroma[None, ..., columns])
    assert np.array_equal(made["output"], codec.target.decode(chroma, x))


def test_a_shrunken_image_keeps_its_proportions_and_its_mean():
    image = noise(100, 300, 3)
    small = shrink_image(image, ImageCodec("photo", 3), 30)
    assert small.shape == (10, 30, 3)
    assert abs(small.mean() - image.mean()) < 1
    assert np.array_equal(shrink_image(image, ImageCodec("photo", 3), 300), image)


def test_want_of_memory_is_no_damage(tmp_path, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    tifffile.imwrite(tmp_path / "a.tif", noise(64, 64), compression="zlib", rowsperstrip=8, metadata=None)
    large = TiffReader(tmp_path / "a.tif")
    monkeypatch.setattr(np, "empty", fail)
    with pytest.raises(MemoryError):
        large[20:30, 0:64]


def test_a_file_that_has_gone_is_reported(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(64, 64), metadata=None)
    large = TiffReader(tmp_path / "a.tif")
    large.path.unlink()
    with pytest.raises(ImageError, match=r"a\.tif: No such file or directory$"):
        large[0:1, 0:1]


def patched(path, tag, *values):
    """Write other numbers, of 16 bits, in place of a tag's."""
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages.first.tags[tag].valueoffset
    content = bytearray(path.read_bytes())
    content[offset : offset + 2 * len(values)] = np.array(values, "<u2").tobytes()
    path.write_bytes(content)


def test_samples_of_different_bits_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(20, 20, 3), photometric="rgb", metadata=None)
    patched(tmp_path / "a.tif", "BitsPerSample", 5, 6, 5)
    assert "make it one page of 8, 16 or 32 bits" in refusal(tmp_path / "a.tif")


def test_bits_in_the_other_order_are_turned_round(tmp_path):
    image = noise(20, 20, dtype="uint16")
    tifffile.imwrite(tmp_path / "a.tif", image, extratags=[(263, 3, 1, 2, True)], metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        place = tiff.pages.first.tags[263].offset
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[place] = 266 & 255  # FillOrder, which tifffile does not write
    (tmp_path / "a.tif").write_bytes(content)
    whole = read_image(tmp_path / "a.tif")
    assert not np.array_equal(whole[..., 0], image)
    assert np.array_equal(TiffReader(tmp_path / "a.tif")[0:20, 0:20], whole)


def test_one_channel_lies_beside_itself_whatever_the_file_says(tmp_path):
    image = noise(20, 20)
    tifffile.imwrite(tmp_path / "a.tif", image, extratags=[(284, 3, 1, 2, True)], metadata=None, compression="zlib")
    assert np.array_equal(TiffReader(tmp_path / "a.tif")[3:9, 2:20], image[3:9, 2:20, np.newaxis])


def test_a_compression_that_needs_another_package_is_reported(tmp_path):
    Image.fromarray(noise(20, 20)).save(tmp_path / "a.tif", compression="tiff_lzw")
    if find_spec("imagecodecs") is None:
        assert refusal(tmp_path / "a.tif").startswith("a compression that needs another package (")
    tifffile.imwrite(tmp_path / "a.tif", noise(20, 20), compression="zlib", metadata=None)
    patched(tmp_path / "a.tif", "Compression", 50000)
    if find_spec("imagecodecs") is None:
        assert refusal(tmp_path / "a.tif") == "a compression that needs another package (zstd): pip install imagecodecs"


def test_values_of_other_types_are_refused_by_name(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((20, 20), np.complex64), metadata=None)
    with pytest.raises(ImageError, match=r"a\.tif: "):
        TiffReader(tmp_path / "a.tif")
