"""A command line, and perhaps a YAML preset, to checked options: defaults < preset < command line."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from pix2pix import __version__
from pix2pix.options import junyanz
from pix2pix.options.fields import allowed
from pix2pix.options.gatys import GatysOptions, SwagOptions
from pix2pix.options.junyanz import Old
from pix2pix.options.models import TRAINED, TrainedModel
from pix2pix.options.pix2pix import Pix2PixOptions
from pix2pix.options.records import Leaf, OptionError, R, Record, Said, build, flatten, leaves, one_line, shown
from pix2pix.options.reference import help_text
from pix2pix.options.removed_presets import load_preset
from pix2pix.options.segmenter import SegmenterOptions
from pix2pix.options.suggest import did_you_mean
from pix2pix.options.test import TestOptions


class Answer(Exception):  # noqa: N818 (no error)
    """The command line asked for a text, --help or --version, and for no work; the text is the message."""


@dataclass(frozen=True)
class Parsed(Generic[R]):
    """What was given, checked one by one; `options` puts it together."""

    record: type[R]
    given: Mapping[str, Any]
    """Options that the preset or the command line gave."""
    claims: Mapping[str, Any]
    """At test: training options retyped, which the checkpoint has to agree with (`check_claims`)."""

    @property
    def options(self) -> R:
        """The whole record. Not needed to resume a run, whose options are stored: see `check_resume`.

        Raises:
            OptionError: an option without a default is missing, or two options contradict each other.
        """
        return build(self.record, self.given)

    def value(self, name: str) -> Any:
        """Return one option, given or default, without asking for the others.

        Raises:
            OptionError: it is missing and has no default.
        """
        leaf = leaves(self.record)[name]
        if name not in self.given and leaf.field.is_required():
            raise leaf.missing
        return self.given.get(name, leaf.field.default)


def parse(argv: Sequence[str], record: type[R], *, program: str) -> Parsed[R]:
    """Read `[PRESET.yaml] --option value ...` as options of this record.

    Raises:
        OptionError: anything that cannot be meant, in one line.
        Answer: --help or --version is among the arguments.
    """
    if {"-h", "--help"} & set(argv):
        raise Answer(help_text(record, program))
    if "--version" in argv:
        raise Answer(f"pix2pix {__version__}")
    preset = argv[0] if argv and not argv[0].startswith("-") else None
    said = flatten(record, load_preset(preset), one_line(preset)) if preset else {}
    said |= _from_flags(_flags(argv[1:] if preset else argv, record), record)
    known = _known(record)
    checked = {name: known[name].check(*item) for name, item in said.items()}
    own = leaves(record)
    return Parsed(
        record,
        given={name: value for name, value in checked.items() if name in own},
        claims={name: value for name, value in checked.items() if name not in own},
    )


_OLD: Mapping[type[Record], Mapping[str, Old]] = {
    **dict.fromkeys(TRAINED.values(), junyanz.STYLISE),
    Pix2PixOptions: junyanz.TRAIN,
    SegmenterOptions: junyanz.SEGMENT,
    TestOptions: junyanz.TEST,
    GatysOptions: junyanz.PAINT,
    SwagOptions: junyanz.PAINT,
}


def _old(record: type[Record]) -> Mapping[str, Old]:
    return _OLD.get(record, {})


def _known(record: type[Record]) -> dict[str, Leaf]:
    """Return the record's options and, at test, the training options that may be retyped."""
    claims = leaves(Pix2PixOptions) | leaves(TrainedModel) if record is TestOptions else {}
    return {name: leaf for name, leaf in claims.items() if name in junyanz.CLAIMS} | leaves(record)


def _flags(argv: Sequence[str], record: type[Record]) -> dict[str, str]:
    """Return the flags as typed, each with its text; of a flag given twice the last one counts.

    A loop of our own: argparse takes no value that begins with a dash, so that it would come after much the same loop.
    """
    old, known = _old(record), _known(record)
    said: dict[str, str] = {}
    rest = deque(argv)
    while rest:
        name, equals, text = rest.popleft().partition("=")
        flag = name.removeprefix("--")
        if not name.startswith("--") or flag not in {**known, **old}:
            raise _unknown(name + equals + text, [*leaves(record), *known, *old], record)
        is_bool = flag not in old and known[flag].field.annotation is bool
        if flag in old and old[flag].bare:
            if equals:
                raise OptionError(f"{name}: got {shown(text)}; it takes no value")
        elif not equals and rest and not rest[0].startswith("-" if is_bool else "--"):
            text = rest.popleft()
            while flag in known and known[flag].is_listed and rest and not rest[0].startswith("--"):
                text += "," + rest.popleft()
        elif not equals and is_bool:
            text = "true"
        elif not equals:
            needed = old[flag].here if flag in old else f"{allowed(known[flag].field)} is needed"
            raise OptionError(f"{name}: its value is missing; {needed}")
        said.pop(flag, None)
        said[flag] = text
    return said


def _unknown(word: str, names: Sequence[str], record: type[Record]) -> OptionError:
    if not word.startswith("-"):
        return OptionError(f"got {shown(word)}, which follows no option; [PRESET.yaml] --OPTION VALUE ... is needed")
    word = word.partition("=")[0]
    owners = [name for name, other in TRAINED.items() if word.removeprefix("--") in leaves(other)]
    if record in TRAINED.values() and owners:
        return OptionError(f"{word} is an option of --model {' or '.join(owners)}: leave it out, or choose that method")
    hint = did_you_mean(word.lstrip("-"), dict.fromkeys(names), prefix="--") or "; --help lists all"
    return OptionError(f"unknown option {shown(word)[1:-1]}{hint}")


def _from_flags(said: Mapping[str, str], record: type[Record]) -> dict[str, Said]:
    """Return our options for flags as typed; of two flags for one option the last one counts."""
    old = _old(record)
    found: dict[str, Said] = {}
    for flag, text in said.items():
        try:
            options = old[flag].read(text, said) if flag in old else {flag: text}
        except ValueError as error:
            raise OptionError(f"--{flag}: {error}") from None
        found |= {name: Said(value, f"--{flag}") for name, value in options.items()}
    return found
