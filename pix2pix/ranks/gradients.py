"""One gradient for all processes: averaged while backward still computes."""

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from pix2pix.ranks.group import collective, count

_BUCKET = 25 * 2**20  # bytes of gradients sent together, as in DistributedDataParallel


def backward(loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Differentiate `loss` by `weights`, and average gradients and loss over the processes; return that loss, detached.

    A bucket of gradients is sent as soon as all of its weights have theirs, while backward goes on with the others.
    DistributedDataParallel would do that too, but it wraps modules and expects one forward for each backward: D has
    two, and G's update runs through D without gradients for it.
    """
    if count() == 1:
        torch.autograd.backward(loss, inputs=weights)
        return loss.detach()
    mean = loss.detach().clone()
    sent = [_Sent([mean])]
    waiting = list(_buckets(weights))

    def send(_: Tensor) -> None:
        while waiting and all(weight.grad is not None for weight in waiting[0]):
            sent.append(_Sent([weight.grad for weight in waiting.pop(0) if weight.grad is not None]))

    hooks = [weight.register_post_accumulate_grad_hook(send) for weight in weights]  # type: ignore[no-untyped-call]
    try:
        torch.autograd.backward(loss, inputs=weights)
    finally:
        for hook in hooks:
            hook.remove()
    rest = [weight.grad for bucket in waiting for weight in bucket if weight.grad is not None]  # some had no part
    for bucket in [*sent, _Sent(rest)] if rest else sent:
        bucket.receive()
    return mean


class _Sent:
    """Tensors on their way to be averaged over all processes."""

    def __init__(self, tensors: Sequence[Tensor]):
        self.tensors = tensors
        self.flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).div_(count())
        with collective():
            self.work = dist.all_reduce(self.flat, async_op=True)

    def receive(self) -> None:
        with collective():
            self.work.wait()
        parts = torch.split(self.flat, [tensor.numel() for tensor in self.tensors])
        for tensor, part in zip(self.tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))


def _buckets(weights: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Part the weights by size, the last first, as backward comes to them: alike in every process."""
    bucket: list[Tensor] = []
    for weight in reversed(weights):
        bucket.append(weight)
        if sum(one.numel() * one.element_size() for one in bucket) >= _BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
