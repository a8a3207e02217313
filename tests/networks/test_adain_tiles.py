import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pix2pix.data.arrays import pad_to_multiple
from pix2pix.networks import tiled
from pix2pix.networks.adain_net import Decoder, Encoder
from pix2pix.networks.canvas import TensorCanvas
from pix2pix.networks.memory_plan import FeatureSizes, choose_plan
from pix2pix.networks.norm import AdaIN, Norm, channel_statistics
from pix2pix.networks.tiled import translate_tiled

CPU = torch.device("cpu")
BLOCKS = ((2, 2), (4, 4), (4, 4, 4, 4), (8,))


def noise(height, width, *, count=1, seed=0, dtype=torch.float64):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def networks(dtype=torch.float64, blocks=BLOCKS):
    """An encoder, a decoder, and between them AdaIN to a style."""
    torch.manual_seed(0)
    encoder, decoder = Encoder(blocks).to(dtype), Decoder(blocks).to(dtype)
    for layer in (*encoder.layers, *decoder.layers):
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)  # so that what is seen at one end is seen at the other
    with torch.no_grad():
        return encoder, AdaIN(*channel_statistics(encoder(noise(32, 48, seed=1, dtype=dtype))), 0.8), decoder


def stages_of(encoder, adain, decoder):
    *stages, last = encoder.stages()
    stages.append(last._replace(after=(*last.after, adain)))
    return stages + decoder.stages(len(stages))


@torch.inference_mode()
def distance(parts, image, tile):
    encoder, adain, decoder = parts
    canvas = TensorCanvas(image, 3)
    canvas.output = canvas.output.to(image.dtype)
    translate_tiled(never, stages_of(*parts), encoder.multiple, canvas, tile, CPU, torch.contiguous_format)
    padded, (rows, columns) = pad_to_multiple(image, encoder.multiple)
    expected = decoder(adain(encoder(padded)))[..., rows, columns]
    assert image[0].numel() < 1000 or expected.std() > 0.02
    return (canvas.output - expected).abs().max().item()


def never(x):
    pytest.fail("translated whole")


def test_tiles_give_what_the_whole_image_gives():
    assert distance(networks(), noise(150, 215), 64) < 1e-10


@pytest.mark.usefixtures("short_of_memory")
def test_nothing_need_be_kept():
    assert distance(networks(), noise(60, 75), 20) < 1e-10


@pytest.mark.usefixtures("short_of_memory")
def test_images_of_a_batch_have_statistics_of_their_own():
    assert distance(networks(), noise(40, 33, count=3), 20) < 1e-10


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(6, 15), st.sampled_from([0, 2**14, 2**17, 2**30]))
def test_any_size_tile_and_budget_gives_the_same(height, width, tile, budget):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiled, "MEMORY_BUDGET", budget)
        assert distance(networks(), noise(height, width), tile) < 1e-10


def test_in_single_precision_tiles_stay_near_the_whole_image():
    parts = networks(torch.float32, ((8, 8), (16, 16), (16, 16, 16, 16), (32,)))
    assert distance(parts, noise(160, 130, dtype=torch.float32), 48) < 1e-3


@pytest.mark.usefixtures("short_of_memory")
def test_a_norm_behind_an_activation_is_measured_behind_it():
    encoder, _, decoder = networks()
    assert distance((encoder, Norm(8, "instance").double(), decoder), noise(60, 75), 20) < 1e-10


def planned(budget):
    """The plan for VGG-19 at 4096 x 4096 pixels."""
    with torch.device("meta"):  # weights of no memory
        parts = Encoder(), AdaIN(torch.zeros(1, 512), torch.zeros(1, 512)), Decoder()
    features = FeatureSizes(stages_of(*parts), (4096, 4096), 4)
    return features, choose_plan(features, 1024, budget)


def test_a_pool_quarters_the_memory_of_features():
    features, _ = planned(2**30)
    sizes = {place: features.bytes(place) / 2**30 for place in (-1, 0, 1, 2, 5, 11, 23)}
    assert sizes == {-1: 3 / 16, 0: 4, 1: 4, 2: 1, 5: 0.5, 11: 0.5, 23: 3 / 16}


def test_features_that_cost_much_and_take_little_are_kept():
    _, plan = planned(3 * 2**29)
    assert 11 in plan.kept  # relu4_1, or the decoder would need the whole encoder for each of its windows
    assert plan.peak <= 3 * 2**29
