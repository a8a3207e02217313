"""What weights begin with."""

from typing import Literal

import torch
from torch import nn

from pix2pix.layers.norm import Norm

InitType = Literal["normal", "xavier", "kaiming", "orthogonal"]


def initialise(network: nn.Module, init_type: InitType, gain: float, generator: torch.Generator) -> None:
    """Draw all weights anew: convolutions by `init_type`, norm weights from N(1, gain), every bias 0.

    Source: pix2pix, section 6.2: N(0, 0.02). The other types and the gain's use in them are those of the common
    PyTorch implementations of the paper.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            if init_type == "normal":
                nn.init.normal_(module.weight, 0.0, gain, generator=generator)
            elif init_type == "xavier":
                nn.init.xavier_normal_(module.weight, gain=gain, generator=generator)
            elif init_type == "kaiming":
                nn.init.kaiming_normal_(module.weight, generator=generator)
            else:
                nn.init.orthogonal_(module.weight, gain=gain, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Norm):
            nn.init.normal_(module.weight, 1.0, gain, generator=generator)
            nn.init.zeros_(module.bias)
