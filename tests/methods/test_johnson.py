import numpy as np
import pytest
import torch

from pix2pix.config.base import from_dict
from pix2pix.config.style import JohnsonOptions
from pix2pix.data.batch import PhotoBatch
from pix2pix.data.io import write_image
from pix2pix.errors import UserError
from pix2pix.methods.base import Styles, translate
from pix2pix.methods.johnson import Johnson
from pix2pix.runtime.device import Runtime

SHALLOW = {"weights": "random", "rescaled": False, "content_layers": "relu1_2", "style_layers": "relu1_1,relu2_1"}
TINY = {"ngf": 4, "blocks": 1, "load_size": 32, "crop_size": 32}


def picture(seed=0, size=(32, 32), count=1):
    """Coarse blocks, (N, 3, H, W)."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size)


def photos(count=2, seed=0, size=(32, 32)):
    return PhotoBatch(picture(seed, size, count), [f"photo{number}" for number in range(count)])


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    painting = tmp_path_factory.mktemp("style") / "waves.png"
    write_image(painting, ((picture(7)[0].permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8))

    def build(**given):
        style = {"style_image": str(painting)}
        return from_dict(JohnsonOptions, {"dataroot": "photos", "name": "x", **style, **TINY, **SHALLOW, **given})

    return build


@pytest.fixture(scope="module")
def method(options):
    """One that learns no more."""
    return Johnson(options(), Runtime("cpu"))


def test_it_learns_to_paint(options):
    method = Johnson(options(lr=3e-3), Runtime("cpu"))
    losses = [method.training_step(photos())["loss/G"].item() for _ in range(16)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_step_reports_its_parts(options):
    scalars = Johnson(options(), Runtime("cpu")).training_step(photos())
    assert set(scalars) == {"loss/content", "loss/style", "loss/tv", "loss/G", "grad_norm/G"}


def test_the_same_seed_gives_the_same_weights_after_a_step(options):
    states = []
    for seed in (0, 0, 1):
        method = Johnson(options(seed=seed), Runtime("cpu"))
        method.training_step(photos())
        states.append(method.generator.state_dict())
    first, second, other = states
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_of_single_photographs_batch_norm_is_instance_norm(options):
    batch, instance = (Johnson(options(norm=norm), Runtime("cpu")) for norm in ("batch", "instance"))
    losses = [method.training_step(photos(1))["loss/G"].item() for method in (batch, instance)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    both = [method.training_step(photos(2))["loss/G"].item() for method in (batch, instance)]
    assert both[0] != pytest.approx(both[1], rel=1e-5)


def test_batch_norm_paints_by_the_statistics_of_training_by_default(options):
    methods = {}
    for statistics in (None, "running", "image"):
        method = Johnson(options(norm="batch", statistics=statistics), Runtime("cpu"))
        method.training_step(photos())
        methods[statistics] = translate(method, picture(3))
    assert torch.equal(methods[None], methods["running"])
    assert not torch.allclose(methods[None], methods["image"], atol=1e-3)


def test_validating_tells_losses_of_what_it_would_paint(method):
    report = method.validation_step(photos(1))
    assert set(report.scalars) == {"val/content", "val/style", "val/tv", "val/loss"}
    (row,) = report.images.values()
    assert torch.equal(row[1], translate(method, row[0]))
    assert [image.shape for image in row] == [(1, 3, 32, 32)] * 2


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (5, 3), (17, 33), (130, 65)])
def test_images_of_any_size_come_back_in_their_own(method, size):
    output = translate(method, picture(size=size))
    assert output.shape == (1, 3, *size)
    assert output.isfinite().all()
    assert output.abs().max() <= 1


def test_tiles_paint_what_the_whole_paints(options, method, monkeypatch):
    whole = translate(method, picture(size=(100, 150)))
    monkeypatch.setattr(method, "options", options(tile=64))
    assert torch.allclose(translate(method, picture(size=(100, 150))), whole, atol=1e-4)


def test_a_style_is_refused(method):
    with pytest.raises(UserError, match="johnson"):
        translate(method, picture(), styles=Styles(numbers=[0]))


def test_a_checkpoint_tells_what_it_paints(method):
    assert method.description["method"] == "johnson"
    assert method.description["styles"] == ["waves"]
    assert method.description["style_pictures"][0].dtype == torch.uint8
    assert len(method.description["features"]["style_image_sha256"]) == 64


def test_restored_it_needs_no_files_and_paints_the_same(options, method):
    again = Johnson(
        options(style_image="gone.png", weights="gone.pth"), Runtime("cpu"), method.description, training=False
    )
    again.generator.load_state_dict(method.generator.state_dict())
    assert torch.equal(translate(again, picture(3)), translate(method, picture(3)))


def test_the_rate_is_constant(method):
    assert [method.learning_rate(step, 10) for step in (1, 10)] == [1e-3, 1e-3]
