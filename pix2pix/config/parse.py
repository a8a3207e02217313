"""Parse a command line, with an optional YAML preset, into validated options."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeAlias

from pydantic import Field

from pix2pix import __version__
from pix2pix.config import legacy, renames
from pix2pix.config.base import (
    Option,
    OptionError,
    R,
    RawValue,
    Record,
    build_options,
    escape_line,
    flatten_options,
    format_value,
    from_dict,
    list_options,
)
from pix2pix.config.experiment import EVALUATION, REFUSED, ExperimentOptions
from pix2pix.config.gatys import GatysOptions, SwagOptions
from pix2pix.config.help import format_help
from pix2pix.config.legacy import LegacyFlag, load_preset
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.segmenter import SegmenterOptions
from pix2pix.config.style import AdainOptions, JohnsonOptions, MultiStyleOptions
from pix2pix.config.test import TestOptions
from pix2pix.config.tools import EvaluateOptions
from pix2pix.config.types import describe_allowed, did_you_mean
from pix2pix.config.yaml import load_yaml

PairTrainingOptions: TypeAlias = Pix2PixOptions | SegmenterOptions
PhotoTrainingOptions: TypeAlias = JohnsonOptions | MultiStyleOptions | AdainOptions
TrainingOptions: TypeAlias = PairTrainingOptions | PhotoTrainingOptions

_LOG = logging.getLogger(__name__)

TRAINING_OPTIONS: Mapping[str, type[TrainingOptions]] = {
    "pix2pix": Pix2PixOptions,
    "johnson": JohnsonOptions,
    "multi_style": MultiStyleOptions,
    "adain": AdainOptions,
    "segmenter": SegmenterOptions,
}


class ModelOption(Record):
    """--model of test.py, for checkpoints of any trained method."""

    model: Literal["pix2pix", "johnson", "multi_style", "adain", "segmenter"] = Field(
        "pix2pix", description="the trained method"
    )


OPTIMIZATION_OPTIONS: Mapping[str, type[GatysOptions]] = {"gatys": GatysOptions, "swag": SwagOptions}
_JUNYANZ = ("colorization", "test", "cycle_gan")  # handled by the legacy flags of Pix2PixOptions and TestOptions


def select_training_options(argv: Sequence[str]) -> type[TrainingOptions]:
    """Return the options of the method to train, chosen by --model, the preset or the run to resume.

    Raises:
        OptionError: there is no such method, or it needs no training.
    """
    model, origin = _find_model(argv)
    if model is None and not {"--resume", "--continue_train", "--resume=true"}.isdisjoint(argv):
        model = _load_model_of_run(argv)
    if model in OPTIMIZATION_OPTIONS:
        preset = f"{argv[0]} " if not origin.startswith("--") else f"--model {model} "
        raise OptionError(
            f"{origin}: {model} optimizes one image, and there is nothing to train; "
            f"use python test.py {preset}--content IMAGE --style IMAGE"
        )
    if model is None or model in _JUNYANZ:
        return Pix2PixOptions
    return TRAINING_OPTIONS[_check_model(model, list(TRAINING_OPTIONS), origin)]


def select_optimization_options(argv: Sequence[str]) -> type[GatysOptions] | None:
    """Return the options of the optimization method for test.py, or None for a trained translator (`TestOptions`).

    Raises:
        OptionError: there is no such method.
    """
    model, origin = _find_model(argv)
    if model is None or model in _JUNYANZ:
        return None
    return OPTIMIZATION_OPTIONS.get(_check_model(model, [*TRAINING_OPTIONS, *OPTIMIZATION_OPTIONS], origin))


def load_stored_options(stored: Mapping[str, object], source: str = "options") -> TrainingOptions:
    """Return the options of any trained method from the values that `to_dict` returned.

    Raises:
        OptionError: an unknown method or option, or a value that is not allowed. `source` names the mapping.
    """
    model = renames.rename_value("model", stored.get("model", "pix2pix"))
    return from_dict(TRAINING_OPTIONS[_check_model(model, list(TRAINING_OPTIONS), f"{source}: model")], stored, source)


def _check_model(model: object, allowed: list[str], origin: str) -> str:
    if isinstance(model, str) and model in allowed:
        return model
    hint = did_you_mean(model, allowed) if isinstance(model, str) else ""
    raise OptionError(
        f"{origin}: got {format_value(model)}; {', '.join(allowed[:-1])} or {allowed[-1]} is needed{hint}"
    )


def _find_model(argv: Sequence[str]) -> tuple[str | None, str]:
    """Return the last --model, else that of the preset or None, and where it was given."""
    typed = _find_value(argv, "model")
    if typed is not None:
        return str(renames.rename_value("model", typed)), "--model"
    model = renames.rename_value("model", _load_preset_of(argv).get("model"))
    return (model if isinstance(model, str) else None), f"{escape_line(argv[0])}: model" if argv else ""


def _load_model_of_run(argv: Sequence[str]) -> str | None:
    """Return the method of the run to resume, or None if its options cannot be read."""
    preset = _load_preset_of(argv)
    run = preset.get("run")
    options = {**preset, **(run if isinstance(run, Mapping) else {})}
    root = _find_value(argv, "checkpoints_dir") or options.get("checkpoints_dir", "checkpoints")
    name = _find_value(argv, "name") or options.get("name")
    try:
        stored = load_yaml(str(Path(str(root)) / str(name) / "options.yaml"))
    except OptionError:
        return None  # reported when the run is opened
    model = renames.rename_value("model", stored.get("model"))
    return model if isinstance(model, str) else None


def _find_value(argv: Sequence[str], option: str) -> str | None:
    """Return the last value of an option on a command line."""
    value = None
    for word, next_word in pairwise([*argv, ""]):
        name, equals, text = word.partition("=")
        if name == f"--{option}":
            value = text if equals else next_word
    return value


def _load_preset_of(argv: Sequence[str]) -> Mapping[str, object]:
    """Return the content of the preset; {} if there is none or it cannot be read."""
    if not argv or argv[0].startswith("-"):
        return {}
    try:
        return load_yaml(argv[0])
    except OptionError:
        return {}  # reported by `parse`


class TextRequested(Exception):  # noqa: N818 (not an error)
    """The command line requests --help or --version; the message is the text to print."""


@dataclass(frozen=True)
class ParsedOptions(Generic[R]):
    """Options validated one by one; `options` combines them into the record."""

    record: type[R]
    given: Mapping[str, Any]
    """Options of the preset and the command line."""
    claims: Mapping[str, Any]
    """At test: retyped options of training, which must agree with the checkpoint (`check_claims`)."""

    @property
    def options(self) -> R:
        """The complete record; a run to resume does not need it, as its options are stored: see `check_resume`.

        Raises:
            OptionError: an option without a default is missing, or two options contradict each other.
        """
        return build_options(self.record, self.given)

    def value(self, name: str) -> Any:
        """Return the value of one option, given or default.

        Raises:
            OptionError: it is missing and has no default.
        """
        option = list_options(self.record)[name]
        if name not in self.given and option.field.is_required():
            raise option.missing_error
        return self.given.get(name, option.field.default)


def parse(argv: Sequence[str], record: type[R], *, program: str) -> ParsedOptions[R]:
    """Parse `[PRESET.yaml] --option value ...` into options of this record.

    Raises:
        OptionError: an option or value is invalid.
        TextRequested: --help or --version is among the arguments.
    """
    if {"-h", "--help"} & set(argv):
        raise TextRequested(format_help(record, program))
    if "--version" in argv:
        raise TextRequested(f"pix2pix {__version__}")
    preset = argv[0] if argv and not argv[0].startswith("-") else None
    values = flatten_options(record, load_preset(preset), escape_line(preset)) if preset else {}
    values |= _translate_flags(_split_flags(argv[1:] if preset else argv, record), record)
    known = _list_accepted(record)
    checked = {name: known[name].check(*value) for name, value in values.items()}
    own = list_options(record)
    return ParsedOptions(
        record,
        given={name: value for name, value in checked.items() if name in own},
        claims={name: value for name, value in checked.items() if name not in own},
    )


_LEGACY_FLAGS: Mapping[type[Record], Mapping[str, LegacyFlag]] = {
    **dict.fromkeys(TRAINING_OPTIONS.values(), legacy.STYLE),
    Pix2PixOptions: legacy.TRAIN,
    SegmenterOptions: legacy.SEGMENT,
    TestOptions: legacy.TEST,
    GatysOptions: legacy.OPTIMIZE,
    SwagOptions: legacy.OPTIMIZE,
}


def _list_accepted(record: type[Record]) -> dict[str, Option]:
    """Return the record's options and, at test, the options of training that may be retyped."""
    training = list_options(Pix2PixOptions) | list_options(ModelOption) if record is TestOptions else {}
    return {name: option for name, option in training.items() if name in legacy.CLAIMS} | list_options(record)


def _split_flags(argv: Sequence[str], record: type[Record]) -> dict[str, str]:
    """Return the text of each flag; of a flag given twice the last counts, and old names are replaced.

    argparse is not used, because it does not accept values that begin with a dash.
    """
    flags, options = _LEGACY_FLAGS.get(record, {}), _list_accepted(record)
    texts: dict[str, str] = {}
    words = deque(argv)
    while words:
        name, equals, text = words.popleft().partition("=")
        flag = name.removeprefix("--")
        if name.startswith("--") and renames.OPTIONS.get(flag) in options:
            _LOG.warning("--%s is now --%s", flag, renames.OPTIONS[flag])
            flag = renames.OPTIONS[flag]
        if not name.startswith("--") or flag not in {**options, **flags}:
            raise _unknown_word(name + equals + text, [*list_options(record), *options, *flags], record)
        is_bool = flag not in flags and options[flag].field.annotation is bool
        if flag in flags and flags[flag].takes_no_value:
            if equals:
                raise OptionError(f"{name}: got {format_value(text)}; it takes no value")
        elif not equals and words and not words[0].startswith("-" if is_bool else "--"):
            text = words.popleft()
            while flag in options and options[flag].is_listed and words and not words[0].startswith("--"):
                text += "," + words.popleft()
        elif not equals and is_bool:
            text = "true"
        elif not equals:
            needed = flags[flag].here if flag in flags else f"{describe_allowed(options[flag].field)} is needed"
            raise OptionError(f"{name}: its value is missing; {needed}")
        if (renamed := renames.rename_value(flag, text)) != text:
            _LOG.warning("--%s %s is now --%s %s", flag, text, flag, renamed)
        texts.pop(flag, None)  # the last one counts
        texts[flag] = str(renamed)
    return texts


def _unknown_word(word: str, names: Sequence[str], record: type[Record]) -> OptionError:
    """Return the error for a word that is not an option, with a suggestion."""
    if not word.startswith("-"):
        return OptionError(
            f"got {format_value(word)}, which follows no option; [PRESET.yaml] --OPTION VALUE ... is needed"
        )
    word = word.partition("=")[0]
    owners = [name for name, other in TRAINING_OPTIONS.items() if word.removeprefix("--") in list_options(other)]
    if record in TRAINING_OPTIONS.values() and owners:
        return OptionError(f"{word} is an option of --model {' or '.join(owners)}: leave it out, or choose that method")
    hint = did_you_mean(word.lstrip("-"), dict.fromkeys(names), prefix="--") or "; --help lists all"
    return OptionError(f"unknown option {format_value(word)[1:-1]}{hint}")


def _translate_flags(texts: Mapping[str, str], record: type[Record]) -> dict[str, RawValue]:
    """Replace legacy flags by options; of two flags for one option the last counts."""
    flags = _LEGACY_FLAGS.get(record, {})
    values: dict[str, RawValue] = {}
    for flag, text in texts.items():
        try:
            options = flags[flag].read(text, texts) if flag in flags else {flag: text}
        except ValueError as error:
            raise OptionError(f"--{flag}: {error}") from None
        values |= {name: RawValue(value, f"--{flag}") for name, value in options.items()}
    return values


_PROGRAM = "python -m pix2pix experiment FILE"


class ExperimentArguments(NamedTuple):
    """The command line of an experiment: its own options, and those given of training and of evaluation."""

    options: ExperimentOptions
    training: Mapping[str, Any]
    evaluation: Mapping[str, Any]


def parse_experiment(argv: Sequence[str]) -> ExperimentArguments:
    """Parse `FILE --option value ...`.

    Raises:
        OptionError: an option or value is invalid.
        TextRequested: --help or --version is among the arguments.
    """
    words = ["--file", *argv] if argv and not argv[0].startswith("-") else list(argv)
    if {"-h", "--help", "--version"} & set(words):
        parse(words, ExperimentOptions, program=_PROGRAM)  # raises TextRequested
    of_experiment: list[str] = []
    of_training: list[str] = []
    of_evaluation: list[str] = []
    for typed, part in _split_parts(words):
        flag = renames.OPTIONS.get(typed, typed)
        if reason := REFUSED.get("resume" if flag == "continue_train" else flag):  # continue_train: junyanz's name
            raise OptionError(f"--{typed}: {reason}; leave it out")
        if flag in list_options(ExperimentOptions) or not flag:
            of_experiment += part
        elif flag in EVALUATION:
            of_evaluation += part
        else:
            of_training += _find_training_option(flag, part)
    options = parse(of_experiment, ExperimentOptions, program=_PROGRAM).options
    training = parse(of_training, Pix2PixOptions, program=_PROGRAM)
    evaluation = parse(of_evaluation, EvaluateOptions, program=_PROGRAM)
    return ExperimentArguments(options, training.given, evaluation.given)


def _split_parts(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each flag's name and its words, the flag first; "" and the words before the first flag."""
    part: list[str] = []
    for word in [*words, "--"]:
        if word.startswith("--") and part:
            yield part[0].partition("=")[0][2:] if part[0].startswith("--") else "", part
            part = []
        part.append(word)


def _find_training_option(flag: str, part: list[str]) -> list[str]:
    """Return the words of an option of training.

    Raises:
        OptionError: there is no such option, and one with a similar name to suggest.
    """
    known = {
        *list_options(Pix2PixOptions),
        *legacy.TRAIN,
        *(name for record in TRAINING_OPTIONS.values() for name in list_options(record)),
    }
    if flag not in known:
        names = [*list_options(ExperimentOptions), *EVALUATION, *list_options(Pix2PixOptions), *legacy.TRAIN]
        hint = did_you_mean(flag, dict.fromkeys(names), prefix="--")
        if hint:
            raise OptionError(f"unknown option --{flag}{hint}")
    return part
