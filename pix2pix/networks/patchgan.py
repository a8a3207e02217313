"""The PatchGAN discriminator: it classifies overlapping patches whose size is its receptive field.

Isola et al. 2017, sections 3.2.2 and 6.1.2 (1x1, 16x16, 70x70 and 286x286; 34 and 142 are the depths between).
"""

from torch import Tensor, nn

from pix2pix.networks.conv import Conv
from pix2pix.networks.norm import NormKind, norm_layer

STRIDED_LAYERS = {16: 1, 34: 2, 70: 3, 142: 4, 286: 5}  # receptive field -> number of layers of stride 2


class PatchGAN(nn.Module):
    """A convolutional discriminator with a receptive field of `patch` x `patch` pixels.

    Input (N, input_nc, H, W), output (N, 1, h, w): a logit for each patch. H and W are at least `smallest`, below which
    the last norm would have a single position.
    """

    def __init__(self, input_nc: int, *, patch: int = 70, ndf: int = 64, norm: NormKind = "batch"):
        super().__init__()
        if patch == 1:
            self.smallest = 2
            widths, strides, kernel, padding = [ndf, 2 * ndf], [1, 1], 1, 0
        else:
            strided = STRIDED_LAYERS[patch]
            self.smallest = 3 * 2**strided
            widths = [ndf * min(2**i, 8) for i in range(strided + 1)]
            strides, kernel, padding = [2] * strided + [1], 4, 1
        bias = norm == "none"
        layers: list[nn.Module] = [Conv(input_nc, widths[0], kernel, strides[0], padding), nn.LeakyReLU(0.2)]
        for i in range(1, len(widths)):
            layers += [Conv(widths[i - 1], widths[i], kernel, strides[i], padding, bias=bias)]
            layers += [norm_layer(widths[i], norm), nn.LeakyReLU(0.2)]
        layers += [Conv(widths[-1], 1, kernel, 1, padding)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of (N, input_nc, H, W)."""
        logits: Tensor = self.layers(x)  # (N, 1, 30, 30) for patch 70 and 256x256
        return logits
