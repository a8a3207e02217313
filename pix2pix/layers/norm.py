"""Normalisation by statistics that are named: of the batch, of each image, or of the training run."""

from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.func import functional_call

Statistics = Literal["batch", "image", "running"]
NormKind = Literal["batch", "instance", "none"]


class Norm(nn.Module):
    """Affine normalisation per channel, by statistics of the batch, of each image, or of the training run.

    `statistics` says by what: "batch" (mean and variance over N, H, W; moves the running averages), "image" (over H, W
    of each image: instance norm) or "running" (the averages, which only a norm built for batches keeps). At N = 1 the
    first two are the same function. A `synchronised` one takes the batches of all processes as one, on CUDA alone.
    Input and output: (N, C, H, W).
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, kind: Literal["batch", "instance"], eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps, self.momentum, self.kind = eps, momentum, kind
        self.statistics: Statistics = "batch" if kind == "batch" else "image"
        self.synchronised = False
        if kind == "batch":
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W) over the positions that `statistics` names."""
        if self.statistics == "running":
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        if self.statistics == "batch" and self.kind == "batch":
            means, variances = self.running_mean, self.running_var
            if self.synchronised:
                return _over_all_processes(x, self.weight, self.bias, means, variances, self.eps, self.momentum)
            return F.batch_norm(x, means, variances, self.weight, self.bias, True, self.momentum, self.eps)
        if len(x) == 1:  # the same function, without instance_norm's copies
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        return F.instance_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)

    def normalised(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Normalise (N, C, H, W) by statistics that are given: (N, C), or (C) for all images."""
        known = (self.weight, self.bias, mean, variance)
        weight, bias, mean, variance = (each.cpu().double() for each in known)  # an Apple GPU has no doubles
        scale = weight * (variance + self.eps).rsqrt()
        shift = bias - mean * scale
        wide = torch.promote_types(x.dtype, torch.float32)
        scale, shift = (each.reshape(-1, x.shape[1], 1, 1).to(x.device, wide) for each in (scale, shift))
        return torch.addcmul(shift, x.to(wide), scale).to(x.dtype)

    def extra_repr(self) -> str:
        """Show what `print(network)` should tell about this layer."""
        return f"{len(self.weight)}, {self.kind}, statistics={self.statistics}"


def norm_layer(channels: int, kind: NormKind) -> nn.Module:
    """Build the normalisation of `channels` channels, or the identity for "none"."""
    return nn.Identity() if kind == "none" else Norm(channels, kind)


def synchronise(network: nn.Module) -> None:
    """Let every BatchNorm in `network` normalise by the batches of all processes when it trains."""
    for module in network.modules():
        if isinstance(module, Norm):
            module.synchronised = module.kind == "batch"


def _over_all_processes(
    x: Tensor, weight: Tensor, bias: Tensor, means: Tensor, variances: Tensor, eps: float, momentum: float
) -> Tensor:
    """Normalise as nn.SyncBatchNorm does in training, and move the averages."""
    own = {"weight": weight, "bias": bias, "running_mean": means, "running_var": variances}
    output: Tensor = functional_call(_sync_batch_norm(len(weight), eps, momentum), own, x)
    return output


@cache
def _sync_batch_norm(channels: int, eps: float, momentum: float) -> nn.SyncBatchNorm:
    """Build a layer without weights of its own, which would otherwise have other names in checkpoints."""
    return nn.SyncBatchNorm(channels, eps, momentum, device="meta")


@torch.no_grad()
def fold_norms(network: nn.Module) -> None:
    """Put each norm with running statistics into the convolution before it, in place: the same function, faster.

    Both are affine: s (w * x + b - mean) + bias = (s w) * x + (s (b - mean) + bias), where s = weight / deviation.
    """
    for layers in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for i in range(1, len(layers)):
            before, norm = layers[i - 1], layers[i]
            convolution = before[-1] if isinstance(before, nn.Sequential) else before
            if not isinstance(norm, Norm) or not isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d):
                continue
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            outputs = 0 if isinstance(convolution, nn.Conv2d) else 1
            convolution.weight.mul_(scale.view([-1 if d == outputs else 1 for d in range(4)]))
            bias = 0 if convolution.bias is None else convolution.bias
            convolution.bias = nn.Parameter(scale * (bias - norm.running_mean) + norm.bias)
            layers[i] = nn.Identity()
