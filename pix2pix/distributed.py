"""Several processes of one training, started by torchrun.

With a single process there is no process group, and all functions here are the identity.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from pix2pix.errors import UserError

T = TypeVar("T")

_TIMEOUT = timedelta(days=1)  # the first process may read pairs for long; torchrun detects dead processes
_joined = False
_apart = False


class OutOfSyncError(UserError):
    """This process cannot continue in step with the others."""

    exit_status = 1


def rank() -> int:
    """Return the rank of this process, from 0."""
    return dist.get_rank() if _joined else 0


def world_size() -> int:
    """Return the number of processes, on all machines."""
    return dist.get_world_size() if _joined else 1


def is_main() -> bool:
    """Return whether this is the process that writes files and prints (rank 0)."""
    return rank() == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Join the process group inside the block, if torchrun started several processes; only rank 0 prints.

    A UserError is raised in the process that failed first, and SystemExit in the others, so that the user gets one
    message.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    global _joined
    has_gpus = torch.cuda.is_available() and dist.is_nccl_available()
    store, number, total = next(rendezvous("env://"))
    backend = "cpu:gloo,cuda:nccl" if has_gpus else "gloo"
    dist.init_process_group(backend, store=store, rank=number, world_size=total, timeout=_TIMEOUT)
    _joined = True
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        with _mute(number > 0):
            yield
            gather(None)  # wait for all: none leaves the group while another uses it
        dist.destroy_process_group()
    except UserError as error:
        if _has_failed_before(store):
            raise SystemExit(error.exit_status) from error
        raise
    finally:
        _joined = False
        if not _apart:
            signal.signal(signal.SIGTERM, before)


def gather(value: T) -> list[T]:
    """Return the (pickled) values of all processes, by rank.

    Raises:
        OutOfSyncError: a process has ended.
    """
    if world_size() == 1:
        return [value]
    values: list[T | None] = [None] * world_size()
    with explain_failures():
        dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # all are set


def check_same_options(given: Mapping[str, object]) -> None:
    """Check that all processes were given the same options.

    Raises:
        UserError: some differ, for example on different machines.
    """
    first, *others = gather(given)
    names = {name for other in others for name in {**first, **other} if first.get(name, ...) != other.get(name, ...)}
    if names:
        what = ", ".join(f"--{name}" for name in sorted(names))
        raise UserError(f"the processes were given different options: {what}; start all with the same ones")


def merge_shares(shares: Sequence[Sequence[T]]) -> list[T]:
    """Merge shares [rank::world_size] of a sequence to the whole, in order."""
    return [shares[number % len(shares)][number // len(shares)] for number in range(sum(map(len, shares)))]


def run_on_each(work: Callable[[], T]) -> list[T]:
    """Run a function in every process and return all results; a UserError in one is raised in all."""
    if world_size() == 1:
        return [work()]
    outcome: T | UserError | OSError
    try:
        outcome = work()
    except (UserError, OSError) as error:
        outcome = error
    outcomes = gather(outcome)
    for outcome in outcomes:
        if isinstance(outcome, UserError | OSError):
            raise outcome
    return outcomes  # type: ignore[return-value]  # no errors are left


def run_on_main(work: Callable[[], T]) -> T:
    """Run a function in the first process, and return its result, or raise its UserError, in all."""
    return run_on_each(work if is_main() else lambda: None)[0]  # type: ignore[return-value]


def start_max(value: int) -> Callable[[], int]:
    """Start computing the maximum of a value over processes (on CPUs); the returned function waits for it."""
    if world_size() == 1:
        return lambda: value
    largest = torch.tensor(value)
    with explain_failures():
        work = dist.all_reduce(largest, dist.ReduceOp.MAX, async_op=True)

    def wait() -> int:
        with explain_failures():
            work.wait()
        return int(largest)

    return wait


@torch.no_grad()
def broadcast(tensors: Iterable[Tensor]) -> None:
    """Set tensors to their values in the first process, in place."""
    if world_size() == 1:
        return
    for tensor in tensors:
        dense = tensor.detach().contiguous()
        with explain_failures():
            dist.broadcast(dense, 0)
        tensor.copy_(dense)


def select_device(device: str) -> str:
    """Return the device of this process: the requested one, or one GPU for each of several processes.

    Raises:
        UserError: a single GPU is requested for several processes, or there are fewer GPUs than processes.
    """
    if world_size() == 1:
        return device
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if device not in ("auto", "cuda"):
        raise UserError(f"--device {device}: torchrun assigns a device to each process; allowed: auto, cpu, cuda")
    here, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if here >= gpus:
        raise UserError(
            f"torchrun started {os.environ['LOCAL_WORLD_SIZE']} processes here, and PyTorch finds {gpus} CUDA devices: "
            "lower --nproc_per_node, or add --device cpu"
        )
    torch.cuda.set_device(here)
    return f"cuda:{here}"


@contextmanager
def explain_failures() -> Iterator[None]:
    """Convert the errors of gloo and NCCL for a dead process to a message for the user."""
    global _apart
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        _apart = True
        raise OutOfSyncError(
            "another process of this run has ended: see its message, or the system log if it was killed "
            "(often for lack of memory); then continue with --resume"
        ) from error


@contextmanager
def _mute(silent: bool) -> Iterator[None]:
    with ExitStack() as stack:
        if silent:
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        yield


def _terminate(number: int, _: FrameType | None) -> None:
    """Exit as after SIGTERM, unless another process has died: then this one reports it first."""
    if not _apart:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _has_failed_before(store: Any) -> bool:
    try:
        return bool(store.add("failures", 1) > 1)
    except RuntimeError:  # the process with the store has ended
        return False


def backward(loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Compute gradients of `loss`, average gradients and loss over the processes, and return the loss, detached.

    All are reduced as one vector. DistributedDataParallel would overlap this with backward, but it expects one forward
    per backward: D has two, and the step of G runs through D without its gradients.
    """
    torch.autograd.backward(loss, inputs=weights)
    mean = loss.detach()
    if world_size() == 1:
        return mean
    mean = mean.clone()
    tensors = [mean, *(weight.grad for weight in weights if weight.grad is not None)]
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).div_(world_size())
    with explain_failures():
        dist.all_reduce(flat)
    for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))
    return mean
