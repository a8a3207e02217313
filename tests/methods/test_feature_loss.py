import pytest
import torch

from pix2pix.config.losses import FeatureOptions
from pix2pix.data.arrays import to_array
from pix2pix.data.io import write_image
from pix2pix.methods.feature_loss import FeatureLoss, load_first_images, measure_baselines
from pix2pix.runtime.device import Runtime

SHALLOW = {
    "weights": "random",
    "rescaled": False,
    "content_layers": ("relu1_2",),
    "style_layers": ("relu1_1", "relu2_1"),
}


def objective(**options):
    return FeatureLoss(FeatureOptions().model_copy(update=SHALLOW | options), Runtime("cpu"))


def picture(seed, size=32):
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_loss_of_one_is_that_of_an_unrelated_picture():
    losses = objective()
    content, style = losses.extract(picture(0)), losses.extract(picture(1, 40))
    target = losses.style_target(style, content)
    assert losses.style_loss(content, [target]).item() == pytest.approx(1)
    assert losses.style_loss(style, [target]).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", ["gram", "mean_std", "covariance", "mmd", "histogram", "mrf"])
@pytest.mark.parametrize("smoothing", [False, True])
def test_any_style_loss_has_these_units(loss, smoothing):
    losses = objective(style_loss=loss, smoothing=smoothing)
    content, style = losses.extract(picture(0)), losses.extract(picture(1))
    assert losses.style_loss(content, [losses.style_target(style, content)]).item() == pytest.approx(1, rel=1e-4)


def test_raw_losses_are_the_papers():
    losses = objective(normalize_losses=False, style_layers=("relu1_1",))
    content, style = losses.extract(picture(0)), losses.extract(picture(1))
    f, a = (x["relu1_1"].flatten(2)[0] for x in (content, style))
    e = ((f @ f.T - a @ a.T) ** 2).sum() / (4 * 64**2 * 1024**2)  # Gatys et al., equation 4
    assert losses.style_loss(content, [losses.style_target(style, content)]).item() == pytest.approx(e.item(), rel=1e-4)


def test_a_vgg_is_rescaled_unless_that_is_unwanted(monkeypatch):
    monkeypatch.setattr("pix2pix.methods.feature_loss.EXAMPLE_SIDE", 64)
    plain, scaled = (objective(rescaled=wish).extract(picture(0))["relu1_2"] for wish in (False, None))
    factor = scaled.mean() / plain.mean()
    assert abs(factor - 1) > 0.01
    assert torch.allclose(scaled, factor * plain, atol=1e-3)


def test_layer_weights_share_the_style():
    both = objective(style_layer_weights=(1.0, 3.0))
    content, style = both.extract(picture(0)), both.extract(picture(1))
    image = both.extract(picture(2))
    target = both.style_target(style, content)
    first, second = (
        objective(style_layers=(layer,)).style_loss(
            image,
            [target._replace(statistics={layer: target.statistics[layer]}, baselines={layer: target.baselines[layer]})],
        )
        for layer in ("relu1_1", "relu2_1")
    )
    assert both.style_loss(image, [target]).item() == pytest.approx((first.item() + 3 * second.item()) / 4, rel=1e-5)


def test_the_backbone_reaches_no_deeper_than_the_losses_that_are_on():
    assert objective(content_layers=()).extractor.layers == ("relu1_1", "relu2_1")
    assert objective(style_layers=()).extractor.layers == ("relu1_2",)


def test_general_units_are_the_same_each_time():
    (content, style), again = (measure_baselines(objective(), (64, 64)) for _ in range(2))
    assert (content, style) == again
    assert set(content) == {"relu1_2"}
    assert set(style) == {"relu1_1", "relu2_1"}
    assert all(unit > 0 for unit in (*content.values(), *style.values()))


def test_patches_are_compared_in_the_middle_of_the_network():
    assert tuple(objective(style_layers=None, style_loss="mrf", content_layers=()).style_layers) == (
        "relu3_1",
        "relu4_1",
    )


def test_units_of_given_pictures_are_those_between_them():
    losses, pictures = objective(), torch.cat([picture(0), picture(1)])
    content, style = measure_baselines(losses, (32, 32), pictures)
    features = [losses.extract(picture(seed)) for seed in (0, 1)]
    assert losses.content_loss(features[0], features[1], content).item() == pytest.approx(1, rel=1e-4)
    distances = [losses.style_target(features[one], features[1 - one]).baselines["relu1_1"] for one in (0, 1)]
    assert style["relu1_1"].item() == pytest.approx(torch.stack(distances).mean().item(), rel=1e-4)


def test_the_first_pictures_of_a_folder_are_those_that_can_be_read(tmp_path):
    for number in range(6):
        write_image(tmp_path / f"{number}.png", to_array(picture(number, 20 + number)[0]))
    (tmp_path / "1.png").write_text("no picture")
    found = load_first_images(str(tmp_path), (16, 24))
    assert found.shape == (4, 3, 16, 24)
    for number in (2, 3, 4, 5):
        (tmp_path / f"{number}.png").unlink()
    assert load_first_images(str(tmp_path), (16, 24)) is None
    assert load_first_images(str(tmp_path / "gone"), (16, 24)) is None
