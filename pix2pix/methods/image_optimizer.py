"""Optimize the pixels of an image with L-BFGS or Adam, one loss evaluation a step, recovering from divergence."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.optim import LBFGS, Adam, Optimizer

from pix2pix.config.gatys import OptimizationOptions
from pix2pix.runtime.device import NonFiniteError

HISTORY = 20  # of L-BFGS: each entry takes two images
_MAX_STEP = 0.03  # of L-BFGS: mean absolute change of a pixel, whose range is 2
_MIN_STEP = 1e-7  # what float32 still adds to a pixel
_DIVERGED = 1000  # times the best loss; from a smaller one L-BFGS recovers
_MAX_RESTARTS = 5


class ImageOptimizer:
    """An image being optimized, and the best one so far.

    `losses` maps the image to its losses by name, of which "loss/total" is minimized. L-BFGS without a line search
    can diverge; the optimizer then restarts from the best image with a smaller step limit, which grows again with
    each improvement.
    """

    def __init__(self, image: Tensor, losses: Callable[[Tensor], Mapping[str, Tensor]], options: OptimizationOptions):
        # contiguous, because L-BFGS views it as a vector
        self.image = image.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
        self.best, self.best_loss = self.image.detach().clone(), math.inf
        self._losses, self._options = losses, options
        self._optimizer = self._build_optimizer()
        self._restarts = 0  # since the best loss
        self._max_step = _MAX_STEP if options.optimizer == "lbfgs" else options.rate
        self._step_limit = self._max_step

    def step(self) -> tuple[dict[str, float], Tensor]:
        """Evaluate the losses once and update the image; return the losses and the image that they are of.

        Raises:
            NonFiniteError: the losses are NaN or infinite at the start, or after several restarts.
        """
        losses: dict[str, Tensor] = {}

        def closure() -> float:
            self._optimizer.zero_grad()
            losses.update(self._losses(self.image))
            # The gradient of the mean over pixels would be below what L-BFGS treats as zero.
            (losses["loss/total"] * self.image.numel()).backward()  # type: ignore[no-untyped-call]
            return losses["loss/total"].item()

        before = self.image.detach().clone()
        self._optimizer.step(closure)
        scalars = {name: value.item() for name, value in losses.items()}
        loss = scalars["loss/total"]
        if loss < self.best_loss:
            self.best, self.best_loss, self._restarts = before, loss, 0
            self._step_limit = min(2 * self._step_limit, self._max_step)
        if not math.isfinite(loss) or loss > _DIVERGED * self.best_loss:
            self._restart(loss)
        else:
            _limit_step(self._optimizer, self.image, before, self._step_limit)
        return scalars, before

    def _build_optimizer(self) -> Optimizer:
        options = self._options
        if options.optimizer == "adam":
            return Adam([self.image], lr=options.rate)
        return LBFGS(
            [self.image], lr=options.rate, max_iter=1, history_size=HISTORY, tolerance_grad=0, tolerance_change=0
        )

    @torch.no_grad()
    def _restart(self, loss: float) -> None:
        self._restarts += 1
        self._step_limit = max(self._step_limit / 10, _MIN_STEP)  # the same step could diverge again
        if math.isinf(self.best_loss):
            raise NonFiniteError(f"the loss is {loss:g} at the start: give other --weights or other images")
        if self._restarts > _MAX_RESTARTS and not math.isfinite(loss):
            raise NonFiniteError(f"the loss is {loss:g} after {_MAX_RESTARTS} restarts: lower --learning_rate")
        self.image.copy_(self.best)
        self._optimizer = self._build_optimizer()


@torch.no_grad()
def _limit_step(optimizer: Optimizer, image: Tensor, before: Tensor, limit: float) -> None:
    """Scale a step down to a mean absolute change of `limit`, within which the curvature that L-BFGS estimates holds.

    This replaces a line search, which takes several evaluations a step.
    """
    step = image - before
    factor = limit / max(step.abs().mean().item(), limit)
    if factor < 1:
        image.copy_(before + factor * step)
        # L-BFGS reads the length of its last step from here, and has no public way to set it. Left unchanged, the
        # next steps are too long: 60 iterations at 96 pixels ended with a loss of 1.10 instead of 0.86.
        state = optimizer.state[image]
        if "t" in state:
            state["t"] *= factor
