"""Norms (batch, instance, conditional instance, AdaIN) and dropout, with explicit state for test time.

The norm is chosen by batch size (--norm auto): BatchNorm for batches, InstanceNorm for single pairs, as in the paper.
At batch 1 both are the same function: see `Norm`.

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
    """Affine normalization per channel with statistics of the batch, of each image, or of training.

    `statistics` is "batch" (mean and variance over N, H, W; updates the running averages), "image" (over H, W of each
    image: instance norm) or "running" (the running averages, only for kind "batch"). At N = 1 the first two are the
    same function. A `synchronized` norm uses the batches of all processes, on CUDA only.
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
        self.synchronized = False
        if kind == "batch":
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, H, W) with the statistics that `statistics` selects."""
        if self.statistics == "running":
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        if self.statistics == "batch" and self.kind == "batch":
            means, variances = self.running_mean, self.running_var
            if self.synchronized:
                return _normalize_over_processes(x, self.weight, self.bias, means, variances, self.eps, self.momentum)
            return F.batch_norm(x, means, variances, self.weight, self.bias, True, self.momentum, self.eps)
        if len(x) == 1:  # the same function, faster
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        return F.instance_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)

    def normalize(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Normalize (N, C, H, W) with given statistics: (N, C), or (C) for all images."""
        known = (self.weight, self.bias, mean, variance)
        weight, bias, mean, variance = (each.cpu().double() for each in known)  # MPS has no float64
        scale = weight * (variance + self.eps).rsqrt()
        shift = bias - mean * scale
        wide = torch.promote_types(x.dtype, torch.float32)
        scale, shift = (each.reshape(-1, x.shape[1], 1, 1).to(x.device, wide) for each in (scale, shift))
        return torch.addcmul(shift, x.to(wide), scale).to(x.dtype)

    def extra_repr(self) -> str:
        """Return the description in `print(network)`."""
        return f"{len(self.weight)}, {self.kind}, statistics={self.statistics}"


def norm_layer(channels: int, kind: NormKind) -> nn.Module:
    """Build the norm of `channels` channels, or the identity for "none"."""
    return nn.Identity() if kind == "none" else Norm(channels, kind)


def synchronize_batch_norm(network: nn.Module) -> None:
    """Make every BatchNorm of a network normalize over the batches of all processes in training."""
    for module in network.modules():
        if isinstance(module, Norm):
            module.synchronized = module.kind == "batch"


def _normalize_over_processes(
    x: Tensor, weight: Tensor, bias: Tensor, means: Tensor, variances: Tensor, eps: float, momentum: float
) -> Tensor:
    """Normalize as nn.SyncBatchNorm does in training, and update the running averages."""
    own = {"weight": weight, "bias": bias, "running_mean": means, "running_var": variances}
    output: Tensor = functional_call(_build_sync_batch_norm(len(weight), eps, momentum), own, x)
    return output


@cache
def _build_sync_batch_norm(channels: int, eps: float, momentum: float) -> nn.SyncBatchNorm:
    """Build a layer without weights, so that the names in checkpoints stay the same."""
    return nn.SyncBatchNorm(channels, eps, momentum, device="meta")


@torch.no_grad()
def fold_norms(network: nn.Module) -> None:
    """Fold each norm with running statistics into the convolution before it, in place.

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
    """Instance norm z = gamma_s (x - mu) / sigma + beta_s, with a gamma and beta for each style s.

    `weight` (gamma) and `bias` (beta) are (styles, C). A blend of styles uses the blend of their gammas and betas.

    Source: Dumoulin, Shlens, Kudlur: A learned representation for artistic style, 2017, equation 5.
    """

    def __init__(self, channels: int, styles: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(styles, channels))
        self.bias = nn.Parameter(torch.zeros(styles, channels))
        self.eps = eps

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        """Normalize (N, C, H, W) with the shares of the styles in each image (N, styles), or by position.

        Shares by position (N, styles, H', W') may be of any size, and are averaged to that of x.
        """
        shares = shares.to(self.weight)
        here = F.adaptive_avg_pool2d(shares, (x.shape[2], x.shape[3])) if shares.ndim == 4 else shares[:, :, None, None]
        weight, bias = (torch.einsum("nshw,sc->nchw", here, table) for table in (self.weight, self.bias))
        return torch.addcmul(bias, F.instance_norm(x, eps=self.eps), weight)

    @torch.no_grad()
    def select(self, shares: Tensor) -> Norm:
        """Return the instance norm for the styles of one image (1, styles)."""
        norm = Norm(self.weight.shape[1], "instance", self.eps).to(self.weight)
        norm.weight.copy_((shares.to(self.weight) @ self.weight)[0])
        norm.bias.copy_((shares.to(self.weight) @ self.bias)[0])
        return norm

    def extra_repr(self) -> str:
        """Return the description in `print(network)`."""
        return f"{self.weight.shape[1]}, styles={len(self.weight)}"


_EPS = 1e-5  # added to the content's variance, as in the authors' code


def channel_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and deviation over the positions of (N, C, H, W), both (N, C), in float32 at least.

    Source: Huang and Belongie 2017, equations 5 and 6, without their epsilon, as in the authors' code.
    """
    variance, mean = torch.var_mean(_to_float32(features), (2, 3), correction=0)
    return mean, variance.sqrt()


class AdaIN(nn.Module):
    """AdaIN to the mean and deviation of a style, (N, C) or (1, C) for all images, mixed with its input.

    `alpha` is the share of the result, from 0 (the input) to 1. The result is linear in mean and deviation, so that
    their weighted means over several styles give the weighted mean of the results. Input and output: (N, C, H, W).

    Source: Huang and Belongie 2017, equations 8 and 14.
    """

    statistics: Statistics = "image"  # like a Norm
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, alpha: float = 1.0):
        super().__init__()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Give each channel of (N, C, H, W) the style's mean and deviation."""
        variance, mean = torch.var_mean(_to_float32(x), (2, 3), correction=0)
        return self._transfer(x, mean, variance, self.mean, self.std)

    def normalize(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Do the same with given statistics of x: (N, C)."""
        known = (mean, variance, self.mean, self.std)
        return self._transfer(x, *(each.cpu().double() for each in known))  # MPS has no float64

    def _transfer(self, x: Tensor, mean: Tensor, variance: Tensor, to_mean: Tensor, to_std: Tensor) -> Tensor:
        factor = to_std * (variance + _EPS).rsqrt()
        scale = self.alpha * factor + (1 - self.alpha)
        shift = self.alpha * (to_mean - mean * factor)
        wide = _to_float32(x)
        scale, shift = (each.to(wide.device, wide.dtype)[..., None, None] for each in (scale, shift))
        return torch.addcmul(shift, wide, scale).to(x.dtype)


def adain_regions(x: Tensor, means: Tensor, stds: Tensor, masks: Tensor, alpha: float = 1.0) -> Tensor:
    """Apply AdaIN with a style for each of K regions, from and to (N, C, H, W).

    `means` and `stds` are (K, C). `masks` (K, 1, H, W) in [0, 1] weight the positions in the statistics of a region,
    and the results of the regions, normalized to sum to 1. Where all are 0, x is unchanged.

    Source: statistics by region as in the authors' code, which has two regions and hard masks.
    """
    wide = _to_float32(x)
    masks = masks.to(wide)
    tiny = torch.finfo(wide.dtype).tiny
    shares = masks / masks.sum(0).clamp_min(tiny)
    joined = (1 - shares.sum(0)) * wide
    for mean, std, mask, share in zip(means.to(wide), stds.to(wide), masks, shares, strict=True):
        total = mask.sum().clamp_min(tiny)
        centered = wide - (mask * wide).sum((2, 3), keepdim=True) / total
        variance = (mask * centered.square()).sum((2, 3), keepdim=True) / total
        factor = std[:, None, None] * (variance + _EPS).rsqrt()
        joined = joined + share * torch.addcmul(mean[:, None, None], centered, factor)
    return torch.lerp(wide, joined, alpha).to(x.dtype)


def _to_float32(x: Tensor) -> Tensor:
    """Convert half precision to float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Dropout(nn.Module):
    """Dropout that is switched by `active` instead of the training flag."""

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p
        self.active = True

    def forward(self, x: Tensor) -> Tensor:
        """Zero each element with probability p and scale the others by 1 / (1 - p), if active.

        Random numbers are drawn in the order (N, C, H, W), whatever the memory layout.
        """
        return F.dropout(x.contiguous(), self.p) if self.active else x


@contextmanager
def eval_mode(network: nn.Module, *, statistics: Statistics, dropout: bool) -> Iterator[None]:
    """Set the statistics of all norms and the state of all dropouts of a network, and restore them at the end.

    Raises:
        UserError: "running" for a network without running statistics.
    """
    norms = [module for module in network.modules() if isinstance(module, Norm)]
    dropouts = [module for module in network.modules() if isinstance(module, Dropout)]
    if statistics == "running" and any(norm.kind != "batch" for norm in norms):
        raise UserError(
            "--norm_stats running needs a network trained with BatchNorm, and this one has InstanceNorm, "
            "which has no running statistics; use --norm_stats image"
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
