import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pix2pix.convolution import Conv
from pix2pix.convolution.minimal import convolve, transforms


@pytest.mark.parametrize("r", [3, 4])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(("n", "height", "width"), [(1, 4, 4), (2, 7, 12), (3, 9, 5), (1, 17, 16)])
def test_minimal_filtering_is_the_convolution_and_has_its_gradients(r, padding, n, height, width):
    x = torch.randn(n, 3, height, width, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, r, r, dtype=torch.float64, requires_grad=True)
    results = []
    for y in (F.conv2d(x, weight, padding=padding), convolve(x, weight, padding)):
        results.append([y, *torch.autograd.grad(y.square().sum(), (x, weight))])
    for expected, got in zip(*results, strict=True):
        assert got.shape == expected.shape
        assert torch.allclose(got, expected, rtol=1e-11, atol=1e-10)


def test_few_digits_are_lost():
    x, weight = torch.randn(1, 256, 32, 32), torch.randn(256, 256, 4, 4)
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    assert (convolve(x, weight, 1) - exact).norm() < 1e-5 * exact.norm()


def test_four_outputs_of_a_kernel_of_three_take_six_multiplications():
    """F(4, 3) of Lavin and Gray, section 4.3; its matrices are ours but for the scales of rows."""
    output, kernel, image = transforms(3, torch.float64)
    assert (output.shape, kernel.shape, image.shape) == ((16, 36), (36, 9), (36, 36))
    one_direction = image[:6, :6] / image[0, 0]  # the Kronecker square's first block
    assert torch.equal(one_direction[0], torch.tensor([4, 0, -5, 0, 1, 0]).double() / 4)


def taken(layer, x, monkeypatch):
    calls = []
    monkeypatch.setattr("pix2pix.convolution.modules.convolve", lambda *given: (calls.append(1), convolve(*given))[1])
    layer(x)
    return len(calls)


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
    layer.minimal = asked
    x = torch.randn(1, given[0], 20, 20, dtype=dtype)
    assert taken(layer, x, monkeypatch) == count


def test_bfloat16_has_too_few_digits_for_it(monkeypatch):
    layer = Conv(256, 256, 4, 1, 1)
    layer.minimal = True
    with torch.autocast("cpu", torch.bfloat16):
        assert taken(layer, torch.randn(1, 256, 20, 20), monkeypatch) == 0


def test_the_bias_is_added(monkeypatch):
    layer = Conv(256, 256, 3, 1, 1)
    x = torch.randn(1, 256, 20, 20)
    expected = layer(x)
    layer.minimal = True
    assert taken(layer, x, monkeypatch) == 1
    assert torch.allclose(layer(x), expected, atol=1e-4)


def test_weights_and_images_may_lie_with_their_channels_innermost():
    x, weight = torch.randn(2, 3, 9, 9, dtype=torch.float64), torch.randn(5, 3, 4, 4, dtype=torch.float64)
    expected = F.conv2d(x, weight, padding=1)
    got = convolve(*(each.to(memory_format=torch.channels_last) for each in (x, weight)), 1)
    assert torch.allclose(got, expected, rtol=1e-11, atol=1e-10)


def test_transforms_serve_training_whoever_imports_them_first():
    with torch.inference_mode():
        assert not any(table.is_inference() for table in transforms(3, torch.float32))
