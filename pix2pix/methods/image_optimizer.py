"""An image whose pixels are optimised: L-BFGS or Adam, one evaluation of the losses a step, and no way lost."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.optim import LBFGS, Adam, Optimizer

from pix2pix.config.gatys import OptimizationOptions
from pix2pix.runtime.device import NonFiniteError

HISTORY = 20  # of L-BFGS: each entry is two images
_LONGEST = 0.03  # step of L-BFGS: the mean over pixels, whose range is 2
_SHORTEST = 1e-7  # what float32 still adds to a pixel
_RUNAWAY = 1000  # times the least loss: from less L-BFGS finds back by itself
_ATTEMPTS = 5


class ImageOptimizer:
    """An image on its way to the least loss, and the best image met so far.

    `losses` maps the image to its losses by name; "loss/total" is minimised. A loss that runs away, as that of L-BFGS
    without a line search now and then does, makes the optimiser begin anew from the best image, with shorter steps
    until they have proved themselves.
    """

    def __init__(self, image: Tensor, losses: Callable[[Tensor], Mapping[str, Tensor]], options: OptimizationOptions):
        # L-BFGS views it as one vector, which no image with its channels innermost is
        self.image = image.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
        self.best, self.least = self.image.detach().clone(), math.inf
        self._losses, self._options = losses, options
        self._optimizer = self._begun()
        self._failures = 0  # since the least loss
        self._longest = _LONGEST if options.optimizer == "lbfgs" else options.rate
        self._reach = self._longest

    def step(self) -> tuple[dict[str, float], Tensor]:
        """Evaluate the losses once, then change the image; return them with the image that they are of.

        Raises:
            NonFiniteError: the losses are NaN or infinite from the beginning, or again and again.
        """
        found: dict[str, Tensor] = {}

        def evaluated() -> float:
            self._optimizer.zero_grad()
            found.update(self._losses(self.image))
            # The mean over pixels would be too small for what L-BFGS takes for zero.
            (found["loss/total"] * self.image.numel()).backward()  # type: ignore[no-untyped-call]
            return found["loss/total"].item()

        seen = self.image.detach().clone()
        self._optimizer.step(evaluated)
        scalars = {name: value.item() for name, value in found.items()}
        loss = scalars["loss/total"]
        if loss < self.least:
            self.best, self.least, self._failures = seen, loss, 0
            self._reach = min(2 * self._reach, self._longest)
        if not math.isfinite(loss) or loss > _RUNAWAY * self.least:
            self._go_back(loss)
        else:
            _shorten(self._optimizer, self.image, seen, self._reach)
        return scalars, seen

    def _begun(self) -> Optimizer:
        options = self._options
        if options.optimizer == "adam":
            return Adam([self.image], lr=options.rate)
        return LBFGS(
            [self.image], lr=options.rate, max_iter=1, history_size=HISTORY, tolerance_grad=0, tolerance_change=0
        )

    @torch.no_grad()
    def _go_back(self, loss: float) -> None:
        self._failures += 1
        self._reach = max(self._reach / 10, _SHORTEST)  # or it might run away by the same step again
        if math.isinf(self.least):
            raise NonFiniteError(f"the loss is {loss:g} from the beginning: give other --weights or other pictures")
        if self._failures > _ATTEMPTS and not math.isfinite(loss):
            raise NonFiniteError(f"the loss is {loss:g} again and again: lower --learning_rate")
        self.image.copy_(self.best)
        self._optimizer = self._begun()


@torch.no_grad()
def _shorten(optimizer: Optimizer, image: Tensor, before: Tensor, longest: float) -> None:
    """Bring a step that went too far back to a length: to one at which what L-BFGS learnt of the losses still holds.

    It would need a search along the line otherwise, and so some evaluations for each step.
    """
    move = image - before
    factor = longest / max(move.abs().mean().item(), longest)
    if factor < 1:
        image.copy_(before + factor * move)
        # What L-BFGS takes for the length of its last step; it has no other way to tell it. Left alone, the next steps
        # are all too long: 60 iterations at 96 pixels ended with 1.10 in place of 0.86 of the loss.
        state = optimizer.state[image]
        if "t" in state:
            state["t"] *= factor
