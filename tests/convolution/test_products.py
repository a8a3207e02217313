import pytest
import torch
from torch import nn

from pix2pix.convolution import FEW, Conv, ConvTranspose
from pix2pix.convolution.products import conv_product, transposed_product

SIZES = [(1, 2, 2), (1, 1, 1), (3, 4, 6), (2, 7, 5)]


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(4, 2, 1), (3, 1, 1), (3, 2, 1), (1, 1, 0)])
@pytest.mark.parametrize(("n", "height", "width"), SIZES)
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_the_convolution_and_has_its_gradients(kernel, stride, padding, n, height, width, bias):
    if min(height, width) + 2 * padding < kernel:
        return
    layer = nn.Conv2d(3, 5, kernel, stride, padding, bias=bias).double()
    x = torch.randn(n, 3, height, width, dtype=torch.float64)
    compare(layer, x, lambda x: conv_product(x, layer.weight, layer.bias, stride, padding))


@pytest.mark.parametrize(("kernel", "extra"), [(4, 0), (3, 1)])
@pytest.mark.parametrize(("n", "height", "width"), SIZES)
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_the_transposed_convolution_and_has_its_gradients(kernel, extra, n, height, width, bias):
    layer = nn.ConvTranspose2d(3, 5, kernel, 2, 1, extra, bias=bias).double()
    x = torch.randn(n, 3, height, width, dtype=torch.float64)
    compare(layer, x, lambda x: transposed_product(x, layer.weight, layer.bias, 2, 1, extra))


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


@pytest.mark.parametrize("kind", [Conv, ConvTranspose])
def test_few_positions_take_the_product_and_many_do_not(kind, monkeypatch):
    taken = []
    for name in ("conv_product", "transposed_product"):
        function = {"conv_product": conv_product, "transposed_product": transposed_product}[name]
        monkeypatch.setattr(f"pix2pix.convolution.modules.{name}", lambda *a, f=function: (taken.append(1), f(*a))[1])
    layer = kind(2, 2, 4, 2, 1)
    side = 32 if kind is Conv else 16
    assert (side // (2 if kind is Conv else 1)) ** 2 == FEW
    layer(torch.zeros(1, 2, side, side))
    assert len(taken) == 0  # not unless asked
    layer.by_product = True
    layer(torch.zeros(1, 2, side, side))
    assert len(taken) == 1
    layer(torch.zeros(2, 2, side, side))
    assert len(taken) == 1


def test_their_weights_have_the_names_of_torchs_own():
    assert list(Conv(1, 1, 4).state_dict()) == ["weight", "bias"]
    assert list(ConvTranspose(1, 1, 4).state_dict()) == ["weight", "bias"]
