"""Convolutions that a CPU computes as matrix products where a few positions share large weights.

There the time goes into reading the weights, 16.8 MB for 512 to 512 channels of 4x4: a product reads them once, as they
lie in memory, while a library's convolution first brings them into another order. Elsewhere they are PyTorch's own.
"""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


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
