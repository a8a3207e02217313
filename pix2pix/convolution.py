"""Convolutions that a CPU computes as matrix products where a few positions share large weights.

There the time goes into reading the weights, 16.8 MB for 512 to 512 channels of 4x4: a product reads them once, as they
lie in memory, while a library's convolution first brings them into another order. Elsewhere they are PyTorch's own.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pix2pix.minimal import convolve

WIDE = 256  # channels on either side, from where minimal filtering was measured to pay
FEW = 256  # positions, over the whole batch: where PyTorch's convolutions catch up; measured at 256 to 1024 channels


def conv_product(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Convolve (N, C, H, W) with (O, C, k, k): one row of C k k values per position, times the weights.

    Rows, not columns: with few columns, some libraries' products are many times slower.
    """
    n, _, height, width = x.shape
    kernel = weight.shape[-1]
    out_height, out_width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
    rows = F.unfold(x, kernel, padding=padding, stride=stride).transpose(1, 2)  # (N, positions, C k k)
    y = F.linear(rows.flatten(0, 1), weight.flatten(1), bias)  # (N positions, O)
    return y.view(n, out_height, out_width, -1).permute(0, 3, 1, 2)


def transposed_product(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, output_padding: int
) -> Tensor:
    """Convolve (N, C, H, W) transposed with (C, O, k, k): a patch of O k k values per position, all added."""
    n, _, height, width = x.shape
    kernel = weight.shape[-1]
    size = tuple((side - 1) * stride - 2 * padding + kernel + output_padding for side in (height, width))
    rows = x.permute(0, 2, 3, 1).flatten(0, 2)  # (N positions, C)
    patches = (rows @ weight.flatten(1)).view(n, height * width, -1).transpose(1, 2)  # (N, O k k, positions)
    y = F.fold(patches, size, kernel, padding=padding, stride=stride)
    return y if bias is None else y + bias.view(-1, 1, 1)


class Conv(nn.Conv2d):
    """A square convolution with zero padding.

    On a CPU, `by_product` lets it be computed as a product at few positions, `minimal` with fewer multiplications where
    it has stride 1 and channels enough, so that these outweigh the transforms.
    """

    by_product = False
    minimal = False

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, O, H', W')."""
        stride, padding = self.stride[0], int(self.padding[0])
        if self.minimal and self._is_wide() and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            y = convolve(x, self.weight, padding)
            return y if self.bias is None else y + self.bias.view(-1, 1, 1)
        if self.by_product and x.device.type == "cpu" and x[:, 0].numel() <= FEW * stride**2:
            return conv_product(x, self.weight, self.bias, stride, padding)
        return super().forward(x)

    def _is_wide(self) -> bool:
        return self.stride[0] == 1 and self.kernel_size[0] in (3, 4) and min(self.weight.shape[:2]) >= WIDE


class ConvTranspose(nn.ConvTranspose2d):
    """A square transposed convolution; `by_product` lets a CPU compute it as a product at few positions."""

    by_product = False

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (N, C, H, W) to (N, O, H', W')."""
        if self.by_product and output_size is None and x.device.type == "cpu" and x[:, 0].numel() <= FEW:
            padding, extra = int(self.padding[0]), self.output_padding[0]
            return transposed_product(x, self.weight, self.bias, self.stride[0], padding, extra)
        return super().forward(x, output_size)
