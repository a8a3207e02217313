"""Parse a command line, and perhaps a YAML preset, into validated options."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeAlias

from pydantic import Field

from pix2pix import __version__
from pix2pix.config import legacy
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

TRAINING_OPTIONS: Mapping[str, type[TrainingOptions]] = {
    "pix2pix": Pix2PixOptions,
    "johnson": JohnsonOptions,
    "conditional": MultiStyleOptions,
    "adain": AdainOptions,
    "segmenter": SegmenterOptions,
}


class ModelOption(Record):
    """What test.py may be told of a checkpoint of any trained method."""

    model: Literal["pix2pix", "johnson", "conditional", "adain", "segmenter"] = Field(
        "pix2pix", description="the trained method"
    )


OPTIMIZATION_OPTIONS: Mapping[str, type[GatysOptions]] = {"gatys": GatysOptions, "swag": SwagOptions}
_JUNYANZ = ("colorization", "test", "cycle_gan")  # the options of pix2pix and TestOptions know what to do with each


def select_training_options(argv: Sequence[str]) -> type[TrainingOptions]:
    """Return the options of the method that train.py is asked for: by --model, the preset or the run to resume.

    Raises:
        OptionError: there is no such method, or it is one that is not trained.
    """
    model, origin = _model(argv)
    if model is None and _is_resumed(argv):
        model = _model_of_run(argv)
    if model in OPTIMIZATION_OPTIONS:
        preset = f"{argv[0]} " if not origin.startswith("--") else f"--model {model} "
        raise OptionError(
            f"{origin}: {model} paints one picture, and there is nothing to train; "
            f"type python test.py {preset}--content PICTURE --style PICTURE"
        )
    if model is None or model in _JUNYANZ:
        return Pix2PixOptions
    return TRAINING_OPTIONS[_check_model(model, list(TRAINING_OPTIONS), origin)]


def select_optimization_options(argv: Sequence[str]) -> type[GatysOptions] | None:
    """Return the options of the method that test.py is asked for, or None: `TestOptions`, a trained translator.

    Raises:
        OptionError: there is no such method.
    """
    model, origin = _model(argv)
    if model is None or model in _JUNYANZ:
        return None
    return OPTIMIZATION_OPTIONS.get(_check_model(model, [*TRAINING_OPTIONS, *OPTIMIZATION_OPTIONS], origin))


def load_stored_options(stored: Mapping[str, object], source: str = "options") -> TrainingOptions:
    """Return the options that `as_dict` made these values of, whichever trained method they are of.

    Raises:
        OptionError: an unknown method or option, or a value that is not allowed. `source` names the mapping.
    """
    model = stored.get("model", "pix2pix")
    return from_dict(TRAINING_OPTIONS[_check_model(model, list(TRAINING_OPTIONS), f"{source}: model")], stored, source)


def _check_model(model: object, allowed: list[str], origin: str) -> str:
    if isinstance(model, str) and model in allowed:
        return model
    hint = did_you_mean(model, allowed) if isinstance(model, str) else ""
    raise OptionError(
        f"{origin}: got {format_value(model)}; {', '.join(allowed[:-1])} or {allowed[-1]} is needed{hint}"
    )


def _model(argv: Sequence[str]) -> tuple[str | None, str]:
    """Return the last --model, else that of the preset, and where it was said; None where nothing was."""
    said = _typed(argv, "model")
    if said is not None:
        return said, "--model"
    model = _preset(argv).get("model")
    return (model if isinstance(model, str) else None), f"{escape_line(argv[0])}: model" if argv else ""


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


class TextRequested(Exception):  # noqa: N818 (no error)
    """The command line asked for a text, --help or --version, and for no work; the text is the message."""


@dataclass(frozen=True)
class ParsedOptions(Generic[R]):
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
        return build_options(self.record, self.given)

    def value(self, name: str) -> Any:
        """Return one option, given or default, without asking for the others.

        Raises:
            OptionError: it is missing and has no default.
        """
        leaf = list_options(self.record)[name]
        if name not in self.given and leaf.field.is_required():
            raise leaf.missing
        return self.given.get(name, leaf.field.default)


def parse(argv: Sequence[str], record: type[R], *, program: str) -> ParsedOptions[R]:
    """Read `[PRESET.yaml] --option value ...` as options of this record.

    Raises:
        OptionError: anything that cannot be meant, in one line.
        Answer: --help or --version is among the arguments.
    """
    if {"-h", "--help"} & set(argv):
        raise TextRequested(format_help(record, program))
    if "--version" in argv:
        raise TextRequested(f"pix2pix {__version__}")
    preset = argv[0] if argv and not argv[0].startswith("-") else None
    said = flatten_options(record, load_preset(preset), escape_line(preset)) if preset else {}
    said |= _from_flags(_flags(argv[1:] if preset else argv, record), record)
    known = _known(record)
    checked = {name: known[name].check(*item) for name, item in said.items()}
    own = list_options(record)
    return ParsedOptions(
        record,
        given={name: value for name, value in checked.items() if name in own},
        claims={name: value for name, value in checked.items() if name not in own},
    )


_OLD: Mapping[type[Record], Mapping[str, LegacyFlag]] = {
    **dict.fromkeys(TRAINING_OPTIONS.values(), legacy.STYLE),
    Pix2PixOptions: legacy.TRAIN,
    SegmenterOptions: legacy.SEGMENT,
    TestOptions: legacy.TEST,
    GatysOptions: legacy.OPTIMIZE,
    SwagOptions: legacy.OPTIMIZE,
}


def _old(record: type[Record]) -> Mapping[str, LegacyFlag]:
    return _OLD.get(record, {})


def _known(record: type[Record]) -> dict[str, Option]:
    """Return the record's options and, at test, the training options that may be retyped."""
    claims = list_options(Pix2PixOptions) | list_options(ModelOption) if record is TestOptions else {}
    return {name: leaf for name, leaf in claims.items() if name in legacy.CLAIMS} | list_options(record)


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
            raise _unknown(name + equals + text, [*list_options(record), *known, *old], record)
        is_bool = flag not in old and known[flag].field.annotation is bool
        if flag in old and old[flag].bare:
            if equals:
                raise OptionError(f"{name}: got {format_value(text)}; it takes no value")
        elif not equals and rest and not rest[0].startswith("-" if is_bool else "--"):
            text = rest.popleft()
            while flag in known and known[flag].is_listed and rest and not rest[0].startswith("--"):
                text += "," + rest.popleft()
        elif not equals and is_bool:
            text = "true"
        elif not equals:
            needed = old[flag].here if flag in old else f"{describe_allowed(known[flag].field)} is needed"
            raise OptionError(f"{name}: its value is missing; {needed}")
        said.pop(flag, None)
        said[flag] = text
    return said


def _unknown(word: str, names: Sequence[str], record: type[Record]) -> OptionError:
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


def _from_flags(said: Mapping[str, str], record: type[Record]) -> dict[str, RawValue]:
    """Return our options for flags as typed; of two flags for one option the last one counts."""
    old = _old(record)
    found: dict[str, RawValue] = {}
    for flag, text in said.items():
        try:
            options = old[flag].read(text, said) if flag in old else {flag: text}
        except ValueError as error:
            raise OptionError(f"--{flag}: {error}") from None
        found |= {name: RawValue(value, f"--{flag}") for name, value in options.items()}
    return found


_PROGRAM = "python -m pix2pix experiment FILE"


class ExperimentArguments(NamedTuple):
    """A command line: the experiment's own options, and what was given of those of training and of evaluating."""

    options: ExperimentOptions
    training: Mapping[str, Any]
    evaluation: Mapping[str, Any]


def parse_experiment(argv: Sequence[str]) -> ExperimentArguments:
    """Read `FILE --option value ...`.

    Raises:
        OptionError: anything that cannot be meant, in one line.
        Answer: --help or --version is among the arguments.
    """
    words = ["--file", *argv] if argv and not argv[0].startswith("-") else list(argv)
    if {"-h", "--help", "--version"} & set(words):
        parse(words, ExperimentOptions, program=_PROGRAM)  # which answers
    of_experiment: list[str] = []
    of_training: list[str] = []
    of_evaluation: list[str] = []
    for flag, part in _parts(words):
        if why := REFUSED.get("resume" if flag == "continue_train" else flag):  # which is junyanz's name of it
            raise OptionError(f"--{flag}: {why}; leave it out")
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


def _parts(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each flag's name with the words that belong to it; "" for those before the first."""
    part: list[str] = []
    for word in [*words, "--"]:
        if word.startswith("--") and part:
            yield part[0].partition("=")[0][2:] if part[0].startswith("--") else "", part
            part = []
        part.append(word)


def _find_training_option(flag: str, part: list[str]) -> list[str]:
    """Return the words of an option of training.

    Raises:
        OptionError: it is none of any kind; those that have its name nearly are suggested.
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
