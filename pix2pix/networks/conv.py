"""Convolutions and upsampling, with three faster algorithms for a CPU that `Runtime` switches on.

Their results differ only by rounding.

- GEMM, for few positions and large weights. There most time is spent on reading the weights, 16.8 MB for 512 to 512
  channels of 4x4: a matrix product reads them once, while a library's convolution first reorders them.
- Winograd's minimal filtering, at stride 1 (Winograd: Arithmetic complexity of computations, 1980. Lavin, Gray: Fast
  algorithms for convolutional neural networks, 2016, section 4): Y = A^T [(G g G^T) * (B^T d B)] A for each tile d of
  the input and each kernel g, summed over channels. The sum over channels is one matrix product for each of the n^2
  elements of a tile. m^2 outputs take n^2 multiplications, n = m + r - 1, instead of m^2 r^2: 49 instead of 256.
- Winograd by NNPACK, for frozen 3x3 kernels, as F(6x6, 3x3): 36 outputs take 64 multiplications instead of 324. It is
  faster from 64 channels on, and keeps nothing for backward.

NNPACK has no public function for single images in PyTorch, hence the private name. It is used on CPUs with AVX2, where
an iteration of Gatys' method takes 1.2 (256 pixels) to 1.4 (512) times as long without it, but not with AVX-512, which
PyTorch's convolutions use and NNPACK does not.
"""

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEW = 256  # positions of the whole batch, up to which GEMM is faster; measured at 256 to 1024 channels
WIDE = 256  # input and output channels, from which Winograd is faster
FROZEN_CHANNELS = 64  # input and output channels, from which NNPACK is faster
FROZEN_POSITIONS = 512  # of an image, from which NNPACK is faster; measured at 64 to 512 channels

_M = 4  # outputs of a tile per side: more lose precision
_POINTS = (0, 1, -1, 2, -2, 1 / 2)  # interpolation points, beside infinity: small ones lose little precision


class Conv(nn.Conv2d):
    """A convolution with a square kernel and zero or reflection padding.

    On a CPU, `gemm` allows a matrix product for few positions, `winograd` Winograd's algorithm for stride 1 and many
    channels (fewer for frozen weights).
    """

    gemm = False
    winograd = False

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, O, H', W')."""
        stride, padding = self.stride[0], int(self.padding[0])
        if self.padding_mode == "reflect":
            x, padding = F.pad(x, (padding,) * 4, mode="reflect"), 0
        if self.winograd and stride == 1 and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            if can_use_nnpack(x, self.weight, self.bias, padding):
                return nnpack_conv(x, self.weight, self.bias, padding)
            if self._is_wide() and (self.weight.requires_grad or x[0, 0].numel() >= FROZEN_POSITIONS):
                y = winograd_conv(x, self.weight, padding)
                return y if self.bias is None else y + self.bias.view(-1, 1, 1)
        if self.gemm and x.device.type == "cpu" and x[:, 0].numel() <= FEW * stride**2:
            return conv_gemm(x, self.weight, self.bias, stride, padding)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding)

    def _is_wide(self) -> bool:
        return self.kernel_size[0] in (3, 4) and min(self.weight.shape[:2]) >= WIDE


class ConvTranspose(nn.ConvTranspose2d):
    """A transposed convolution with a square kernel; on a CPU `gemm` allows a matrix product for few positions."""

    gemm = False

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (N, C, H, W) to (N, O, H', W')."""
        if self.gemm and output_size is None and x.device.type == "cpu" and x[:, 0].numel() <= FEW:
            padding, extra = int(self.padding[0]), self.output_padding[0]
            return conv_transpose_gemm(x, self.weight, self.bias, self.stride[0], padding, extra)
        return super().forward(x, output_size)


def conv_gemm(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Convolve (N, C, H, W) with (O, C, k, k) by a matrix product: a row of C k k values for each position.

    With columns instead of rows some libraries are many times slower.
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
    """Transposed convolution of (N, C, H, W) with (C, O, k, k): the sum of a patch of O k k values per position."""
    n, _, height, width = x.shape
    kernel = weight.shape[-1]
    size = tuple((side - 1) * stride - 2 * padding + kernel + output_padding for side in (height, width))
    rows = x.permute(0, 2, 3, 1).flatten(0, 2)  # (N positions, C)
    patches = (rows @ weight.flatten(1)).view(n, height * width, -1).transpose(1, 2)  # (N, O k k, positions)
    y = F.fold(patches, size, kernel, padding=padding, stride=stride)
    return y if bias is None else y + bias.view(-1, 1, 1)


def winograd_conv(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """Convolve (N, C, H, W) with (O, C, r, r), r = 3 or 4, with stride 1 and zero padding: (N, O, H', W')."""
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


@torch.inference_mode(False)  # so that training can use tensors that were created in inference mode
def winograd_transforms(r: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return A^T, G and B^T for kernels of side r, each as the Kronecker square for both directions.

    Polynomials are multiplied by evaluating them at n - 1 points and infinity; filtering is the transpose (Toom and
    Cook).
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
    """Return whether `nnpack_conv` supports a convolution of stride 1 and is faster."""
    tensors = (x, weight) if bias is None else (x, weight, bias)
    return (
        weight.shape[2:] == (3, 3)
        and padding <= 2
        and min(weight.shape[:2]) >= FROZEN_CHANNELS
        and x[0, 0].numel() >= FROZEN_POSITIONS
        and all(tensor.dtype == torch.float32 for tensor in tensors)
        and not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors[1:]))
        and not torch.compiler.is_compiling()  # not supported by compilers
        and _is_available()
    )


def nnpack_conv(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Convolve (N, C, H, W) with (O, C, 3, 3), all float32, with stride 1 and zero padding: (N, O, H', W').

    `padding` is 0, 1 or 2. Only `x` gets a gradient, without second derivatives.
    """
    y: Tensor = _FrozenConv.apply(x, weight, bias, padding)
    return y


class _FrozenConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.padding = padding
        return _convolve_each(x, weight, bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        turned = weight.flip(2, 3).transpose(0, 1)
        return _convolve_each(gradient, turned, None, 2 - ctx.padding), None, None, None


def _convolve_each(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Convolve image by image: for batches NNPACK uses slower algorithms."""
    weight = weight.contiguous()
    images = [torch._nnpack_spatial_convolution(image, weight, bias, padding) for image in torch.split(x, 1)]
    return images[0] if len(images) == 1 else torch.cat(images)


def _is_available() -> bool:
    """Return whether PyTorch has NNPACK, and the CPU is one on which it is faster."""
    if not hasattr(torch, "_nnpack_spatial_convolution") or torch.backends.cpu.get_cpu_capability() != "AVX2":
        return False
    available: bool = torch.backends.nnpack.is_available()  # type: ignore[no-untyped-call]
    return available


Output = Literal["tanh", "linear"]  # activation after the last convolution of a generator
Upsample = Literal["transpose", "nearest", "bilinear"]


def upsample_block(inputs: int, outputs: int, upsample: Upsample, *, kernel: int, bias: bool) -> nn.Module:
    """Map (N, inputs, H, W) to (N, outputs, 2H, 2W).

    "transpose" is the paper's transposed convolution of side `kernel` (4 in the U-Net, 3 in the ResNet); "nearest" and
    "bilinear" upsample and then convolve 3x3, which avoids checkerboards (Odena et al. 2016).
    """
    if upsample == "transpose":
        output_padding = kernel % 2  # with an odd kernel the output would lack one pixel
        return ConvTranspose(inputs, outputs, kernel, 2, 1, output_padding, bias=bias)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode=upsample), Conv(inputs, outputs, 3, 1, 1, bias=bias))
