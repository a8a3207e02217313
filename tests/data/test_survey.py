import numpy as np
import pytest

from pix2pix.config.pix2pix import DataOptions
from pix2pix.data.codec import ImageCodec
from pix2pix.data.dataset import open_pairs
from pix2pix.data.io import write_image
from pix2pix.data.labels import PALETTES
from pix2pix.data.validate import check_pairs, describe_image, find_inconsistent, measure_codec
from pix2pix.errors import UserError


def two_folders(root, sources, targets, suffixes=(".tif", ".tif")):
    for folder, images, suffix in zip(("trainA", "trainB"), (sources, targets), suffixes, strict=True):
        (root / folder).mkdir(parents=True)
        for number, image in enumerate(images):
            write_image(root / folder / f"{number}{suffix}", image)


def codec(root, colors=False, **given):
    data = DataOptions(dataroot=str(root), val_fraction=0, **given)
    pairs = open_pairs(data, "train")
    return measure_codec(data, pairs, list(check_pairs(pairs, colors=colors)))


def ramp(low, high, dtype, channels=1):
    values = np.linspace(low, high, 24).reshape(4, 6, 1).astype(dtype)
    return np.concatenate([values] * channels, axis=2)


BYTES = ramp(0, 200, np.uint8, 3)


def test_deep_images_take_the_range_of_all_training_pairs_and_bytes_their_own(tmp_path):
    two_folders(tmp_path, [ramp(100, 4000, np.uint16), ramp(7, 900, np.uint16)], [BYTES, BYTES], (".tif", ".png"))
    source, target = codec(tmp_path)
    assert source == ImageCodec("photo", 1, "uint16", (7.0,), (4000.0,), (), ".tif")
    assert target == ImageCodec("photo", 3)


def test_every_channel_has_its_own_range(tmp_path):
    bands = np.concatenate([ramp(0, 1, np.float32), ramp(-50, 20, np.float32), ramp(3, 3, np.float32)] * 2, axis=2)
    two_folders(tmp_path, [bands], [ramp(0, 9, np.float32)], (".npy", ".tiff"))
    source, target = codec(tmp_path)
    assert (source.low, source.high) == ((0, -50, 3) * 2, (1, 20, 3) * 2)
    assert (source.suffix, target.suffix, source.channels) == (".npy", ".tiff", 6)


def test_a_range_that_is_given_is_taken(tmp_path):
    two_folders(tmp_path, [ramp(100, 4000, np.uint16)], [BYTES], (".png", ".png"))
    source, target = codec(tmp_path, source_range="0,4095", target_range="-1,256")
    assert (source.low, source.high, source.suffix) == ((0.0,), (4095.0,), ".png")
    assert (target.low, target.high) == ((-1.0,), (256.0,))


def test_class_numbers_are_stretched_over_the_classes_there_are(tmp_path):
    two_folders(tmp_path, [ramp(0, 11, np.uint8)], [BYTES], (".png", ".png"))
    source = codec(tmp_path, source_kind="labels").source
    assert (source.kind, source.low, source.high) == ("labels", (0.0,), (11.0,))


def test_the_palette_of_targets_is_measured_or_named(tmp_path):
    colours = np.array(PALETTES["facades"].colors, np.uint8)
    two_folders(
        tmp_path,
        [BYTES, BYTES],
        [colours[:6].reshape(2, 3, 3)[[0, 0, 1, 1]].repeat(2, axis=1), BYTES * 0],
        (".png",) * 2,
    )
    target = codec(tmp_path, colors=True, target_kind="labels").target
    assert set(target.palette) == {*map(tuple, colours[:6].tolist()), (0, 0, 0)}
    assert codec(tmp_path, target_kind="labels", target_palette="facades").target.palette == PALETTES["facades"].colors


def test_too_many_colors_are_no_palette(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    two_folders(tmp_path, [noise], [noise], (".png", ".png"))
    with pytest.raises(UserError, match=r"^--target_kind labels: the targets have more than 256 colors, as in JPEG"):
        codec(tmp_path, colors=True, target_kind="labels")


def test_one_hot_sources_have_a_channel_per_class(tmp_path):
    two_folders(tmp_path, [BYTES], [BYTES], (".png", ".png"))
    source = codec(tmp_path, source_onehot="camvid").source
    assert (source.kind, source.nc, source.channels) == ("onehot", 32, 3)


def test_photos_to_color_share_one_range_and_come_out_in_their_depth(tmp_path):
    (tmp_path / "train").mkdir()
    write_image(tmp_path / "train" / "1.png", ramp(5, 60000, np.uint16, 3))
    source, target = codec(tmp_path, target_kind="lab")
    assert source == ImageCodec("lightness", 3, "uint16", (0.0,), (65535.0,))
    assert target == ImageCodec("chroma", 3, "uint16", (0.0,), (65535.0,))


def test_what_cannot_be_read_and_what_is_unlike_most_is_found_in_one_look(tmp_path):
    two_folders(tmp_path, [BYTES] * 5, [BYTES] * 5, (".png", ".png"))
    (tmp_path / "trainA" / "1.png").write_text("no image")
    write_image(tmp_path / "trainB" / "2.png", BYTES[:, :3])
    write_image(tmp_path / "trainB" / "3.png", BYTES.astype(np.uint16))
    write_image(tmp_path / "trainB" / "4.png", BYTES[..., :1])
    pairs = open_pairs(DataOptions(dataroot=str(tmp_path), val_fraction=0), "train")
    faults = {
        index: fault.replace(str(tmp_path), "ROOT")
        for index, fault in find_inconsistent(list(check_pairs(pairs))).items()
    }
    assert sorted(faults) == [1, 2, 3, 4]
    assert faults[1].startswith("ROOT/trainA/1.png: not a PNG")
    assert "ROOT/trainA/2.png is 4x6 but ROOT/trainB/2.png is 4x3" in faults[2]
    assert faults[3] == (
        "ROOT/trainB/3.png: the target has 3 channels of uint16, but 1 of 3 have 3 channels of uint8: make them equal"
    )
    assert "has 1 channel of uint8, but" in faults[4]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_colors_are_those_of_the_pixels(dtype):
    image = np.zeros((10, 10, 3), dtype)
    image[:1] = (255, 7, 1)
    assert describe_image(image, colors=True).colors == {(0, 0, 0), (255, 7, 1)}
    assert describe_image(image).colors == frozenset()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(dtype)
    assert len(describe_image(noise, colors=True).colors) == 257
