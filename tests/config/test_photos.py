import pytest

from pix2pix.config.base import OptionError, from_dict, to_dict
from pix2pix.config.style import ContentStyleOptions, PhotoOptions


def photos(record=PhotoOptions, **given):
    return from_dict(record, {"dataroot": "photos", **given})


def test_a_photo_is_resized_to_the_crop_itself_but_with_styles_to_twice_that():
    assert (photos().load_size, photos().crop_size) == (256, (256, 256))
    both = photos(ContentStyleOptions, styles="paintings")
    assert (both.load_size, both.crop_size) == (512, (256, 256))


def test_as_stored_they_are_read_again():
    both = photos(ContentStyleOptions, styles="paintings", crop_size="128x96", max_dataset_size=7, val_fraction=0)
    assert from_dict(ContentStyleOptions, to_dict(both)) == both


def test_a_crop_has_to_fit_into_the_shorter_side():
    assert photos(load_size=100, crop_size="100x50").load_size == 100
    with pytest.raises(OptionError) as caught:
        photos(load_size=100, crop_size="50x101")
    assert str(caught.value) == (
        "crop_size 50x101 is larger than load_size 100, the shorter side of a photo: "
        "raise --load_size or lower --crop_size"
    )


def test_what_is_left_out_has_to_be_read_first():
    with pytest.raises(OptionError, match=r"^--skip_bad .*--check false"):
        photos(skip_bad=True, check=False)


def test_styles_are_needed_where_they_are_learned():
    with pytest.raises(OptionError, match=r"^--styles is missing: "):
        photos(ContentStyleOptions)
