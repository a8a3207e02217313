"""The U-Net generator of pix2pix, and the same network without skips, the paper's encoder-decoder.

Isola, Zhu, Zhou, Efros: Image-to-image translation with conditional adversarial networks, 2017, section 6.1.1.
"""

import torch
from torch import Tensor, nn

from pix2pix.networks.conv import Conv, Output, Upsample, upsample_block
from pix2pix.networks.norm import Dropout, NormKind, norm_layer
from pix2pix.networks.receptive_field import Stage, list_stages


class UNet(nn.Module):
    """Encoder of `depth` halvings, decoder of as many doublings, and a skip from layer i to layer depth - i.

    Input (N, input_nc, H, W), output (N, output_nc, H, W), in [-1, 1] unless it is linear; H and W are multiples of
    `multiple` = 2^depth. Widths: ngf, 2 ngf, 4 ngf, then 8 ngf.
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
        bias = norm == "none"  # useless before a norm; the reference leaves it out in the two layers without one, too

        self.encoder = nn.ModuleList([Conv(input_nc, widths[0], 4, 2, 1, bias=bias)])
        for i in range(1, depth):
            layer = [nn.LeakyReLU(0.2), Conv(widths[i - 1], widths[i], 4, 2, 1, bias=bias)]
            if i < depth - 1:  # a norm on the 1x1 bottleneck would erase it (erratum of the paper)
                layer.append(norm_layer(widths[i], norm))
            self.encoder.append(nn.Sequential(*layer))

        self.decoder = nn.ModuleList()
        for i in reversed(range(1, depth)):
            inputs = widths[i] * (2 if skips and i < depth - 1 else 1)
            layer = [nn.ReLU(), upsample_block(inputs, widths[i - 1], upsample, kernel=4, bias=bias)]
            layer.append(norm_layer(widths[i - 1], norm))
            if dropout and i >= depth - 3:  # as in the paper: the first three layers of the decoder
                layer.append(Dropout(0.5))
            self.decoder.append(nn.Sequential(*layer))
        inputs = widths[0] * (2 if skips else 1)
        layer = [nn.ReLU(), upsample_block(inputs, output_nc, upsample, kernel=4, bias=True)]
        self.decoder.append(nn.Sequential(*layer, *([nn.Tanh()] if output == "tanh" else [])))

    def forward(self, x: Tensor) -> Tensor:
        """Translate (N, input_nc, H, W) to (N, output_nc, H, W)."""
        features = []
        for layer in self.encoder:
            x = layer(x)  # (N, widths[i], H / 2^(i+1), W / 2^(i+1))
            features.append(x)
        features.pop()  # the bottleneck itself is no skip
        for layer in self.decoder:
            x = layer(x)  # twice as high and wide
            if self.skips and features:
                x = torch.cat([features.pop(), x], dim=1)
        return x

    def stages(self) -> list[Stage]:
        """Return the same network for images that are translated by windows."""
        stages: list[Stage] = []
        for layer in self.encoder:
            stages += list_stages([layer], (len(stages) - 1,), len(stages))
        depth = len(stages)
        for number, layer in enumerate(self.decoder):
            skip = (depth - 1 - number,) if self.skips and number > 0 else ()
            stages += list_stages([layer], (*skip, len(stages) - 1), len(stages))
        return stages
