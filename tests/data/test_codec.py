import json
from time import process_time

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab

from pix2pix.data.arrays import to_array, to_tensor
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.data.generated import generate
from pix2pix.data.labels import PALETTES
from pix2pix.errors import UserError

FACADES = PALETTES["facades"].colors
DTYPES = ["uint8", "uint16", "int16", "int32", "uint32", "float32"]
KINDS = {
    "photo": ImageCodec("photo", 3),
    "labels": ImageCodec("labels", 3, palette=FACADES),
    "onehot": ImageCodec("onehot", 3, palette=FACADES),
    "lightness": ImageCodec("lightness", 3),
    "chroma": ImageCodec("chroma", 3),
}


def noise(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def picture_like(seed):
    """Smooth colours with fine noise and edges, as photographs have them."""
    rng = np.random.default_rng(seed)
    smooth = cv2.resize(rng.integers(0, 256, (6, 6, 3)).astype(np.float32), (64, 64), interpolation=cv2.INTER_CUBIC)
    smooth[rng.integers(20, 40) :] *= 0.4
    return (smooth + rng.normal(0, 4, smooth.shape)).round().clip(0, 255).astype(np.uint8)


def there_and_back(encoding, array):
    tensor = encoding.encode(array)
    assert (tensor.dtype, tuple(tensor.shape)) == (torch.float32, (encoding.nc, *array.shape[:2]))
    assert -1 <= tensor.min() <= tensor.max() <= 1
    back = encoding.decode(tensor, tensor)
    assert back.dtype == encoding.dtype
    assert back.shape[:2] == array.shape[:2]
    return back


def test_a_photo_becomes_a_tensor_and_a_photo_again():
    photo = ImageCodec("photo", 3)
    image = noise(5, 7, 3)
    assert np.array_equal(photo.decode(photo.encode(image), None), image)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize(
    "encoding",
    [
        *KINDS.values(),
        ImageCodec("photo", 1),
        ImageCodec("photo", 4, low=(1, 2, 3, 4), high=(200, 2, 255, 9)),
        ImageCodec("photo", 7, low=(30,), high=(90,)),
        ImageCodec("labels", 1, palette=FACADES),
        ImageCodec("labels", 4, palette=FACADES),
        ImageCodec("photo", 2, "uint16", high=(65535.0,)),
    ],
)
def test_many_images_become_what_each_becomes_alone_also_views_that_are_not_to_be_written_to(encoding, flipped):
    images = [noise(9, 8, encoding.channels, seed).astype(encoding.dtype)[2:, 1:6] for seed in range(3)]
    if flipped:
        images = [image[:, ::-1] for image in images]
    for image in images:
        image.flags.writeable = False
    alone = [encoding.encode(image.copy()) for image in images]
    assert torch.equal(encoding.encode_batch(images), torch.stack(alone))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("kind", ["photo", "labels"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_of_every_type_and_number_of_channels_come_back(kind, dtype, channels):
    image = np.random.default_rng(0).uniform(0, 30_000, (6, 5, channels)).astype(dtype)
    low, high = (tuple(map(float, getattr(image, end)(axis=(0, 1)))) for end in ("min", "max"))
    back = there_and_back(ImageCodec(kind, channels, dtype, low, high), image)
    assert np.abs(back.astype(float) - image).max() <= (0 if dtype != "float32" else 1e-6 * 30_000)


def test_values_outside_the_range_are_clipped():
    encoding = ImageCodec("photo", 1, "int16", (-100.0,), (300.0,))
    image = np.array([-200, -100, 100, 300, 301], np.int16).reshape(1, 5, 1)
    assert encoding.encode(image).flatten().tolist() == [-1, -1, 0, 1, 1]
    assert there_and_back(encoding, image).flatten().tolist() == [-100, -100, 100, 300, 300]


def test_a_constant_channel_is_minus_one_and_comes_back():
    encoding = ImageCodec("photo", 2, "float32", (5.5, 0.0), (5.5, 1.0))
    image = np.array([[[5.5, 0.25]]], np.float32)
    assert encoding.encode(image).flatten().tolist() == [-1, -0.5]
    assert np.array_equal(there_and_back(encoding, image), image)
    assert encoding.decode(torch.ones(2, 1, 1), None).flatten().tolist() == [5.5, 1]
    lightness, chroma = (ImageCodec(kind, 3, low=(7.0,), high=(7.0,)) for kind in ("lightness", "chroma"))
    x = lightness.encode(np.full((2, 2, 3), 7, np.uint8))
    assert (lightness.decode(x, x) == 7).all()
    assert (chroma.decode(torch.ones(2, 2, 2), x) == 7).all()


def test_bytes_become_tensors_to_the_bit_as_they_always_did():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert torch.equal(to_tensor(image), torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32)) / 127.5 - 1)
    outputs = torch.linspace(-1.2, 1.2, 100_000).reshape(1, 100, 1000)
    bytes_ = ((outputs + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    assert np.array_equal(to_array(outputs), bytes_.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("low_high", [((0.0,), (65_535.0,)), ((0.0, 17.0), (65_535.0, 41_234.0))])
def test_every_value_of_16_bits_comes_back(low_high):
    low, high = low_high
    image = np.linspace(low[-1], high[-1], 65_536).round().astype(np.uint16).reshape(256, 256, 1).repeat(2, axis=2)
    assert np.array_equal(there_and_back(ImageCodec("photo", 2, "uint16", low, high), image), image)


def test_what_a_type_cannot_hold_is_clipped_to_it():
    image = torch.tensor([-1.0, 1.0]).reshape(1, 1, 2)
    assert ImageCodec("photo", 1, "uint8", (-50.0,), (300.0,)).decode(image, image).flatten().tolist() == [0, 255]
    assert ImageCodec("photo", 1, "int32", (-3e9,), (3e9,)).decode(image, image).flatten().tolist() == [
        -(2**31),
        2**31 - 1,
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["labels", "onehot"])
def test_generated_label_maps_survive_exactly(kind, seed):
    _, labels = generate(seed, 0, (128, 128))
    assert np.array_equal(there_and_back(KINDS[kind], labels), labels)


@pytest.mark.parametrize("kind", ["labels", "onehot"])
def test_noise_on_label_colors_vanishes(kind):
    _, labels = generate(0, 1, (128, 128))
    noisy = labels.astype(int) + np.random.default_rng(0).integers(-20, 21, labels.shape)
    assert np.array_equal(there_and_back(KINDS[kind], noisy.clip(0, 255).astype(np.uint8)), labels)


def test_onehot_has_one_channel_per_color():
    tensor = KINDS["onehot"].encode(np.array([[FACADES[2], FACADES[0]]], np.uint8))
    assert tensor.shape == (12, 1, 2)
    assert tensor[:, 0, 0].tolist() == [1 if place == 2 else -1 for place in range(12)]
    assert tensor.argmax(dim=0).tolist() == [[2, 0]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_become_the_colors_of_their_classes(dtype):
    encoding = ImageCodec("labels", 1, dtype, (0.0,), (11.0,), FACADES)
    numbers = np.arange(12).reshape(3, 4, 1).astype(dtype)
    assert np.array_equal(there_and_back(encoding, numbers), numbers)
    colours = np.array(FACADES, np.uint8).reshape(3, 4, 3)
    assert torch.equal(encoding.encode(numbers), ImageCodec("photo", 3).encode(colours))


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_become_onehot(dtype):
    encoding = ImageCodec("onehot", 1, dtype, palette=FACADES)
    numbers = np.arange(12).reshape(3, 4, 1).astype(dtype)
    assert np.array_equal(there_and_back(encoding, numbers), numbers)
    assert torch.equal(encoding.encode(numbers), KINDS["onehot"].encode(np.array(FACADES, np.uint8).reshape(3, 4, 3)))


@pytest.mark.parametrize("number", [-1, 12, 255, 70_000, 1.5])
def test_numbers_that_the_palette_lacks_are_black_and_of_no_class(number):
    image = np.full((1, 1, 1), number, np.float32)
    labels, onehot = (ImageCodec(kind, 1, "float32", palette=FACADES) for kind in ("labels", "onehot"))
    assert labels.encode(image).flatten().tolist() == [-1] * 3
    tensor = onehot.encode(image)
    assert tensor.flatten().tolist() == [-1] * 12
    assert onehot.picture(tensor[None], tensor[None]).flatten().tolist() == [-1] * 3


@pytest.mark.parametrize("kind", ["labels", "onehot"])
def test_alpha_of_labels_is_passed_over(kind):
    _, labels = generate(0, 0, (32, 32))
    encoding = ImageCodec(kind, 4, palette=FACADES)
    image = np.dstack([labels, noise(32, 32, 1)])
    assert np.array_equal(there_and_back(encoding, image), labels)
    assert torch.equal(encoding.encode(image), KINDS[kind].encode(labels))


def test_measured_palettes_have_the_channels_of_their_files():
    encoding = ImageCodec("labels", 1, "uint16", (0.0,), (60_000.0,), ((0,), (7,), (60_000,)))
    image = np.array([0, 7, 60_000], np.uint16).reshape(1, 3, 1)
    assert np.array_equal(there_and_back(encoding, image), image)
    grey = torch.tensor([-0.9, 0.1]).reshape(1, 1, 2)
    assert encoding.decode(grey, grey).flatten().tolist() == [7, 60_000]


def test_the_first_of_equally_near_colors_wins():
    for palette in (((0,), (10,)), ((10,), (0,))):
        encoding = ImageCodec("onehot", 1, palette=palette)
        assert encoding.encode(np.full((1, 1, 1), 5, np.uint8)).flatten().tolist() == [1, -1]


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_the_color_decoded_is_the_nearest(seed):
    rng = np.random.default_rng(seed)
    palette = rng.integers(0, 256, (5, 3))
    image = torch.from_numpy(rng.uniform(-1.2, 1.2, (3, 6, 6)))
    decoded = ImageCodec("labels", 3, palette=tuple(map(tuple, palette.tolist()))).decode(image, image)
    values = (image.clamp(-1, 1).permute(1, 2, 0).numpy() + 1) * 127.5
    distances = np.linalg.norm(values[:, :, None] - palette, axis=-1)
    assert np.allclose(np.linalg.norm(values - decoded, axis=-1), distances.min(axis=-1))


def test_lightness_and_chroma_are_those_of_scikit_image():
    image = noise(16, 16, 3)
    lab = rgb2lab(image).transpose(2, 0, 1)
    assert np.abs(KINDS["lightness"].encode(image).numpy() - (lab[:1] / 50 - 1)).max() < 1e-5
    assert np.abs(KINDS["chroma"].encode(image).numpy() - lab[1:] / 110).max() < 1e-5


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("uint8", 0.0, 255.0), ("uint16", 100.0, 4095.0), ("float32", -1.0, 3.0)]
)
def test_grays_are_their_own_lightness_at_every_depth(dtype, low, high):
    values = np.linspace(low, high, 256 if dtype == "uint8" else 3996).astype(dtype).reshape(-1, 1, 1)
    encoding = ImageCodec("lightness", 1, dtype, (low,), (high,))
    assert np.abs(there_and_back(encoding, values).astype(float) - values).max() <= (
        1e-6 * 4 if dtype == "float32" else 0
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_lightness_and_chroma_make_the_photo_again(dtype):
    image = (noise(24, 24, 3) / 255 * 30_000).astype(dtype)
    lightness, chroma = (ImageCodec(kind, 3, dtype, (0.0,), (30_000.0,)) for kind in ("lightness", "chroma"))
    back = chroma.decode(chroma.encode(image), lightness.encode(image))
    assert (back.dtype, back.shape) == (image.dtype, image.shape)
    assert np.abs(back.astype(float) - image).max() <= 1


def test_alpha_of_photos_is_passed_over_and_gray_has_no_chroma():
    image = noise(6, 6, 4)
    for kind in ("lightness", "chroma"):
        assert torch.equal(ImageCodec(kind, 4).encode(image), ImageCodec(kind, 3).encode(image[..., :3]))
    assert ImageCodec("chroma", 1).encode(image[..., :1]).abs().max() < 1e-4


SOURCES = {
    "every grey": lambda seed: np.arange(256, dtype=np.uint8).repeat(16).reshape(64, 64, 1),
    "random colours": lambda seed: noise(64, 64, 3, seed),
    "pictures": picture_like,
}
CHROMAS = {
    "none": lambda rng: np.zeros((2, 64, 64)),
    "gentle": lambda rng: rng.normal(0, 0.1, (2, 64, 64)),
    "wild": lambda rng: rng.uniform(-1.5, 1.5, (2, 64, 64)),
    "blue": lambda rng: np.stack([np.full((64, 64), 0.7), np.full((64, 64), -1.0)]),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("chroma", CHROMAS)
def test_colors_change_the_gray_level_of_no_pixel(source, chroma):
    for seed in range(3):
        x = KINDS["lightness"].encode(SOURCES[source](seed))
        ab = torch.from_numpy(CHROMAS[chroma](np.random.default_rng(seed)))
        output = KINDS["lightness"].encode(KINDS["chroma"].decode(ab, x))
        assert np.array_equal(KINDS["lightness"].decode(output, x), KINDS["lightness"].decode(x, x))
        assert (output - x).abs().max() * 50 <= 0.45  # a level of grey is 0.28 to 0.45 of L


def test_chroma_that_no_screen_shows_leaves_every_gray_white_and_black():
    ends = torch.tensor([-1.0, 1.0]).reshape(1, 1, 2)
    assert KINDS["chroma"].decode(torch.ones(2, 1, 2), ends).tolist() == [[[0] * 3, [255] * 3]]


def test_deep_photos_keep_their_gray_to_a_level():
    lightness, chroma = (ImageCodec(kind, 3, "uint16", (0.0,), (65_535.0,)) for kind in ("lightness", "chroma"))
    rng = np.random.default_rng(0)
    x = lightness.encode(rng.integers(0, 2**16, (64, 64, 3)).astype(np.uint16))
    output = lightness.encode(chroma.decode(torch.from_numpy(rng.uniform(-1, 1, (2, 64, 64))), x))
    assert np.abs(lightness.decode(output, x).astype(int) - lightness.decode(x, x)).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_what_is_decoded(kind):
    _, labels = generate(0, 0, (32, 32))
    encoding = KINDS[kind]
    x, image = KINDS["lightness"].encode(labels), encoding.encode(labels)
    picture = encoding.picture(torch.stack([image, image]), torch.stack([x, x]))
    assert picture.shape == (2, 3, 32, 32)
    shown = ImageCodec("photo", 3).decode(picture[1], None)
    assert np.abs(shown.astype(int) - encoding.decode(image, x)).max() <= (1 if kind == "chroma" else 0)


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_pictures_of_other_channels_show_the_first(channels):
    image = torch.rand(2, channels, 4, 5)
    picture = ImageCodec("photo", channels).picture(image, image)
    assert torch.equal(picture, image[:, :3] if channels > 2 else image[:, :1].expand(2, 3, 4, 5))


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_may_be_halves_and_carry_gradients(kind):
    encoding = KINDS[kind]
    image = torch.zeros(1, encoding.nc, 4, 4, dtype=torch.float16, requires_grad=True)
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    assert encoding.decode(image[0], x[0]).shape[:2] == (4, 4)
    assert encoding.picture(image, x).shape == (1, 3, 4, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_resized_without_mixing_and_photos_are_averaged(kind):
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, 1::2] = 200
    values = set(KINDS[kind].resize(image, (2, 2)).flatten().tolist())
    assert KINDS[kind].is_labels == (kind in ("labels", "onehot"))
    assert values <= {0, 200} if KINDS[kind].is_labels else values == {100}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["photo", "lightness", "chroma"])
def test_unit_values_are_the_range_and_come_back(kind, dtype):
    encoding = ImageCodec(kind, 3, dtype, (10.0,), (30_000.0 if dtype != "uint8" else 250.0,))
    (high,) = encoding.high
    image = np.linspace(10, high, 48).round().reshape(4, 4, 3).astype(dtype)
    unit = encoding.to_unit(image)
    assert (unit.dtype, unit.shape, unit.min(), unit.max()) == (np.float32, (4, 4, 3), 0, 1)
    back = encoding.from_unit(unit[:, ::-1])[:, ::-1]  # as flips hand it back
    assert back.dtype == dtype
    assert np.abs(back.astype(float) - image).max() <= (0 if dtype != "float32" else 0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoding_is_plain_json_and_comes_back_equal(kind):
    encoding = KINDS[kind]
    stored = encoding.to_dict()
    assert json.loads(json.dumps(stored)) == stored
    assert ImageCodec.from_dict(stored) == encoding
    assert hash(ImageCodec.from_dict(stored)) == hash(encoding)
    assert PairCodec(encoding, encoding).target is encoding


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("onehot", 3), "got labels without a palette; one is needed to show them as one channel per class"),
        (("chroma", 2), "got photos of 2 channels; 1, 3 or 4 are needed for their L, a and b"),
        (
            ("labels", 2, "uint8", (0.0,), (255.0,), FACADES),
            "got labels of 2 channels and a palette of 3: make them 3 channels, or 1 that holds class numbers",
        ),
    ],
)
def test_files_that_do_not_fit_their_kind_are_refused(arguments, message):
    with pytest.raises(UserError) as caught:
        ImageCodec(*arguments)
    assert str(caught.value) == message


def test_an_encoding_of_a_newer_version_is_refused():
    with pytest.raises(UserError, match=r"^the codec has gamma, unknown to this version: use a newer one$"):
        ImageCodec.from_dict(ImageCodec("photo", 3).to_dict() | {"gamma": 2.2})


def test_large_label_maps_are_decoded_within_a_second():
    encoding = ImageCodec("labels", 3, palette=PALETTES["camvid"].colors)
    image = torch.rand(3, 1024, 1024)
    start = process_time()
    encoding.decode(image, image)
    assert process_time() - start < 1


def test_pixels_of_no_class_are_counted():
    numbers = ImageCodec("onehot", 1, palette=PALETTES["facades"].colors)
    assert numbers.find_unknown_pixels(np.array([[[0], [11], [12], [255]]], np.uint8)).tolist() == [
        [False, False, True, True]
    ]
    colours = ImageCodec("labels", 3, palette=PALETTES["facades"].colors)
    clean = np.array(PALETTES["facades"].colors, np.uint8)[None]
    assert not colours.find_unknown_pixels(clean).any()
    assert colours.find_unknown_pixels(np.full((4, 4, 3), 128, np.uint8)).all()
    assert not ImageCodec("photo", 3).find_unknown_pixels(clean).any()


def test_classes_are_onehot_and_none_for_pixels_that_are_far_from_every_color():
    colours = ((255, 0, 0), (0, 0, 255))
    onehot, classes = (ImageCodec(kind, 3, palette=colours) for kind in ("onehot", "classes"))
    near = np.array([[[255, 0, 0], [0, 40, 230]]], np.uint8)
    assert torch.equal(classes.encode(near), onehot.encode(near))
    far = np.array([[[255, 0, 0], [120, 130, 120]]], np.uint8)
    assert classes.encode(far).tolist() == [[[1, -1]], [[-1, -1]]]
    assert np.array_equal(classes.decode(classes.encode(near), near), np.array([[[255, 0, 0], [0, 0, 255]]]))
    numbers = ImageCodec("classes", 1, palette=colours)
    assert numbers.encode(np.array([[[1], [7]]], np.uint8)).tolist() == [[[-1, -1]], [[1, -1]]]
    assert (classes.nc, classes.is_labels) == (2, True)
    assert ImageCodec.from_dict(classes.to_dict()) == classes
    picture = classes.picture(classes.encode(far)[None], None)
    assert torch.equal(picture[0, :, 0], torch.tensor([[1.0, -1], [-1, -1], [-1, -1]]))


def test_large_class_numbers_come_back_exactly():
    palette = tuple((4_000_000_000 + number,) for number in range(4))
    labels = ImageCodec("labels", 1, "uint32", (4e9,), (4e9 + 3,), palette)
    array = np.array(palette, np.uint32).reshape(2, 2, 1)
    assert np.array_equal(labels.decode(labels.encode(array), labels.encode(array)), array)
