"""The list of augmentations: name, arguments and target images of each transform."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, PlainSerializer

from pix2pix.config.base import format_value
from pix2pix.config.types import Requirement

Side = Literal["source", "target", "both"]
MAX_DEPTH = 4
AUGMENTATIONS = Requirement('none or a list of transforms, such as [{"Rotate": {"limit": 10, "p": 0.5}}, "Transpose"]')
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.?(nan|inf|infinity)", re.IGNORECASE)
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class Transform:
    """A transform: its name in albumentations, its arguments as JSON values, and the images that it applies to.

    `to` is None if it was not given.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    to: Side | None = None


def _parse(value: object) -> tuple[Transform, ...]:
    """Parse JSON, in which values have types, or a list from YAML, in which all scalars are strings."""
    is_json = isinstance(value, str) and value != "none"
    entries = _parse_json(str(value)) if is_json else () if value in (None, "none") else value
    if not isinstance(entries, list | tuple):
        raise ValueError(f"{AUGMENTATIONS.words} is needed")
    return tuple(_parse_transform(number, entry, typed=is_json) for number, entry in enumerate(entries, start=1))


def _parse_transform(number: int, entry: object, typed: bool) -> Transform:
    if isinstance(entry, Transform):
        return entry
    named = entry if isinstance(entry, Mapping) else {entry: None} if isinstance(entry, str) else {}
    if len(named) != 1:
        what = (
            f"names {len(named)} transforms ({format_value(', '.join(map(str, named)))[1:-1]})"
            if named
            else "names none"
        )
        raise ValueError(f"entry {number} {what}: begin each with a dash, or brace, and indent its arguments below it")
    ((name, given),) = named.items()
    if not (isinstance(name, str) and name.isascii() and name.isidentifier()):
        raise ValueError(f"entry {number} is called {format_value(name)}: the name of a transform is needed")
    if not isinstance(given, Mapping | None):
        raise ValueError(f"the arguments of {name} are {format_value(given)}: a mapping such as {{p: 0.5}} is needed")
    arguments = _parse_argument(given or {}, name, typed, MAX_DEPTH)
    to = arguments.pop("to", None)
    if to not in (None, *get_args(Side)):
        raise ValueError(f"{name}: `to` is {format_value(to)}; source, target or both is needed")
    return Transform(name, arguments, to)


def _parse_argument(value: object, name: str, typed: bool, depth: int) -> Any:
    """Return an argument as a JSON value; if values are not typed, strings are parsed as YAML scalars."""
    if depth < 0:
        raise ValueError(f"the arguments of {name} are more than {MAX_DEPTH} levels deep; that is not supported")
    if isinstance(value, Mapping):
        return {str(key): _parse_argument(inner, name, typed, depth - 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_parse_argument(inner, name, typed, depth - 1) for inner in value]
    if isinstance(value, str) and not typed:
        value = _WORDS.get(value.lower(), _parse_number(value) if _NUMBER.fullmatch(value) else value)
    is_infinite = isinstance(value, float) and not math.isfinite(value)
    if is_infinite or (isinstance(value, str) and _NOT_FINITE.fullmatch(value)):
        raise ValueError(f"the arguments of {name} hold {format_value(value)}: finite numbers are needed")
    if not isinstance(value, str | int | float | None):
        raise ValueError(
            f"the arguments of {name} hold {format_value(value)}: numbers, texts, lists and mappings are needed"
        )
    return value


def _parse_number(text: str) -> int | float:
    return int(text) if re.fullmatch("[-+]?[0-9]{1,18}", text) else float(text)


def _parse_json(text: str) -> object:
    try:
        return json.loads(text, parse_int=_parse_number, object_pairs_hook=_build_dict)
    except RecursionError:
        raise ValueError(f"{AUGMENTATIONS.words} is needed: this is too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{AUGMENTATIONS.words} is needed: {error.msg} at character {error.pos + 1}") from None


def _build_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{format_value(max(names, key=names.count))} is given twice; keep one")
    return found


def _format(transforms: tuple[Transform, ...]) -> str:
    """Format as one line of JSON that parses back equal."""
    if not transforms:
        return "none"
    entries = [(one.name, {**one.arguments, **({"to": one.to} if one.to else {})}) for one in transforms]
    return json.dumps([{name: arguments} if arguments else name for name, arguments in entries])


Augmentations = Annotated[tuple[Transform, ...], BeforeValidator(_parse), PlainSerializer(_format), AUGMENTATIONS]
