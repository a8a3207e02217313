"""Which options a command line is about: --model chooses the method, before anything else is read."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from pix2pix.options.gatys import GatysOptions, SwagOptions
from pix2pix.options.records import OptionError, one_line, shown
from pix2pix.options.suggest import did_you_mean
from pix2pix.options.yaml_text import load_yaml

PAINTERS: Mapping[str, type[GatysOptions]] = {"gatys": GatysOptions, "swag": SwagOptions}
_TRAINED = ("pix2pix", "colorization", "test", "cycle_gan")  # junyanz': TestOptions knows what to do with each


def painter(argv: Sequence[str]) -> type[GatysOptions] | None:
    """Return the options of the method that test.py is asked for, or None: `TestOptions`, a trained translator.

    Raises:
        OptionError: there is no such method.
    """
    model, origin = _model(argv)
    if model is None or model in _TRAINED:
        return None
    if model not in PAINTERS:
        allowed = ["pix2pix", *PAINTERS]
        hint = did_you_mean(model, allowed)
        raise OptionError(f"{origin}: got {shown(model)}; {', '.join(allowed[:-1])} or {allowed[-1]} is needed{hint}")
    return PAINTERS[model]


def refuse_painter(argv: Sequence[str]) -> None:
    """Tell who wants to train a method that is not trained what to type.

    Raises:
        OptionError: the arguments of train.py ask for such a method.
    """
    model, origin = _model(argv)
    if model in PAINTERS:
        preset = f"{argv[0]} " if not origin.startswith("--") else f"--model {model} "
        raise OptionError(
            f"{origin}: {model} paints one picture, and there is nothing to train; "
            f"type python test.py {preset}--content PICTURE --style PICTURE"
        )


def _model(argv: Sequence[str]) -> tuple[str | None, str]:
    """Return the last --model, else that of the preset, and where it was said; None where nothing was."""
    said = None
    for word, following in pairwise([*argv, ""]):
        name, equals, text = word.partition("=")
        if name == "--model":
            said = text if equals else following
    if said is not None:
        return said, "--model"
    if not argv or argv[0].startswith("-"):
        return None, ""
    try:
        model = load_yaml(argv[0]).get("model")
    except OptionError:
        return None, ""  # `parse` tells what is wrong with it
    return (model if isinstance(model, str) else None), f"{one_line(argv[0])}: model"
