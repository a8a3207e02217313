from itertools import pairwise, product

import pytest
import torch

from pix2pix.images import reflect_to_multiple
from pix2pix.layers import Norm, initialise, switched
from pix2pix.networks.generators import build_generator
from pix2pix.tiling import TensorCanvas, translate

CPU = torch.device("cpu")


def network(name="unet_16", *, norm="instance", upsample="transpose", dropout=False, ngf=3, dtype=torch.float64):
    generator = build_generator(name, 2, 3, ngf=ngf, norm=norm, upsample=upsample, dropout=dropout)
    initialise(generator, "kaiming", 1.0, torch.Generator().manual_seed(1))
    for module in generator.modules():
        if isinstance(module, Norm) and norm == "batch":
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return generator.to(dtype)


def noise(height, width, dtype=torch.float64, count=1):
    return torch.rand(count, 2, height, width, generator=torch.Generator().manual_seed(0), dtype=dtype) * 2 - 1


@torch.inference_mode()
def both(generator, image, tile, statistics="image", dropout=False):
    outputs = []
    with switched(generator, statistics=statistics, dropout=dropout):
        canvas = TensorCanvas(image, 3)
        canvas.output = canvas.output.to(image.dtype)
        torch.manual_seed(5)
        translate(generator, generator.stages(), generator.multiple, canvas, tile, CPU)
        torch.manual_seed(5)
        padded, (rows, columns) = reflect_to_multiple(image, generator.multiple)
        outputs = [canvas.output, generator(padded)[..., rows, columns]]
    return outputs


def distance(*arguments, **choices):
    tiled, whole = both(*arguments, **choices)
    return (tiled - whole).abs().max().item()


def test_tiles_give_what_the_whole_image_gives():
    assert distance(network(), noise(150, 215), 64) < 1e-12

@pytest.mark.parametrize("upsample", ["transpose", "nearest", "bilinear"])
@pytest.mark.parametrize("name", ["unet_16", "encoder_decoder_32", "resnet_6blocks"])
@pytest.mark.parametrize("dropout", [False, True])
def test_every_generator(name, upsample, dropout):
    for norm, statistics in (("instance", "image"), ("batch", "running"), ("batch", "image"), ("none", "image")):
        generator = network(name, norm=norm, upsample=upsample, dropout=dropout)
        d = distance(generator, noise(97, 141), 33, statistics=statistics, dropout=dropout)
        assert d < 1e-12, (norm, d)
