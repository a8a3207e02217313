"""A generator as a list of stages, for images that are translated by windows."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import nn

from pix2pix.layers.adain import AdaIN
from pix2pix.layers.norm import Norm

# what mixes neighbouring positions; of the pools only those of 2x2 without padding
Operation = nn.Conv2d | nn.ConvTranspose2d | nn.Upsample | nn.MaxPool2d
Normalisation = Norm | AdaIN  # what may need statistics of all positions; all else is pointwise


class Stage(NamedTuple):
    """A convolution, enlargement or pool of a generator, with what stands before and after it.

    What is before and after is pointwise but for a normalisation's statistics, of which there is one; a Dropout is the
    last.
    """

    inputs: tuple[int, ...]  # the stages whose outputs are joined along the channels; -1 is the image
    before: tuple[nn.Module, ...]
    operation: Operation
    after: tuple[nn.Module, ...]
    added: int | None = None  # the stage whose output is added to this one's


def stages_of(layers: Sequence[nn.Module], inputs: tuple[int, ...], place: int) -> list[Stage]:
    """Cut layers that stand in the order of the data into stages, the first of which is to have this place.

    The first reads `inputs`, each other one the stage before it; what follows an operation belongs to it.
    """
    layers = _flat(layers)
    places = [number for number, layer in enumerate(layers) if isinstance(layer, Operation)]
    stages = []
    for number, end in zip(places, [*places, len(layers)][1:], strict=True):
        operation = layers[number]
        assert isinstance(operation, Operation)
        before = tuple(layers[: places[0]]) if number == places[0] else ()
        stages.append(Stage(inputs, before, operation, tuple(layers[number + 1 : end])))
        inputs = (place + len(stages) - 1,)
    return stages


def _flat(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """The layers with those inside nn.Sequential in its place."""
    return [x for layer in layers for x in (_flat(layer) if isinstance(layer, nn.Sequential) else [layer])]
