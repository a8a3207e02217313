import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from pix2pix.checkpoint import CheckpointError
from pix2pix.networks.canvas import TensorCanvas
from pix2pix.networks.init import initialize_weights
from pix2pix.networks.norm import ConditionalInstanceNorm, Norm
from pix2pix.networks.tiled import translate_tiled
from pix2pix.networks.transformer_net import (
    TransformerNet,
    add_style,
    convert_pytorch_example,
    freeze_all_but_newest_style,
)


def picture(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def network(**given):
    built = TransformerNet(ngf=4, **given)
    generator = torch.Generator().manual_seed(0)
    initialize_weights(built, "normal", 0.2, generator)
    for module in built.modules():
        if isinstance(module, ConditionalInstanceNorm):
            nn.init.normal_(module.weight, 1, 0.3, generator=generator)
            nn.init.normal_(module.bias, 0, 0.3, generator=generator)
    return built.requires_grad_(False)


def painted_by_transformer_net(x, state):
    """What that network makes of colours from 0 to 255, written down once more."""

    def convolved(x, name, stride=1):
        weight, bias = state[f"{name}.conv2d.weight"], state[f"{name}.conv2d.bias"]
        around = [weight.shape[-1] // 2] * 4
        return F.conv2d(F.pad(x, around, mode="reflect"), weight, bias, stride)

    def normed(x, name):
        return F.instance_norm(x, None, None, state[f"{name}.weight"], state[f"{name}.bias"])

    for n, stride in ((1, 1), (2, 2), (3, 2)):
        x = F.relu(normed(convolved(x, f"conv{n}", stride), f"in{n}"))
    for n in range(1, 6):
        inner = F.relu(normed(convolved(x, f"res{n}.conv1"), f"res{n}.in1"))
        x = x + normed(convolved(inner, f"res{n}.conv2"), f"res{n}.in2")
    for n in (1, 2):
        x = F.relu(normed(convolved(F.interpolate(x, scale_factor=2), f"deconv{n}"), f"in{n + 3}"))
    return convolved(x, "deconv3")


def test_it_paints_images_of_their_own_size():
    assert network()(picture(2, 3, 16, 32)).shape == (2, 3, 16, 32)


def test_it_has_the_weights_of_transformer_net_but_for_biases_before_norms():
    biases = 32 + 64 + 128 + 10 * 128 + 64 + 32
    assert sum(weight.numel() for weight in TransformerNet().parameters()) == 1_679_235 - biases


def test_every_convolution_of_many_styles_is_normalized_the_last_one_included():
    convolutions, norms = (
        [module for module in network(styles=3).modules() if isinstance(module, kind)]
        for kind in (nn.Conv2d, ConditionalInstanceNorm)
    )
    assert len(norms) == len(convolutions) == 3 + 2 * 5 + 3
    assert [len(norm.bias[0]) for norm in norms] == [convolution.out_channels for convolution in convolutions]
    assert all(convolution.padding_mode == "reflect" for convolution in convolutions)


def test_of_one_style_the_last_convolution_has_no_norm():
    norms = [module for module in network(norm="batch").modules() if isinstance(module, Norm)]
    assert [norm.kind for norm in norms] == ["batch"] * (3 + 2 * 5 + 2)


def test_an_output_is_in_range_by_a_tanh_or_else_as_it_comes():
    x = 4 * picture(1, 3, 32, 32)
    bounded, free = (network(output=output)(x) for output in ("tanh", "linear"))
    assert torch.allclose(free.tanh(), bounded, atol=1e-6)


@pytest.mark.parametrize("styles", [0, 3])
def test_by_windows_it_paints_as_it_does_at_once(styles):
    built, x = network(styles=styles), picture(1, 3, 64, 80)
    shares = torch.tensor([[0.2, 0.0, 0.8]]) if styles else None
    canvas = TensorCanvas(x, 3)
    with torch.inference_mode():
        translate_tiled(
            lambda image: built(image, shares),
            built.stages(shares),
            built.multiple,
            canvas,
            32,
            torch.device("cpu"),
            torch.contiguous_format,
        )
        assert torch.allclose(canvas.output, built(x, shares), atol=1e-4)


def test_two_styles_paint_differently():
    built, x = network(styles=2), picture(1, 3, 32, 32)
    first, second = (built(x, torch.eye(2)[[style]]) for style in range(2))
    assert (first - second).abs().mean() > 0.01


def test_a_further_style_begins_as_the_mean_and_leaves_the_others_bit_equal():
    built = network(styles=3)
    more = TransformerNet(ngf=4, styles=4)
    more.load_state_dict(add_style(built.state_dict()))
    x = picture(1, 3, 32, 32)
    for style in range(3):
        assert torch.equal(more(x, torch.eye(4)[[style]]), built(x, torch.eye(3)[[style]]))
    norms = [module for module in more.modules() if isinstance(module, ConditionalInstanceNorm)]
    assert all(torch.allclose(norm.weight[3], norm.weight[:3].mean(0)) for norm in norms)
    assert all(torch.allclose(norm.bias[3], norm.bias[:3].mean(0)) for norm in norms)


def test_only_norms_learn_when_a_style_is_added():
    built = TransformerNet(ngf=4, styles=2)
    freeze_all_but_newest_style(built)
    learning = {name.rpartition(".")[0].rpartition(".")[2] for name, x in built.named_parameters() if x.requires_grad}
    assert learning == {"norm"}


def test_transformer_nets_weights_paint_as_it_does(transformer_net):
    state = transformer_net()
    x = picture(1, 3, 48, 64)
    with torch.no_grad():
        output = convert_pytorch_example(state)(x)
        expected = painted_by_transformer_net((x + 1) * 127.5, state) / 127.5 - 1
    assert torch.allclose(output, expected, atol=1e-4 * expected.abs().max().item())


def test_half_precision_weights_are_taken_too(transformer_net):
    state = {name: value.half() for name, value in transformer_net().items()}
    assert next(convert_pytorch_example(state).parameters()).dtype == torch.float32


@pytest.mark.parametrize("blocks", [3, 5])
def test_the_number_of_blocks_is_that_of_the_file(transformer_net, blocks):
    assert len(convert_pytorch_example(transformer_net(blocks=blocks)).blocks) == blocks


def test_other_keys_are_refused_by_name(transformer_net):
    state = transformer_net()
    del state["res2.in1.weight"]
    with pytest.raises(CheckpointError, match=r"TransformerNet.*blocks\.1\.first\.norm\.weight"):
        convert_pytorch_example(state)
    with pytest.raises(CheckpointError, match="TransformerNet"):
        convert_pytorch_example({"layers.0.weight": torch.zeros(3)})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.tensor(1.0), r"encoder\.0\.convolution\.weight.* \(\)"),
        (torch.zeros(0, 3, 9, 9), r"encoder\.0\.convolution\.weight.*\(0, 3, 9, 9\)"),
        (torch.zeros(1_000_000, 1, 1, 1), "TransformerNet"),
        (torch.zeros(8, 3, 9, 9, dtype=torch.int32), r"conv1\.conv2d\.weight.*finite"),
        (torch.zeros(8, 3, 9, 9, dtype=torch.complex64), r"conv1\.conv2d\.weight"),
        (torch.full((8, 3, 9, 9), float("nan")), r"conv1\.conv2d\.weight.*finite"),
    ],
)
def test_hostile_weights_are_refused_before_a_network_of_their_size_is_made(transformer_net, value, message):
    with pytest.raises(CheckpointError, match=message):
        convert_pytorch_example(transformer_net() | {"conv1.conv2d.weight": value})


def test_a_key_without_a_module_is_named_as_it_is(transformer_net):
    with pytest.raises(CheckpointError, match=r"TransformerNet.*foo"):
        convert_pytorch_example(transformer_net() | {"foo": torch.zeros(1)})
