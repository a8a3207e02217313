from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pix2pix.config.base import from_dict
from pix2pix.config.style import AdainOptions
from pix2pix.data.batch import ContentStyleBatch
from pix2pix.errors import UserError
from pix2pix.methods.adain import Adain
from pix2pix.methods.base import Styles, translate
from pix2pix.networks.norm import AdaIN, channel_statistics
from pix2pix.runtime.device import Runtime

TINY = {"dataroot": "photos", "styles": "paintings", "name": "x", "load_size": 32, "crop_size": 32}


def picture(seed=0, size=(32, 32), count=1):
    """Coarse blocks, (N, 3, H, W)."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return F.interpolate(coarse, size)


def batch(count=2, seed=0):
    names = [f"photo{number}" for number in range(count)]
    return ContentStyleBatch(picture(seed, count=count), picture(seed + 50, count=count), names)


def options(**given):
    return from_dict(AdainOptions, {**TINY, "weights": "random", **given})


@pytest.fixture(autouse=True, scope="module")
def _small_examples():
    """Rescale the encoder by small pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pix2pix.methods.feature_loss.EXAMPLE_SIDE", 48)
        yield


@pytest.fixture(scope="module")
def method():
    units = [{"relu4_1": 2.0}, dict.fromkeys(options().features.style_layers, 3.0)]
    return Adain(options(), Runtime("cpu"), {"units": units})


def painted(method, x, **styles):
    return translate(method, x, styles=Styles(**styles))


def test_it_decodes_the_content_with_the_styles_statistics(method):
    x, style = picture(1), picture(2, (48, 32))
    with torch.inference_mode():
        features = method.encoder(x)
        target = AdaIN(*channel_statistics(method.encoder(style)))(features)
        expected = method.generator(target)
    assert torch.allclose(painted(method, x, images=[style]), expected, atol=1e-4)


def test_at_alpha_zero_it_decodes_the_content(method):
    x = picture(1)
    with torch.inference_mode():
        expected = method.generator(method.encoder(x))
    assert torch.allclose(painted(method, x, images=[picture(2)], alpha=0.0), expected, atol=1e-4)


def test_a_blend_is_decoded_from_the_weighted_sum_of_targets(method):
    x, styles = picture(1), [picture(2), picture(3)]
    with torch.inference_mode():
        features = method.encoder(x)
        targets = [AdaIN(*channel_statistics(method.encoder(style)))(features) for style in styles]
        expected = method.generator(0.25 * targets[0] + 0.75 * targets[1])
    assert torch.allclose(painted(method, x, images=styles, weights=[1, 3]), expected, atol=1e-4)


def test_one_style_of_all_weight_is_that_style(method):
    x, styles = picture(1), [picture(2), picture(3)]
    alone = painted(method, x, images=styles[1:])
    assert torch.allclose(painted(method, x, images=styles, weights=[0, 2]), alone, atol=1e-5)


def test_a_mask_of_all_is_the_style_everywhere(method):
    x, style = picture(1, (24, 40)), picture(2)
    by_mask = painted(method, x, images=[style], masks=[torch.ones(1, 1, 24, 40)])
    assert torch.allclose(by_mask, painted(method, x, images=[style]), atol=1e-4)


def test_where_no_mask_is_the_content_stays(method):
    x = picture(1)
    nowhere = painted(method, x, images=[picture(2)], masks=[torch.zeros(1, 1, 32, 32)])
    assert torch.allclose(nowhere, painted(method, x, images=[picture(2)], alpha=0.0), atol=1e-4)


def test_regions_have_styles_of_their_own(method):
    x, styles = picture(1, (32, 128)), [picture(2), picture(3)]
    left = torch.zeros(1, 1, 32, 128)
    left[..., :64] = 1
    both = painted(method, x, images=styles, masks=[left, 1 - left])
    swapped = painted(method, x, images=styles[::-1], masks=[1 - left, left])
    other = painted(method, x, images=[styles[0], picture(4)], masks=[left, 1 - left])
    assert torch.allclose(both, swapped, atol=1e-5)
    assert (both - other)[..., 96:].abs().max() > 1e-3
    assert (both - other)[..., :8].abs().max() < (both - other)[..., 96:].abs().max() / 10


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (17, 33)])
def test_images_of_any_size_come_back_in_their_own(method, size):
    output = painted(method, picture(size=size), images=[picture(2, (1, 9))])
    assert output.shape == (1, 3, *size)
    assert output.isfinite().all()


def test_tiles_paint_what_the_whole_paints(method):
    x, style = picture(1, (96, 140)), picture(2)
    whole = painted(method, x, images=[style], alpha=0.7)
    tiled = Adain(options(tile=64), Runtime("cpu"), method.description, training=False)
    for name, network in tiled.networks.items():
        network.load_state_dict(method.networks[name].state_dict())
    assert torch.allclose(painted(tiled, x, images=[style], alpha=0.7), whole, atol=1e-3)


def test_restored_it_needs_no_files_and_paints_the_same(method):
    again = Adain(options(weights="gone.pth", styles="gone"), Runtime("cpu"), method.description, training=False)
    for name, network in again.networks.items():
        network.load_state_dict(method.networks[name].state_dict())
    both = [painted(one, picture(1), images=[picture(2)]) for one in (method, again)]
    assert torch.equal(*both)


def test_the_encoder_is_kept_and_does_not_learn(method):
    method = deepcopy(method)
    before = {name: value.clone() for name, value in method.networks["encoder"].state_dict().items()}
    losses = [method.training_step(batch())["loss/G"].item() for _ in range(2)]
    assert losses[0] != losses[1]
    assert set(method.optimizers) == {"G"}
    assert before
    assert all(torch.equal(value, before[name]) for name, value in method.networks["encoder"].state_dict().items())


def test_validating_tells_the_losses_and_shows_content_output_and_style(method):
    report = method.validation_step(batch(1))
    assert set(report.scalars) == {"val/content", "val/style", "val/tv", "val/loss"}
    total = report.scalars["val/content"] + 10 * report.scalars["val/style"]
    assert report.scalars["val/loss"].item() == pytest.approx(total.item(), rel=1e-5)
    (row,) = report.images.values()
    assert [image.shape for image in row] == [(1, 3, 32, 32)] * 3


@pytest.mark.parametrize("size", [(37, 32), (32, 45)])
def test_validating_shows_photographs_of_any_size_drawn_as_they_would_be(method, size):
    x, style = picture(1, size), picture(2)
    report = method.validation_step(ContentStyleBatch(x, style, ["x"]))
    ((content, output, _),) = report.images.values()
    assert torch.equal(content, x)
    assert torch.equal(output, painted(method, x, images=[style]))


def test_crops_too_small_for_the_encoder_are_refused():
    with pytest.raises(UserError, match=r"--crop_size.*8x40.*16x16"):
        Adain(options(load_size=40, crop_size="8x40", rescaled=True), Runtime("cpu"))


def test_a_run_that_is_resumed_keeps_its_units(method):
    assert method.content_baselines["relu4_1"] == 2
    assert method.style_baselines["relu1_1"] == 3
    assert method.description["units"][0] == {"relu4_1": 2.0}


def test_no_style_is_refused(method):
    with pytest.raises(UserError, match=r"adain.*--style"):
        translate(method, picture())


def test_the_rate_falls_as_the_authors_do(method):
    rates = [method.learning_rate(step, 100) for step in (1, 20001)]
    assert rates == pytest.approx([1e-4, 1e-4 / 2])
