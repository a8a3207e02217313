"""Which options a command line is about: --model chooses the method, before anything else is read."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field

from pix2pix.options.adain import AdainOptions
from pix2pix.options.conditional import ConditionalOptions
from pix2pix.options.gatys import GatysOptions, SwagOptions
from pix2pix.options.johnson import JohnsonOptions
from pix2pix.options.pix2pix import Pix2PixOptions
from pix2pix.options.records import OptionError, Record, from_dict, one_line, shown
from pix2pix.options.segmenter import SegmenterOptions
from pix2pix.options.suggest import did_you_mean
from pix2pix.options.yaml_text import load_yaml

TrainedOnPairs: TypeAlias = Pix2PixOptions | SegmenterOptions
TrainedOnPhotos: TypeAlias = JohnsonOptions | ConditionalOptions | AdainOptions
Trained: TypeAlias = TrainedOnPairs | TrainedOnPhotos

TRAINED: Mapping[str, type[Trained]] = {
    "pix2pix": Pix2PixOptions,
    "johnson": JohnsonOptions,
    "conditional": ConditionalOptions,
    "adain": AdainOptions,
    "segmenter": SegmenterOptions,
}


class TrainedModel(Record):
    """What test.py may be told of a checkpoint of any trained method."""

    model: Literal["pix2pix", "johnson", "conditional", "adain", "segmenter"] = Field(
        "pix2pix", description="the trained method"
    )


PAINTERS: Mapping[str, type[GatysOptions]] = {"gatys": GatysOptions, "swag": SwagOptions}
_JUNYANZ = ("colorization", "test", "cycle_gan")  # the options of pix2pix and TestOptions know what to do with each


def trained(argv: Sequence[str]) -> type[Trained]:
    """Return the options of the method that train.py is asked for: by --model, the preset or the run to resume.

    Raises:
        OptionError: there is no such method, or it is one that is not trained.
    """
    model, origin = _model(argv)
    if model is None and _is_resumed(argv):
        model = _model_of_run(argv)
    if model in PAINTERS:
        preset = f"{argv[0]} " if not origin.startswith("--") else f"--model {model} "
        raise OptionError(
            f"{origin}: {model} paints one picture, and there is nothing to train; "
            f"type python test.py {preset}--content PICTURE --style PICTURE"
        )
    if model is None or model in _JUNYANZ:
        return Pix2PixOptions
    return TRAINED[_known(model, list(TRAINED), origin)]


def painter(argv: Sequence[str]) -> type[GatysOptions] | None:
    """Return the options of the method that test.py is asked for, or None: `TestOptions`, a trained translator.

    Raises:
        OptionError: there is no such method.
    """
    model, origin = _model(argv)
    if model is None or model in _JUNYANZ:
        return None
    return PAINTERS.get(_known(model, [*TRAINED, *PAINTERS], origin))


def stored_options(stored: Mapping[str, object], source: str = "options") -> Trained:
    """Return the options that `as_dict` made these values of, whichever trained method they are of.

    Raises:
        OptionError: an unknown method or option, or a value that is not allowed. `source` names the mapping.
    """
    model = stored.get("model", "pix2pix")
    return from_dict(TRAINED[_known(model, list(TRAINED), f"{source}: model")], stored, source)


def _known(model: object, allowed: list[str], origin: str) -> str:
    if isinstance(model, str) and model in allowed:
        return model
    hint = did_you_mean(model, allowed) if isinstance(model, str) else ""
    raise OptionError(f"{origin}: got {shown(model)}; {', '.join(allowed[:-1])} or {allowed[-1]} is needed{hint}")


def _model(argv: Sequence[str]) -> tuple[str | None, str]:
    """Return the last --model, else that of the preset, and where it was said; None where nothing was."""
    said = _typed(argv, "model")
    if said is not None:
        return said, "--model"
    model = _preset(argv).get("model")
    return (model if isinstance(model, str) else None), f"{one_line(argv[0])}: model" if argv else ""


def _is_resumed(argv: Sequence[str]) -> bool:
    return not {"--resume", "--continue_train", "--resume=true"}.isdisjoint(argv)


def _model_of_run(argv: Sequence[str]) -> str | None:
    """Return the method of the run that is named, where its options can be read."""
    preset = _preset(argv)
    run = preset.get("run")
    written = {**preset, **(run if isinstance(run, Mapping) else {})}
    root = _typed(argv, "checkpoints_dir") or written.get("checkpoints_dir", "checkpoints")
    name = _typed(argv, "name") or written.get("name")
    try:
        model = load_yaml(str(Path(str(root)) / str(name) / "options.yaml")).get("model")
    except OptionError:
        return None  # whoever opens the run tells what is wrong with it
    return model if isinstance(model, str) else None


def _typed(argv: Sequence[str], option: str) -> str | None:
    """Return the last value of an option on a command line."""
    said = None
    for word, following in pairwise([*argv, ""]):
        name, equals, text = word.partition("=")
        if name == f"--{option}":
            said = text if equals else following
    return said


def _preset(argv: Sequence[str]) -> Mapping[str, object]:
    """Return what the preset holds; nothing where there is none, or where it cannot be read."""
    if not argv or argv[0].startswith("-"):
        return {}
    try:
        return load_yaml(argv[0])
    except OptionError:
        return {}  # `parse` tells what is wrong with it
