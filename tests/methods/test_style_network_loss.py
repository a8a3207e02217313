import hashlib

import numpy as np
import pytest
import torch

from pix2pix.config.base import from_dict
from pix2pix.config.style import JohnsonOptions
from pix2pix.data.io import write_image
from pix2pix.errors import UserError
from pix2pix.losses.pixel import total_variation
from pix2pix.methods.style_network_loss import StyleNetworkLoss, load_style_images
from pix2pix.runtime.device import Runtime

SHALLOW = {"weights": "random", "rescaled": False, "content_layers": "relu1_2", "style_layers": "relu1_1,relu2_1"}


def picture(seed=0, size=(32, 32), count=1):
    """Coarse blocks, (N, 3, H, W)."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size)


def saved(path, seed, size=(24, 60)):
    array = ((picture(seed, size)[0].permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    write_image(path, array)
    return path


@pytest.fixture
def paintings(tmp_path):
    paths = [saved(tmp_path / f"style{number}.png", number) for number in (1, 2)]
    return load_style_images(paths, 32, 2**20, "styles")


def options(**given):
    known = {"dataroot": "photos", "name": "test", "style_image": "s.png", "load_size": 32, "crop_size": 32}
    return from_dict(JohnsonOptions, {**known, **SHALLOW, **given})


def loss_of(paintings, **given):
    return StyleNetworkLoss(options(**given), Runtime("cpu"), paintings)


def test_a_photograph_left_as_it_is_has_a_style_loss_alone(paintings):
    loss, parts = loss_of(paintings[:1], style_weight=3)(picture(), picture(), [0])
    assert parts["content"] == 0
    assert loss.item() == pytest.approx(3 * parts["style"].item(), rel=1e-6)


def test_the_style_itself_has_no_style_loss(paintings):
    painted = paintings[1].pixels
    _, parts = loss_of(paintings)(painted, picture(size=painted.shape[-2:]), [1])
    assert parts["style"].item() == pytest.approx(0, abs=1e-6)
    assert parts["content"] > 0


def test_the_parts_count_by_their_weights(paintings):
    y, x = picture(3), picture(4)
    loss, parts = loss_of(paintings, content_weight=2, style_weight=5, lambda_tv=7)(y, x, [1])
    assert parts["tv"] == total_variation(y)
    expected = 2 * parts["content"] + 5 * parts["style"] + 7 * parts["tv"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_each_image_is_compared_with_its_own_style(paintings):
    both = loss_of(paintings)
    y, x = picture(3, count=3), picture(4, count=3)
    _, together = both(y, x, [1, 0, 1])
    alone = [both(y[n : n + 1], x[n : n + 1], [style])[1]["style"] for n, style in enumerate([1, 0, 1])]
    assert together["style"].item() == pytest.approx(torch.stack(alone).mean().item(), rel=1e-5)


def test_a_style_is_the_same_alone_or_among_others(paintings):
    y, x = picture(3), picture(4)
    among, alone = loss_of(paintings)(y, x, [1]), loss_of(paintings[1:])(y, x, [0])
    assert among[0].item() == pytest.approx(alone[0].item(), rel=1e-6)


def test_a_vggs_layers_are_johnsons_unless_others_are_named(tmp_path):
    paintings = load_style_images([saved(tmp_path / "square.png", 1, (32, 32))], 32, 2**20, "style_image")
    free = {name: None for name in ("content_layers", "style_layers")}
    description = loss_of(paintings, **free).description
    assert description["content_layers"] == "relu3_3"
    assert description["style_layers"] == "relu1_2,relu2_2,relu3_3,relu4_3"
    patches = loss_of(paintings, **free, style_loss="mrf").description
    assert patches["style_layers"] == "relu3_3,relu4_3"


def test_another_backbone_has_its_own_layers(paintings):
    free = {name: None for name in ("content_layers", "style_layers")}
    description = loss_of(paintings, **free, backbone="resnet18", load_size=64, crop_size=64).description
    assert description["content_layers"] == "layer3"


def test_a_crop_too_small_for_the_layers_is_reported_at_once(paintings):
    with pytest.raises(UserError, match=r"--crop_size.*16x16.*32x32"):
        loss_of(paintings, load_size=16, crop_size=16, style_layers="relu5_1", padding="reflection")


def test_a_painting_too_narrow_for_the_layers_is_reported_by_its_name(tmp_path):
    narrow = load_style_images([saved(tmp_path / "scroll.png", 1, (10, 100))], 100, 2**20, "styles")
    with pytest.raises(UserError, match=r"scroll.*10x100.*16x16"):
        loss_of(narrow, style_layers="relu5_1")


@pytest.mark.parametrize("size", ["30x32", "32x33", "8"])
def test_crops_that_the_network_does_not_give_back_in_their_size_are_refused(paintings, size):
    with pytest.raises(UserError, match=r"multiples of 4.* 16"):
        loss_of(paintings, load_size=40, crop_size=size)


def test_a_painting_keeps_its_proportions_its_name_and_its_hash(tmp_path):
    path = saved(tmp_path / "wave.png", 1, (24, 60))
    (painting,) = load_style_images([path], 30, 2**20, "style_image")
    assert painting.name == "wave"
    assert painting.pixels.shape == (1, 3, 12, 30)
    assert painting.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_preview_is_small_and_of_bytes(tmp_path):
    (painting,) = load_style_images([saved(tmp_path / "wave.png", 1, (24, 60))], 512, 2**20, "style_image")
    assert painting.thumbnail().shape == (3, 102, 256)
    assert painting.thumbnail().dtype == torch.uint8
    assert (painting.thumbnail().float() / 127.5 - 1).mean().item() == pytest.approx(
        painting.pixels.mean().item(), abs=0.02
    )


def test_what_is_no_picture_is_refused_by_its_option(tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(UserError, match=r"--style_image .*notes\.png"):
        load_style_images([tmp_path / "notes.png"], 32, 2**20, "style_image")


def test_a_style_is_shown_as_high_as_the_photograph(paintings):
    assert loss_of(paintings).style_thumbnail(0, picture(size=(20, 30))).shape == (1, 3, 20, 49)  # of 13 x 32
