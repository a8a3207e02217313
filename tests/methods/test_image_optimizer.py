import math
from itertools import pairwise

import pytest
import torch

from pix2pix.config.gatys import OptimizationOptions
from pix2pix.methods.image_optimizer import ImageOptimizer
from pix2pix.runtime.device import NonFiniteError


def descended(loss, steps, start=None, **options):
    descent = ImageOptimizer(
        torch.zeros(1, 3, 4, 4) if start is None else start,
        lambda x: {"loss/total": loss(x)},
        OptimizationOptions(**options),
    )
    return descent, [descent.step()[0]["loss/total"] for _ in range(steps)]


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_the_image_goes_where_the_loss_is_least(optimizer):
    descent, losses = descended(lambda x: (x - 0.3).square().mean(), 80, optimizer=optimizer)
    assert torch.allclose(descent.best, torch.full((1, 3, 4, 4), 0.3), atol=1e-2)
    assert descent.best_loss == min(losses)


def test_the_losses_are_those_of_the_image_returned_with_them():
    descent = ImageOptimizer(
        torch.zeros(1, 3, 4, 4), lambda x: {"loss/total": (x - 1).square().mean()}, OptimizationOptions()
    )
    for _ in range(5):
        scalars, image = descent.step()
        assert scalars["loss/total"] == pytest.approx((image - 1).square().mean().item())


def test_no_step_of_lbfgs_goes_far():
    descent = ImageOptimizer(
        torch.zeros(1, 3, 4, 4), lambda x: {"loss/total": (x - 50).square().mean()}, OptimizationOptions()
    )
    seen = [descent.step()[1] for _ in range(10)]
    assert all((a - b).abs().mean() < 0.1 + 1e-6 for a, b in pairwise(seen))


def test_lbfgs_learns_the_curvature_from_shortened_steps():
    """Two gradients of a parabola and the true step between them give its lowest point."""
    descent, losses = descended(lambda x: (x - 0.4).square().mean(), 20, optimizer="lbfgs")
    steps = math.ceil(0.4 / 0.03)
    assert losses[steps - 1] > 1e-5
    assert losses[steps + 2] < 1e-10
    assert torch.allclose(descent.best, torch.full((1, 3, 4, 4), 0.4), atol=1e-5)


def test_a_loss_that_runs_away_begins_again_from_the_best_image():
    calls = []

    def cliff(x):
        calls.append(1)
        return (x - 0.3).square().mean() * (1e6 if len(calls) == 2 else 1)

    descent, losses = descended(cliff, 80, optimizer="adam")
    assert losses[1] > 1e3
    assert losses[2] == losses[0]
    assert descent.best_loss < 1e-3


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_cliff_that_a_whole_step_jumps_over_is_come_near_by_shorter_ones(optimizer):
    def cliff(x):
        return 1 - 10 * x.mean() + 1e6 * (x.mean() - 0.05).relu().square()

    given = {"optimizer": optimizer, "learning_rate": 1}
    assert descended(cliff, 40, torch.zeros(1, 3, 32, 32), **given)[0].best_loss < 0.7


@pytest.mark.parametrize("steps", [1, 20])
def test_losses_that_are_never_finite_are_reported_at_once(steps):
    with pytest.raises(NonFiniteError, match=r"nan .*--weights"):
        descended(lambda x: x.sum() * math.nan, steps)


def test_losses_that_are_finite_at_the_beginning_alone_are_reported():
    with pytest.raises(NonFiniteError, match=r"nan .*--learning_rate"):
        descended(lambda x: torch.where(x.abs().max() > 0, math.nan, 1.0) + x.sum(), 20)
