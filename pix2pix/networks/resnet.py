"""The ResNet generator of CycleGAN (Zhu et al. 2017), after Johnson et al. 2016."""

from torch import Tensor, nn

from pix2pix.networks.conv import Output, Upsample, upsample_block
from pix2pix.networks.norm import Dropout, NormKind, norm_layer
from pix2pix.networks.receptive_field import Stage, list_stages


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with reflection padding, added to their input; no activation after the addition."""

    def __init__(self, channels: int, norm: NormKind, dropout: bool):
        super().__init__()
        bias = norm == "none"
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=bias),
            norm_layer(channels, norm),
            nn.ReLU(),
            *([Dropout(0.5)] if dropout else []),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=bias),
            norm_layer(channels, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        out: Tensor = x + self.layers(x)
        return out


class ResnetGenerator(nn.Module):
    """Two strided convolutions, `blocks` residual blocks, two upsamplings, 7x7 convolutions at both ends.

    Input (N, input_nc, H, W), output (N, output_nc, H, W), in [-1, 1] unless `output` is "linear". H and W are
    multiples of `multiple` = 16: 4 for the strides, and enough positions for reflection and norms in the blocks.
    """

    multiple = 16

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        *,
        blocks: int = 9,
        ngf: int = 64,
        norm: NormKind = "batch",
        upsample: Upsample = "transpose",
        dropout: bool = True,
        output: Output = "tanh",
    ):
        super().__init__()
        bias = norm == "none"
        layers: list[nn.Module] = [
            nn.Conv2d(input_nc, ngf, 7, padding=3, padding_mode="reflect", bias=bias),
            norm_layer(ngf, norm),
            nn.ReLU(),
        ]
        for width in (ngf, 2 * ngf):
            layers += [nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), norm_layer(2 * width, norm), nn.ReLU()]
        layers += [ResidualBlock(4 * ngf, norm, dropout) for _ in range(blocks)]
        for width in (4 * ngf, 2 * ngf):
            layers += [upsample_block(width, width // 2, upsample, kernel=3, bias=bias)]
            layers += [norm_layer(width // 2, norm), nn.ReLU()]
        layers += [nn.Conv2d(ngf, output_nc, 7, padding=3, padding_mode="reflect")]
        layers += [nn.Tanh()] if output == "tanh" else []
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Translate (N, input_nc, H, W) to (N, output_nc, H, W)."""
        out: Tensor = self.layers(x)
        return out

    def stages(self) -> list[Stage]:
        """Return the operations of the network, for tiles."""
        stages: list[Stage] = []
        between: list[nn.Module] = []
        for layer in self.layers:
            if isinstance(layer, ResidualBlock):
                stages += list_stages(between, (len(stages) - 1,), len(stages))
                between, entry = [], len(stages) - 1
                stages += list_stages([layer.layers], (entry,), len(stages))
                stages[-1] = stages[-1]._replace(added=entry)
            else:
                between.append(layer)
        return stages + list_stages(between, (len(stages) - 1,), len(stages))
