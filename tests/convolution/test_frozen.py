import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pix2pix.convolution import Conv
from pix2pix.convolution.frozen import CHANNELS, POSITIONS, can_filter, frozen_conv

here = pytest.mark.skipif(
    not torch.backends.nnpack.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX2",
    reason="this PyTorch has no NNPACK, or the processor is of another kind",
)


def weights(outputs, inputs, seed=0):
    generator = torch.Generator().manual_seed(seed)
    kernels = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2 / inputs / 9) ** 0.5
    return kernels, torch.randn(outputs, generator=generator)


def errors(x, weight, bias, padding):
    """Of output and gradient, as shares of what float64 gives."""
    results = []
    for way, dtype in ((F.conv2d, torch.float64), (frozen_conv, torch.float32)):
        seen = x.to(dtype).requires_grad_()
        bias_there = None if bias is None else bias.to(dtype)
        y = way(seen, weight.to(dtype), bias_there, padding=padding)
        results.append((y.detach(), *torch.autograd.grad(y.square().sum() / 2, seen)))
    for expected, got in zip(*results, strict=True):
        assert got.shape == expected.shape
        yield float((got - expected).norm() / expected.norm())


@here
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(("n", "height", "width"), [(1, 6, 6), (2, 7, 12), (3, 9, 5), (1, 37, 40), (1, 1, 1)])
def test_it_is_the_convolution_and_has_its_gradient(padding, n, height, width):
    if min(height, width) + 2 * padding < 3:
        return
    x = torch.randn(n, 7, height, width, generator=torch.Generator().manual_seed(1))
    assert max(errors(x, *weights(5, 7), padding)) < 1e-5


@here
def test_every_side_up_to_40_fits_into_tiles():
    for side in range(1, 41):
        x = torch.randn(1, 4, side, 41 - side, generator=torch.Generator().manual_seed(side))
        assert max(errors(x, *weights(4, 4), 1)) < 1e-5


@here
@pytest.mark.parametrize(("inputs", "outputs"), [(64, 128), (512, 512)])
def test_few_digits_are_lost(inputs, outputs):
    x = torch.randn(1, inputs, 32, 32, generator=torch.Generator().manual_seed(1)).relu()
    weight, _ = weights(outputs, inputs)
    assert max(errors(x, weight, None, 1)) < 1e-5


@here
def test_images_and_weights_may_lie_with_their_channels_innermost():
    x = torch.randn(2, 16, 20, 24, generator=torch.Generator().manual_seed(1))
    weight, bias = weights(8, 16)
    expected = frozen_conv(x, weight, bias, 1)
    for layout in (x.to(memory_format=torch.channels_last), x.mT.contiguous().mT, x.repeat(1, 1, 1, 2)[..., :24]):
        assert frozen_conv(layout, weight.to(memory_format=torch.channels_last), bias, 1).equal(expected)


@here
def test_changed_weights_are_seen():
    x, (weight, _) = torch.randn(1, 8, 12, 12), weights(8, 8)
    before = frozen_conv(x, weight, None, 1)
    weight *= 2
    assert frozen_conv(x, weight, None, 1).equal(2 * before)
    y = frozen_conv(x.requires_grad_(), weight, None, 1)
    weight *= 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@here
def test_the_gradient_has_no_gradient_and_says_so():
    x = torch.randn(1, 8, 12, 12, requires_grad=True)
    (gradient,) = torch.autograd.grad(frozen_conv(x, *weights(8, 8), 1).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def layer(channels=CHANNELS, kernel=3, stride=1, padding=1):
    made = Conv(channels, channels, kernel, stride, padding).requires_grad_(False)
    made.minimal = True
    return made


def taken(layer, x, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "pix2pix.convolution.modules.frozen_conv", lambda *given: (calls.append(1), frozen_conv(*given))[1]
    )
    layer(x)
    return len(calls)


SIDE = 24
assert (SIDE - 2) ** 2 < POSITIONS <= SIDE**2


@here
@pytest.mark.parametrize(
    ("change", "x", "count"),
    [
        ({}, torch.zeros(1, CHANNELS, SIDE, SIDE), 1),
        ({"padding": 0}, torch.zeros(2, CHANNELS, SIDE, SIDE), 1),
        ({}, torch.zeros(4, CHANNELS, SIDE - 2, SIDE - 2), 0),
        ({"channels": CHANNELS // 2}, torch.zeros(1, CHANNELS // 2, SIDE, SIDE), 0),
        ({"kernel": 4}, torch.zeros(1, CHANNELS, SIDE, SIDE), 0),
        ({"stride": 2}, torch.zeros(1, CHANNELS, SIDE, SIDE), 0),
        ({"padding": 3}, torch.zeros(1, CHANNELS, SIDE, SIDE), 0),
    ],
)
def test_frozen_convolutions_of_3_by_3_with_channels_and_positions_enough_take_it(change, x, count, monkeypatch):
    assert taken(layer(**change), x, monkeypatch) == count


@here
def test_it_is_taken_if_asked_in_float32_and_without_autocast_alone(monkeypatch):
    x = torch.zeros(1, CHANNELS, SIDE, SIDE)
    unasked = layer()
    unasked.minimal = False
    assert taken(unasked, x, monkeypatch) == 0
    assert taken(layer().double(), x.double(), monkeypatch) == 0
    with torch.autocast("cpu", torch.bfloat16):
        assert taken(layer(), x, monkeypatch) == 0


@here
def test_weights_that_learn_do_not_take_it(monkeypatch):
    for name in ("weight", "bias"):
        learning = layer()
        getattr(learning, name).requires_grad_()
        assert taken(learning, torch.zeros(1, CHANNELS, SIDE, SIDE), monkeypatch) == 0


@pytest.mark.parametrize(
    ("owner", "name", "answer"),
    [(torch.backends.nnpack, "is_available", False), (torch.backends.cpu, "get_cpu_capability", "AVX512")],
)
def test_without_nnpack_or_with_avx512_pytorchs_own_convolution_is_taken(owner, name, answer, monkeypatch):
    monkeypatch.setattr(owner, name, lambda: answer)
    x = torch.randn(1, CHANNELS, SIDE, SIDE)
    own = layer()
    assert not can_filter(x, own.weight, own.bias, 1)
    assert own(x).equal(F.conv2d(x, own.weight, own.bias, padding=1))


def test_few_positions_of_frozen_weights_take_no_filtering_at_all(monkeypatch):
    monkeypatch.setattr("pix2pix.convolution.modules.convolve", None)
    own, x = layer(256), torch.randn(1, 256, 16, 16)
    assert own(x).equal(F.conv2d(x, own.weight, own.bias, padding=1))
