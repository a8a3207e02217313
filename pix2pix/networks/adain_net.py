"""The frozen VGG-19 encoder of AdaIN, and its decoder.

Huang, Belongie: Arbitrary style transfer in real-time with adaptive instance normalization, 2017, section 6.1: the
decoder mirrors the encoder, with nearest-neighbor upsampling instead of pooling, reflection padding, and no norms,
which would normalize all images to one style.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from pix2pix.networks.conv import Conv
from pix2pix.networks.feature_extractor import FeatureExtractor
from pix2pix.networks.receptive_field import Stage, list_stages

Blocks = Sequence[Sequence[int]]  # channels of each convolution; between two blocks the size is halved or doubled
VGG19_TO_RELU4_1: Blocks = ((64, 64), (128, 128), (256, 256, 256, 256), (512,))


class Encoder(nn.Module):
    """VGG-19 to relu4_1 with frozen weights, from a `FeatureExtractor` or a checkpoint.

    Unlike a `FeatureExtractor` it has its weights in the state_dict, so that translating needs no other file. Input
    (N, 3, H, W) in [-1, 1], output (N, 512, H / 8, W / 8); H and W are multiples of `multiple` = 16, so that the
    features are at least 2x2 for reflection.
    """

    multiple = 16

    def __init__(self, blocks: Blocks = VGG19_TO_RELU4_1):
        super().__init__()
        layers: list[nn.Module] = []
        for before, block in zip(get_input_channels(blocks), blocks, strict=True):
            for inputs, outputs in pairwise((before, *block)):
                layers += [Conv(inputs, outputs, 3, padding=1, padding_mode="reflect"), nn.ReLU()]
            layers += [nn.MaxPool2d(2, 2)]
        self.layers = nn.Sequential(*layers[:-1]).requires_grad_(False)

    @classmethod
    @torch.no_grad()
    def of(cls, extractor: FeatureExtractor) -> Self:
        """Copy the weights of a VGG-19 that reaches relu4_1.

        Its preprocessing is folded into the first convolution, which is exact with reflection padding.
        """
        encoder = cls().to(extractor.scale)
        own, others = (
            [layer for layer in layers if isinstance(layer, nn.Conv2d)] for layers in (encoder.layers, extractor.steps)
        )
        for mine, other in zip(own, others, strict=False):  # the extractor may have more
            assert mine.bias is not None
            assert other.bias is not None
            mine.weight.copy_(other.weight)
            mine.bias.copy_(other.bias)
        first = own[0]
        assert first.bias is not None
        first.bias += (first.weight * extractor.shift).sum((1, 2, 3))
        first.weight *= extractor.scale
        return encoder

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) to the activations of relu4_1, (N, 512, H / 8, W / 8)."""
        features: Tensor = self.layers(image)
        return features

    def stages(self) -> list[Stage]:
        """Return the operations of the network, for tiles."""
        return list_stages([self.layers], (-1,), 0)


def get_input_channels(blocks: Blocks) -> list[int]:
    """Return the input channels of each block; the first takes an RGB image."""
    return [3, *(block[-1] for block in blocks[:-1])]


class Decoder(nn.Module):
    """The mirror image of the encoder: 3x3 convolutions and upsampling, without activation at the end.

    Input (N, 512, H, W), output (N, 3, 8 H, 8 W), trained to lie in [-1, 1]; H and W are at least 2.
    """

    def __init__(self, blocks: Blocks = VGG19_TO_RELU4_1):
        super().__init__()
        layers: list[nn.Module] = []
        for behind, block in reversed(list(zip(get_input_channels(blocks), blocks, strict=True))):
            for inputs, outputs in pairwise((*reversed(block), behind)):
                layers += [Conv(inputs, outputs, 3, padding=1, padding_mode="reflect"), nn.ReLU()]
            layers += [nn.Upsample(scale_factor=2)]
        self.layers = nn.Sequential(*layers[:-2])

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, 512, H, W) to images (N, 3, 8 H, 8 W)."""
        image: Tensor = self.layers(features)
        return image

    def stages(self, place: int) -> list[Stage]:
        """Return the operations of the network, for tiles; `place` is the index of the first."""
        return list_stages([self.layers], (place - 1,), place)
