"""The names of the backbones and their layers (tables without torch)."""

from collections.abc import Sequence

from pix2pix.config.types import did_you_mean
from pix2pix.errors import UserError

_VGG_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # convolutions between two pools
_STAGE_BLOCKS = {
    "resnet18": (2, 2, 2, 2),
    **dict.fromkeys(("resnet50", "wide_resnet50_2", "noresnet", "pseudo_vgg", "pseudo_resvgg"), (3, 4, 6, 3)),
}
_SQUEEZENET = {"conv1": 1, "fire2": 3, "fire3": 4, "fire4": 6, "fire5": 7, "fire6": 9, "fire7": 10, "fire8": 11}
_GOOGLENET = ("conv1", "conv2", "conv3", *(f"inception{x}" for x in ("3a", "3b", *(f"4{y}" for y in "abcde"))))
_INCEPTION = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"),
    *(f"Mixed_{x}" for x in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")),
)


def _list_vgg_layers(blocks: Sequence[int]) -> dict[str, str]:
    modules, index = {}, 0
    for block, count in enumerate(blocks, start=1):
        for number in range(1, count + 1):
            modules[f"conv{block}_{number}"] = f"features.{index}"
            modules[f"relu{block}_{number}"] = f"features.{index + 1}"
            index += 2
        index += 1  # the pool
    return modules


def _list_resnet_layers(blocks: Sequence[int]) -> dict[str, str]:
    modules = {"stem": "relu"}
    for stage, count in enumerate(blocks, start=1):
        modules |= {f"layer{stage}.{block}": f"layer{stage}.{block}" for block in range(count)}
        modules[f"layer{stage}"] = f"layer{stage}.{count - 1}"
    return modules


_MODULES = {
    **{name: _list_vgg_layers(blocks) for name, blocks in _VGG_BLOCKS.items()},
    **{name: _list_resnet_layers(blocks) for name, blocks in _STAGE_BLOCKS.items()},
    "googlenet": {name: name for name in (*_GOOGLENET, "inception5a", "inception5b")},
    "inception_v3": {name: name for name in _INCEPTION},
    "squeezenet1_1": {name: f"features.{index}" for name, index in (_SQUEEZENET | {"fire9": 12}).items()},
}
BACKBONES = tuple(_MODULES)

_CONTENT = {
    **dict.fromkeys(_VGG_BLOCKS, ("relu4_2",)),
    **dict.fromkeys(_STAGE_BLOCKS, ("layer3",)),
    "googlenet": ("inception4e",),
    "inception_v3": ("Mixed_6e",),
    "squeezenet1_1": ("fire5",),
}
_STYLE = {
    **dict.fromkeys(_VGG_BLOCKS, tuple(f"relu{block}_1" for block in range(1, 6))),
    **dict.fromkeys(_STAGE_BLOCKS, ("stem", "layer1", "layer2", "layer3", "layer4")),
    "googlenet": ("conv1", "conv3", "inception3b", "inception4e", "inception5b"),
    "inception_v3": ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"),
    "squeezenet1_1": ("conv1", "fire3", "fire5", "fire7", "fire9"),
}


def get_layer_modules(backbone: str) -> dict[str, str]:
    """Return the module of torchvision's network for each layer, in the order of computation.

    Raises:
        UserError: there is no such backbone.
    """
    if backbone not in _MODULES:
        hint = did_you_mean(backbone, BACKBONES) or f"; allowed: {', '.join(BACKBONES)}"
        raise UserError(f"--backbone {backbone}: there is no such backbone{hint}")
    return _MODULES[backbone]


def get_layer_names(backbone: str) -> tuple[str, ...]:
    """Return all layers of a backbone, in the order of computation.

    Except for the conv layers of a VGG, features are taken after the ReLU; of a ResNet's stage after its addition.
    """
    return tuple(get_layer_modules(backbone))


def default_content_layers(backbone: str) -> tuple[str, ...]:
    """Return the default content layer: relu4_2 (Gatys), layer3 (SWAG's code), or a similar one."""
    get_layer_modules(backbone)
    return _CONTENT[backbone]


def default_style_layers(backbone: str) -> tuple[str, ...]:
    """Return the default style layers: one of each resolution, as in Gatys' paper and SWAG's code."""
    get_layer_modules(backbone)
    return _STYLE[backbone]


def check_layers(backbone: str, layers: Sequence[str]) -> None:
    """Check that the backbone has these layers.

    Raises:
        UserError: it does not have one of them, or there are none.
    """
    allowed = get_layer_names(backbone)
    if not layers:
        raise UserError(f"{backbone}: no layer is named; allowed: {', '.join(allowed)}")
    for layer in layers:
        if layer not in allowed:
            hint = did_you_mean(layer, allowed)
            raise UserError(f"{backbone} has no layer {layer}{hint or ':'} allowed: {', '.join(allowed)}")
