"""The PatchGAN discriminator: a convolutional judge of patches whose size is its receptive field.

Isola et al. 2017, sections 3.2.2 and 6.1.2 (1x1, 16x16, 70x70 and 286x286; 34 and 142 lie between).
"""

from torch import Tensor, nn

from pix2pix.networks.conv import Conv
from pix2pix.networks.norm import NormKind, norm_layer

HALVINGS = {16: 1, 34: 2, 70: 3, 142: 4, 286: 5}  # receptive field -> number of layers of stride 2


class PatchGAN(nn.Module):
    """Logits (N, 1, h, w), one per patch of `patch` x `patch` pixels of the input (N, input_nc, H, W).

    H and W are at least `smallest`, below which the last norm would have a single position.
    """

    def __init__(self, input_nc: int, *, patch: int = 70, ndf: int = 64, norm: NormKind = "batch"):
        super().__init__()
        if patch == 1:
            self.smallest = 2
            widths, strides, kernel, padding = [ndf, 2 * ndf], [1, 1], 1, 0
        else:
            halvings = HALVINGS[patch]
            self.smallest = 3 * 2**halvings
            widths = [ndf * min(2**i, 8) for i in range(halvings + 1)]
            strides, kernel, padding = [2] * halvings + [1], 4, 1
        bias = norm == "none"
        layers: list[nn.Module] = [Conv(input_nc, widths[0], kernel, strides[0], padding), nn.LeakyReLU(0.2)]
        for i in range(1, len(widths)):
            layers += [Conv(widths[i - 1], widths[i], kernel, strides[i], padding, bias=bias)]
            layers += [norm_layer(widths[i], norm), nn.LeakyReLU(0.2)]
        layers += [Conv(widths[-1], 1, kernel, 1, padding)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Judge (N, input_nc, H, W); for patch 70 and 256x256 the logits are (N, 1, 30, 30)."""
        logits: Tensor = self.layers(x)
        return logits
