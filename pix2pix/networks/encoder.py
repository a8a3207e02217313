"""The encoder of AdaIN: VGG-19 to relu4_1, frozen, which sees images in [-1, 1].

Huang, Belongie: Arbitrary style transfer in real-time with adaptive instance normalization, 2017, section 6.1; the
network is that of Simonyan and Zisserman 2015, with reflection padding.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from pix2pix.convolution import Conv
from pix2pix.layers import Stage, stages_of
from pix2pix.networks.backbones import FeatureExtractor

Blocks = Sequence[Sequence[int]]  # channels of each convolution; between two blocks the size is halved or doubled
VGG19_TO_RELU4_1: Blocks = ((64, 64), (128, 128), (256, 256, 256, 256), (512,))


class Encoder(nn.Module):
    """VGG-19 to relu4_1, whose weights come from a `FeatureExtractor` or from a checkpoint, and stay as they are.

    Unlike those of an extractor they are in the state_dict: what translates with them needs no other file. Input
    (N, 3, H, W) in [-1, 1], output (N, 512, H / 8, W / 8); H and W are multiples of `multiple` = 16, so that 2x2
    features are left to reflect.
    """

    multiple = 16

    def __init__(self, blocks: Blocks = VGG19_TO_RELU4_1):
        super().__init__()
        layers: list[nn.Module] = []
        for before, block in zip(channels_before(blocks), blocks, strict=True):
            for inputs, outputs in pairwise((before, *block)):
                layers += [Conv(inputs, outputs, 3, padding=1, padding_mode="reflect"), nn.ReLU()]
            layers += [nn.MaxPool2d(2, 2)]
        self.layers = nn.Sequential(*layers[:-1]).requires_grad_(False)

    @classmethod
    @torch.no_grad()
    def of(cls, extractor: FeatureExtractor) -> Self:
        """Copy the weights of a VGG-19, rescaled or not, that goes to relu4_1 or further.

        What it does to the image before goes into the first convolution, which reflection padding allows.
        """
        encoder = cls().to(extractor.scale)
        own, others = (
            [layer for layer in layers if isinstance(layer, nn.Conv2d)] for layers in (encoder.layers, extractor.steps)
        )
        for mine, other in zip(own, others, strict=False):  # of which there may be more
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
        """Return the same network for images that are translated by windows."""
        return stages_of([self.layers], (-1,), 0)


def channels_before(blocks: Blocks) -> list[int]:
    """Return how many channels each block reads; the first sees an image in colours."""
    return [3, *(block[-1] for block in blocks[:-1])]
