import copy
import itertools
import math
import re
import time
from dataclasses import dataclass, field

import pytest
import torch

from pix2pix import checkpoint
from pix2pix.config.parse import parse
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.data.batch import PairBatch
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.losses import pixel
from pix2pix.methods.base import describe_codec
from pix2pix.methods.pix2pix import Pix2Pix
from pix2pix.runtime.device import NonFiniteError, Runtime, is_all_finite
from pix2pix.runtime.optim import linear_decay
from pix2pix.training.checkpointing import TrainState, save_checkpoint
from pix2pix.training.loop import fit
from pix2pix.training.validation import validate

RGB = PairCodec(ImageCodec("photo", 3), ImageCodec("photo", 3))
PAPER = ("--ema", 0.9, "--log_every", 3)  # with the rate falling from the middle on, as always


@dataclass
class Notes:
    """A logger that remembers."""

    values: dict = field(default_factory=dict)

    def scalars(self, step, values):
        self.values.setdefault(step, {}).update(values)

    def step(self, step): ...
    def images(self, step, rows): ...
    def info(self, sentence): ...


def built(tiny, *flags, deferred=False):
    """Options, and the method that they describe."""
    options = parse(tiny.words("run", *flags), Pix2PixOptions, program="train.py").options
    return options, Pix2Pix(options, Runtime("cpu", deferred=deferred), describe_codec(RGB))


def noise(*, broken=()):
    """Endless batches of one random pair, named by their step; those of the broken steps hold a NaN."""
    for step in itertools.count(1):
        source, target = torch.rand(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(step)) * 2 - 1
        if step in broken:
            source[0, 0, 3, 5] = math.nan
        yield PairBatch(source, target, [f"image_{step}"])


def leaves(value, path=""):
    """Every tensor and plain value inside dicts and lists, by its path."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {where: leaf for key, inner in items for where, leaf in leaves(inner, f"{path}/{key}").items()}
    return {path: value}


def largest_difference(ours, theirs):
    ours, theirs = leaves(ours), leaves(theirs)
    assert ours.keys() == theirs.keys()
    numbers = [path for path, value in ours.items() if isinstance(value, torch.Tensor | float)]
    assert {path: ours[path] for path in ours if path not in numbers} == {
        path: theirs[path] for path in theirs if path not in numbers
    }
    pairs = ((torch.as_tensor(ours[path]), torch.as_tensor(theirs[path])) for path in numbers)
    return max((one.double() - other.double()).abs().max().item() for one, other in pairs)


def assert_same_run(tiny, one, other):
    ours, theirs = tiny.content(one), tiny.content(other)
    assert len(leaves(ours["optimizers"])) > 50
    for part in ("step", "description", "networks", "optimizers", "ema", "best", "window"):
        assert largest_difference({part: ours[part], "": 0.0}, {part: theirs[part], "": 0.0}) == 0
    assert tiny.metrics(one) == tiny.metrics(other)


def test_fit_trains_a_method_and_tells_a_logger(tiny):
    options, method = built(tiny)
    logger = Notes()
    fit(method, noise(), lambda: [], options, logger, None, TrainState())
    assert list(logger.values) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert logger.values[8]["loss/G_l1"] < logger.values[1]["loss/G_l1"] * 1.5


@pytest.mark.parametrize(
    ("cuts", "flags"),
    [
        ([3], PAPER),
        ([2, 6], (*PAPER, "--num_workers", 2)),
        ([3], (*PAPER, "--batch_size", 4)),
        *(
            pytest.param([cut], (*PAPER, "--batch_size", batch, "--num_workers", workers), marks=pytest.mark.slow)
            for cut in (1, 3, 4, 5, 7)
            for batch in (1, 4)
            for workers in (0, 2)
        ),
    ],
)
def test_a_run_cut_and_resumed_equals_one_that_was_not(tiny, cuts, flags):
    """5 pairs make an epoch, 3 steps a line of the log and 4 a validation: the cuts are between and at all of these."""
    assert tiny.train("straight", *flags) == 0
    assert tiny.train("cut", *flags, "--stop_at_step", cuts[0]) == 0
    for cut in cuts:
        assert tiny.content("cut")["step"] == cut
        following = next((later for later in cuts if later > cut), None)
        assert tiny.resume("cut", *(["--stop_at_step", following] if following else [])) == 0
    assert_same_run(tiny, "straight", "cut")


def test_another_seed_is_another_run_and_the_same_seed_the_same(tiny):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        tiny.train(name, "--seed", seed)
    assert_same_run(tiny, "one", "again")
    assert largest_difference(tiny.content("one")["networks"], tiny.content("other")["networks"]) > 0


def test_the_average_follows_the_weights_faster_at_first(tiny):
    tiny.train("run", "--ema", 0.999, "--save_every", 1, "--keep", 3, "--stop_at_step", 3)
    weights = {step: tiny.content(epoch=step)["networks"]["G"] for step in (1, 2, 3)}
    ema = {step: tiny.content(epoch=step)["ema"] for step in (1, 2, 3)}
    for name in ema[3]:
        expected = ema[2][name] * (3 / 13) + weights[3][name] * (10 / 13)
        torch.testing.assert_close(ema[3][name], expected)
    assert largest_difference(ema[1], weights[1]) > 0


def test_validation_shows_the_average_and_leaves_the_weights(tiny):
    options, method = built(tiny, "--ema", 0.9)
    weights = {name: value.clone() for name, value in method.generator.state_dict().items()}
    average = {name: torch.zeros_like(value) for name, value in weights.items()}
    logger, progress = Notes(), TrainState(step=1, ema=average)
    pair = next(noise())
    assert validate(method, [pair], options, logger, progress)
    assert logger.values[1]["val/l1"] == pytest.approx(pair.target.abs().mean().item())  # of a G that gives 0
    assert largest_difference(method.generator.state_dict(), weights) == 0


@pytest.mark.parametrize("metric", ["val/l1", "val/psnr", "val/ssim"])
def test_best_names_the_best_validation_and_keep_counts_the_others(tiny, metric, monkeypatch):
    counts = []
    prune = checkpoint.prune
    monkeypatch.setattr(checkpoint, "prune", lambda *a: (prune(*a), counts.append(len(tiny.steps()))))
    tiny.train("run", "--lr", 0.05, "--val_every", 1, "--save_every", 1, "--keep", 2, "--best_metric", metric)
    values = {line["step"]: line[metric] for line in tiny.metrics() if metric in line}
    best = (min if metric == "val/l1" else max)(values, key=values.__getitem__)
    assert len(values) == 8
    assert tiny.content(epoch="best")["step"] == best
    assert tiny.content(epoch="best")["best"] == values[best] == tiny.content()["best"]
    assert tiny.steps() == sorted({best, 7, 8})
    assert max(counts) <= 3


def test_the_logged_rate_is_constant_then_falls_and_is_never_zero(tiny):
    tiny.train("run", "--lr", 1e-3)
    rates = [line["lr"] for line in tiny.metrics() if "lr" in line]
    assert rates == pytest.approx([1e-3] * 4 + [0.8e-3, 0.6e-3, 0.4e-3, 0.2e-3])
    optimizers = tiny.content()["optimizers"].values()
    assert [group["lr"] for state in optimizers for group in state["param_groups"]] == [rates[-1]] * 2


def test_the_log_tells_how_much_of_the_time_was_spent_waiting_for_data(tiny):
    options, method = built(tiny, "--log_every", 4)
    logger = Notes()

    def slow():
        for batch in noise():
            time.sleep(0.03)
            yield batch

    for batches, low, high in ((slow(), 0.2, 1), (noise(), 0, 0.5)):
        fit(method, batches, lambda: [], options, logger, None, TrainState())
        assert all(low <= values["data_wait"] <= high for values in logger.values.values())


def test_a_hundred_epochs_and_a_hundred_of_decay_have_the_shape_of_the_paper():
    total = 200 * 400
    rates = [linear_decay(step, total, 100 / 200) for step in range(1, total + 1)]
    assert set(rates[: total // 2]) == {1.0}
    assert all(0 < later < earlier for earlier, later in itertools.pairwise(rates[total // 2 :]))
    # The reference falls once an epoch, by 1/101: the same line, in stairs.
    assert max(abs(rates[step] - (1 - max(0, step // 400 + 1 - 100) / 101)) for step in range(total)) < 1 / 100


def test_a_nan_stops_the_run_in_its_step_and_nothing_of_it_is_saved(tiny, error, monkeypatch):
    calls = itertools.count(1)
    monkeypatch.setattr(pixel, "l1", lambda x, y: (x - y).abs().mean() * (math.nan if next(calls) == 3 else 1))
    said = error(1, tiny.train, "run", "--batch_size", 2, "--save_every", 1)
    names = said.partition("files of the batch: ")[2].partition(";")[0].split(", ")
    assert re.search("step 3.*loss/G.*nan", said)
    assert "--resume" in said
    assert len(names) == 2
    assert set(names) <= set("01234")
    assert tiny.steps() == [1, 2]
    assert all(is_all_finite(state) for state in tiny.content()["networks"].values())
    monkeypatch.undo()
    tiny.train("straight", "--batch_size", 2, "--save_every", 1)
    assert tiny.resume() == 0
    assert_same_run(tiny, "run", "straight")


def weights(method):
    return {name: network.state_dict() for name, network in method.networks.items()}


def state(method):
    """Every weight, average and optimiser's state."""
    optimizers = {name: optimizer.state_dict() for name, optimizer in method.optimizers.items()}
    return {"networks": weights(method), "optimizers": optimizers}


def test_a_nan_met_late_has_changed_no_weight(tiny):
    _, method = built(tiny, deferred=True)
    batches = noise(broken=[2])
    method.training_step(next(batches))
    before = copy.deepcopy(state(method))
    scalars = method.training_step(next(batches))
    assert math.isnan(scalars["grad_norm/G"])
    assert math.isnan(scalars["grad_norm/D"])
    assert largest_difference(before, state(method)) == 0


@pytest.mark.parametrize(("log_every", "save_every"), [(4, 8), (8, 4)])
def test_a_nan_met_late_stops_the_run_at_the_next_log_or_save(tiny, tmp_path, log_every, save_every):
    options, method = built(tiny, "--log_every", log_every, "--save_every", save_every, deferred=True)
    progress = TrainState()
    with pytest.raises(NonFiniteError, match=r"step 2: \w+/\w+ .*image_2"):
        fit(method, noise(broken=[2]), lambda: [], options, Notes(), tmp_path, progress)
    assert progress.step == 4
    assert not list(tmp_path.iterdir())
    assert all(map(is_all_finite, weights(method).values()))


def test_weights_that_are_not_finite_are_never_saved(tiny, tmp_path):
    options, method = built(tiny)
    with torch.no_grad():
        next(method.networks["D"].parameters()).view(-1)[0] = math.inf
    with pytest.raises(NonFiniteError, match=r"network D.*step 7"):
        save_checkpoint(method, options, TrainState(step=7), tmp_path, best=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_l1_alone_learns_a_pair_by_heart(tiny, tmp_path):
    """It gets to 0.05; without skips only to 0.22, and at a fifth of the rate to 0.27."""
    tiny.write_pair(tmp_path / "one/train/pair.png", 0, size=(32, 32))
    network = ("--generator", "unet_32", "--ngf", 16, "--gan_mode", "none", "--preprocess", "none", "--flip", "false")
    clock = ("--steps", 100, "--log_every", 10, "--lr", 1e-3, "--lr_policy", "constant")
    tiny.train("run", "--dataroot", tmp_path / "one", "--val_fraction", 0, *network, *clock)
    assert tiny.metrics()[-1]["loss/G_l1"] < 0.1
