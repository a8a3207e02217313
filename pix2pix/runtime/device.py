"""Device, precision, speed-ups, and the optimizer step that all methods share."""

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
    """Return the speed-ups that are enabled by default on a type of device: "cpu", "cuda" or "mps".

    Convolutions on a CPU are faster with NCHW layout in fp32 (measured with AVX2), with channels_last in bf16.
    """
    if device == "cuda":
        return ("channels_last", "one_pass", "fold", *(("graph",) if processes == 1 else ()))
    if device == "cpu":
        layout, minimal = ((), ("winograd",)) if precision == "fp32" else (("channels_last",), ())
        return ("malloc", *layout, "gemm", *minimal, "one_pass", "fold")
    return ("one_pass", "fold")


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step; other C libraries are unchanged.

    By default it returns each large block to the system, which then provides zeroed pages: some 100,000 a step.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        if not mallopt(_M_MMAP_THRESHOLD, 2**30):
            mallopt(_M_MMAP_THRESHOLD, 2**25)  # the maximum of glibc before 2.35
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


AnyModule = TypeVar("AnyModule", bound=nn.Module)


class NonFiniteError(UserError):
    """A loss or gradient became NaN or infinite."""

    exit_status = 1


class Runtime:
    """The device, precision and speed-ups of a run, and the optimizer step that all methods share.

    `fast` has the speed-ups, which change results only by rounding; None for the defaults of the device.
    - "malloc": the C library keeps freed memory instead of returning it to the system (Linux)
    - "channels_last": memory layout of images and weights
    - "gemm": inner convolutions as matrix products, see networks/conv.py
    - "winograd": wide convolutions of stride 1 by Winograd's algorithm, see networks/conv.py
    - "one_pass": D evaluates real and fake pairs in one batch, if its norms keep images independent
    - "fold": running statistics are folded into convolutions when translating
    - "graph": a training step is recorded once and replayed as a CUDA graph

    `compiled`: networks are compiled by torch.compile. `deferred`: NaN and Inf are not raised by `update`, which
    would synchronize a GPU at each step; the update is skipped on the device, and the caller finds them in the norm
    later. The default on CUDA. `sync_batchnorm`: BatchNorm in training normalizes over the batches of all processes.

    Raises:
        UserError: the device does not exist, or does not support an option.
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
        self.device = _resolve_device(distributed.select_device(device))
        if sync_batchnorm and self.device.type != "cuda":
            raise UserError(
                f"--sync_batchnorm needs a CUDA device, and this is {self.device}: "
                "add --sync_batchnorm false, or use --norm instance"
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
            raise UserError(f"--fast graph needs a CUDA device, and this is {self.device}: leave graph out")
        if "graph" in self.fast and distributed.world_size() > 1:
            raise UserError("--fast graph supports one process, and torchrun started several: leave it out")
        if "malloc" in self.fast:
            keep_freed_memory()

    def prepare(self, module: AnyModule, *, trained: bool = False) -> AnyModule:
        """Move a network to the device and enable the speed-ups in its layers, in place.

        The weights of a compiled network that is `trained` are treated as constants.
        """
        is_frozen = trained and self.compiled
        if self.sync_batchnorm and distributed.world_size() > 1:
            synchronize_batch_norm(module)
        for layer in module.modules():
            if isinstance(layer, Conv | ConvTranspose):
                layer.gemm = "gemm" in self.fast and not is_frozen
            if isinstance(layer, Conv):
                layer.winograd = "winograd" in self.fast
            is_matrix = isinstance(layer, Conv | ConvTranspose) and layer.gemm
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and not is_matrix:
                layer.weight.data = layer.weight.data.to(memory_format=self.layout)
        module = module.to(self.device)
        if self.compiled:
            # in place, which keeps the names of weights; dropout is drawn as without compilation
            module.compile(options={"fallback_random": True})
            if is_frozen:
                _freeze_compiled_weights()
        return module

    @property
    def layout(self) -> torch.memory_format:
        """The memory layout of images and weights."""
        return torch.channels_last if "channels_last" in self.fast else torch.contiguous_format

    def to_device(self, images: Tensor) -> Tensor:
        """Move images (N, C, H, W) to the device, in the memory layout of the networks."""
        return images.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)

    def autocast(self) -> AbstractContextManager[None]:
        """Return a context in which convolutions are bfloat16 with --precision bf16; weights stay float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def adam(self, network: nn.Module, lr: float, betas: tuple[float, float]) -> Adam:
        """Build a fused Adam for the trainable weights of a network; for CUDA graphs its rate is on the device."""
        is_recorded = "graph" in self.fast
        rate = torch.tensor(lr, device=self.device) if is_recorded else lr
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        return Adam(weights, lr=rate, betas=betas, fused=True, capturable=is_recorded)

    def update(self, optimizer: Optimizer, loss: Tensor, name: str) -> Tensor:
        """Compute gradients of the optimizer's weights only, make its step, and return the norm of the gradients.

        Loss and gradients are averaged over all processes. On a GPU a step with non-finite gradients is skipped.

        Raises:
            NonFiniteError: loss or gradients are not finite, and `deferred` is off. No weight has changed.
        """
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        optimizer.zero_grad(set_to_none=True)
        mean = distributed.backward(loss, weights)
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        finite = torch.isfinite(norm + mean)
        if self.deferred:
            optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]  # read by fused optimizers
        elif not finite:
            raise NonFiniteError(f"{name} is {mean.item():g} and the norm of its gradients is {norm.item():g}")
        optimizer.step()
        return norm


def is_all_finite(tensors: dict[str, Tensor]) -> bool:
    """Return whether no floating-point tensor has NaN or Inf."""
    return all(bool(x.isfinite().all()) for x in tensors.values() if x.is_floating_point())


def _try_compiling(device: torch.device) -> None:
    """Compile a small function, to report missing tools before data is read."""
    try:
        torch.compile(lambda x: x + 1)(torch.ones(2, device=device))
    except Exception as error:  # compilers raise many types
        cause = str(error).partition("\n")[0]
        raise UserError(
            f"--compile: PyTorch cannot compile here ({cause}); install what is missing "
            "(for a CPU a C++ compiler such as g++), or leave --compile out"
        ) from error


def _freeze_compiled_weights() -> None:
    """Make compiled networks treat their weights as constants in inference, if PyTorch supports it.

    This is a private setting, read when a network is first called: the public `options={"freezing": True}` has no
    effect (PyTorch 2.14).
    """
    try:
        from torch._inductor import config  # slow import

        config.freezing = True
    except (ImportError, AttributeError):
        pass  # slower, and the same result


def _resolve_device(device: str) -> torch.device:
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if device.startswith("cuda"):
        count = torch.cuda.device_count()
        index = int(device.partition(":")[2] or 0)
        if index >= count:
            allowed = ", ".join(["auto", "cpu", *(f"cuda:{i}" for i in range(count))])
            raise UserError(f"--device {device}: PyTorch finds {count} CUDA devices here; allowed: {allowed}")
    if device == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: PyTorch finds no Apple GPU here; allowed: auto, cpu")
    return torch.device(device)
