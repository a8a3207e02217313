import pytest
import torch

from pix2pix.config.base import build_options
from pix2pix.config.gatys import GatysOptions
from pix2pix.methods.feature_loss import FeatureLoss
from pix2pix.methods.gatys import ContentAndStyles, optimize_image
from pix2pix.runtime.device import Runtime

SHALLOW = {
    "weights": "random",
    "rescaled": False,
    "content_layers": ("relu1_2",),
    "style_layers": ("relu1_1", "relu2_1"),
}


def picture(seed, height=24, width=20):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def painted(pictures=None, runtime=None, **given):
    options = build_options(GatysOptions, {"content": "a", "style": ("b",) * 1, "iterations": 12} | SHALLOW | given)
    steps = []
    pictures = pictures or ContentAndStyles(picture(0), [picture(1, 30, 30)])
    image = optimize_image(pictures, FeatureLoss(options.features, runtime or Runtime("cpu")), options, steps.append)
    return image, steps


def test_the_image_gets_the_style_and_keeps_the_content():
    image, steps = painted(iterations=40)
    first, last = steps[0].scalars, steps[-1].scalars
    assert image.shape == (1, 3, 24, 20)
    assert (first["loss/style"], first["loss/content"]) == (pytest.approx(1), 0)
    assert last["loss/style"] < 0.2
    assert last["loss/content"] < 1


def test_one_iteration_is_one_evaluation():
    _, steps = painted(iterations=7)
    assert [step.number for step in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert {step.total for step in steps} == {7}


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_both_optimizers_lower_the_loss(optimizer):
    _, steps = painted(optimizer=optimizer, iterations=25)
    assert steps[-1].scalars["loss/total"] < 0.5 * steps[0].scalars["loss/total"]


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_how_images_lie_in_memory_changes_nothing(optimizer):
    outermost, innermost = (
        painted(runtime=Runtime("cpu", fast=fast), optimizer=optimizer, iterations=5)[0]
        for fast in ((), ("channels_last",))
    )
    assert torch.allclose(outermost, innermost, atol=1e-3)


def test_the_style_alone_may_be_made_from_noise_that_the_seed_draws():
    once, twice, other = (painted(init="noise", seed=seed, iterations=3)[0] for seed in (0, 0, 1))
    assert once.equal(twice)
    assert not once.equal(other)


def test_coarse_to_fine_ends_at_the_size_of_the_content():
    image, steps = painted(pyramid_levels=2, iterations=9)
    assert [step.image().shape[-2:] for step in steps] == [(12, 10)] * 4 + [(24, 20)] * 5
    assert image.shape[-2:] == (24, 20)


def test_a_style_paints_its_region_alone():
    left = torch.zeros(1, 1, 24, 20)
    left[..., :10] = 1
    styles = [picture(1), torch.full((1, 3, 24, 20), -0.9)]
    options = {"style": ("b", "c"), "content_weight": 0.0, "iterations": 30}
    image, _ = painted(ContentAndStyles(picture(0), styles, [left, 1 - left]), **options)
    assert image[..., 12:].mean() < image[..., :8].mean() - 0.4


def test_weights_share_the_styles():
    pictures = ContentAndStyles(picture(0), [torch.full((1, 3, 24, 20), 0.9), torch.full((1, 3, 24, 20), -0.9)])
    options = {"style": ("b", "c"), "content_weight": 0.0, "iterations": 30}
    bright, dark = (painted(pictures, **options, style_weights=weights)[0] for weights in ((1.0, 0.0), (0.0, 1.0)))
    assert bright.mean() > dark.mean() + 0.5


def test_luminance_alone_keeps_the_colors():
    grey = picture(0)[:, :1].repeat(1, 3, 1, 1) * 0.5
    image, _ = painted(ContentAndStyles(grey, [picture(1)]), keep_colors="luminance")
    assert (image - image.mean(dim=1, keepdim=True)).abs().max() < 1e-3
    assert (image - grey).abs().max() > 0.05


def test_the_style_is_recolored_to_the_content():
    pictures = ContentAndStyles(picture(0)[:, :1].repeat(1, 3, 1, 1) * 0.5, [picture(1)])
    kept, lost = (painted(pictures, keep_colors=way)[0] for way in ("coral", "none"))
    chroma, painted_chroma = ((x - x.mean(dim=1, keepdim=True)).abs().mean() for x in (kept, lost))
    assert chroma < 0.5 * painted_chroma


def test_the_picture_is_that_of_the_least_loss():
    image, steps = painted(optimizer="adam", learning_rate=0.5, iterations=15)
    least = min(steps, key=lambda step: step.scalars["loss/total"])
    assert image.equal(least.image())


def test_features_computed_twice_give_the_same_picture():
    kept, again = (painted(checkpointing=checkpointing, iterations=6)[0] for checkpointing in ("off", "on"))
    assert torch.allclose(kept, again, atol=1e-5)


def test_features_are_computed_twice_where_memory_would_run_out(monkeypatch):
    seen = []
    monkeypatch.setattr("pix2pix.methods.gatys.free_memory", lambda device: 10**6)
    options = build_options(GatysOptions, {"content": "a", "style": ("b",), "iterations": 1} | SHALLOW)
    objective = FeatureLoss(options.features, Runtime("cpu"))
    pictures = ContentAndStyles(picture(0, 64, 64), [picture(1, 64, 64)])
    optimize_image(pictures, objective, options, lambda step: seen.append(objective.extractor.checkpointed))
    monkeypatch.setattr("pix2pix.methods.gatys.free_memory", lambda device: 10**9)
    optimize_image(pictures, objective, options, lambda step: seen.append(objective.extractor.checkpointed))
    assert seen == [True, False]
