"""What each layer keeps of a picture: figure 1 of Gatys, Ecker, Bethge 2016, by the same optimisation from noise."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor

from pix2pix.methods.gatys import Pictures, Step, stylise
from pix2pix.methods.objective import Objective, style_layers_of
from pix2pix.options import FeatureOptions, GatysOptions


class Panel(NamedTuple):
    """One reconstruction: the layers it was made from, in the figure's row, and the image (1, 3, H, W)."""

    row: str
    layers: str
    image: Tensor


def reconstructions(
    pictures: Pictures,
    options: GatysOptions,
    objective_of: Callable[[FeatureOptions], Objective],
    on_step: Callable[[Step], None] = lambda step: None,
) -> Iterator[Panel]:
    """Yield, for each style layer, the content made from that layer alone, and the style from all layers up to it."""
    layers = style_layers_of(options.features)
    for number, layer in enumerate(layers, start=1):
        for row, content, style in (("content", (layer,), ()), ("style", (), layers[:number])):
            features = options.features.model_copy(
                update={"content_layers": content, "style_layers": style, "style_layer_weights": None}
            )
            alone = options.model_copy(
                update={
                    "features": features,
                    "optimise": options.optimise.model_copy(update={"init": "noise"}),
                    "loss": options.loss.model_copy(update={"content_weight": 1.0, "style_weight": 1.0}),
                }
            )
            image = stylise(pictures, objective_of(features), alone, on_step)
            yield Panel(row, f"{layers[0]} .. {layer}" if len(style) > 1 else layer, image)
