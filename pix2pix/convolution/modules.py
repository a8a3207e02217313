"""The convolutions of the networks, in the form that is fast where they run."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pix2pix.convolution.frozen import POSITIONS, can_filter, frozen_conv
from pix2pix.convolution.minimal import convolve
from pix2pix.convolution.products import conv_product, transposed_product

WIDE = 256  # channels on either side, from where minimal filtering was measured to pay
FEW = 256  # positions, over the whole batch: where PyTorch's convolutions catch up; measured at 256 to 1024 channels


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
            if can_filter(x, self.weight, self.bias, padding):
                return frozen_conv(x, self.weight, self.bias, padding)
            if self._is_wide() and (self.weight.requires_grad or x[0, 0].numel() >= POSITIONS):
                y = convolve(x, self.weight, padding)
                return y if self.bias is None else y + self.bias.view(-1, 1, 1)
        if self.by_product and x.device.type == "cpu" and x[:, 0].numel() <= FEW * stride**2:
            return conv_product(x, self.weight, self.bias, stride, padding)
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
            return transposed_product(x, self.weight, self.bias, self.stride[0], padding, extra)
        return super().forward(x, output_size)
