"""Convolutions of stride 1 with fewer multiplications, by minimal filtering: exact but for rounding.

Winograd: Arithmetic complexity of computations, 1980. Lavin, Gray: Fast algorithms for convolutional neural networks,
2016, section 4: Y = A^T [(G g G^T) * (B^T d B)] A for each tile d of the input and each kernel g, summed over channels.
With the transforms of all tiles and kernels at hand, the sum over channels is one matrix product for each of the n^2
elements of a tile. m^2 outputs then take n^2 multiplications, n = m + r - 1, and not m^2 r^2: 49 and not 256.
"""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

_M = 4  # outputs of a tile, in each direction: more of them lose digits
_POINTS = (0, 1, -1, 2, -2, 1 / 2)  # where polynomials are compared, beside infinity: few digits are lost at small ones


def convolve(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """Convolve (N, C, H, W) with (O, C, r, r), r = 3 or 4, at stride 1 and with zeros around: (N, O, H', W')."""
    n, channels, height, width = x.shape
    outputs, _, r, _ = weight.shape
    size = height + 2 * padding - r + 1, width + 2 * padding - r + 1
    down, across = (-(-length // _M) for length in size)
    tile = _M + r - 1
    bottom, right = (count * _M + r - 1 - length - padding for count, length in ((down, height), (across, width)))
    of_output, of_kernel, of_input = _TRANSFORMS[r, x.dtype]

    patches = F.unfold(F.pad(x, (padding, right, padding, bottom)), tile, stride=_M).view(n, channels, tile**2, -1)
    inputs = torch.einsum("pq,ncqt->pcnt", of_input, patches).flatten(2)  # (n^2, C, N tiles)
    kernels = (of_kernel @ weight.reshape(-1, r * r).t()).view(-1, outputs, channels)  # (n^2, O, C)
    sums = of_output @ torch.bmm(kernels, inputs).flatten(1)  # (m^2, O N tiles)
    y = sums.view(_M, _M, outputs, n, down, across).permute(3, 2, 4, 0, 5, 1)
    return y.reshape(n, outputs, down * _M, across * _M)[..., : size[0], : size[1]]


@torch.inference_mode(False)  # so that training can use them, whoever imports this first
def transforms(r: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return A^T, G and B^T for kernels of side r, each as one matrix for both directions: its Kronecker square.

    Both factors of a product of polynomials are evaluated at n - 1 points and at infinity, where they multiply number
    by number; filtering is the transpose of that (Toom and Cook).
    """
    n = _M + r - 1
    points = np.array(_POINTS[: n - 1])
    of_output, of_kernel, of_input = np.zeros((_M, n)), np.zeros((n, r)), np.zeros((n, n))
    for j, point in enumerate(points):
        others = np.delete(points, j)
        of_output[:, j] = point ** np.arange(_M)
        of_kernel[j] = point ** np.arange(r) / np.prod(point - others)
        of_input[j, :-1] = np.poly(others)[::-1]
    of_output[-1, -1] = of_kernel[-1, -1] = 1
    of_input[-1] = np.poly(points)[::-1]
    output, kernel, image = (torch.tensor(np.kron(x, x), dtype=dtype) for x in (of_output, of_kernel, of_input))
    return output, kernel, image


_TRANSFORMS = {(r, dtype): transforms(r, dtype) for r in (3, 4) for dtype in (torch.float32, torch.float64)}
