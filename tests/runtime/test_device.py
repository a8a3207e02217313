import copy
import math

import pytest
import torch
from torch import nn

from pix2pix.config.types import SPEEDUPS
from pix2pix.data.batch import PhotoBatch
from pix2pix.errors import UserError
from pix2pix.losses import adversarial, pixel
from pix2pix.networks.conv import Conv
from pix2pix.runtime.cuda_graph import recordable
from pix2pix.runtime.device import NonFiniteError, Runtime, get_default_speedups, is_all_finite, keep_freed_memory
from pix2pix.runtime.optim import get_optimizer_state, load_optimizer_state, set_learning_rate
from pix2pix.seeds import image_seed, step_seed, temporary_seed

CPU = torch.device("cpu")


def adam(*modules, lr=0.1):
    return torch.optim.Adam([weight for module in modules for weight in module.parameters()], lr=lr, fused=True)


def state(module, optimizer):
    """Copies of all that an update may change."""
    moments = [value.clone() for weight in optimizer.state.values() for value in weight.values()]
    return [value.clone() for value in module.state_dict().values()] + moments


def test_an_update_steps_and_returns_the_norm_of_the_gradients():
    layer = nn.Linear(2, 1, bias=False)
    before = layer.weight.detach().clone()
    norm = Runtime("cpu").update(adam(layer, lr=0.1), layer(torch.tensor([3.0, -4.0])).sum(), "loss")
    assert norm.item() == pytest.approx(5)
    assert torch.allclose(layer.weight, before - 0.1 * torch.tensor([[1.0, -1.0]]))  # Adam's first step is lr * sign


def test_only_the_optimizers_own_weights_get_a_gradient():
    g, d = nn.Linear(3, 3), nn.Linear(3, 1)
    before = d.weight.clone()
    Runtime("cpu").update(adam(g), d(g(torch.ones(3))).sum(), "loss/G")
    assert d.weight.grad is None
    assert d.bias.grad is None
    assert torch.equal(d.weight, before)


def test_gradients_of_an_earlier_update_do_not_add_up():
    layer = nn.Linear(1, 1, bias=False)
    runtime, optimizer = Runtime("cpu"), adam(layer)
    norms = [runtime.update(optimizer, layer(torch.ones(1)).sum(), "loss").item() for _ in range(3)]
    assert norms == [1, 1, 1]


@pytest.mark.parametrize("factor", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_refused_and_no_weight_has_changed(factor):
    layer = nn.Linear(2, 2)
    runtime, optimizer = Runtime("cpu"), adam(layer)
    runtime.update(optimizer, layer(torch.ones(2)).sum(), "loss/G")
    before = state(layer, optimizer)
    with pytest.raises(NonFiniteError) as caught:
        runtime.update(optimizer, layer(torch.ones(2)).sum() * factor, "loss/G")
    assert str(caught.value).startswith("loss/G is ")
    assert " and the norm of its gradients is " in str(caught.value)
    assert caught.value.exit_status == 1
    assert all(torch.equal(a, b) for a, b in zip(before, state(layer, optimizer), strict=True))


def test_a_gradient_that_is_not_finite_is_refused_where_the_loss_is():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    before = layer.weight.clone()
    with pytest.raises(NonFiniteError, match="loss/D is 0 and the norm of its gradients is inf"):
        Runtime("cpu").update(adam(layer), layer(torch.ones(1)).sqrt().sum(), "loss/D")  # the slope of sqrt at 0
    assert torch.equal(layer.weight, before)


def test_a_loss_that_is_not_finite_is_refused_where_its_gradient_is():
    layer = nn.Linear(1, 1, bias=False)
    with pytest.raises(NonFiniteError, match="loss/D is inf and the norm of its gradients is 1"):
        Runtime("cpu").update(adam(layer), layer(torch.ones(1)).sum() + math.inf, "loss/D")


def test_a_deferred_runtime_skips_the_update_on_the_device_and_tells_by_the_norm():
    layer = nn.Linear(2, 2)
    runtime, optimizer = Runtime("cpu", deferred=True), adam(layer)
    runtime.update(optimizer, layer(torch.ones(2)).sum(), "loss/G")
    before = state(layer, optimizer)
    norm = runtime.update(optimizer, layer(torch.ones(2)).sum() * math.nan, "loss/G")
    assert norm.isnan()
    assert all(torch.equal(a, b) for a, b in zip(before, state(layer, optimizer), strict=True))
    assert runtime.update(optimizer, layer(torch.ones(2)).sum(), "loss/G").isfinite()
    assert not torch.equal(before[0], layer.weight)


def test_deferred_and_direct_updates_are_the_same():
    layers = [nn.Linear(2, 2) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    for layer, deferred in zip(layers, (False, True), strict=True):
        runtime, optimizer = Runtime("cpu", deferred=deferred), adam(layer)
        for _ in range(3):
            runtime.update(optimizer, layer(torch.ones(2)).square().sum(), "loss")
    assert torch.equal(layers[0].weight, layers[1].weight)


def test_seeds_are_the_same_numbers_forever():
    assert step_seed(0, 1) == 5836529245451711556
    assert step_seed(1, 1) == 77803131892610477
    assert step_seed(0, 1, rank=1) == 7789721593315801384
    assert image_seed(0, "a") == 2405753322735776509
    assert image_seed(0, "a", sample=1) == 6044322510808171999


def test_seeds_of_different_things_differ():
    seeds = [step_seed(seed, step, rank) for seed in range(20) for step in range(1, 50) for rank in range(4)]
    seeds += [
        image_seed(seed, name, sample) for seed in range(20) for name in ("", "a", "b", "é") for sample in range(9)
    ]
    assert len(set(seeds)) == len(seeds)


def test_a_seeded_block_repeats_and_leaves_the_outside_as_it_was():
    outside = torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        with temporary_seed(seed, CPU):
            drawn.append(torch.rand(4))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), outside)


def test_bf16_computes_convolutions_in_bfloat16_and_losses_in_float32():
    runtime = Runtime("cpu", "bf16")
    layer = runtime.prepare(nn.Conv2d(1, 1, 3))
    with runtime.autocast():
        output = layer(torch.randn(1, 1, 8, 8))
        losses = [pixel.l1(output, output), adversarial.generator_loss(output, "vanilla")]
    assert output.dtype == torch.bfloat16
    assert layer.weight.dtype == torch.float32
    assert [loss.dtype for loss in losses] == [torch.float32] * 2
    runtime.update(adam(layer), losses[1], "loss")
    assert layer.weight.grad.dtype == torch.float32


def test_fp32_computes_in_float32():
    with Runtime("cpu").autocast():
        assert nn.Conv2d(1, 1, 3)(torch.zeros(1, 1, 8, 8)).dtype == torch.float32


def pretend(monkeypatch, *, cuda=0, mps=False):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "asked", "device"),
    [
        (0, False, "auto", "cpu"),
        (0, True, "auto", "mps"),
        (2, True, "auto", "cuda"),
        (2, False, "cpu", "cpu"),
        (2, False, "cuda", "cuda"),
        (2, False, "cuda:1", "cuda:1"),
        (0, True, "mps", "mps"),
    ],
)
def test_auto_takes_the_best_device_and_a_name_what_it_names(monkeypatch, cuda, mps, asked, device):
    pretend(monkeypatch, cuda=cuda, mps=mps)
    runtime = Runtime(asked)
    assert runtime.device == torch.device(device)
    assert runtime.deferred == (runtime.device.type == "cuda")


@pytest.mark.parametrize(
    ("cuda", "asked", "message"),
    [
        (0, "cuda", "--device cuda: PyTorch finds 0 CUDA devices here; allowed: auto, cpu"),
        (2, "cuda:2", "--device cuda:2: PyTorch finds 2 CUDA devices here; allowed: auto, cpu, cuda:0, cuda:1"),
        (2, "mps", "--device mps: PyTorch finds no Apple GPU here; allowed: auto, cpu"),
    ],
)
def test_an_absent_device_is_refused_with_those_there_are(monkeypatch, cuda, asked, message):
    pretend(monkeypatch, cuda=cuda)
    with pytest.raises(UserError) as caught:
        Runtime(asked)
    assert str(caught.value) == message


def test_batch_norm_is_synchronized_on_gpus_alone():
    with pytest.raises(UserError, match=r"^--sync_batchnorm .*CUDA.* cpu: .*--sync_batchnorm false"):
        Runtime("cpu", sync_batchnorm=True)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_found(value):
    tensors = {"w": torch.ones(2, 3), "steps": torch.tensor(3), "large": torch.full((4,), 3e38)}
    assert is_all_finite(tensors)
    tensors["w"][1, 2] = value
    assert not is_all_finite(tensors)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_seeded_block_leaves_a_gpus_state_as_it_was():
    device = torch.device("cuda")
    outside = torch.cuda.get_rng_state()
    with temporary_seed(1, device):
        torch.rand(4, device=device)
    assert torch.equal(torch.cuda.get_rng_state(), outside)


def test_what_is_fast_depends_on_device_and_precision():
    assert get_default_speedups("cpu", "fp32") == ("malloc", "gemm", "winograd", "one_pass", "fold")
    assert get_default_speedups("cpu", "bf16") == ("malloc", "channels_last", "gemm", "one_pass", "fold")
    assert get_default_speedups("cuda", "bf16") == ("channels_last", "one_pass", "fold", "graph")
    assert {
        name for kind in ("cpu", "cuda", "mps") for how in ("fp32", "bf16") for name in get_default_speedups(kind, how)
    } == set(SPEEDUPS)


def test_a_runtime_gives_networks_the_form_that_is_asked_for():
    for fast in ((), ("gemm",), ("channels_last",)):
        network = Runtime("cpu", fast=fast).prepare(nn.Sequential(Conv(2, 3, 4, 2, 1), nn.Conv2d(3, 4, 3)))
        assert network[0].gemm == ("gemm" in fast)
        for layer in network:
            assert layer.weight.is_contiguous(memory_format=torch.channels_last) == ("channels_last" in fast)
        image = Runtime("cpu", fast=fast).to_device(torch.zeros(2, 3, 4, 4))
        assert image.is_contiguous(memory_format=torch.channels_last) == ("channels_last" in fast)


def test_weights_that_are_read_as_matrices_keep_their_order():
    network = Runtime("cpu", fast=("gemm", "channels_last")).prepare(Conv(2, 3, 4, 2, 1))
    assert network.weight.is_contiguous()


def test_cuda_graphs_are_refused_without_cuda():
    with pytest.raises(UserError, match=r"--fast graph .*cpu"):
        Runtime("cpu", fast=("graph",))


def test_a_state_of_a_recorded_optimizer_is_that_of_any_other():
    layer = nn.Linear(2, 1)
    recorded = torch.optim.Adam(layer.parameters(), lr=torch.tensor(0.1), fused=True, capturable=True)
    state = get_optimizer_state(recorded)
    (group,) = state["param_groups"]
    assert (type(group["lr"]), group["capturable"]) == (float, False)
    plain = adam(layer, lr=0.3)
    load_optimizer_state(plain, state)
    assert plain.param_groups[0]["lr"] == pytest.approx(0.1)
    rate = recorded.param_groups[0]["lr"]
    plain.param_groups[0]["lr"] = 0.7
    load_optimizer_state(recorded, get_optimizer_state(plain))
    assert recorded.param_groups[0]["lr"] is rate  # a graph reads it where it lies
    assert (rate.item(), recorded.param_groups[0]["capturable"]) == (pytest.approx(0.7), True)


@pytest.mark.parametrize(("before", "after"), [((), ("channels_last",)), (("channels_last",), ())])
def test_an_optimizer_goes_on_where_weights_are_laid_out_otherwise(before, after):
    def network(fast):
        runtime = Runtime("cpu", fast=fast)
        made = runtime.prepare(nn.Conv2d(3, 4, 3))
        return runtime, made, runtime.adam(made, 0.1, (0.5, 0.999))

    def step(runtime, layer, optimizer, factor):
        image = torch.arange(75.0).view(1, 3, 5, 5) * factor
        runtime.update(optimizer, layer(runtime.to_device(image)).sin().sum(), "loss")

    torch.manual_seed(0)
    first, other = network(before), network(after)
    step(*first, 0.1)
    other[1].load_state_dict(first[1].state_dict())
    load_optimizer_state(other[2], copy.deepcopy(get_optimizer_state(first[2])))
    for part in (first, other):
        step(*part, 0.3)
    assert torch.allclose(other[1].weight, first[1].weight, atol=1e-6)


def test_compiling_is_tried_before_anything_else(monkeypatch):
    def cannot(function):
        raise RuntimeError("No working C++ compiler found\nSet TORCHDYNAMO_VERBOSE=1")

    monkeypatch.setattr(torch, "compile", cannot)
    with pytest.raises(UserError) as caught:
        Runtime("cpu", compiled=True)
    assert str(caught.value) == (
        "--compile: PyTorch cannot compile here (No working C++ compiler found); install what is missing "
        "(for a CPU a C++ compiler such as g++), or leave --compile out"
    )


class CLibrary:
    """Records the calls of mallopt, which succeed up to a limit."""

    def __init__(self, limit):
        self.limit, self.calls = limit, []

    def mallopt(self, name, value):
        self.calls.append((name, value))
        return int(name != -3 or value <= self.limit)


@pytest.mark.parametrize(("limit", "tries"), [(2**31, [2**30]), (2**25, [2**30, 2**25])])
def test_freed_memory_is_kept_as_far_as_the_c_library_can(monkeypatch, limit, tries):
    library = CLibrary(limit)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda name: library)
    keep_freed_memory()
    assert library.calls == [*((-3, size) for size in tries), (-1, 2**31 - 1)]


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    keep_freed_memory()
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.delattr("ctypes.CDLL")
    keep_freed_memory()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("index", range(torch.cuda.device_count()))
def test_replayed_steps_are_the_steps_recorded_and_what_is_read_meanwhile_changes_nothing(index):
    device = torch.device("cuda", index)
    layers, norms = [], []
    for fast in ((), ("graph",)):
        torch.manual_seed(0)
        runtime = Runtime(str(device), fast=fast)
        layer = runtime.prepare(nn.Linear(4, 4))
        optimizer = runtime.adam(layer, 0.1, (0.5, 0.999))

        class Model:
            @recordable
            def training_step(self, batch, layer=layer, optimizer=optimizer):
                loss = nn.functional.dropout(layer(batch.content[:, :, 0, 0])).square().sum()
                return {"norm": self.runtime.update(optimizer, loss, "loss")}

        model, found = Model(), []
        model.runtime = runtime
        for number in range(8):
            set_learning_rate(optimizer, 0.1 / (number + 1))
            torch.manual_seed(number)
            size = 2 + (number == 6)  # one batch is of another size
            x = torch.full((size, 4, 1, 1), math.nan if number == 5 else 1.0 + number)
            found.append(model.training_step(PhotoBatch(x, ["x"] * size))["norm"])
            with temporary_seed(1, device):  # as validation does
                layer.load_state_dict({name: value.clone() for name, value in layer.state_dict().items()})
        layers.append(layer)
        norms.append(torch.stack(found))
    assert norms[1].isnan().tolist() == [number == 5 for number in range(8)]
    torch.testing.assert_close(norms[1], norms[0], equal_nan=True)
    torch.testing.assert_close(layers[1].weight, layers[0].weight)
