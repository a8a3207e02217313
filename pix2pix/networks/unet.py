"""The U-Net generator of pix2pix, and the paper's encoder-decoder: the same network without skips.

Isola, Zhu, Zhou, Efros: Image-to-image translation with conditional adversarial networks, 2017, section 6.1.1.
"""

import torch
from torch import Tensor, nn

from pix2pix.networks.conv import Conv, Output, Upsample, upsample_block
from pix2pix.networks.norm import Dropout, NormKind, norm_layer
from pix2pix.networks.receptive_field import Stage, list_stages


class UNet(nn.Module):
    """An encoder of `depth` strided convolutions, a decoder of as many upsamplings, and a skip at each resolution.

    Input (N, input_nc, H, W), output (N, output_nc, H, W), in [-1, 1] unless `output` is "linear"; H and W are
    multiples of `multiple` = 2^depth. Channels: ngf, 2 ngf, 4 ngf, then 8 ngf. Dropout is in the first three decoder
    layers.
    """

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        *,
        depth: int = 8,
        ngf: int = 64,
        norm: NormKind = "batch",
        skips: bool = True,
        upsample: Upsample = "transpose",
        dropout: bool = True,
        output: Output = "tanh",
    ):
        super().__init__()
        self.multiple = 2**depth
        self.skips = skips
        widths = [ngf * min(2**i, 8) for i in range(depth)]
        bias = (
            norm == "none"
        )  # redundant before a norm; the authors' code has none in the two layers without norm either

        self.encoder = nn.ModuleList([Conv(input_nc, widths[0], 4, 2, 1, bias=bias)])
        for i in range(1, depth):
            layer = [nn.LeakyReLU(0.2), Conv(widths[i - 1], widths[i], 4, 2, 1, bias=bias)]
            if i < depth - 1:  # a norm on the 1x1 bottleneck would set it to 0 (the paper's erratum)
                layer.append(norm_layer(widths[i], norm))
            self.encoder.append(nn.Sequential(*layer))

        self.decoder = nn.ModuleList()
        for i in reversed(range(1, depth)):
            inputs = widths[i] * (2 if skips and i < depth - 1 else 1)
            layer = [nn.ReLU(), upsample_block(inputs, widths[i - 1], upsample, kernel=4, bias=bias)]
            layer.append(norm_layer(widths[i - 1], norm))
            if dropout and i >= depth - 3:  # the first three decoder layers, as in the paper
                layer.append(Dropout(0.5))
            self.decoder.append(nn.Sequential(*layer))
        inputs = widths[0] * (2 if skips else 1)
        layer = [nn.ReLU(), upsample_block(inputs, output_nc, upsample, kernel=4, bias=True)]
        self.decoder.append(nn.Sequential(*layer, *([nn.Tanh()] if output == "tanh" else [])))

    def forward(self, x: Tensor) -> Tensor:
        """Translate (N, input_nc, H, W) to (N, output_nc, H, W)."""
        skips = []
        for layer in self.encoder:
            x = layer(x)  # layer i: (N, widths[i], H / 2^(i+1), W / 2^(i+1))
            skips.append(x)
        skips.pop()  # the bottleneck (N, widths[-1], H / 2^depth, W / 2^depth) is not a skip
        for layer in self.decoder:
            x = layer(x)  # half the channels or the same, twice the height and width
            if self.skips and skips:
                x = torch.cat([skips.pop(), x], dim=1)  # the channels of both
        return x  # (N, output_nc, H, W)

    def stages(self) -> list[Stage]:
        """Return the operations of the network, for tiles."""
        stages: list[Stage] = []
        for layer in self.encoder:
            stages += list_stages([layer], (len(stages) - 1,), len(stages))
        depth = len(stages)
        for number, layer in enumerate(self.decoder):
            skip = (depth - 1 - number,) if self.skips and number > 0 else ()
            stages += list_stages([layer], (*skip, len(stages) - 1), len(stages))
        return stages
