import functools
import operator
import os
import sys

import pytest
import torch
from torch import nn

from benchmarks.measure import Apart, Memory, Ratio, Spread, alternate, peak_memory, ratio, seconds_of, spread
from benchmarks.roofline import flops
from pix2pix.networks.init import build_generator
from pix2pix.networks.patchgan import PatchGAN

CPU = torch.device("cpu")


def timed(ran, name):
    ran.append(name)
    return 1.0


def test_each_variant_runs_once_a_round_and_every_round_begins_with_another():
    ran = []
    variants = {name: functools.partial(timed, ran, name) for name in "abc"}
    seconds = alternate(variants, 3, warm_up=0)
    assert "".join(ran) == "abcbcacab"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_warm_up_runs_and_does_not_count():
    ran = []
    seconds = alternate({"a": lambda: timed(ran, "a")}, 2, warm_up=3)
    assert len(ran) == 5
    assert len(seconds["a"]) == 2


def test_the_device_is_waited_for_before_and_after_each_run(monkeypatch):
    calls = []
    monkeypatch.setattr("benchmarks.measure.waiting_for", lambda device: lambda: calls.append("wait"))
    assert seconds_of(lambda: calls.append("run"), CPU) >= 0
    assert calls == ["wait", "run", "wait"]


@pytest.mark.slow
def test_a_call_has_a_process_of_its_own():
    apart = Apart(functools.partial, os.getpid)
    assert apart.run(operator.call) != os.getpid()
    assert apart.run(seconds_of, CPU) >= 0
    apart.close()


def test_a_spread_is_least_quartiles_and_median():
    assert spread([5, 1, 4, 2, 3]) == Spread(1, 2, 3, 4)
    assert spread([7]) == Spread(7, 7, 7, 7)


def test_a_ratio_is_reported_by_medians_by_rounds_and_by_the_least():
    assert ratio([2, 4, 9], [1, 1, 3]) == Ratio(medians=4, rounds=3, least=2, lower=2.5, upper=3.5)


def test_drift_that_slows_both_leaves_the_rounds_ratio():
    ours = [1.0, 5.0, 2.0]
    assert ratio([3 * time for time in ours], ours).rounds == 3


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.slow
def test_memory_is_that_of_the_call():
    apart = Apart(functools.partial, operator.mul, b"x", 200_000_000)  # here earlier tests may have left memory
    found = apart.run(peak_memory)
    apart.close()
    assert isinstance(found, Memory)
    assert found.growth == pytest.approx(200e6, rel=0.05)
    assert found.peak > found.growth


@pytest.mark.parametrize(("batch", "stride"), [(1, 1), (3, 2)])
def test_flops_of_a_convolution_are_two_per_weight_and_output(batch, stride):
    layer = nn.Conv2d(5, 7, 4, stride, 1, bias=False)
    x = torch.zeros(batch, 5, 16, 16, requires_grad=True)
    outputs = layer(x).numel()
    forward = 2 * outputs * 5 * 4 * 4
    assert flops(lambda: layer(x)) == forward
    assert flops(lambda: layer(x).sum().backward()) == 3 * forward  # by the weights, and by the input


def test_flops_of_a_matrix_product():
    assert flops(lambda: torch.zeros(3, 5) @ torch.zeros(5, 7)) == 2 * 3 * 5 * 7


def convolutions(network, x):
    """FLOPs of the convolutions of a network, layer by layer: two for each weight that meets a position."""
    found = []

    def note(layer, inputs, output):
        positions = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        found.append(2 * layer.weight.numel() * positions.shape[-2] * positions.shape[-1])

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(note)
    network(x)
    return sum(found)


def test_flops_of_the_networks_at_256_are_the_sums_over_their_layers():
    with torch.device("meta"):
        g = build_generator("unet_256", 3, 3, ngf=64, norm="batch", upsample="transpose", dropout=True)
        d = PatchGAN(6)
        x, pair = torch.empty(1, 3, 256, 256), torch.empty(1, 6, 256, 256)
    assert flops(lambda: g(x)) == pytest.approx(convolutions(g, x), rel=1e-3) == pytest.approx(12.1e9, rel=0.01)
    assert flops(lambda: d(pair)) == pytest.approx(convolutions(d, pair), rel=1e-3) == pytest.approx(6.39e9, rel=0.01)
