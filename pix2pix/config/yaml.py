"""Read and write options as YAML."""

import codecs
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pix2pix.config.base import OptionError, Record, escape_line, format_value, list_options, to_dict

MAX_BYTES = 100_000
MAX_DEPTH = 20


def load_yaml(path: str | Path) -> dict[str, object]:
    """Load a file of options as nested dicts and lists of strings; null is None.

    Raises:
        OptionError: the file is not a YAML mapping of at most 100 kB and 20 levels, gives a key twice, or has an
            anchor, alias or tag.
    """
    name = escape_line(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise OptionError(f"{name} cannot be read: {reason}; a YAML file of options is needed") from None
    if len(content) > MAX_BYTES:
        raise OptionError(f"{name}: more than {MAX_BYTES} bytes; a file of options is much smaller")
    return parse_yaml(content, name)


def parse_yaml(content: bytes, source: str) -> dict[str, object]:
    """Parse the bytes of a YAML file as `load_yaml` does; `source` names it in messages."""
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode()
        value = _parse_document(yaml.parse(text, Loader=yaml.SafeLoader), source)
    except UnicodeDecodeError as error:
        raise OptionError(f"{source}: byte {error.start} is not UTF-8; save the file as UTF-8 text") from None
    except yaml.reader.ReaderError as error:
        raise OptionError(
            f"{source}: character {error.position} is not text; a YAML file of options is needed"
        ) from None
    except yaml.MarkedYAMLError as error:
        raise OptionError(f"{_format_position(source, error.problem_mark)}: not YAML: {error.problem}") from None
    if not isinstance(value, dict):
        raise OptionError(f"{source}: got {format_value(value)}; a mapping of options, such as 'lr: 2e-4', is needed")
    return value


def _parse_document(events: Iterator[yaml.Event], source: str) -> object:
    next(events)
    if isinstance(next(events), yaml.StreamEndEvent):
        return None
    value = _parse_value(next(events), events, source, depth=1)
    next(events)
    if not isinstance(next(events), yaml.StreamEndEvent):
        raise OptionError(f"{source}: holds more than one YAML document; keep one")
    return value


def _parse_value(event: yaml.Event, events: Iterator[yaml.Event], source: str, depth: int) -> object:
    """Return the value that begins with this event; events are parsed one by one, so that deep files fail early."""
    where = _format_position(source, event.start_mark)
    if depth > MAX_DEPTH:
        raise OptionError(f"{where}: more than {MAX_DEPTH} levels deep; options have two")
    if not isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent) or event.anchor:
        raise OptionError(f"{where}: anchors and aliases are not read; write the value out")
    if event.tag is not None:
        raise OptionError(f"{where}: got the tag {format_value(event.tag)}; tags are not read, leave it out")
    if isinstance(event, yaml.ScalarEvent):
        return None if event.style is None and event.value in ("", "~", "null", "Null", "NULL") else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        return [_parse_value(item, events, source, depth + 1) for item in _iterate_until(yaml.SequenceEndEvent, events)]
    found: dict[str, object] = {}
    for key in _iterate_until(yaml.MappingEndEvent, events):
        if not isinstance(key, yaml.ScalarEvent):
            raise OptionError(f"{_format_position(source, key.start_mark)}: a key must be the name of an option")
        if key.value in found:
            raise OptionError(
                f"{_format_position(source, key.start_mark)}: {format_value(key.value)} is given twice; keep one"
            )
        found[key.value] = _parse_value(next(events), events, source, depth + 1)
    return found


def _format_position(source: str, mark: Any) -> str:
    return f"{source}, line {mark.line + 1 if mark else 1}"


def _iterate_until(end: type[yaml.Event], events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    while not isinstance(event := next(events), end):
        yield event


def to_yaml(options: Record) -> str:
    """Format the options as grouped YAML that loads back equal; values other than the default have a comment."""
    lines: list[str] = []
    for name, value in to_dict(options).items():
        if isinstance(value, Mapping):
            lines += [f"{name}:", *("  " + _format_line(options, *item) for item in value.items())]
        else:
            lines.append(_format_line(options, name, value))
    return "\n".join(lines) + "\n"


def _format_line(options: Record, name: str, value: object) -> str:
    option = list_options(type(options))[name]
    line = f"{name}: {format_scalar(value)}"
    return (
        line
        if option.field.is_required() or value == option.default
        else f"{line}  # default: {format_scalar(option.default)}"
    )


def format_scalar(value: object) -> str:
    """Format a JSON scalar as one line of YAML that every YAML parser reads alike."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    if isinstance(value, float):
        return re.sub(r"^(-?\d+)e", r"\1.0e", text.removesuffix(".0"))
    if isinstance(value, int) or (re.fullmatch(r"[\w./][\w./-]*", text, re.ASCII) and yaml.safe_load(text) == text):
        return text
    return str(yaml.dump(text, default_style='"', width=float("inf"), allow_unicode=True)).strip()
