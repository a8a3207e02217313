from typing import get_args

import pytest
import torch

from pix2pix.config.backbones import get_layer_names
from pix2pix.config.tools import ActivationsOptions
from pix2pix.config.types import BackboneName
from pix2pix.data.arrays import to_tensor
from pix2pix.data.generated import generate
from pix2pix.data.io import read_image
from pix2pix.errors import UserError
from pix2pix.evaluation.activations import (
    STAGES,
    Profile,
    Stage,
    Statistics,
    build_extractor,
    measure_activations,
    plot_activations,
)
from pix2pix.runtime.device import Precision, Runtime

RUNTIME = Runtime("cpu")
PRECISIONS = get_args(Precision)
RESIDUAL, PLAIN = ("resnet50", "pseudo_resvgg"), ("noresnet", "pseudo_vgg", "vgg19")


class Shows(torch.nn.Module):
    """A backbone whose one layer is the image itself, in twice as many channels."""

    backbone, layers, source, sha256 = "shows", ("image",), "none", "0"

    def forward(self, image):
        return {"image": torch.cat([image, torch.zeros_like(image)], dim=1)}


def test_what_is_measured_of_equal_activations_and_of_a_peak():
    even, peak = torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 2, 4)
    peak[0, 0, 1, 2] = 80.0
    (stage,) = measure_activations(Shows(), [even], RUNTIME).stages
    assert stage == ("image", Statistics(0, 1, 0, 1), pytest.approx(Statistics(1 / 18, 1, 1 / 18**2, 1)))
    (stage,) = measure_activations(Shows(), [peak], RUNTIME).stages
    assert stage.plain == pytest.approx(Statistics(80, 0, 80**2 / 8, 0), abs=1e-9)
    assert (stage.smoothed.maximum, stage.smoothed.gram_maximum) == pytest.approx((1, 1 / 8))


def test_numbers_are_means_over_images_of_any_sizes():
    profile = measure_activations(Shows(), [torch.full((1, 1, 4, 4), 1.0), torch.full((1, 1, 2, 8), 3.0)], RUNTIME)
    assert profile[:3] == ("shows", "none", "0")
    assert (profile.stages[0].plain.maximum, profile.stages[0].plain.gram_maximum) == pytest.approx((2, 5))


def test_a_high_temperature_makes_even():
    peak = torch.zeros(1, 1, 4, 4)
    peak[0, 0, 0, 0] = 10.0
    maxima = [measure_activations(Shows(), [peak], RUNTIME, t).stages[0].smoothed.maximum for t in (1, 10, 1000)]
    share = torch.tensor([10.0, 1, 0.01], dtype=torch.float64).exp()
    assert maxima == pytest.approx((share / (share + 31)).tolist())


def test_what_cannot_be_measured_is_reported():
    with pytest.raises(UserError, match="no images"):
        measure_activations(Shows(), [], RUNTIME)
    with pytest.raises(UserError, match=r"shows: image.*--weights"):
        measure_activations(Shows(), [torch.full((1, 1, 2, 2), torch.inf)], RUNTIME)


def test_every_backbone_has_stages_among_its_layers_in_their_order():
    assert set(STAGES) == set(get_args(BackboneName))
    for backbone, stages in STAGES.items():
        assert [name for name in get_layer_names(backbone) if name in stages] == list(stages)


def stages(backbones, count, size):
    options = ActivationsOptions(backbone=backbones)
    images = [to_tensor(generate(0, index, (size, size))[0])[None] for index in range(count)]
    return {name: measure_activations(build_extractor(name, options), images, RUNTIME).stages for name in backbones}


def check_swag(measured):
    """Residuals, and nothing else, make maxima grow and entropies fall; smoothing makes all even."""
    for backbone, (first, *_, last) in measured.items():
        if backbone in RESIDUAL:
            assert last.plain.maximum >= 5 * first.plain.maximum
            assert max(last.plain.entropy, last.plain.gram_entropy) < 0.5
        else:
            assert last.plain.maximum < 2 * first.plain.maximum
            assert min(last.plain.entropy, last.plain.gram_entropy) > 0.9
        assert min(last.smoothed.entropy, last.smoothed.gram_entropy) > 0.99


def test_additions_make_peaks_grow_with_depth():
    check_swag(stages(("resnet50", "noresnet"), count=1, size=64))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_claims_of_swag_hold_for_random_weights():
    check_swag(stages(RESIDUAL + PLAIN, count=10, size=256))


def test_bfloat16_is_close_to_float32():
    extractor = build_extractor("resnet18", ActivationsOptions(backbone="resnet18", layers="layer2"))
    image = to_tensor(generate(0, 0, (48, 48))[0])[None]
    fp32, bf16 = (
        measure_activations(extractor, [image], Runtime("cpu", precision)).stages[0].plain for precision in PRECISIONS
    )
    assert fp32.maximum != bf16.maximum
    assert bf16 == pytest.approx(fp32, rel=0.05)


@pytest.mark.slow
def test_statistics_of_all_backbones_are_drawn(tmp_path):
    statistics = [Statistics(10.0**n, 1 / n, 100.0**n, 0.5 / n) for n in (1, 2, 3)]
    stages = tuple(Stage("x", each, each._replace(maximum=0.1)) for each in statistics)
    files = [tmp_path / "all.png", tmp_path / "all.svg"]
    plot_activations([Profile(backbone, "random", "0", stages) for backbone in STAGES], files, "all")
    picture = read_image(files[0])
    assert picture.shape[:2] == (1080, 1320)
    assert all((picture[..., :3] == colour).all(axis=-1).sum() > 100 for colour in ((0, 114, 178), (213, 94, 0)))
    assert "<svg" in files[1].read_text()
