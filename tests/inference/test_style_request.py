import re
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

import pix2pix
from pix2pix.config.base import OptionError
from pix2pix.data import color
from pix2pix.data.arrays import resize, to_array, to_tensor
from pix2pix.data.codec import rgb_to_tensor
from pix2pix.data.io import write_image
from pix2pix.data.pillow import from_pil, to_pil
from pix2pix.errors import UserError
from pix2pix.inference.style_request import STYLE_SIZE
from pix2pix.methods.base import Styles, translate

load = partial(pix2pix.load, device="cpu")


def photo(height=24, width=40, channels=3, dtype="uint8"):
    unit = np.random.default_rng(0).random((height, width, channels))
    return (unit * {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]).astype(dtype)


@pytest.fixture(scope="module")
def johnson(style_runs):
    return load(style_runs / "johnson")


@pytest.fixture(scope="module")
def multi_style(style_runs):
    return load(style_runs / "multi_style")


@pytest.fixture(scope="module")
def adain(style_runs):
    return load(style_runs / "adain")


def test_a_style_is_named(multi_style):
    image = Image.new("RGB", (40, 30), "teal")
    output = multi_style.translate(image, style="blue")
    assert (output.mode, output.size) == ("RGB", (40, 30))
    assert multi_style.styles == ["red", "blue"]
    assert output.tobytes() == multi_style.translate(image, style=2).tobytes()
    assert output.tobytes() == multi_style.translate(image, style=["2"]).tobytes()
    assert output.tobytes() != multi_style.translate(image, style="red").tobytes()


def test_one_style_needs_no_name(johnson):
    image = photo()
    with torch.inference_mode():
        padded = johnson.method.generator(torch.nn.functional.pad(to_tensor(image)[None], (4, 4, 4, 4), "reflect"))
    assert np.array_equal(johnson.translate(image), to_array(padded[0, :, 4:-4, 4:-4]))


def test_a_blend_of_all_weight_on_one_style_is_that_style(multi_style):
    image = photo()
    blended = multi_style.translate(image, style=["red", "blue"], style_weights=[0, 2.5])
    assert np.array_equal(blended, multi_style.translate(image, style="blue"))
    equal = multi_style.translate(image, style=["red", "blue"])
    assert np.array_equal(equal, multi_style.translate(image, style=[1, 2], style_weights=(3, 3)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_content_of_any_channels_and_depth_becomes_rgb_of_that_depth(johnson, dtype, channels):
    image = photo(channels=channels, dtype=dtype)
    output = johnson.translate(image)
    assert (output.dtype, output.shape) == (np.dtype(dtype), (24, 40, 3))
    rgb = np.repeat(image, 3, axis=2) if channels == 1 else image[..., :3]
    assert np.array_equal(output, johnson.translate(rgb))
    tensor = johnson.translate(rgb_to_tensor(rgb)).clamp(-1, 1)
    assert torch.allclose(rgb_to_tensor(output), tensor, atol=1 / 127 if dtype == "uint8" else 1e-4)
    assert torch.equal(johnson.translate(rgb_to_tensor(image)), johnson.translate(rgb_to_tensor(rgb)))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_a_pil_image_of_any_mode_comes_back_as_rgb(johnson, mode):
    image = Image.fromarray(photo(channels=1, dtype="uint16")[..., 0]) if mode == "I;16" else to_pil(photo())
    image = Image.fromarray(photo(channels=1, dtype="float32")[..., 0]) if mode == "F" else image
    output = johnson.translate(image if mode in ("I;16", "F") else image.convert(mode))
    assert (output.mode, output.size) == ("RGB", (40, 24))


def test_a_gray_array_without_channels_is_taken(johnson):
    grey = photo(channels=1)
    assert np.array_equal(johnson.translate(grey[..., 0]), johnson.translate(grey))


@pytest.mark.parametrize("size", [(1, 1), (1, 130), (7, 3), (17, 64), (130, 129)])
def test_any_size_is_kept(johnson, multi_style, size):
    assert johnson.translate(photo(*size)).shape == (*size, 3)
    assert multi_style.translate(photo(*size), style=1).shape == (*size, 3)


def test_images_of_a_batch_never_influence_each_other(multi_style):
    images = torch.stack([rgb_to_tensor(photo()), rgb_to_tensor(photo()).flip(-1) / 2])
    together = multi_style.translate(images, style=["red", "blue"])
    alone = torch.stack([multi_style.translate(image, style=["red", "blue"]) for image in images])
    assert torch.allclose(together, alone, atol=1e-5)


def test_luminance_paints_lightness_alone(johnson, multi_style):
    content = rgb_to_tensor(photo(300, 20))
    for translator, style in ((johnson, None), (multi_style, "red")):
        plain = translator.translate(content, style=style)
        kept = translator.translate(content, style=style, keep_colors="luminance")
        assert torch.allclose(kept, color.keep_colors(plain[None], content[None])[0], atol=1e-5)
    assert not torch.allclose(kept, plain, atol=0.01)


def test_masks_say_where_each_style_is(multi_style, tmp_path):
    image = photo(32, 48)
    left = np.zeros((32, 48), bool)
    left[:, :24] = True
    red_left = multi_style.translate(image, style=["red", "blue"], masks=[left, ~left])
    assert not np.array_equal(red_left, multi_style.translate(image, style="red"))
    swapped = multi_style.translate(image, style=["blue", "red"], masks=[~left, left])
    assert np.abs(red_left.astype(int) - swapped).max() <= 1
    everywhere = np.ones((32, 48), bool)
    both = multi_style.translate(image, style=["red", "blue"], masks=[everywhere, everywhere])
    assert np.abs(both.astype(int) - multi_style.translate(image, style=["red", "blue"])).max() <= 1
    write_image(tmp_path / "left.png", (left * np.uint8(255))[..., np.newaxis])
    kinds = [
        [tmp_path / "left.png", str(tmp_path / "left.png")],
        [Image.fromarray(left), torch.from_numpy(left)],
        [torch.from_numpy(left).float()[None, None], (left * np.uint16(65535))[..., np.newaxis]],
    ]
    outputs = [multi_style.translate(image, style=["red", "blue"], masks=masks) for masks in kinds]
    assert all(np.array_equal(output, outputs[0]) for output in outputs)


def test_batch_norm_translates_by_running_statistics_by_default(style_runs):
    image = photo()
    recorded, running, own = (load(style_runs / "batch", norm_stats=how) for how in (None, "running", "image"))
    assert np.array_equal(recorded.translate(image), running.translate(image))
    assert not np.array_equal(recorded.translate(image), own.translate(image))
    plain = load(style_runs / "batch", fast="none").translate(image)
    assert np.abs(plain.astype(int) - recorded.translate(image)).max() <= 1  # where norms were folded


SMALL = {"style_size": 32}


def test_a_style_is_any_picture(adain, tmp_path):
    content, style = photo(), photo(32, 16)
    write_image(tmp_path / "style.png", style)
    output = adain.translate(content, style=style, **SMALL)
    kinds = [tmp_path / "style.png", str(tmp_path / "style.png"), to_pil(style), to_tensor(style), [style]]
    kinds += [to_tensor(style)[None], style.astype(np.uint16) * 257, (style / 255).astype(np.float32)]
    for kind in kinds:
        assert np.abs(adain.translate(content, style=kind, **SMALL).astype(int) - output).max() <= 1
    grey = photo(32, 16, channels=1)
    in_colour = adain.translate(content, style=np.repeat(grey, 3, axis=2), **SMALL)
    assert np.array_equal(adain.translate(content, style=grey[..., 0], **SMALL), in_colour)
    assert not np.array_equal(output, in_colour)


def test_without_any_of_the_style_it_does_not_matter(adain):
    content, styles = rgb_to_tensor(photo()), (photo(32, 16), photo(20, 32) // 2)
    none, other = (adain.translate(content, style=style, alpha=0, **SMALL) for style in styles)
    assert torch.equal(none, other)
    half, most, all_ = (adain.translate(content, style=styles[0], alpha=x, **SMALL) for x in (0.5, 1, None))
    assert torch.equal(most, all_)
    assert 0.01 < (half - none).abs().mean() < (most - none).abs().mean()


def test_a_blend_of_one_picture_with_itself_is_that_picture(adain):
    content, style = rgb_to_tensor(photo()), photo(32, 16)
    once = adain.translate(content, style=style, **SMALL)
    twice = adain.translate(content, style=[style, style], style_weights=[1, 4], **SMALL)
    all_first = adain.translate(content, style=[style, photo(32, 9) // 2], style_weights=[1, 0], **SMALL)
    assert torch.allclose(twice, once, atol=1e-4)
    assert torch.allclose(all_first, once, atol=1e-4)


def test_a_style_is_seen_at_512_pixels_by_default(adain, monkeypatch):
    assert STYLE_SIZE == 512
    monkeypatch.setattr("pix2pix.inference.style_request.STYLE_SIZE", 96)  # which is faster
    content, style = rgb_to_tensor(photo())[None], photo(64, 32)
    seen = [rgb_to_tensor(resize(style, size))[None] for size in ((96, 48), (32, 16))]
    expected = [translate(adain.method, content, styles=Styles([picture])) for picture in seen]
    assert torch.equal(adain.translate(content, style=style), expected[0])
    assert torch.equal(adain.translate(content, style=style, **SMALL), expected[1])
    assert not torch.allclose(expected[0], expected[1], atol=0.01)


def test_coral_recolors_the_style(adain):
    content, style = rgb_to_tensor(photo()), photo(32, 16) // 3
    recoloured = color.match_colors(rgb_to_tensor(style), content).clamp(-1, 1)
    expected = translate(adain.method, content[None], styles=Styles([recoloured[None]]))[0]
    assert torch.equal(adain.translate(content, style=style, keep_colors="coral", **SMALL), expected)
    assert not torch.allclose(adain.translate(content, style=style, **SMALL), expected, atol=0.01)
    batch = torch.stack([content, content / 4])
    together = adain.translate(batch, style=style, keep_colors="coral", **SMALL)
    assert torch.equal(together[0], expected)
    assert torch.equal(together[1], adain.translate(batch[1], style=style, keep_colors="coral", **SMALL))


def test_pictures_fill_the_regions_of_their_masks(adain):
    content, styles = rgb_to_tensor(photo(32, 48)), [photo(32, 16), photo(20, 32) // 2]
    left = np.zeros((32, 48), bool)
    left[:, :24] = True
    by_region = adain.translate(content, style=styles, masks=[left, ~left], **SMALL)
    swapped = adain.translate(content, style=styles[::-1], masks=[~left, left], **SMALL)
    assert torch.allclose(by_region, swapped, atol=1e-4)
    assert not torch.allclose(by_region, adain.translate(content, style=styles, **SMALL), atol=0.01)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "style:.*adain"),
        ({"style": "nowhere.jpg"}, r"style:.*nowhere\.jpg"),
        ({"style": 3}, "style:.*PIL"),
        ({"style": torch.zeros(2, 3, 4, 4)}, "style:.*2.*3"),
        ({"style": np.zeros((4, 4, 5), np.uint8)}, "style:.*uint8.*5"),
        ({"style": np.full((4, 4), 9j)}, "style:.*complex128"),
        ({"style": photo(), "alpha": 1.5}, r"alpha:.*1\.5.*0 to 1"),
        ({"style": photo(), "alpha": "1"}, "alpha:.*'1'.*0 to 1"),
    ],
)
def test_a_picture_that_cannot_be_a_style_is_reported(adain, given, message):
    with pytest.raises(UserError) as caught:
        adain.translate(photo(), **given)
    assert re.search(message, str(caught.value))


@pytest.mark.parametrize(
    ("run", "given", "message"),
    [
        ("johnson", {"style": "red"}, "style:.*johnson"),
        ("johnson", {"masks": []}, "masks:.*johnson"),
        ("multi_style", {"style": 1, "alpha": 0.0}, "alpha:.*multi_style"),
        ("multi_style", {"style": 1, "style_size": 9}, "style_size.*multi_style"),
        (
            "multi_style",
            {"style": 1, "keep_colors": "coral"},
            "keep_colors.*multi_style",
        ),
        ("multi_style", {"style": 1, "keep_colors": "all"}, "keep_colors.*'all'"),
        ("multi_style", {}, "style:.*multi_style.*red"),
        ("multi_style", {"style": []}, "style:.*multi_style.*red"),
        (
            "multi_style",
            {"style": "blu"},
            "style:.*'blu'.*red",
        ),
        ("multi_style", {"style": [1, 3]}, "style:.*3.*red"),
        ("multi_style", {"style": 0}, "style:.*0.*red"),
        ("multi_style", {"style": 1.5}, r"style:.*1\.5.*red"),
        (
            "multi_style",
            {"style": [1, 2], "style_weights": [1]},
            "style_weights.*1.*2",
        ),
        (
            "multi_style",
            {"style": [1, 2], "style_weights": [0, 0]},
            r"style_weights.*\[0, 0\]",
        ),
        ("multi_style", {"style": [1, 2], "style_weights": "ab"}, "style_weights.*'ab'"),
        ("multi_style", {"style": 1, "style_weights": 1.0}, r"style_weights.*1\.0"),
        (
            "multi_style",
            {"style": [1, 2], "style_weights": [-1, 2]},
            r"style_weights.*\[-1, 2\]",
        ),
        (
            "multi_style",
            {"style": [1, 2], "masks": [np.ones((24, 40))]},
            "masks:.*1.*2",
        ),
        (
            "multi_style",
            {"style": 1, "masks": [np.ones((24, 41))]},
            "masks:.*24x41.*24x40",
        ),
        (
            "multi_style",
            {"style": 1, "masks": [np.zeros((24, 40))]},
            "masks:.*black",
        ),
        ("multi_style", {"style": 1, "masks": ["nowhere.png"]}, r"masks:.*nowhere\.png"),
        (
            "multi_style",
            {"style": 1, "masks": [3]},
            "masks:.*PIL",
        ),
        (
            "multi_style",
            {"style": 1, "masks": [np.zeros((24, 40, 2), np.uint8)]},
            "masks:.*uint8.*2",
        ),
    ],
)
def test_what_does_not_fit_is_reported_in_one_line(style_runs, run, given, message):
    with pytest.raises(UserError) as caught:
        load(style_runs / run).translate(photo(), **given)
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (photo(channels=2), "uint8.*2.*uint8"),
        (photo().astype(np.float64), "float64.*3.*uint8"),
        (np.full((4, 4, 3), np.nan, np.float32), "NaN.*0 to 1"),
        (np.full((4, 4, 3), 99, np.float32), "99.*0 to 1.*8"),
        (np.zeros((0, 4, 3), np.uint8), "uint8.*4.*3"),
        (torch.zeros(2, 4, 4), "float32.*2.*4"),
    ],
)
def test_a_content_that_is_no_picture_is_refused(johnson, array, message):
    with pytest.raises(UserError) as caught:
        johnson.translate(array)
    assert re.search(message, str(caught.value))


@pytest.mark.parametrize(
    ("run", "given", "message"),
    [
        ("johnson", {"dropout": "on"}, "--dropout.*johnson"),
        ("multi_style", {"norm_stats": "image"}, "--norm_stats.*multi_style"),
        ("multi_style", {"seed": 1}, "--seed.*multi_style"),
    ],
)
def test_a_switch_that_a_method_lacks_is_refused(style_runs, run, given, message):
    with pytest.raises(OptionError) as caught:
        load(style_runs / run, **given)
    assert re.search(message, str(caught.value))


def test_running_statistics_are_refused_where_the_norm_keeps_none(style_runs):
    with pytest.raises(UserError, match=r"--norm_stats.*BatchNorm"):
        load(style_runs / "johnson", norm_stats="running")


def test_a_turned_photo_is_drawn_upright(johnson):
    exif = Image.Exif()
    exif[0x0112] = 3
    image = to_pil(photo())
    turned = image.transpose(Image.Transpose.ROTATE_180)
    turned.getexif().update(exif)
    assert np.array_equal(from_pil(johnson.translate(turned)), johnson.translate(photo()))


def test_numbers_of_numpy_are_numbers(multi_style, adain):
    image = photo()
    assert np.array_equal(multi_style.translate(image, style=np.int64(2)), multi_style.translate(image, style="blue"))
    half, same = (adain.translate(image, style=photo(), alpha=x, **SMALL) for x in (np.float32(0.5), 0.5))
    assert np.array_equal(half, same)


@pytest.mark.parametrize("weight", [1e308, 5e-324])
def test_weights_of_any_size_are_shares(weight):
    assert Styles(numbers=[0, 1], weights=[weight, weight]).normalized_weights() == [0.5, 0.5]


def test_one_mask_needs_no_list(adain, tmp_path):
    image = photo(32, 48)
    left = np.zeros((32, 48), np.uint8)
    left[:, :24] = 255
    write_image(tmp_path / "left.png", left[..., None])
    expected = adain.translate(image, style=photo(), masks=[left], **SMALL)
    for mask in (left, Image.fromarray(left), torch.from_numpy(left / 255), tmp_path / "left.png"):
        assert np.array_equal(adain.translate(image, style=photo(), masks=mask, **SMALL), expected)


@pytest.mark.parametrize(
    ("run", "given", "message"),
    [
        (
            "multi_style",
            {"style": 1, "masks": [np.ones((24, 40))]},
            "masks:.*multi_style",
        ),
        (
            "adain",
            {"style": [photo()] * 2, "masks": [np.ones((24, 40))] * 2, "style_weights": [2, 1]},
            "style_weights.*adain",
        ),
        ("multi_style", {"style": photo()}, r"style: got array\(\[\[\["),
        ("multi_style", {"style": 1, "style_weights": [1, 2]}, "style_weights.*2"),
        ("multi_style", {"style": [1, 2], "masks": 3}, "masks:.*1.*2"),
        *(
            (
                "adain",
                {"style": photo(), "style_size": size},
                f"style_size.*{size!r}.*1 to 65535",
            )
            for size in (0, -5, 1.5, "64", 10**6)
        ),
    ],
)
def test_what_would_be_ignored_is_reported_in_one_line(style_runs, run, given, message):
    with pytest.raises(UserError) as caught:
        load(style_runs / run).translate(photo(), **given)
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_foreign_byte_order_is_read(johnson):
    deep = photo(dtype="uint16")
    assert np.array_equal(johnson.translate(deep.astype(">u2")), johnson.translate(deep))
