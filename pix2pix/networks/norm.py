"""Normalization (also of many styles, and AdaIN) and dropout, with their test-time state in the open.

Huang, Belongie: Arbitrary style transfer in real-time with adaptive instance normalization, 2017:
AdaIN(x, y) = sigma(y) (x - mu(x)) / sigma(x) + mu(y), equation 8.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.func import functional_call

from pix2pix.errors import UserError

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


def synchronize_batch_norm(network: nn.Module) -> None:
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


class ConditionalInstanceNorm(nn.Module):
    """Instance norm z = gamma_s (x - mu) / sigma + beta_s, where each image's style s has a gamma and beta of its own.

    `weight` (gamma) and `bias` (beta) are (styles, C). A blend of styles has the blend of theirs.

    Source: Dumoulin, Shlens, Kudlur: A learned representation for artistic style, 2017, equation 5.
    """

    def __init__(self, channels: int, styles: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(styles, channels))
        self.bias = nn.Parameter(torch.zeros(styles, channels))
        self.eps = eps

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        """Normalise (N, C, H, W) in the styles of which each image (N, styles), or position, has these shares.

        Shares by position (N, styles, H', W') may be of any size, and are averaged to that of x.
        """
        shares = shares.to(self.weight)
        here = F.adaptive_avg_pool2d(shares, (x.shape[2], x.shape[3])) if shares.ndim == 4 else shares[:, :, None, None]
        weight, bias = (torch.einsum("nshw,sc->nchw", here, table) for table in (self.weight, self.bias))
        return torch.addcmul(bias, F.instance_norm(x, eps=self.eps), weight)

    @torch.no_grad()
    def told(self, shares: Tensor) -> Norm:
        """Return the norm of one image (1, styles) in its styles, which is an instance norm like any other."""
        norm = Norm(self.weight.shape[1], "instance", self.eps).to(self.weight)
        norm.weight.copy_((shares.to(self.weight) @ self.weight)[0])
        norm.bias.copy_((shares.to(self.weight) @ self.bias)[0])
        return norm

    def extra_repr(self) -> str:
        """Show what `print(network)` should tell about this layer."""
        return f"{self.weight.shape[1]}, styles={len(self.weight)}"


_EPS = 1e-5  # of the authors' code, added to the content's variance: a constant channel has no deviation


def channel_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and deviation over the positions of (N, C, H, W), both (N, C), in float32 at least.

    Source: Huang and Belongie 2017, equations 5 and 6, without their epsilon, as in the authors' code.
    """
    variance, mean = torch.var_mean(_wide(features), (2, 3), correction=0)
    return mean, variance.sqrt()


class AdaIN(nn.Module):
    """AdaIN to the mean and deviation of a style, (N, C) or (1, C) for all images, mixed with its input.

    `alpha` is the result's share, from 0 (the input as it is) to 1. As the result is linear in mean and deviation,
    those of several styles, weighted to a sum of 1, give the weighted sum of their results. Input and output:
    (N, C, H, W).

    Source: Huang and Belongie 2017, equations 8 and 14.
    """

    statistics: Statistics = "image"  # as of a Norm
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, alpha: float = 1.0):
        super().__init__()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Give each channel of (N, C, H, W) the style's mean and deviation."""
        variance, mean = torch.var_mean(_wide(x), (2, 3), correction=0)
        return self._transferred(x, mean, variance, self.mean, self.std)

    def normalised(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Do the same by statistics of x that are given: (N, C)."""
        known = (mean, variance, self.mean, self.std)
        return self._transferred(x, *(each.cpu().double() for each in known))  # an Apple GPU has no doubles

    def _transferred(self, x: Tensor, mean: Tensor, variance: Tensor, to_mean: Tensor, to_std: Tensor) -> Tensor:
        factor = to_std * (variance + _EPS).rsqrt()
        scale = self.alpha * factor + (1 - self.alpha)
        shift = self.alpha * (to_mean - mean * factor)
        wide = _wide(x)
        scale, shift = (each.to(wide.device, wide.dtype)[..., None, None] for each in (scale, shift))
        return torch.addcmul(shift, wide, scale).to(x.dtype)


def adain_regions(x: Tensor, means: Tensor, stds: Tensor, masks: Tensor, alpha: float = 1.0) -> Tensor:
    """AdaIN of each of K regions to a style of its own, from and to (N, C, H, W).

    `means` and `stds` are (K, C). `masks` (K, 1, H, W) in [0, 1] weight the positions in a region's statistics, and say
    how much of its result goes into the joined one, as shares whose sum is 1. Where all are 0, x stays as it is.

    Source: statistics of x by region are those of the authors' code, which knows two regions and hard masks.
    """
    wide = _wide(x)
    masks = masks.to(wide)
    tiny = torch.finfo(wide.dtype).tiny
    shares = masks / masks.sum(0).clamp_min(tiny)
    joined = (1 - shares.sum(0)) * wide
    for mean, std, mask, share in zip(means.to(wide), stds.to(wide), masks, shares, strict=True):
        total = mask.sum().clamp_min(tiny)
        centred = wide - (mask * wide).sum((2, 3), keepdim=True) / total
        variance = (mask * centred.square()).sum((2, 3), keepdim=True) / total
        factor = std[:, None, None] * (variance + _EPS).rsqrt()
        joined = joined + share * torch.addcmul(mean[:, None, None], centred, factor)
    return torch.lerp(wide, joined, alpha).to(x.dtype)


def _wide(x: Tensor) -> Tensor:
    """The same in float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Dropout(nn.Module):
    """Dropout whose switch is `active`, not the module's training flag."""

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p
        self.active = True

    def forward(self, x: Tensor) -> Tensor:
        """Zero each element with probability p and scale the others by 1 / (1 - p), if active.

        They are drawn in the order of (N, C, H, W), in whatever order they lie in memory.
        """
        return F.dropout(x.contiguous(), self.p) if self.active else x


@contextmanager
def eval_mode(network: nn.Module, *, statistics: Statistics, dropout: bool) -> Iterator[None]:
    """Set the statistics of every Norm and the state of every Dropout in `network`, and restore them at the end.

    Raises:
        UserError: "running" is asked of a network that keeps no running statistics.
    """
    norms = [module for module in network.modules() if isinstance(module, Norm)]
    dropouts = [module for module in network.modules() if isinstance(module, Dropout)]
    if statistics == "running" and any(norm.kind != "batch" for norm in norms):
        raise UserError(
            "--norm_stats running needs a network trained with BatchNorm, and this one has InstanceNorm, "
            "which keeps no running statistics; use --norm_stats image"
        )
    before = [norm.statistics for norm in norms], [layer.active for layer in dropouts]
    try:
        for norm in norms:
            norm.statistics = statistics
        for layer in dropouts:
            layer.active = dropout
        yield
    finally:
        for norm, old_statistics in zip(norms, before[0], strict=True):
            norm.statistics = old_statistics
        for layer, old_active in zip(dropouts, before[1], strict=True):
            layer.active = old_active
