"""Where and how numbers are computed: device, precision, what makes it fast, seeds, and the update of weights."""

import ctypes
import os
import sys
import zlib
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from pix2pix.convolution import Conv, ConvTranspose
from pix2pix.errors import UserError
from pix2pix.replay import Replay, Step

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names of malloc.h

AnyModule = TypeVar("AnyModule", bound=nn.Module)
Precision = Literal["fp32", "bf16"]


class NonFiniteError(UserError):
    """A loss or gradient became NaN or infinite."""

    exit_status = 1


class Runtime:
    """A device, a precision, what makes them fast, and the update that every method makes there.

    `fast` names the speed-ups, none of which changes what is computed but for rounding; None takes `fastest`.
    - "memory": the C library keeps memory that is freed, rather than give it back and have it zeroed again (Linux)
    - "channels_last": images and weights lie in memory with their channels innermost
    - "products": inner convolutions as matrix products, see convolution.py
    - "one_pass": D judges real and fake pairs in one pass, where its norms keep images apart
    - "fold": translating with running statistics folds each norm into the convolution before it
    - "graph": a training step is recorded once and replayed as a CUDA graph

    `compiled` has torch.compile compile the networks.
    `deferred` says when a non-finite gradient is noticed. On a CPU at once: `update` raises. On a GPU that would cost a
    synchronisation per step, so the update is skipped on the device and the caller finds NaN or Inf in the norm later.
    """

    def __init__(
        self,
        device: str = "auto",
        precision: Precision = "fp32",
        fast: Collection[str] | None = None,
        *,
        compiled: bool = False,
        deferred: bool | None = None,
    ):
        self.device = _resolved(device)
        self.precision = precision
        self.compiled = compiled
        self.fast = fastest(self.device.type, precision) if fast is None else tuple(fast)
        self.deferred = self.device.type == "cuda" if deferred is None else deferred
        if "graph" in self.fast and self.device.type != "cuda":
            raise UserError(f"--fast graph records CUDA graphs, and the device is {self.device}: leave graph out")
        if "memory" in self.fast:
            keep_freed_memory()

    def prepare(self, module: AnyModule) -> AnyModule:
        """Move a network to the device and give its layers the form that is fast there."""
        for layer in module.modules():
            is_convolution = isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
            if isinstance(layer, Conv | ConvTranspose):
                layer.by_product = "products" in self.fast
            if is_convolution and "channels_last" in self.fast and not getattr(layer, "by_product", False):
                layer.weight.data = layer.weight.data.to(memory_format=torch.channels_last)
        module = module.to(self.device)
        if self.compiled:
            module.compile()  # in place: the names of its weights stay
        return module

    def place(self, images: Tensor) -> Tensor:
        """Bring images (N, C, H, W) to the device, laid out as its networks like them."""
        layout = torch.channels_last if "channels_last" in self.fast else torch.contiguous_format
        return images.to(self.device, non_blocking=True).contiguous(memory_format=layout)

    def autocast(self) -> AbstractContextManager[None]:
        """Compute convolutions in bfloat16 inside the block if the precision is bf16; weights stay float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def recorded(self, step: Step) -> Step:
        """Return the step as one that is recorded and replayed, if that is wished: tensors in, named scalars out."""
        return Replay(step) if "graph" in self.fast else step

    def adam(self, network: nn.Module, lr: float, betas: tuple[float, float]) -> Adam:
        """Build the optimiser of a network: fused, and where steps are recorded with a rate that lies on the device."""
        is_recorded = "graph" in self.fast
        rate = torch.tensor(lr, device=self.device) if is_recorded else lr
        return Adam(network.parameters(), lr=rate, betas=betas, fused=True, capturable=is_recorded)

    def update(self, optimizer: Optimizer, loss: Tensor, name: str) -> Tensor:
        """Differentiate `loss` by the optimiser's own weights only, step, and return the gradients' norm, a scalar.

        The optimiser is fused: on the device it skips a step whose gradients are not finite.

        Raises:
            NonFiniteError: loss or gradients are not finite, and this runtime is not deferred. No weight has changed.
        """
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss, inputs=weights)
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        finite = torch.isfinite(norm + loss.detach())
        if self.deferred:
            optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]  # read by fused optimisers
        elif not finite:
            raise NonFiniteError(f"{name} is {loss.item():g} and the norm of its gradients is {norm.item():g}")
        optimizer.step()
        return norm


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Give the optimiser another learning rate, in its place if it lies on a device."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return the optimiser's state as it is on every device: that of one whose steps are not recorded."""
    state = optimizer.state_dict()
    groups = [group | {"lr": float(group["lr"]), "capturable": False} for group in state["param_groups"]]
    return {"state": state["state"], "param_groups": groups}


def restore_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Give the optimiser a state that `optimizer_state` returned, on whatever device that was."""
    own = [(group["lr"], group["capturable"]) for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    (rate,) = {group["lr"] for group in optimizer.param_groups}
    for group, (place, capturable) in zip(optimizer.param_groups, own, strict=True):
        group |= {"lr": place, "capturable": capturable}
    set_rate(optimizer, rate)


def fastest(device: str, precision: Precision) -> tuple[str, ...]:
    """Name the speed-ups that are safe and pay on a kind of device: "cpu", "cuda" or "mps".

    In fp32 a CPU's convolutions like channels outermost (measured with AVX2), in bf16 innermost.
    """
    if device == "cuda":
        return ("channels_last", "one_pass", "fold", "graph")
    if device == "cpu":
        return ("memory", *(("channels_last",) if precision == "bf16" else ()), "products", "one_pass", "fold")
    return ("one_pass", "fold")


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next step, where it is glibc: elsewhere this does nothing.

    By default it returns each large block to the system, which then hands out zeroed pages: some 100,000 a step.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def step_seed(seed: int, step: int) -> int:
    """Give the seed of everything random in a training step."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])


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
