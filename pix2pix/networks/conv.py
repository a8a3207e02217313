"""Convolutions: plain, transposed, upsampling, and three faster forms for a CPU.

All are exact but for rounding, and `Runtime` says which a layer may take.

- A matrix product, where a few positions share large weights. There the time goes into reading the weights, 16.8 MB
  for 512 to 512 channels of 4x4: a product reads them once, as they lie in memory, while a library's convolution first
  brings them into another order.
- Minimal filtering at stride 1, with fewer multiplications (Winograd: Arithmetic complexity of computations, 1980.
  Lavin, Gray: Fast algorithms for convolutional neural networks, 2016, section 4): Y = A^T [(G g G^T) * (B^T d B)] A
  for each tile d of the input and each kernel g, summed over channels. With the transforms of all tiles and kernels at
  hand, the sum over channels is one matrix product for each of the n^2 elements of a tile. m^2 outputs then take n^2
  multiplications, n = m + r - 1, and not m^2 r^2: 49 and not 256.
- Minimal filtering by NNPACK, which PyTorch has on board, for 3x3 kernels that are frozen, as F(6x6, 3x3): 36 outputs
  take 64 multiplications and not 324. Its transforms are one pass over the image each, where those of PyTorch's own
  operations are several; so it pays from 64 channels on and keeps nothing for the way back.

PyTorch has no public way to NNPACK for single images, hence the private name, which is used where it is there and where
it was measured to pay: with AVX2, an iteration of Gatys' method takes 1.2 (256 pixels) to 1.4 (512) times as long
without it. With AVX-512, which PyTorch's own convolutions use and NNPACK does not, it was slower.
"""

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEW = 256  # positions, over the whole batch: where PyTorch's convolutions catch up; measured at 256 to 1024 channels
WIDE = 256  # channels on either side, from where minimal filtering was measured to pay
FROZEN_CHANNELS = 64  # on either side, from where NNPACK was measured to pay
FROZEN_POSITIONS = 512  # of an image, from where it outweighs the transforms of the kernels; at 64 to 512 channels

_M = 4  # outputs of a tile, in each direction: more of them lose digits
_POINTS = (0, 1, -1, 2, -2, 1 / 2)  # where polynomials are compared, beside infinity: few digits are lost at small ones


class Conv(nn.Conv2d):
    """A square convolution with zeros around, or reflections.

    On a CPU, `by_product` lets it be computed as a product at few positions, `minimal` with fewer multiplications where
    it has stride 1 and channels enough, so that these outweigh the transforms; frozen weights need fewer channels and
    more positions for that.
    """

    by_product = False
    minimal = False

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, O, H', W')."""
        stride, padding = self.stride[0], int(self.padding[0])
        if self.padding_mode == "reflect":
            x, padding = F.pad(x, (padding,) * 4, mode="reflect"), 0
        if self.minimal and stride == 1 and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            if can_use_nnpack(x, self.weight, self.bias, padding):
                return nnpack_conv(x, self.weight, self.bias, padding)
            if self._is_wide() and (self.weight.requires_grad or x[0, 0].numel() >= FROZEN_POSITIONS):
                y = winograd_conv(x, self.weight, padding)
                return y if self.bias is None else y + self.bias.view(-1, 1, 1)
        if self.by_product and x.device.type == "cpu" and x[:, 0].numel() <= FEW * stride**2:
            return conv_gemm(x, self.weight, self.bias, stride, padding)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding)

    def _is_wide(self) -> bool:
        return self.kernel_size[0] in (3, 4) and min(self.weight.shape[:2]) >= WIDE


class ConvTranspose(nn.ConvTranspose2d):
    """A square transposed convolution; `by_product` lets a CPU compute it as a product at few positions."""

    by_product = False

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (N, C, H, W) to (N, O, H', W')."""
        if self.by_product and output_size is None and x.device.type == "cpu" and x[:, 0].numel() <= FEW:
            padding, extra = int(self.padding[0]), self.output_padding[0]
            return conv_transpose_gemm(x, self.weight, self.bias, self.stride[0], padding, extra)
        return super().forward(x, output_size)


def conv_gemm(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Convolve (N, C, H, W) with (O, C, k, k): one row of C k k values per position, times the weights.

    Rows, not columns: with few columns, some libraries' products are many times slower.
    """
    n, _, height, width = x.shape
    kernel = weight.shape[-1]
    out_height, out_width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
    rows = F.unfold(x, kernel, padding=padding, stride=stride).transpose(1, 2)  # (N, positions, C k k)
    y = F.linear(rows.flatten(0, 1), weight.flatten(1), bias)  # (N positions, O)
    return y.view(n, out_height, out_width, -1).permute(0, 3, 1, 2)


def conv_transpose_gemm(
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


def winograd_conv(x: Tensor, weight: Tensor, padding: int) -> Tensor:
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
def winograd_transforms(r: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
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


_TRANSFORMS = {(r, dtype): winograd_transforms(r, dtype) for r in (3, 4) for dtype in (torch.float32, torch.float64)}


def can_use_nnpack(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> bool:
    """Say whether `frozen_conv` can do a convolution of stride 1, and was measured to be the faster way."""
    tensors = (x, weight) if bias is None else (x, weight, bias)
    return (
        weight.shape[2:] == (3, 3)
        and padding <= 2
        and min(weight.shape[:2]) >= FROZEN_CHANNELS
        and x[0, 0].numel() >= FROZEN_POSITIONS
        and all(tensor.dtype == torch.float32 for tensor in tensors)
        and not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors[1:]))
        and not torch.compiler.is_compiling()  # compilers know nothing of it
        and _is_available()
    )


def nnpack_conv(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Convolve (N, C, H, W) with (O, C, 3, 3), all float32, at stride 1 and with zeros around: (N, O, H', W').

    `padding` is 0, 1 or 2. Only `x` gets a gradient, and that has none of its own.
    """
    y: Tensor = _FrozenConv.apply(x, weight, bias, padding)
    return y


class _FrozenConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.padding = padding
        return _filtered(x, weight, bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        turned = weight.flip(2, 3).transpose(0, 1)
        return _filtered(gradient, turned, None, 2 - ctx.padding), None, None, None


def _filtered(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Filter image by image: for several at once NNPACK takes other, slower ways."""
    weight = weight.contiguous()
    images = [torch._nnpack_spatial_convolution(image, weight, bias, padding) for image in torch.split(x, 1)]
    return images[0] if len(images) == 1 else torch.cat(images)


def _is_available() -> bool:
    """Return whether this PyTorch has NNPACK and the processor is of the kind where it was measured to pay."""
    if not hasattr(torch, "_nnpack_spatial_convolution") or torch.backends.cpu.get_cpu_capability() != "AVX2":
        return False
    available: bool = torch.backends.nnpack.is_available()  # type: ignore[no-untyped-call]
    return available


Output = Literal["tanh", "linear"]  # what the last convolution of a generator is followed by
Upsample = Literal["transpose", "nearest", "bilinear"]


def upsample_block(inputs: int, outputs: int, upsample: Upsample, *, kernel: int, bias: bool) -> nn.Module:
    """Map (N, inputs, H, W) to (N, outputs, 2H, 2W).

    "transpose" is the papers' transposed convolution of side `kernel` (4 in the U-Net, 3 in the residual network);
    "nearest" and "bilinear" resize first and convolve 3x3 after, which leaves no checkerboard (Odena et al. 2016).
    """
    if upsample == "transpose":
        output_padding = kernel % 2  # an odd kernel comes out one pixel short
        return ConvTranspose(inputs, outputs, kernel, 2, 1, output_padding, bias=bias)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode=upsample), Conv(inputs, outputs, 3, 1, 1, bias=bias))
