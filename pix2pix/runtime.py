"""Where and how numbers are computed: device, precision, the seeds of each step, and the update of weights."""

import os
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from pix2pix import ranks
from pix2pix.errors import UserError
from pix2pix.layers import synchronise

AnyModule = TypeVar("AnyModule", bound=nn.Module)
Precision = Literal["fp32", "bf16"]


class NonFiniteError(UserError):
    """A loss or gradient became NaN or infinite."""

    exit_status = 1


class Runtime:
    """A device and a precision, and the update that every method makes there.

    `deferred` says when a non-finite gradient is noticed. On a CPU at once: `update` raises. On a GPU that would cost a
    synchronisation per step, so the update is skipped on the device and the caller finds NaN or Inf in the norm later.
    With `sync_batchnorm`, BatchNorm in training normalises by the batches of all processes.

    Raises:
        UserError: there is no such device, or it cannot do that.
    """

    def __init__(
        self,
        device: str = "auto",
        precision: Precision = "fp32",
        *,
        deferred: bool | None = None,
        sync_batchnorm: bool = False,
    ):
        self.device = _resolved(ranks.own_device(device))
        if sync_batchnorm and self.device.type != "cuda":
            raise UserError(
                f"--sync_batchnorm works on CUDA devices alone, and this is {self.device}: "
                "add --sync_batchnorm false, or choose --norm instance, which needs no other images"
            )
        self.sync_batchnorm = sync_batchnorm
        self.precision = precision
        self.deferred = self.device.type == "cuda" if deferred is None else deferred

    def prepare(self, module: AnyModule) -> AnyModule:
        """Move a network to the device."""
        if self.sync_batchnorm and ranks.count() > 1:
            synchronise(module)
        return module.to(self.device)

    def autocast(self) -> AbstractContextManager[None]:
        """Compute convolutions in bfloat16 inside the block if the precision is bf16; weights stay float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def update(self, optimizer: torch.optim.Optimizer, loss: Tensor, name: str) -> Tensor:
        """Differentiate `loss` by the optimiser's own weights only, step, and return the gradients' norm, a scalar.

        Loss and gradients are averaged over all processes, which so make the same step or refuse it together.

        The optimiser is fused: on the device it skips a step whose gradients are not finite.

        Raises:
            NonFiniteError: loss or gradients are not finite, and this runtime is not deferred. No weight has changed.
        """
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        optimizer.zero_grad(set_to_none=True)
        mean = ranks.backward(loss, weights)
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        finite = torch.isfinite(norm + mean)
        if self.deferred:
            optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]  # read by fused optimisers
        elif not finite:
            raise NonFiniteError(f"{name} is {mean.item():g} and the norm of its gradients is {norm.item():g}")
        optimizer.step()
        return norm


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Give the seed of everything random in a training step of one process."""
    of_rank = (rank,) if rank else ()
    return int(np.random.SeedSequence([seed, step], spawn_key=of_rank).generate_state(1, np.uint64)[0])


def name_seed(seed: int, name: str, sample: int = 0) -> int:
    """Give the seed of everything random in translating the image of this name, whatever folder stands before it."""
    last = zlib.crc32(os.fsencode(name.rpartition("/")[2]))
    return int(np.random.SeedSequence([seed, last, sample]).generate_state(1, np.uint64)[0])


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from `seed` inside the block, and leave the random state of the CPU and of a CUDA device as it was."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def all_finite(tensors: dict[str, Tensor]) -> bool:
    """Say whether no floating-point tensor holds NaN or Inf."""
    return all(bool(x.isfinite().all()) for x in tensors.values() if x.is_floating_point())


def _resolved(device: str) -> torch.device:
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if device.startswith("cuda"):
        count = torch.cuda.device_count()
        index = int(device.partition(":")[2] or 0)
        if index >= count:
            allowed = ", ".join(["auto", "cpu", *(f"cuda:{i}" for i in range(count))])
            raise UserError(f"--device {device}: PyTorch sees {count} CUDA devices here; allowed: {allowed}")
    if device == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: PyTorch sees no Apple GPU here; allowed: auto, cpu")
    return torch.device(device)
