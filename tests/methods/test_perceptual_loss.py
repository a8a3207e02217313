import hashlib
import re

import numpy as np
import pytest
import torch

from pix2pix.config.base import from_dict
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.data.arrays import to_tensor
from pix2pix.data.batch import PairBatch
from pix2pix.data.codec import ImageCodec, PairCodec, read_rgb
from pix2pix.data.generated import generate
from pix2pix.data.io import write_image
from pix2pix.errors import UserError
from pix2pix.methods.base import describe_codec
from pix2pix.methods.perceptual_loss import PerceptualLoss, load_style_image, to_backbone_input
from pix2pix.methods.pix2pix import Pix2Pix
from pix2pix.runtime.device import Runtime

TINY = {"generator": "unet_32", "ngf": 4, "ndf": 2, "patch": 16, "load_size": 32, "crop_size": 32, "use_dropout": False}
SHALLOW = {"weights": "random", "rescaled": False, "content_layers": "relu1_2", "style_layers": "relu1_1,relu2_1"}
BOTH = {"lambda_perceptual": 2, "lambda_style": 3, **SHALLOW}
OF_STYLE = {"lambda_style": 3} | {name: value for name, value in SHALLOW.items() if name != "content_layers"}
RGB = ImageCodec("photo", 3)


def options(**given):
    return from_dict(Pix2PixOptions, {"dataroot": "data", "name": "test", **TINY, **given})


def losses(**given):
    return PerceptualLoss(options(**given), Runtime("cpu"))


def method(target=RGB, **given):
    return Pix2Pix(options(**given), Runtime("cpu"), describe_codec(PairCodec(ImageCodec("photo", 3), target)))


def picture(seed=0, size=(32, 32), count=1):
    """Coarse blocks, (N, 3, H, W)."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size)


@pytest.fixture
def painting(tmp_path):
    """A picture of 24 x 60 pixels in a file."""
    array = ((picture(7, (24, 60))[0].permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    write_image(tmp_path / "painting.png", array)
    return tmp_path / "painting.png"


def test_an_output_that_is_its_target_has_no_loss():
    terms = list(losses(**BOTH).terms(picture(), picture()))
    assert [(name, weight, loss.item()) for name, weight, loss in terms] == [
        ("perceptual", 2, 0),
        ("style", 3, pytest.approx(0, abs=1e-6)),
    ]


def test_a_loss_in_units_is_one_between_generated_pictures_of_the_crops_size():
    houses = torch.stack([to_tensor(generate(0, index, (32, 32))[0]) for index in range(4)])
    for name, _, loss in losses(**BOTH, crop_size=32).terms(houses.roll(1, dims=0), houses):
        assert loss.item() == pytest.approx(1, rel=1e-4), name


def test_raw_losses_need_no_units():
    perceptual, _ = losses(**BOTH, normalize_losses=False).terms(picture(), picture(1))
    extractor = losses(**BOTH).feature_loss.extractor
    output, target = (extractor(picture(seed))["relu1_2"] for seed in (0, 1))
    assert perceptual.value.item() == pytest.approx((output - target).square().mean().item(), rel=1e-5)


def test_the_objective_is_the_weighted_sum_with_both_losses():
    values = method(**BOTH, lambda_l1=5).training_step(PairBatch(picture(), picture(1), ["a"]))
    weights = {"G_gan": 1, "G_l1": 5, "perceptual": 2, "style": 3}
    total = sum(weight * values[f"loss/{name}"].item() for name, weight in weights.items())
    assert values["loss/G"].item() == pytest.approx(total, rel=1e-6)
    assert not any(value.requires_grad for value in values.values())


@pytest.mark.parametrize("style_loss", ["gram", "mean_std", "covariance", "mmd", "histogram", "mrf"])
def test_both_losses_fall_without_any_other(style_loss):
    model = method(**BOTH, style_loss=style_loss, gan_mode="none", lambda_l1=0, init_gain=0.2, lr=2e-3)
    steps = [model.training_step(PairBatch(picture(), picture(1), ["a"])) for _ in range(16)]
    for name in ("loss/perceptual", "loss/style"):
        assert steps[-1][name] < 0.9 * steps[0][name], name


def test_gradients_go_to_the_generator_alone():
    model = method(**BOTH)
    before = {name: value.clone() for name, value in model.perceptual.feature_loss.extractor.named_buffers()}
    model.training_step(PairBatch(picture(), picture(1), ["a"]))
    extractor = model.perceptual.feature_loss.extractor
    assert list(extractor.parameters()) == []
    assert all(torch.equal(value, before[name]) for name, value in extractor.named_buffers())
    assert model.networks.keys() == model.optimizers.keys() == {"G", "D"}


def never(*arguments):
    pytest.fail("built a backbone")


def test_without_weights_nothing_is_built(monkeypatch):
    monkeypatch.setattr("pix2pix.methods.perceptual_loss.FeatureLoss", never)
    model = method()
    assert model.perceptual is None
    assert "features" not in model.description


def test_translating_builds_no_backbone(monkeypatch):
    monkeypatch.setattr("pix2pix.methods.perceptual_loss.FeatureLoss", never)
    assert (
        Pix2Pix(options(**BOTH), Runtime("cpu"), describe_codec(PairCodec(RGB, RGB)), training=False).perceptual is None
    )


def looked_at(model, monkeypatch):
    """How often a training step asks for features."""
    calls, features = [], model.feature_loss.extract
    monkeypatch.setattr(model.feature_loss, "extract", lambda image: calls.append(image) or features(image))
    list(model.terms(picture(), picture(1)))
    return len(calls)


def test_output_and_target_are_looked_at_once_and_only_where_needed(painting, monkeypatch):
    assert looked_at(losses(**BOTH), monkeypatch) == 2
    assert looked_at(losses(**BOTH, style_image=str(painting)), monkeypatch) == 2
    assert looked_at(losses(**OF_STYLE), monkeypatch) == 2
    assert looked_at(losses(**OF_STYLE, style_image=str(painting)), monkeypatch) == 1


def test_with_a_style_image_the_targets_style_does_not_count(painting):
    model = losses(**OF_STYLE, style_image=str(painting))
    own = load_style_image(str(painting), (32, 32), 10**6)
    ((_, _, loss),) = model.terms(own, picture(1))
    assert loss.item() == pytest.approx(0, abs=1e-6)
    values = [next(model.terms(picture(), picture(seed))).value.item() for seed in (1, 2)]
    assert values[0] == values[1] > 0.01


def test_a_style_image_keeps_its_proportions_and_covers_the_crop(painting):
    assert torch.equal(load_style_image(str(painting), (24, 50), 10**6)[0], read_rgb(painting))
    assert load_style_image(str(painting), (12, 12), 10**6).shape == (1, 3, 12, 30)
    assert load_style_image(str(painting), (10, 50), 10**6).shape == (1, 3, 20, 50)
    larger = load_style_image(str(painting), (48, 48), 10**6)
    assert larger.shape == (1, 3, 48, 120)
    assert larger.abs().max() <= 1


def test_the_description_tells_what_the_losses_looked_at(painting):
    description = method(**BOTH, style_image=str(painting)).description["features"]
    extractor = losses(**BOTH).feature_loss.extractor
    assert description == {
        "backbone": "vgg19",
        "weights": "random, seed 0",
        "weights_sha256": extractor.sha256,
        "content_layers": "relu1_2",
        "style_layers": "relu1_1,relu2_1",
        "style_image_sha256": hashlib.sha256(painting.read_bytes()).hexdigest(),
    }


def test_random_weights_are_those_of_the_runs_seed():
    assert losses(**BOTH, seed=5).description["weights"] == "random, seed 5"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_are_in_float32_whatever_the_precision(precision, monkeypatch):
    model = Pix2Pix(options(**BOTH), Runtime("cpu", precision), describe_codec(PairCodec(RGB, RGB)))
    dtypes, features = set(), model.perceptual.feature_loss.extract

    def spied(image):
        found = features(image)
        dtypes.update(x.dtype for x in found.values())
        return found

    monkeypatch.setattr(model.perceptual.feature_loss, "extract", spied)
    model.training_step(PairBatch(picture(), picture(1), ["a"]))
    assert dtypes == {torch.float32}


def test_gray_targets_are_looked_at_as_gray_pictures():
    model = method(ImageCodec("photo", 1), **BOTH)
    values = model.training_step(PairBatch(picture(), picture(1)[:, :1], ["a"]))
    assert values["loss/perceptual"] > 0


def test_a_and_b_are_looked_at_in_color_with_the_l_of_their_source():
    lightness, chroma = ImageCodec("lightness", 3), ImageCodec("chroma", 3)
    photo = ((picture(3)[0].permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    x, y = lightness.encode(photo)[None], chroma.encode(photo)[None]
    assert torch.allclose(to_backbone_input(chroma, y, x), RGB.encode(photo)[None], atol=1e-3)
    wild = torch.tensor([0.9, -0.9], dtype=torch.float64).view(1, 2, 1, 1).repeat(1, 1, 3, 3)
    light = x[..., :3, :3].double()
    assert torch.autograd.gradcheck(lambda ab: to_backbone_input(chroma, ab, light), wild.requires_grad_())
    model = Pix2Pix(options(**BOTH, target_kind="lab"), Runtime("cpu"), describe_codec(PairCodec(lightness, chroma)))
    assert model.training_step(PairBatch(lightness.encode(photo)[None], y, ["a"]))["loss/perceptual"] > 0


def test_targets_that_are_no_pictures_are_refused():
    with pytest.raises(UserError) as caught:
        method(ImageCodec("photo", 4), **BOTH)
    assert re.search("--lambda_perceptual.*--lambda_style.*4 channels", str(caught.value))


def test_a_style_image_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_text("text")
    for name, message in (
        ("a.jpg", "not a PNG, JPEG"),
        ("b.jpg", "No such file or directory"),
    ):
        with pytest.raises(UserError, match=rf"^--style_image .*{name}: .*{message}"):
            losses(**BOTH, style_image=str(tmp_path / name))


def test_crops_too_small_for_the_layers_are_refused_at_once():
    with pytest.raises(UserError, match=r"vgg19.*16x16.*relu5_1"):
        losses(**{**BOTH, "style_layers": "relu5_1"}, crop_size=8)
