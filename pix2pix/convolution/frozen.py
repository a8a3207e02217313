"""Convolutions by kernels of 3x3 that stay as they are: minimal filtering by NNPACK, which PyTorch has on board.

Lavin, Gray: Fast algorithms for convolutional neural networks, 2016, section 4, as F(6x6, 3x3): 36 outputs take 64
multiplications and not 324. Its transforms are one pass over the image each, where those of minimal.py, of PyTorch's
own operations, are several; so it pays from 64 channels on and keeps nothing for the way back. The gradient of the
input is again a convolution, by the kernels turned round; frozen weights need no other.

PyTorch has no public way to NNPACK for single images, hence the private name, which is used where it is there and where
it was measured to pay: with AVX2, an iteration of Gatys' method takes 1.2 (256 pixels) to 1.4 (512) times as long
without it. With AVX-512, which PyTorch's own convolutions use and NNPACK does not, it was slower.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHANNELS = 64  # on either side, from where it was measured to pay
POSITIONS = 512  # of an image, from where they outweigh the transforms of the kernels; measured at 64 to 512 channels


def can_filter(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> bool:
    """Say whether `frozen_conv` can do a convolution of stride 1, and was measured to be the faster way."""
    tensors = (x, weight) if bias is None else (x, weight, bias)
    return (
        weight.shape[2:] == (3, 3)
        and padding <= 2
        and min(weight.shape[:2]) >= CHANNELS
        and x[0, 0].numel() >= POSITIONS
        and all(tensor.dtype == torch.float32 for tensor in tensors)
        and not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors[1:]))
        and not torch.compiler.is_compiling()  # compilers know nothing of it
        and _is_available()
    )


def frozen_conv(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
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
