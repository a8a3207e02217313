import copy
import math
import re

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pix2pix import metrics
from pix2pix.config.base import from_dict
from pix2pix.config.pix2pix import NetworkOptions, Pix2PixOptions
from pix2pix.data.batch import PairBatch
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.errors import UserError
from pix2pix.methods.base import describe_codec, translate, translate_canvas
from pix2pix.methods.pix2pix import Pix2Pix, choose_norm
from pix2pix.networks.canvas import TensorCanvas
from pix2pix.runtime.device import Runtime
from pix2pix.runtime.optim import linear_decay
from pix2pix.seeds import temporary_seed

TINY = {"generator": "unet_8", "ngf": 2, "ndf": 2, "patch": 16, "load_size": 16, "crop_size": 16, "init_gain": 0.2}


def options(**given):
    return from_dict(Pix2PixOptions, {"dataroot": "data", "name": "test", **TINY, **given})


def codec(input_nc=3, output_nc=3):
    return PairCodec(ImageCodec("photo", input_nc), ImageCodec("photo", output_nc))


def method(input_nc=3, output_nc=3, **given):
    return Pix2Pix(options(**given), Runtime("cpu"), describe_codec(codec(input_nc, output_nc)))


def batch(size=2, channels=(3, 3), seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.rand(size, count, 16, 16, generator=generator) * 2 - 1 for count in channels)
    return PairBatch(x, y, [str(i) for i in range(size)])


def adams_first_step(weight, gradient, lr=2e-4, eps=1e-8):
    """With bias correction the first step is lr * g / (|g| + eps), whatever the betas."""
    return weight - lr * gradient / (gradient.abs() + eps)


def test_a_training_step_updates_both_networks_and_tells_the_losses():
    scalars = method().training_step(batch())
    assert set(scalars) == {
        *("loss/D", "loss/G", "loss/G_gan", "loss/G_l1"),
        *("D/real", "D/fake", "grad_norm/D", "grad_norm/G"),
    }


@pytest.mark.parametrize("gan_mode", ["vanilla", "lsgan"])
@pytest.mark.parametrize("conditional", [True, False])
def test_a_training_step_is_the_papers_by_hand(gan_mode, conditional):
    """In float64: D by its halved loss on detached outputs, then G judged by the new D; both by Adam's first step."""
    model = method(gan_mode=gan_mode, conditional=conditional, lambda_l1=10, use_dropout=False)
    x, y, names = batch()
    g, d = copy.deepcopy(model.generator).double(), copy.deepcopy(model.discriminator).double()
    scalars = model.training_step(PairBatch(x, y, names))

    def wants(logits, value):
        if gan_mode == "lsgan":
            return F.mse_loss(logits, torch.full_like(logits, value))
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, value))

    def judged(image):
        return torch.cat([x.double(), image], 1) if conditional else image

    fake = g(x.double())
    real_logits, fake_logits = d(judged(y.double())), d(judged(fake.detach()))
    loss_d = (wants(real_logits, 1.0) + wants(fake_logits, 0.0)) / 2
    gradients_d = torch.autograd.grad(loss_d, list(d.parameters()))
    with torch.no_grad():
        for weight, gradient in zip(d.parameters(), gradients_d, strict=True):
            weight.copy_(adams_first_step(weight, gradient))
    g_gan, g_l1 = wants(d(judged(fake)), 1.0), (fake - y).abs().mean()
    loss_g = g_gan + 10 * g_l1
    gradients_g = torch.autograd.grad(loss_g, list(g.parameters()))
    with torch.no_grad():
        for weight, gradient in zip(g.parameters(), gradients_g, strict=True):
            weight.copy_(adams_first_step(weight, gradient))

    expected = {
        "loss/D": loss_d,
        "loss/G_gan": g_gan,
        "loss/G_l1": g_l1,
        "loss/G": loss_g,
        "D/real": real_logits.sigmoid().mean(),
        "D/fake": fake_logits.sigmoid().mean(),
        "grad_norm/D": torch.cat([gradient.flatten() for gradient in gradients_d]).norm(),
        "grad_norm/G": torch.cat([gradient.flatten() for gradient in gradients_g]).norm(),
    }
    assert {name: value.item() for name, value in scalars.items()} == {
        name: pytest.approx(value.item(), rel=1e-4) for name, value in expected.items()
    }
    for ours, by_hand, gradients in ((model.generator, g, gradients_g), (model.discriminator, d, gradients_d)):
        for weight, expected_weight, gradient in zip(ours.parameters(), by_hand.parameters(), gradients, strict=True):
            clear = gradient.abs() > 1e-5  # elsewhere the sign of the gradient is a matter of rounding
            assert clear.any()
            assert torch.allclose(weight.double()[clear], expected_weight[clear], atol=2e-7)


def test_gs_update_leaves_ds_gradient_as_ds_update_left_it():
    model = method()
    seen = {}
    update = model.runtime.update

    def spy(optimizer, loss, name):
        norm = update(optimizer, loss, name)
        seen[name] = [weight.grad.clone() for weight in model.discriminator.parameters()]
        return norm

    model.runtime.update = spy
    model.training_step(batch())
    assert list(seen) == ["loss/D", "loss/G"]
    assert all(torch.equal(a, b) for a, b in zip(seen["loss/D"], seen["loss/G"], strict=True))


@pytest.mark.parametrize(
    ("objective", "names", "judged"),
    [
        ({"gan_mode": "none"}, {"loss/G_l1"}, None),
        ({"lambda_l1": 0, "conditional": False}, {"loss/G_gan", "loss/D"}, 4),
        ({"lambda_l1": 0}, {"loss/G_gan", "loss/D"}, 7),
        ({"conditional": False}, {"loss/G_l1", "loss/G_gan", "loss/D"}, 4),
        ({}, {"loss/G_l1", "loss/G_gan", "loss/D"}, 7),
    ],
    ids=["L1", "GAN", "cGAN", "L1+GAN", "L1+cGAN"],
)
def test_the_papers_five_objectives(objective, names, judged):
    model = method(3, 4, **objective)
    scalars = model.training_step(batch(channels=(3, 4)))
    assert {name for name in scalars if name.startswith("loss/")} == names | {"loss/G"}
    assert ("D" in model.networks) == ("D" in model.optimizers) == (judged is not None)
    if judged is not None:
        assert model.discriminator.layers[0].in_channels == judged


def test_the_objective_is_the_weighted_sum_of_its_parts():
    values = method(lambda_gan=3, lambda_l1=5, lambda_l2=7, gan_mode="hinge").training_step(batch())
    parts = 3 * values["loss/G_gan"] + 5 * values["loss/G_l1"] + 7 * values["loss/G_l2"]
    assert values["loss/G"].item() == pytest.approx(parts.item(), rel=1e-6)


def test_l2_is_the_mean_square():
    model = method(gan_mode="none", lambda_l1=0, lambda_l2=1, use_dropout=False)
    x, y, names = batch()
    expected = F.mse_loss(model.generator(x), y)
    assert model.training_step(PairBatch(x, y, names))["loss/G_l2"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_scalars_are_detached():
    assert not any(value.requires_grad for value in method().training_step(batch()).values())


def test_bf16_trains_with_losses_in_float32():
    model = Pix2Pix(options(), Runtime("cpu", "bf16"), describe_codec(codec()))
    scalars = model.training_step(batch())
    assert {value.dtype for value in scalars.values()} == {torch.float32}
    assert all(value.isfinite() for value in scalars.values())
    assert translate(model, batch().source).dtype == torch.float32


def test_the_norm_follows_the_papers_rule_unless_one_is_named():
    assert [choose_norm(NetworkOptions(), size) for size in (1, 2, 16)] == ["instance", "batch", "batch"]
    assert [choose_norm(NetworkOptions(norm=norm), 4) for norm in ("batch", "instance", "none")] == [
        *("batch", "instance", "none")
    ]


def test_the_description_tells_what_building_it_again_needs():
    assert method(3, 1, batch_size=4, direction="BtoA").description == {
        "method": "pix2pix",
        "input_nc": 3,
        "output_nc": 1,
        "norm": "batch",
        "multiple": 8,
        "source": ImageCodec("photo", 3).to_dict(),
        "target": ImageCodec("photo", 1).to_dict(),
        "direction": "BtoA",
    }


def test_the_same_seed_gives_the_same_initial_weights_whatever_was_drawn_before():
    first = method(seed=5)
    torch.rand(3)
    second, third = method(seed=5), method(seed=6)
    for name in ("G", "D"):
        weights = [list(model.networks[name].parameters()) for model in (first, second, third)]
        assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
        assert not torch.equal(weights[0][0], weights[2][0])


def test_validation_compares_what_translate_gives_with_the_target():
    model = method()
    x, y, names = batch(1)
    report = model.validation_step(PairBatch(x, y, names))
    output = translate(model, x, name=names[0])
    assert {name: value.item() for name, value in report.scalars.items()} == {
        "val/l1": metrics.l1(output, y).item(),
        "val/psnr": metrics.psnr(output, y).item(),
        "val/ssim": metrics.ssim(output, y).item(),
    }
    ((title, row),) = report.images.items()
    assert title == "val/source | output | target"
    assert all(torch.equal(a, b) for a, b in zip(row, [x, output, y], strict=True))


def test_neither_validating_nor_translating_changes_the_method():
    model = method(batch_size=4)
    before = {name: value.clone() for name, value in model.generator.state_dict().items()}
    outside = torch.get_rng_state()
    model.validation_step(batch(1))
    translate(model, batch().source, name="a")
    assert all(torch.equal(value, before[name]) for name, value in model.generator.state_dict().items())
    assert torch.equal(torch.get_rng_state(), outside)


def test_a_step_repeats_from_the_same_seed():
    models = [method(), method()]
    for model in models:
        for seed in (1, 2):
            with temporary_seed(seed, torch.device("cpu")):
                model.training_step(batch(seed=seed))
    for name in ("G", "D"):
        states = [model.networks[name].state_dict().values() for model in models]
        assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_the_rate_is_constant_for_the_first_epochs_and_falls_linearly_in_the_others():
    model = method(lr=2e-4, n_epochs=100, n_epochs_decay=100)
    rates = [model.learning_rate(step, 2000) for step in range(1, 2001)]
    assert rates[:1000] == [2e-4] * 1000
    assert rates[1000:] == [pytest.approx(2e-4 * (2000 - step + 1) / 1001) for step in range(1001, 2001)]
    assert rates[-1] > 0


def test_the_proportion_of_the_epochs_holds_for_any_number_of_steps():
    assert [linear_decay(step, 4, 0.5) for step in (1, 2, 3, 4)] == [1, 1, pytest.approx(2 / 3), pytest.approx(1 / 3)]
    assert [linear_decay(step, 3, 1.0) for step in (1, 2, 3)] == [1, 1, 1]
    assert [linear_decay(step, 3, 0.0) for step in (1, 2, 3)] == [0.75, 0.5, 0.25]
    assert linear_decay(1, 1, 0.5) > 0


def test_every_step_of_every_length_has_a_rate_above_0():
    for total in range(1, 40):
        factors = [linear_decay(step, total, share / 7) for share in range(8) for step in range(1, total + 1)]
        assert min(factors) > 0
        assert max(factors) <= 1


def test_a_constant_rate_is_constant():
    model = method(lr_policy="constant", lr=1e-3)
    assert {model.learning_rate(step, 10) for step in range(1, 11)} == {1e-3}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"crop_size": "16x12"},
            "crop_size.*16x12.*unet_8.*multiples of 8",
        ),
        (
            {"patch": 70},
            "crop_size.*16x16.*--patch 70.* 24",
        ),
    ],
)
def test_a_crop_that_a_network_cannot_take_is_refused(given, message):
    with pytest.raises(UserError) as caught:
        method(**given)
    assert re.search(message, str(caught.value))


def test_without_a_crop_any_crop_size_is_accepted_as_it_is_not_used():
    assert method(crop_size=13, preprocess="none").multiple == 8


def test_an_undecided_discriminator_starts_near_log_2():
    values = method(init_gain=0.02).training_step(batch())
    assert values["loss/D"].item() == pytest.approx(math.log(2), abs=0.01)
    assert values["D/real"].item() == pytest.approx(0.5, abs=0.01)


def test_for_translating_alone_there_is_no_discriminator_and_no_optimizer():
    model = Pix2Pix(options(), Runtime("cpu"), describe_codec(codec()), training=False)
    assert model.networks.keys() == {"G"}
    assert model.optimizers == {}
    assert model.discriminator is None
    assert model.description == method().description


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_whatever_is_translated_is_laid_out_as_the_runtime_wishes(layout):
    runtime = Runtime("cpu", fast=("channels_last",) if layout == torch.channels_last else ())
    model, seen = Pix2Pix(options(), runtime, describe_codec(codec())), []
    model.generator.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].is_contiguous(memory_format=layout))
    )
    translate(model, batch().source)
    translate_canvas(model, TensorCanvas(batch().source, 3))
    assert seen == [True, True]


FAST = ("gemm", "winograd", "one_pass", "channels_last")


def steps(fast, dtype, norm, size, count):
    """The gradients of the last of so many steps, the weights after it, and G's L1 in each."""
    given = options(norm=norm, generator="unet_32", ngf=8, ndf=4, load_size=32, crop_size=32, batch_size=size)
    model = Pix2Pix(given, Runtime("cpu", fast=fast), describe_codec(codec()))
    for network in model.networks.values():
        network.to(dtype)
    generator = torch.Generator().manual_seed(1)
    losses = []
    for step in range(count):
        x, y = (torch.rand(size, 3, 32, 32, generator=generator).to(dtype) * 2 - 1 for _ in range(2))
        torch.manual_seed(step)
        losses.append(model.training_step(PairBatch(x, y, ["a"] * size))["loss/G_l1"].item())
    weights = [weight for network in model.networks.values() for weight in network.parameters()]
    return torch.cat([w.grad.flatten() for w in weights]), torch.cat([w.detach().flatten() for w in weights]), losses


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("size", [1, 2])
def test_in_float64_what_is_fast_computes_the_same(norm, size, monkeypatch):
    monkeypatch.setattr("pix2pix.networks.conv.WIDE", 1)
    plain, fast = (steps(fast, torch.float64, norm, size, 1) for fast in ((), FAST))
    for expected, got in zip(plain[:2], fast[:2], strict=True):
        assert (got - expected).abs().max() < 1e-9


def test_in_float32_what_is_fast_differs_by_rounding_alone(monkeypatch):
    monkeypatch.setattr("pix2pix.networks.conv.WIDE", 1)
    plain, fast = (steps(fast, torch.float32, "instance", 1, 1)[0] for fast in ((), FAST))
    assert (fast - plain).norm() < 1e-4 * plain.norm()
    plain_l1, fast_l1 = (steps(fast, torch.float32, "instance", 1, 20)[2] for fast in ((), FAST))
    assert sum(fast_l1) == pytest.approx(sum(plain_l1), rel=0.005)
