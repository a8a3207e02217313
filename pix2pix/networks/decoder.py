"""The decoder of AdaIN: the mirror image of its encoder, which turns features into an image.

Huang, Belongie: Arbitrary style transfer in real-time with adaptive instance normalization, 2017, section 6.1:
nearest neighbours double the size in place of pools, all padding is reflection, and there are no norms, which would
bring all images to one style.
"""

from itertools import pairwise

from torch import Tensor, nn

from pix2pix.convolution import Conv
from pix2pix.layers import Stage, stages_of
from pix2pix.networks.encoder import VGG19_TO_RELU4_1, Blocks, channels_before


class Decoder(nn.Module):
    """Convolutions of 3x3 between the channels of an encoder, in the opposite order, and nothing behind the last one.

    Input (N, 512, H, W), output (N, 3, 8 H, 8 W), trained to lie in [-1, 1]; H and W are 2 at least.
    """

    def __init__(self, blocks: Blocks = VGG19_TO_RELU4_1):
        super().__init__()
        layers: list[nn.Module] = []
        for behind, block in reversed(list(zip(channels_before(blocks), blocks, strict=True))):
            for inputs, outputs in pairwise((*reversed(block), behind)):
                layers += [Conv(inputs, outputs, 3, padding=1, padding_mode="reflect"), nn.ReLU()]
            layers += [nn.Upsample(scale_factor=2)]
        self.layers = nn.Sequential(*layers[:-2])

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, 512, H, W) to images (N, 3, 8 H, 8 W)."""
        image: Tensor = self.layers(features)
        return image

    def stages(self, place: int) -> list[Stage]:
        """Return the same network for images that are translated by windows, its input being the stage before place."""
        return stages_of([self.layers], (place - 1,), place)
