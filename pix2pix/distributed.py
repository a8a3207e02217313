"""The processes of one training, as torchrun starts them.

Where there is one process, there is no process group, and everything here is the identity.
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

_PATIENCE = timedelta(days=1)  # the first process may long read pairs while others wait; torchrun notices the dead
_joined = False
_apart = False


class OutOfSyncError(UserError):
    """This process can no longer act together with the others."""

    exit_status = 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if _joined else 0


def world_size() -> int:
    """Return how many processes train together, on all machines."""
    return dist.get_world_size() if _joined else 1


def is_main() -> bool:
    """Tell whether this is the process that writes and speaks."""
    return rank() == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes inside the block, if torchrun started several; of their terminals the first's is used.

    A UserError leaves the block in the process that failed first. The others, who failed for the same reason or for
    want of that one, leave by SystemExit: so the user reads one sentence.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    global _joined
    has_gpus = torch.cuda.is_available() and dist.is_nccl_available()
    store, number, total = next(rendezvous("env://"))
    backend = "cpu:gloo,cuda:nccl" if has_gpus else "gloo"
    dist.init_process_group(backend, store=store, rank=number, world_size=total, timeout=_PATIENCE)
    _joined = True
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        with _silent(number > 0):
            yield
            gather(None)  # all have come to the end: none pulls the group from under another
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
    """Return the values of all processes, in their order; values are pickled.

    Raises:
        ApartError: a process is gone.
    """
    if world_size() == 1:
        return [value]
    values: list[T | None] = [None] * world_size()
    with explain_failures():
        dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # each is filled


def check_same_options(given: Mapping[str, object]) -> None:
    """Hold all processes to the same options, by name, as they were given to each.

    Raises:
        UserError: some differ, as they may where each machine has its own command line.
    """
    first, *others = gather(given)
    names = {name for other in others for name in {**first, **other} if first.get(name, ...) != other.get(name, ...)}
    if names:
        what = ", ".join(f"--{name}" for name in sorted(names))
        raise UserError(f"the processes were given different options: {what}; start all with the same ones")


def merge_shares(shares: Sequence[Sequence[T]]) -> list[T]:
    """Return the whole, in its order, of which each process had the share [rank::count]."""
    return [shares[number % len(shares)][number // len(shares)] for number in range(sum(map(len, shares)))]


def run_on_each(work: Callable[[], T]) -> list[T]:
    """Let every process do its work, and return all outcomes; the mistake that one meets is raised by all."""
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
    """Let the first process do some work; return its outcome, or raise its mistake, in all of them."""
    return run_on_each(work if is_main() else lambda: None)[0]  # type: ignore[return-value]


def start_max(value: int) -> Callable[[], int]:
    """Begin to ask for the largest value of any process; what is returned waits for the answer. No GPU takes part."""
    if world_size() == 1:
        return lambda: value
    largest = torch.tensor(value)
    with explain_failures():
        work = dist.all_reduce(largest, dist.ReduceOp.MAX, async_op=True)

    def answer() -> int:
        with explain_failures():
            work.wait()
        return int(largest)

    return answer


@torch.no_grad()
def broadcast(tensors: Iterable[Tensor]) -> None:
    """Give these tensors the values that they have in the first process."""
    if world_size() == 1:
        return
    for tensor in tensors:
        dense = tensor.detach().contiguous()
        with explain_failures():
            dist.broadcast(dense, 0)
        tensor.copy_(dense)


def select_device(device: str) -> str:
    """Return the device of this process: the one asked for, and among several processes a GPU each.

    Raises:
        UserError: it names one device for all, or there are fewer GPUs than processes.
    """
    if world_size() == 1:
        return device
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if device not in ("auto", "cuda"):
        raise UserError(f"--device {device}: torchrun gives each process a device of its own; allowed: auto, cpu, cuda")
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
    """Inside the block, turn what gloo and NCCL say of a process that is gone into a sentence."""
    global _apart
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        _apart = True
        raise OutOfSyncError(
            "another process of this run has ended: see its message, or, if it was killed, the system's for the reason "
            "(often too little memory); then go on with --resume"
        ) from error


@contextmanager
def _silent(silent: bool) -> Iterator[None]:
    with ExitStack() as stack:
        if silent:
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        yield


def _terminate(number: int, _: FrameType | None) -> None:
    """End as SIGTERM does, unless another process is lost: torchrun then ends all, and this one has a word to say."""
    if not _apart:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _has_failed_before(store: Any) -> bool:
    try:
        return bool(store.add("failures", 1) > 1)
    except RuntimeError:  # the store is gone with the process that kept it
        return False


def backward(loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Differentiate `loss` by `weights`, and average gradients and loss over the processes; return that loss, detached.

    All are sent as one vector. DistributedDataParallel would send parts of it while backward still computes, but it
    wraps modules and expects one forward for each backward: D has two, and G's update runs through D without gradients
    for it.
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
