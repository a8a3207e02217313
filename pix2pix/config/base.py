"""Records of options: build, validate and serialize them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from pix2pix.config import types
from pix2pix.config.types import OptionFlag, Requirement, did_you_mean, get_annotations
from pix2pix.errors import UserError


class OptionError(UserError):
    """An option, or the text of one, that cannot be meant."""


class Record(BaseModel):
    """Options of one command; its fields are options, or groups of options that are records themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


R = TypeVar("R", bound=Record)


@dataclass(frozen=True, eq=False)
class Option:
    """One option: its name, the group it lies in ("" at the top) and its field."""

    group: str
    name: str
    field: FieldInfo

    @cached_property
    def _type(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.field.rebuild_annotation(), config=ConfigDict(allow_inf_nan=False))

    @property
    def default(self) -> Any:
        """The default as a JSON value."""
        return self.plain(self.field.default)

    @property
    def missing(self) -> OptionError:
        """The error to raise where this option is needed and was not given."""
        return OptionError(f"--{self.name} is missing: {self.field.description}")

    @property
    def is_listed(self) -> bool:
        """Whether all words that follow the option are one value."""
        return any(isinstance(note, Requirement) and note.listed for note in get_annotations(self.field))

    def plain(self, value: object) -> Any:
        """Return a value of this option as a JSON value: sizes become 286 or "256x512"."""
        return self._type.dump_python(value, mode="json")

    def check(self, value: object, origin: str) -> Any:
        """Return the value as its type: text is read, other values must have the right type already.

        Raises:
            OptionError: the value is not allowed. `origin` says where it was given: "--lr", "a.yaml: lr".
        """
        try:
            if isinstance(value, str):
                return self._type.validate_python(types.parse_text(self.field, value))
            return self._type.validate_python(value, strict=True)
        except ValidationError as error:
            problem = error.errors()[0]
            own = problem["type"] == "value_error"
            needed = str(problem["ctx"]["error"]) if own else f"{types.describe_allowed(self.field)} is needed"
            raise OptionError(f"{origin}: got {format_value(value)}; {needed}") from None


def format_value(value: object) -> str:
    """Return a value as one short line for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def escape_line(path: object) -> str:
    """Return a path, or a word of the user's, as it reads in a message: whole, with its line breaks escaped."""
    return repr(str(path))[1:-1]


@cache
def get_groups(record: type[Record]) -> dict[str, type[Record]]:
    """Return the fields of a record that are groups."""
    kinds = {name: field.annotation for name, field in record.model_fields.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Record)}


@cache
def list_options(record: type[Record]) -> dict[str, Option]:
    """Return every option of a record by its name, which is unique across its groups."""
    top = get_groups(record)
    found = {name: Option("", name, field) for name, field in record.model_fields.items() if name not in top}
    for group, kind in top.items():
        found |= {name: Option(group, name, field) for name, field in kind.model_fields.items()}
    return found


def get_values(options: Record) -> dict[str, Any]:
    """Return every option's value by its name, groups dissolved."""
    return {
        leaf.name: getattr(getattr(options, leaf.group) if leaf.group else options, leaf.name)
        for leaf in list_options(type(options)).values()
    }


def build_options(record: type[R], given: Mapping[str, Any]) -> R:
    """Return the record with these checked values and defaults for all others.

    Raises:
        OptionError: an option without a default is missing, or two options contradict each other.
    """
    nested: dict[str, Any] = {name: {} for name in get_groups(record)}
    for leaf in list_options(record).values():
        if leaf.name in given:
            (nested[leaf.group] if leaf.group else nested)[leaf.name] = given[leaf.name]
        elif leaf.field.is_required():
            raise leaf.missing
    try:
        return record.model_validate(nested)
    except ValidationError as error:
        raise OptionError(str(error.errors()[0]["ctx"]["error"])) from None


class RawValue(NamedTuple):
    """A value as it was written, and where."""

    value: object
    origin: str


def flatten_options(record: type[Record], nested: Mapping[str, object], source: str) -> dict[str, RawValue]:
    """Return the options of a mapping by name; each may stand at the top or in its group.

    Raises:
        OptionError: an unknown name, a group that is no mapping, an option in the wrong group or given twice.
    """
    found: dict[str, RawValue] = {}
    for group, name, value in _entries(record, nested, source):
        leaf = list_options(record).get(name)
        origin = f"{source}: {group}.{name}" if group else f"{source}: {name}"
        if leaf is None:
            names = [*list_options(record), *get_groups(record)]
            raise OptionError(f"{source}: unknown option {format_value(name)[1:-1]}{did_you_mean(name, names)}")
        if group not in ("", leaf.group):
            raise OptionError(f"{origin}: {name} belongs to {leaf.group or 'the top level'}; move it there")
        if name in found:
            raise OptionError(f"{origin}: given twice, also as {found[name].origin}; leave one out")
        found[name] = RawValue(value, origin)
    return found


def _entries(record: type[Record], nested: Mapping[str, object], source: str) -> Iterator[tuple[str, str, object]]:
    for name, value in nested.items():
        if name not in get_groups(record):
            yield "", name, value
        elif isinstance(value, Mapping):
            yield from ((name, inner, inner_value) for inner, inner_value in value.items())
        else:
            raise OptionError(f"{source}: {name}: got {format_value(value)}; a group of options is needed")


def to_dict(options: Record) -> dict[str, Any]:
    """Return the options as nested JSON values, without the switches of one start."""
    kept: dict[str, Any] = {}
    for name, value in get_values(options).items():
        leaf = list_options(type(options))[name]
        if OptionFlag.SWITCH not in leaf.field.metadata:
            home = kept.setdefault(leaf.group, {}) if leaf.group else kept
            home[name] = leaf.plain(value)
    return kept


def from_dict(record: type[R], stored: Mapping[str, object], source: str = "options") -> R:
    """Return the record that `as_dict` made these values of; options it lacks take their defaults.

    Raises:
        OptionError: an unknown option, or a value that is not allowed. `source` names the mapping in the message.
    """
    said = flatten_options(record, stored, source)
    return build_options(record, {name: list_options(record)[name].check(*item) for name, item in said.items()})
