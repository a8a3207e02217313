import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pix2pix.config.pix2pix import DataOptions
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.data.dataset import GENERATED, open_pairs, select_validation_names
from pix2pix.data.generated import generate
from pix2pix.data.io import write_image
from pix2pix.errors import ImageError, UserError


def flat(value, height=4, width=6, channels=3):
    return np.full((height, width, channels), value, np.uint8)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


def side_by_side(folder, names, width=6):
    for number, name in enumerate(names):
        save(folder / f"{name}.png", np.hstack([flat(number, width=width), flat(100 + number, width=width)]))


def open_(root, phase="train", **changes):
    return open_pairs(DataOptions(dataroot=str(root), **{"val_fraction": 0.0, **changes}), phase)


def values(pair):
    return int(pair.source[0, 0, 0]), int(pair.target[0, 0, 0]), pair.name


def read_all(root, *arguments, **changes):
    pairs = open_(root, *arguments, **changes)
    return [pairs.read(index) for index in range(len(pairs))]


def refusal(root, *arguments, **changes):
    with pytest.raises(UserError) as caught:
        read_all(root, *arguments, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(root), "ROOT")


def test_side_by_side_images_are_cut_in_two(tmp_path):
    side_by_side(tmp_path / "train", ["1", "2", "10"])
    pairs = open_pairs(DataOptions(dataroot=str(tmp_path), val_fraction=0), "train")
    assert pairs.names == ("1", "2", "10")
    assert [values(pairs.read(index)) for index in range(3)] == [(0, 100, "1"), (1, 101, "2"), (2, 102, "10")]


@pytest.mark.parametrize(
    ("a", "b"), [("trainA", "trainB"), ("A/train", "B/train"), ("train/A", "train/B")], ids=lambda name: name
)
def test_two_folders_are_matched_by_name_whatever_the_suffix(tmp_path, a, b):
    for number, name in enumerate(["2", "10", "sub/1"]):
        save(tmp_path / a / f"{name}.png", flat(number))
        save(tmp_path / b / f"{name}.webp", flat(100 + number))
    pairs = open_(tmp_path)
    assert [values(pairs.read(index)) for index in range(3)] == [(0, 100, "2"), (1, 101, "10"), (2, 102, "sub/1")]
    assert pairs.layout.startswith(f"A in {tmp_path}/{a}, B of the same names in {tmp_path}/{b}")


def test_direction_btoa_makes_b_the_source(tmp_path):
    side_by_side(tmp_path / "test", ["1"])
    assert values(open_(tmp_path, "test", direction="BtoA").read(0)) == (100, 0, "1")


def test_names_match_however_their_accents_are_encoded(tmp_path):
    for folder, form in (("trainA", "NFC"), ("trainB", "NFD")):
        save(tmp_path / folder / unicodedata.normalize(form, "é.png"), flat(1))
    assert open_(tmp_path).names == ("é",)


def test_exif_orientation_is_applied_on_both_sides(tmp_path):
    corner = flat(0, height=8, width=16)
    corner[:4, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "trainA" / "1.png", np.rot90(corner, -1))
    (tmp_path / "trainB").mkdir()
    Image.fromarray(corner).save(tmp_path / "trainB" / "1.png", exif=exif)
    pair = open_(tmp_path).read(0)
    assert pair.source.shape == (16, 8, 3)
    assert np.array_equal(pair.source, pair.target)


def test_without_a_val_folder_a_share_of_train_is_kept_out(tmp_path):
    side_by_side(tmp_path / "train", [str(number) for number in range(20)])
    train, val = open_(tmp_path, val_fraction=0.1), open_(tmp_path, "val", val_fraction=0.1)
    assert (len(train), len(val)) == (18, 2)
    assert sorted([*train.names, *val.names], key=int) == [str(number) for number in range(20)]
    assert "2 of 20: val by --val_fraction 0.1" in val.layout
    assert len(open_(tmp_path, "val")) == 0
    assert len(open_(tmp_path)) == 20


def test_with_a_val_folder_train_is_whole(tmp_path):
    side_by_side(tmp_path / "train", ["1", "2", "3"])
    side_by_side(tmp_path / "val", ["9"])
    assert open_(tmp_path, val_fraction=0.5).names == ("1", "2", "3")
    assert open_(tmp_path, "val", val_fraction=0.5).names == ("9",)


@given(st.sets(st.integers(0, 99).map(str), max_size=30).map(sorted), st.floats(0, 0.5), st.randoms())
def test_the_split_depends_on_names_alone(names, fraction, random):
    kept_out = select_validation_names(names, fraction)
    expected = round(fraction * len(names))
    assert len(kept_out) == (max(expected, 1) if fraction and len(names) > 1 else expected)
    shuffled = random.sample(names, len(names))
    assert select_validation_names(shuffled, fraction) == kept_out


def test_the_first_pairs_are_those_of_the_first_names(tmp_path):
    side_by_side(tmp_path / "train", ["1", "2", "10"])
    assert open_(tmp_path).first(2).names == ("1", "2")
    assert len(open_(tmp_path).first(9)) == len(open_(tmp_path).first(None)) == 3


def test_channels_are_converted_as_asked(tmp_path):
    save(tmp_path / "trainA" / "1.png", flat(7, channels=4))
    save(tmp_path / "trainB" / "1.png", flat(9, channels=1))
    pair = open_(tmp_path, direction="BtoA", input_nc=3, output_nc=1).read(0)
    assert pair.source.tolist() == flat(9).tolist()
    assert pair.target.tolist() == flat(7, channels=1).tolist()


def test_a_codec_gives_every_pair_its_channels_and_holds_it_to_its_depth(tmp_path):
    for name, channels in (("1", 1), ("2", 4)):
        save(tmp_path / "trainA" / f"{name}.png", flat(7, channels=channels))
        save(tmp_path / "trainB" / f"{name}.png", flat(9))
    rgb, grey = ImageCodec("photo", 3), ImageCodec("photo", 1)
    for direction, codec in (("AtoB", PairCodec(grey, rgb)), ("BtoA", PairCodec(rgb, grey))):
        pairs = open_(tmp_path, direction=direction).of(codec)
        shapes = {pairs.read(index).source.shape + pairs.read(index).target.shape for index in range(2)}
        assert shapes == {(4, 6, codec.source.channels, 4, 6, codec.target.channels)}
    with pytest.raises(ImageError) as caught:
        open_(tmp_path).of(PairCodec(rgb, ImageCodec("photo", 3, "uint16"))).read(0)
    assert str(caught.value) == (f"{tmp_path}/trainB/1.png: is uint8, but training images are uint16: convert it")
    with pytest.raises(ImageError, match=r"trainA/2\.png: .*\b7\b"):
        open_(tmp_path).of(PairCodec(ImageCodec("photo", 7), rgb)).read(1)


def test_label_maps_lose_their_alpha_and_nothing_else(tmp_path):
    save(tmp_path / "trainA" / "1.png", flat(7, channels=4))
    save(tmp_path / "trainB" / "1.png", flat(9))
    labels, rgb = ImageCodec("labels", 3), ImageCodec("photo", 3)
    assert open_(tmp_path, source_kind="labels").of(PairCodec(labels, rgb)).read(0).source.shape == (4, 6, 3)
    assert open_(tmp_path, source_kind="labels", input_nc=3).read(0).source.shape == (4, 6, 3)
    with pytest.raises(
        ImageError, match=r"trainA/1\.png: labels of 4 channels cannot be converted to 1 without mixing"
    ):
        open_(tmp_path, source_kind="labels", input_nc=1).read(0)
    assert open_(tmp_path, target_kind="labels").of(PairCodec(rgb, ImageCodec("labels", 4))).read(0).target.shape == (
        4,
        6,
        4,
    )
    with pytest.raises(ImageError, match=r"trainB/1\.png: labels of 3 channels, but training labels have 1: make them"):
        open_(tmp_path, target_kind="labels").of(PairCodec(rgb, ImageCodec("labels", 1))).read(0)


def test_generated_pairs_need_no_files():
    pairs = open_("generated", "val", load_size=(32, 48), crop_size=(16, 16))
    photo, labels = generate(0, 400, size=(32, 48))
    pair = pairs.read(0)
    assert np.array_equal(pair.source, photo)
    assert np.array_equal(pair.target, labels)
    assert (pair.name, len(pairs)) == ("val_0001", 50)
    assert pairs.layout == "50 generated facades, A photo and B labels, 32x48"
    assert len(set().union(*GENERATED.values())) == sum(map(len, GENERATED.values())) == 550


def test_an_odd_width_cannot_be_cut_in_two(tmp_path):
    save(tmp_path / "train" / "1.png", flat(0, width=7))
    assert refusal(tmp_path) == "ROOT/train/1.png: 7 pixels wide, but A|B side by side needs an even width"


def test_images_of_a_pair_need_one_size(tmp_path):
    save(tmp_path / "trainA" / "1.png", flat(0))
    save(tmp_path / "trainB" / "1.png", flat(0, width=8))
    assert refusal(tmp_path) == (
        "ROOT/trainA/1.png is 4x6 but ROOT/trainB/1.png is 4x8: the images of a pair need equal sizes: "
        "resize one of them"
    )


ADVICE = "`python -m pix2pix check ROOT` lists all, --skip_bad leaves them out"


def test_an_image_without_a_partner_is_refused_by_name_and_the_others_counted(tmp_path):
    for folder, names in (("trainA", "123"), ("trainB", "18")):
        for name in names:
            save(tmp_path / folder / f"{name}.png", flat(0))
    assert refusal(tmp_path) == (
        "ROOT/trainA/2.png has no partner in ROOT/trainB: partners need equal names (and 2 more faults); " + ADVICE
    )
    pairs = open_(tmp_path, skip_bad=True)
    assert pairs.names == ("1",)
    assert len(pairs.faults) == 3


def test_a_partner_that_differs_in_case_alone_is_pointed_out(tmp_path):
    save(tmp_path / "trainA" / "Front.png", flat(0))
    save(tmp_path / "trainB" / "front.png", flat(0))
    assert "has no partner in ROOT/trainB: front.png differs in case only, rename it" in refusal(tmp_path)


def test_two_images_of_one_name_are_refused(tmp_path):
    save(tmp_path / "train" / "1.png", flat(0))
    save(tmp_path / "train" / "1.webp", flat(0))
    assert refusal(tmp_path) == (
        "ROOT/train/1.png and ROOT/train/1.webp have the same name without suffix: keep one of them; " + ADVICE
    )


def test_photos_are_their_own_pairs(tmp_path):
    save(tmp_path / "train" / "1.png", flat(9))
    pair = open_(tmp_path, target_kind="lab").read(0)
    assert np.array_equal(pair.source, pair.target)
    assert open_(tmp_path, target_kind="lab").layout.startswith(f"photos in {tmp_path}/train")
    assert "no test photos found: put photos into test/" in refusal(tmp_path, "test", target_kind="lab")


def test_a_folder_of_photos_without_phases_is_train(tmp_path):
    for name in ("1", "sub/2", "3"):
        save(tmp_path / f"{name}.png", flat(9))
    train, val = (open_(tmp_path, phase, target_kind="lab", val_fraction=0.3) for phase in ("train", "val"))
    assert sorted([*train.names, *val.names]) == ["1", "3", "sub/2"]
    assert len(val) == 1


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    assert refusal(tmp_path).startswith("ROOT/train: no images: files ending in .png, .jpg, ")


def test_an_unknown_layout_is_refused_with_the_known_ones(tmp_path):
    (tmp_path / "pictures").mkdir()
    message = (
        "--dataroot ROOT: no train pairs found: put A|B images side by side into train/, or A and B under equal "
        "names into trainA/ and trainB/, train/A/ and train/B/, or A/train/ and B/train/"
    )
    assert refusal(tmp_path) == refusal(tmp_path, "val") == message
    assert "no test pairs found" in refusal(tmp_path, "test")


def test_a_damaged_image_is_refused_by_name(tmp_path):
    side_by_side(tmp_path / "train", ["1"])
    (tmp_path / "train" / "2.png").write_text("no image")
    with pytest.raises(ImageError, match=r"train/2.png: not a PNG"):
        open_(tmp_path).read(1)


def test_two_folders_of_partners_are_not_cut_in_halves(tmp_path):
    for side in ("input", "target"):
        for name in ("1", "2"):
            (tmp_path / "train" / side).mkdir(parents=True, exist_ok=True)
            write_image(tmp_path / "train" / side / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match=r"has input/ and target/ with images of equal names: call them A/ and B/"):
        open_(tmp_path)
