"""Conditional instance norm: one network, and of every norm a weight and a bias for each of many styles."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pix2pix.layers.norm import Norm


class ConditionalNorm(nn.Module):
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
