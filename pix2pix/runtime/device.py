"""Device, precision and what makes them fast."""

import ctypes
import sys
from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from pix2pix import distributed
from pix2pix.errors import UserError
from pix2pix.networks.conv import Conv, ConvTranspose
from pix2pix.networks.norm import synchronize_batch_norm

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names of malloc.h

Precision = Literal["fp32", "bf16"]


def get_default_speedups(device: str, precision: Precision, processes: int = 1) -> tuple[str, ...]:
    """Name the speed-ups that are safe and pay on a kind of device: "cpu", "cuda" or "mps".

    In fp32 a CPU's convolutions like channels outermost (measured with AVX2), in bf16 innermost.
    """
    if device == "cuda":
        return ("channels_last", "one_pass", "fold", *(("graph",) if processes == 1 else ()))
    if device == "cpu":
        layout, minimal = ((), ("winograd",)) if precision == "fp32" else (("channels_last",), ())
        return ("malloc", *layout, "gemm", *minimal, "one_pass", "fold")
    return ("one_pass", "fold")


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next step, where it is glibc: elsewhere this does nothing.

    By default it returns each large block to the system, which then hands out zeroed pages: some 100,000 a step.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        if not mallopt(_M_MMAP_THRESHOLD, 2**30):
            mallopt(_M_MMAP_THRESHOLD, 2**25)  # all that glibc before 2.35 takes
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


AnyModule = TypeVar("AnyModule", bound=nn.Module)


class NonFiniteError(UserError):
    """A loss or gradient became NaN or infinite."""

    exit_status = 1


class Runtime:
    """A device, a precision, what makes them fast, and the update that every method makes there.

    `fast` names the speed-ups, none of which changes what is computed but for rounding; None takes `fastest`.
    - "malloc": the C library keeps memory that is freed, rather than give it back and have it zeroed again (Linux)
    - "channels_last": images and weights lie in memory with their channels innermost
    - "gemm": inner convolutions as matrix products, see convolution.py
    - "winograd": wide convolutions of stride 1 with fewer multiplications, see convolution.py
    - "one_pass": D judges real and fake pairs in one pass, where its norms keep images apart
    - "fold": translating with running statistics folds each norm into the convolution before it
    - "graph": a training step is recorded once and replayed as a CUDA graph

    `compiled` has torch.compile compile the networks.
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
        fast: Collection[str] | None = None,
        *,
        compiled: bool = False,
        deferred: bool | None = None,
        sync_batchnorm: bool = False,
    ):
        self.device = _resolved(distributed.select_device(device))
        if sync_batchnorm and self.device.type != "cuda":
            raise UserError(
                f"--sync_batchnorm works on CUDA devices alone, and this is {self.device}: "
                "add --sync_batchnorm false, or choose --norm instance, which needs no other images"
            )
        self.sync_batchnorm = sync_batchnorm
        self.precision = precision
        self.compiled = compiled
        if compiled:
            _try_compiling(self.device)
        self.fast = (
            get_default_speedups(self.device.type, precision, distributed.world_size()) if fast is None else tuple(fast)
        )
        self.deferred = self.device.type == "cuda" if deferred is None else deferred
        if "graph" in self.fast and self.device.type != "cuda":
            raise UserError(f"--fast graph records CUDA graphs, and the device is {self.device}: leave graph out")
        if "graph" in self.fast and distributed.world_size() > 1:
            raise UserError("--fast graph records the steps of one process, and torchrun started several: leave it out")
        if "malloc" in self.fast:
            keep_freed_memory()

    def prepare(self, module: AnyModule, *, trained: bool = False) -> AnyModule:
        """Move a network to the device and give its layers the form that is fast there.

        One that is `trained` and compiled has its weights, as they are in its first call, laid out for good.
        """
        is_frozen = trained and self.compiled
        if self.sync_batchnorm and distributed.world_size() > 1:
            synchronize_batch_norm(module)
        for layer in module.modules():
            if isinstance(layer, Conv | ConvTranspose):
                layer.by_product = "gemm" in self.fast and not is_frozen
            if isinstance(layer, Conv):
                layer.minimal = "winograd" in self.fast
            is_matrix = isinstance(layer, Conv | ConvTranspose) and layer.by_product
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and not is_matrix:
                layer.weight.data = layer.weight.data.to(memory_format=self.layout)
        module = module.to(self.device)
        if self.compiled:
            # in place: the names of its weights stay; and drawing dropout as without, and as tiles do
            module.compile(options={"fallback_random": True})
            if is_frozen:
                _lay_out_weights_for_good()
        return module

    @property
    def layout(self) -> torch.memory_format:
        """How images and weights lie in memory."""
        return torch.channels_last if "channels_last" in self.fast else torch.contiguous_format

    def to_device(self, images: Tensor) -> Tensor:
        """Bring images (N, C, H, W) to the device, laid out as its networks like them."""
        return images.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)

    def autocast(self) -> AbstractContextManager[None]:
        """Compute convolutions in bfloat16 inside the block if the precision is bf16; weights stay float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def adam(self, network: nn.Module, lr: float, betas: tuple[float, float]) -> Adam:
        """Build the optimiser of a network's weights that are not frozen.

        It is fused, and where steps are recorded its rate lies on the device.
        """
        is_recorded = "graph" in self.fast
        rate = torch.tensor(lr, device=self.device) if is_recorded else lr
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        return Adam(weights, lr=rate, betas=betas, fused=True, capturable=is_recorded)

    def update(self, optimizer: Optimizer, loss: Tensor, name: str) -> Tensor:
        """Differentiate `loss` by the optimiser's own weights only, step, and return the gradients' norm, a scalar.

        Loss and gradients are averaged over all processes, which so make the same step or refuse it together.

        The optimiser is fused: on the device it skips a step whose gradients are not finite.

        Raises:
            NonFiniteError: loss or gradients are not finite, and this runtime is not deferred. No weight has changed.
        """
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        optimizer.zero_grad(set_to_none=True)
        mean = distributed.backward(loss, weights)
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        finite = torch.isfinite(norm + mean)
        if self.deferred:
            optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]  # read by fused optimisers
        elif not finite:
            raise NonFiniteError(f"{name} is {mean.item():g} and the norm of its gradients is {norm.item():g}")
        optimizer.step()
        return norm


def is_all_finite(tensors: dict[str, Tensor]) -> bool:
    """Say whether no floating-point tensor holds NaN or Inf."""
    return all(bool(x.isfinite().all()) for x in tensors.values() if x.is_floating_point())


def _try_compiling(device: torch.device) -> None:
    """Compile a line: what is missing for that is told before anything is read or trained."""
    try:
        torch.compile(lambda x: x + 1)(torch.ones(2, device=device))
    except Exception as error:  # compilers have many ways to fail
        cause = str(error).partition("\n")[0]
        raise UserError(
            f"--compile: PyTorch cannot compile here ({cause}); install what is missing "
            "(for a CPU a C++ compiler such as g++), or leave --compile out"
        ) from error


def _lay_out_weights_for_good() -> None:
    """Let compiled networks treat their weights as constants in inference, where this PyTorch can.

    This is read when a network is first called. It is not a public name, but torch.compile's own options do not reach
    there: `options={"freezing": True}` leaves the weights as they are (tried with PyTorch 2.14).
    """
    try:
        from torch._inductor import config  # takes a second

        config.freezing = True
    except (ImportError, AttributeError):
        pass  # slower, and the same result


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
