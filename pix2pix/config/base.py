"""Records of options: build, validate and serialize them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from pix2pix.config import renames, types
from pix2pix.config.types import OptionFlag, Requirement, did_you_mean, get_annotations
from pix2pix.errors import UserError


class OptionError(UserError):
    """An invalid option, value or preset."""


class Record(BaseModel):
    """The options of a command: each field is an option, or a group of options, itself a Record."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


R = TypeVar("R", bound=Record)


@dataclass(frozen=True, eq=False)
class Option:
    """An option: its group ("" at the top level), its name and its field."""

    group: str
    name: str
    field: FieldInfo

    @cached_property
    def _type(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.field.rebuild_annotation(), config=ConfigDict(allow_inf_nan=False))

    @property
    def default(self) -> Any:
        """The default as a JSON value."""
        return self.to_json(self.field.default)

    @property
    def missing_error(self) -> OptionError:
        """The error for a required option that was not given."""
        return OptionError(f"--{self.name} is missing: {self.field.description}")

    @property
    def is_listed(self) -> bool:
        """Whether all words after the option form one value."""
        return any(isinstance(note, Requirement) and note.listed for note in get_annotations(self.field))

    def to_json(self, value: object) -> Any:
        """Convert a value to JSON: sizes become 286 or "256x512"."""
        return self._type.dump_python(value, mode="json")

    def check(self, value: object, origin: str) -> Any:
        """Validate a value and return it as its type; text is parsed, other values must have the right type.

        Raises:
            OptionError: the value is not allowed; the message begins with `origin`: "--lr", "a.yaml: lr".
        """
        try:
            if isinstance(value, str):
                return self._type.validate_python(types.parse_text(self.field, value))
            return self._type.validate_python(value, strict=True)
        except ValidationError as error:
            problem = error.errors()[0]
            is_ours = problem["type"] == "value_error"
            needed = str(problem["ctx"]["error"]) if is_ours else f"{types.describe_allowed(self.field)} is needed"
            raise OptionError(f"{origin}: got {format_value(value)}; {needed}") from None


def format_value(value: object) -> str:
    """Format a value as one short line for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def escape_line(path: object) -> str:
    """Escape line breaks and control characters of a path or word for a message."""
    return repr(str(path))[1:-1]


@cache
def get_groups(record: type[Record]) -> dict[str, type[Record]]:
    """Return the fields of a record that are groups."""
    types = {name: field.annotation for name, field in record.model_fields.items()}
    return {name: type_ for name, type_ in types.items() if isinstance(type_, type) and issubclass(type_, Record)}


@cache
def list_options(record: type[Record]) -> dict[str, Option]:
    """Return all options of a record by name; names are unique across groups."""
    groups = get_groups(record)
    options = {name: Option("", name, field) for name, field in record.model_fields.items() if name not in groups}
    for group, members in groups.items():
        options |= {name: Option(group, name, field) for name, field in members.model_fields.items()}
    return options


def get_values(options: Record) -> dict[str, Any]:
    """Return the value of every option by name, without groups."""
    return {
        option.name: getattr(getattr(options, option.group) if option.group else options, option.name)
        for option in list_options(type(options)).values()
    }


def build_options(record: type[R], given: Mapping[str, Any]) -> R:
    """Build a record from validated values; the others take their defaults.

    Raises:
        OptionError: an option without a default is missing, or two options contradict each other.
    """
    nested: dict[str, Any] = {name: {} for name in get_groups(record)}
    for option in list_options(record).values():
        if option.name in given:
            (nested[option.group] if option.group else nested)[option.name] = given[option.name]
        elif option.field.is_required():
            raise option.missing_error
    try:
        return record.model_validate(nested)
    except ValidationError as error:
        raise OptionError(str(error.errors()[0]["ctx"]["error"])) from None


class RawValue(NamedTuple):
    """A value that was not validated yet, and where it was given."""

    value: object
    origin: str


def flatten_options(record: type[Record], nested: Mapping[str, object], source: str) -> dict[str, RawValue]:
    """Return the options of a mapping by name; each may be at the top level or in its group.

    Old names and values (see renames.py) are replaced by the new ones.

    Raises:
        OptionError: a name is unknown, a group is not a mapping, an option is in the wrong group or given twice.
    """
    found: dict[str, RawValue] = {}
    for group, key, value in _iterate_entries(record, nested, source):
        name = renames.OPTIONS.get(key, key)
        option = list_options(record).get(name)
        origin = f"{source}: {group}.{name}" if group else f"{source}: {name}"
        if option is None:
            names = [*list_options(record), *get_groups(record)]
            raise OptionError(f"{source}: unknown option {format_value(name)[1:-1]}{did_you_mean(name, names)}")
        if group not in ("", option.group):
            raise OptionError(f"{origin}: {name} belongs to {option.group or 'the top level'}; move it there")
        if name in found:
            raise OptionError(f"{origin}: given twice, also as {found[name].origin}; leave one out")
        found[name] = RawValue(renames.rename_value(name, value), origin)
    return found


def _iterate_entries(
    record: type[Record], nested: Mapping[str, object], source: str
) -> Iterator[tuple[str, str, object]]:
    """Yield the group ("" at the top level), key and value of each option."""
    for key, value in nested.items():
        name = renames.GROUPS.get(key, key)
        if name not in get_groups(record):
            yield "", key, value
        elif isinstance(value, Mapping):
            yield from ((name, inner, inner_value) for inner, inner_value in value.items())
        else:
            raise OptionError(f"{source}: {name}: got {format_value(value)}; a group of options is needed")


def to_dict(options: Record) -> dict[str, Any]:
    """Return the options as nested JSON values, without those that concern a single start (OptionFlag.SWITCH)."""
    nested: dict[str, Any] = {}
    for name, value in get_values(options).items():
        option = list_options(type(options))[name]
        if OptionFlag.SWITCH not in option.field.metadata:
            group = nested.setdefault(option.group, {}) if option.group else nested
            group[name] = option.to_json(value)
    return nested


def from_dict(record: type[R], stored: Mapping[str, object], source: str = "options") -> R:
    """Build a record from the values that `to_dict` returned; missing options take their defaults.

    Raises:
        OptionError: an option is unknown or a value not allowed; `source` names the mapping in the message.
    """
    values = flatten_options(record, stored, source)
    return build_options(record, {name: list_options(record)[name].check(*item) for name, item in values.items()})
