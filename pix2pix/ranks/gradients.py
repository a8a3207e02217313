"""One gradient for all processes: averaged after backward."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from pix2pix.ranks.group import collective, count


def backward(loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Differentiate `loss` by `weights`, and average gradients and loss over the processes; return that loss, detached.

    All are sent as one vector. DistributedDataParallel would send parts of it while backward still computes, but it
    wraps modules and expects one forward for each backward: D has two, and G's update runs through D without gradients
    for it.
    """
    torch.autograd.backward(loss, inputs=weights)
    mean = loss.detach()
    if count() == 1:
        return mean
    mean = mean.clone()
    tensors = [mean, *(weight.grad for weight in weights if weight.grad is not None)]
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).div_(count())
    with collective():
        dist.all_reduce(flat)
    for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))
    return mean
