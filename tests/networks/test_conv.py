import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from pix2pix.networks import conv
from pix2pix.networks.conv import (
    FEW,
    FROZEN_CHANNELS,
    FROZEN_POSITIONS,
    Conv,
    ConvTranspose,
    can_use_nnpack,
    conv_gemm,
    conv_transpose_gemm,
    nnpack_conv,
    winograd_conv,
    winograd_transforms,
)

with_nnpack = pytest.mark.skipif(
    not torch.backends.nnpack.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX2",
    reason="this PyTorch has no NNPACK, or the processor is of another kind",
)
SIZES = [(1, 2, 2), (1, 1, 1), (3, 4, 6), (2, 7, 5)]
SIDE = 24
assert (SIDE - 2) ** 2 < FROZEN_POSITIONS <= SIDE**2


@pytest.mark.parametrize("form", [None, "gemm", "winograd"])
@pytest.mark.parametrize("is_frozen", [False, True])
@pytest.mark.parametrize("side", [2, 24])
@torch.no_grad()
def test_in_every_form_a_convolution_with_reflections_is_torchs(form, is_frozen, side):
    layer = Conv(256, 256, 3, padding=1, padding_mode="reflect").requires_grad_(not is_frozen)
    if form is not None:
        setattr(layer, form, True)
    expected = nn.Conv2d(256, 256, 3, padding=1, padding_mode="reflect")
    expected.load_state_dict(layer.state_dict())
    x = torch.randn(2, 256, side, side, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(layer(x), expected(x), atol=1e-4)


def test_their_weights_have_the_names_of_torchs_own():
    assert list(Conv(1, 1, 4).state_dict()) == ["weight", "bias"]
    assert list(ConvTranspose(1, 1, 4).state_dict()) == ["weight", "bias"]


def count_calls(name, layer, x, monkeypatch):
    """Return how often the layer, given x, calls the function of this name."""
    function, calls = getattr(conv, name), []
    monkeypatch.setattr(conv, name, lambda *given: (calls.append(1), function(*given))[1])
    layer(x)
    return len(calls)


# Matrix products


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(4, 2, 1), (3, 1, 1), (3, 2, 1), (1, 1, 0)])
@pytest.mark.parametrize(("n", "height", "width"), SIZES)
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_the_convolution_and_has_its_gradients(kernel, stride, padding, n, height, width, bias):
    if min(height, width) + 2 * padding < kernel:
        return
    layer = nn.Conv2d(3, 5, kernel, stride, padding, bias=bias).double()
    x = torch.randn(n, 3, height, width, dtype=torch.float64)
    compare(layer, x, lambda x: conv_gemm(x, layer.weight, layer.bias, stride, padding))


@pytest.mark.parametrize(("kernel", "extra"), [(4, 0), (3, 1)])
@pytest.mark.parametrize(("n", "height", "width"), SIZES)
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_the_transposed_convolution_and_has_its_gradients(kernel, extra, n, height, width, bias):
    layer = nn.ConvTranspose2d(3, 5, kernel, 2, 1, extra, bias=bias).double()
    x = torch.randn(n, 3, height, width, dtype=torch.float64)
    compare(layer, x, lambda x: conv_transpose_gemm(x, layer.weight, layer.bias, 2, 1, extra))


def compare(layer, x, product):
    outputs = []
    for function in (layer, product):
        layer.zero_grad()
        seen = x.clone().requires_grad_()
        y = function(seen)
        y.square().sum().backward()
        outputs.append([y, seen.grad, *(weight.grad for weight in layer.parameters())])
    for expected, got in zip(*outputs, strict=True):
        assert got.shape == expected.shape
        assert torch.allclose(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "name", "side"), [(Conv, "conv_gemm", 32), (ConvTranspose, "conv_transpose_gemm", 16)]
)
def test_few_positions_take_the_product_and_many_do_not(kind, name, side, monkeypatch):
    layer = kind(2, 2, 4, 2, 1)
    assert min(layer(torch.zeros(1, 2, side, side)).shape[-1], side) ** 2 == FEW
    assert count_calls(name, layer, torch.zeros(1, 2, side, side), monkeypatch) == 0  # not unless asked
    layer.gemm = True
    assert count_calls(name, layer, torch.zeros(1, 2, side, side), monkeypatch) == 1
    assert count_calls(name, layer, torch.zeros(2, 2, side, side), monkeypatch) == 0


# Minimal filtering


@pytest.mark.parametrize("r", [3, 4])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(("n", "height", "width"), [(1, 4, 4), (2, 7, 12), (3, 9, 5), (1, 17, 16)])
def test_minimal_filtering_is_the_convolution_and_has_its_gradients(r, padding, n, height, width):
    x = torch.randn(n, 3, height, width, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, r, r, dtype=torch.float64, requires_grad=True)
    results = []
    for y in (F.conv2d(x, weight, padding=padding), winograd_conv(x, weight, padding)):
        results.append([y, *torch.autograd.grad(y.square().sum(), (x, weight))])
    for expected, got in zip(*results, strict=True):
        assert got.shape == expected.shape
        assert torch.allclose(got, expected, rtol=1e-11, atol=1e-10)


def test_few_digits_are_lost_by_minimal_filtering():
    x, weight = torch.randn(1, 256, 32, 32), torch.randn(256, 256, 4, 4)
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    assert (winograd_conv(x, weight, 1) - exact).norm() < 1e-5 * exact.norm()


def test_four_outputs_of_a_kernel_of_three_take_six_multiplications():
    """F(4, 3) of Lavin and Gray, section 4.3; its matrices are ours but for the scales of rows."""
    output, kernel, image = winograd_transforms(3, torch.float64)
    assert (output.shape, kernel.shape, image.shape) == ((16, 36), (36, 9), (36, 36))
    one_direction = image[:6, :6] / image[0, 0]  # the Kronecker square's first block
    assert torch.equal(one_direction[0], torch.tensor([4, 0, -5, 0, 1, 0]).double() / 4)


@pytest.mark.parametrize(
    ("given", "dtype", "asked", "count"),
    [
        ((256, 256, 4, 1, 1), torch.float32, True, 1),
        ((256, 256, 3, 1, 1), torch.float64, True, 1),
        ((256, 256, 4, 1, 1), torch.float32, False, 0),
        ((128, 256, 4, 1, 1), torch.float32, True, 0),
        ((256, 256, 4, 2, 1), torch.float32, True, 0),
        ((256, 256, 1, 1, 0), torch.float32, True, 0),
    ],
)
def test_wide_convolutions_of_stride_1_take_it_if_asked(given, dtype, asked, count, monkeypatch):
    layer = Conv(*given).to(dtype)
    layer.winograd = asked
    x = torch.randn(1, given[0], 20, 20, dtype=dtype)
    assert count_calls("winograd_conv", layer, x, monkeypatch) == count


def test_bfloat16_has_too_few_digits_for_it(monkeypatch):
    layer = Conv(256, 256, 4, 1, 1)
    layer.winograd = True
    with torch.autocast("cpu", torch.bfloat16):
        assert count_calls("winograd_conv", layer, torch.randn(1, 256, 20, 20), monkeypatch) == 0


def test_the_bias_is_added(monkeypatch):
    layer = Conv(256, 256, 3, 1, 1)
    x = torch.randn(1, 256, 20, 20)
    expected = layer(x)
    layer.winograd = True
    assert count_calls("winograd_conv", layer, x, monkeypatch) == 1
    assert torch.allclose(layer(x), expected, atol=1e-4)


def test_weights_and_images_may_lie_with_their_channels_innermost():
    x, weight = torch.randn(2, 3, 9, 9, dtype=torch.float64), torch.randn(5, 3, 4, 4, dtype=torch.float64)
    expected = F.conv2d(x, weight, padding=1)
    got = winograd_conv(*(each.to(memory_format=torch.channels_last) for each in (x, weight)), 1)
    assert torch.allclose(got, expected, rtol=1e-11, atol=1e-10)


def test_transforms_serve_training_whoever_imports_them_first():
    with torch.inference_mode():
        assert not any(table.is_inference() for table in winograd_transforms(3, torch.float32))


# Frozen kernels


def weights(outputs, inputs, seed=0):
    generator = torch.Generator().manual_seed(seed)
    kernels = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2 / inputs / 9) ** 0.5
    return kernels, torch.randn(outputs, generator=generator)


def errors(x, weight, bias, padding):
    """Of output and gradient, as shares of what float64 gives."""
    results = []
    for way, dtype in ((F.conv2d, torch.float64), (nnpack_conv, torch.float32)):
        seen = x.to(dtype).requires_grad_()
        bias_there = None if bias is None else bias.to(dtype)
        y = way(seen, weight.to(dtype), bias_there, padding=padding)
        results.append((y.detach(), *torch.autograd.grad(y.square().sum() / 2, seen)))
    for expected, got in zip(*results, strict=True):
        assert got.shape == expected.shape
        yield float((got - expected).norm() / expected.norm())


@with_nnpack
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(("n", "height", "width"), [(1, 6, 6), (2, 7, 12), (3, 9, 5), (1, 37, 40), (1, 1, 1)])
def test_a_frozen_convolution_is_the_convolution_and_has_its_gradient(padding, n, height, width):
    if min(height, width) + 2 * padding < 3:
        return
    x = torch.randn(n, 7, height, width, generator=torch.Generator().manual_seed(1))
    assert max(errors(x, *weights(5, 7), padding)) < 1e-5


@with_nnpack
def test_every_side_up_to_40_fits_into_tiles():
    for side in range(1, 41):
        x = torch.randn(1, 4, side, 41 - side, generator=torch.Generator().manual_seed(side))
        assert max(errors(x, *weights(4, 4), 1)) < 1e-5


@with_nnpack
@pytest.mark.parametrize(("inputs", "outputs"), [(64, 128), (512, 512)])
def test_few_digits_are_lost_with_frozen_kernels(inputs, outputs):
    x = torch.randn(1, inputs, 32, 32, generator=torch.Generator().manual_seed(1)).relu()
    weight, _ = weights(outputs, inputs)
    assert max(errors(x, weight, None, 1)) < 1e-5


@with_nnpack
def test_images_and_frozen_weights_may_lie_with_their_channels_innermost():
    x = torch.randn(2, 16, 20, 24, generator=torch.Generator().manual_seed(1))
    weight, bias = weights(8, 16)
    expected = nnpack_conv(x, weight, bias, 1)
    for layout in (x.to(memory_format=torch.channels_last), x.mT.contiguous().mT, x.repeat(1, 1, 1, 2)[..., :24]):
        assert nnpack_conv(layout, weight.to(memory_format=torch.channels_last), bias, 1).equal(expected)


@with_nnpack
def test_changed_weights_are_seen():
    x, (weight, _) = torch.randn(1, 8, 12, 12), weights(8, 8)
    before = nnpack_conv(x, weight, None, 1)
    weight *= 2
    assert nnpack_conv(x, weight, None, 1).equal(2 * before)
    y = nnpack_conv(x.requires_grad_(), weight, None, 1)
    weight *= 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@with_nnpack
def test_the_gradient_has_no_gradient_and_says_so():
    x = torch.randn(1, 8, 12, 12, requires_grad=True)
    (gradient,) = torch.autograd.grad(nnpack_conv(x, *weights(8, 8), 1).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def frozen_layer(channels=FROZEN_CHANNELS, kernel=3, stride=1, padding=1):
    made = Conv(channels, channels, kernel, stride, padding).requires_grad_(False)
    made.winograd = True
    return made


@with_nnpack
@pytest.mark.parametrize(
    ("change", "x", "count"),
    [
        ({}, torch.zeros(1, FROZEN_CHANNELS, SIDE, SIDE), 1),
        ({"padding": 0}, torch.zeros(2, FROZEN_CHANNELS, SIDE, SIDE), 1),
        ({}, torch.zeros(4, FROZEN_CHANNELS, SIDE - 2, SIDE - 2), 0),
        ({"channels": FROZEN_CHANNELS // 2}, torch.zeros(1, FROZEN_CHANNELS // 2, SIDE, SIDE), 0),
        ({"kernel": 4}, torch.zeros(1, FROZEN_CHANNELS, SIDE, SIDE), 0),
        ({"stride": 2}, torch.zeros(1, FROZEN_CHANNELS, SIDE, SIDE), 0),
        ({"padding": 3}, torch.zeros(1, FROZEN_CHANNELS, SIDE, SIDE), 0),
    ],
)
def test_frozen_convolutions_of_3_by_3_with_channels_and_positions_enough_take_it(change, x, count, monkeypatch):
    assert count_calls("nnpack_conv", frozen_layer(**change), x, monkeypatch) == count


@with_nnpack
def test_it_is_taken_if_asked_in_float32_and_without_autocast_alone(monkeypatch):
    x = torch.zeros(1, FROZEN_CHANNELS, SIDE, SIDE)
    unasked = frozen_layer()
    unasked.winograd = False
    assert count_calls("nnpack_conv", unasked, x, monkeypatch) == 0
    assert count_calls("nnpack_conv", frozen_layer().double(), x.double(), monkeypatch) == 0
    with torch.autocast("cpu", torch.bfloat16):
        assert count_calls("nnpack_conv", frozen_layer(), x, monkeypatch) == 0


@with_nnpack
def test_weights_that_learn_do_not_take_it(monkeypatch):
    for name in ("weight", "bias"):
        learning = frozen_layer()
        getattr(learning, name).requires_grad_()
        x = torch.zeros(1, FROZEN_CHANNELS, SIDE, SIDE)
        assert count_calls("nnpack_conv", learning, x, monkeypatch) == 0


@pytest.mark.parametrize(
    ("owner", "name", "answer"),
    [(torch.backends.nnpack, "is_available", False), (torch.backends.cpu, "get_cpu_capability", "AVX512")],
)
def test_without_nnpack_or_with_avx512_pytorchs_own_convolution_is_taken(owner, name, answer, monkeypatch):
    monkeypatch.setattr(owner, name, lambda: answer)
    x = torch.randn(1, FROZEN_CHANNELS, SIDE, SIDE)
    own = frozen_layer()
    assert not can_use_nnpack(x, own.weight, own.bias, 1)
    assert own(x).equal(F.conv2d(x, own.weight, own.bias, padding=1))


def test_few_positions_of_frozen_weights_take_no_filtering_at_all(monkeypatch):
    own, x = frozen_layer(256), torch.randn(1, 256, 16, 16)
    assert count_calls("winograd_conv", own, x, monkeypatch) == 0
    assert own(x).equal(F.conv2d(x, own.weight, own.bias, padding=1))
