"""Dropout, and what of a network is switched when it translates."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pix2pix.errors import UserError
from pix2pix.layers.norm import Norm, Statistics


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
def switched(network: nn.Module, *, statistics: Statistics, dropout: bool) -> Iterator[None]:
    """Set the statistics of every Norm and the state of every Dropout in `network`, and restore them at the end.

    Raises:
        UserError: "running" is asked of a network that keeps no running statistics.
    """
    norms = [module for module in network.modules() if isinstance(module, Norm)]
    dropouts = [module for module in network.modules() if isinstance(module, Dropout)]
    if statistics == "running" and any(norm.kind != "batch" for norm in norms):
        raise UserError(
            "--statistics running needs a network trained with BatchNorm, and this one has InstanceNorm, "
            "which keeps no running statistics; use --statistics image"
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
