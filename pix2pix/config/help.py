"""Write --help and docs/options.md."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping

from pix2pix.config import legacy
from pix2pix.config.base import Option, Record, get_groups, list_options
from pix2pix.config.experiment import ExperimentOptions
from pix2pix.config.gatys import GatysOptions, SwagOptions
from pix2pix.config.legacy import LegacyFlag
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.segmenter import SegmenterOptions
from pix2pix.config.style import AdainOptions, JohnsonOptions, MultiStyleOptions
from pix2pix.config.test import TestOptions
from pix2pix.config.tools import (
    ActivationsOptions,
    CheckOptions,
    CombineOptions,
    EdgesOptions,
    EvaluateOptions,
    GeneratedOptions,
    ImportOptions,
    SplitOptions,
)
from pix2pix.config.types import OptionFlag, allows_none, describe_allowed
from pix2pix.config.yaml import format_scalar

PROGRAMS: Mapping[str, type[Record]] = {
    "python train.py": Pix2PixOptions,
    "python train.py --model johnson": JohnsonOptions,
    "python train.py --model multi_style": MultiStyleOptions,
    "python train.py --model adain": AdainOptions,
    "python train.py --model segmenter": SegmenterOptions,
    "python test.py": TestOptions,
    "python test.py --model gatys": GatysOptions,
    "python test.py --model swag": SwagOptions,
    "python -m pix2pix evaluate": EvaluateOptions,
    "python -m pix2pix experiment FILE": ExperimentOptions,
    "python -m pix2pix check DATAROOT": CheckOptions,
    "python -m pix2pix activations": ActivationsOptions,
    "python -m pix2pix import FILE": ImportOptions,
    "python -m pix2pix prepare combine": CombineOptions,
    "python -m pix2pix prepare edges": EdgesOptions,
    "python -m pix2pix prepare split": SplitOptions,
    "python -m pix2pix prepare generated": GeneratedOptions,
}

_NOTES: Mapping[type[Record], list[str]] = {
    Pix2PixOptions: [
        "--model johnson, multi_style, adain and segmenter have other options: see --model johnson --help."
    ],
    EvaluateOptions: [
        "evaluate train-segmenter trains a network for --segmenter: see evaluate train-segmenter --help."
    ],
    ExperimentOptions: [
        "Options of train.py and of python -m pix2pix evaluate are accepted too, and override the file."
    ],
    TestOptions: ["--model gatys and --model swag need no checkpoint: see --model gatys --help."],
}


def format_help(record: type[Record], program: str) -> str:
    """Format --help: every option by group, with its allowed values and default."""
    usage = f"{program} [PRESET.yaml] [--OPTION VALUE ...]"
    epilog = " ".join([*_NOTES.get(record, ()), "--help shows this, --version the version."])
    parser = ArgumentParser(usage=usage, description=record.__doc__, epilog=epilog, add_help=False)
    for title, members in _iterate_groups(record):
        name, _, purpose = title.partition(": ")
        group = parser.add_argument_group(name, purpose or None)
        for option in members:
            default = _format_default(option)
            default = default if option.field.is_required() else f"default: {default}"
            text = f"{option.field.description} [{describe_allowed(option.field)}; {default}]"
            group.add_argument(f"--{option.name}", action="store_true", help=text.replace("%", "%%"))
    return parser.format_help().rstrip()


def format_options_page() -> str:
    """Format docs/options.md."""
    lines = [
        "# Options",
        "",
        "Written by `python -m pix2pix.config > docs/options.md` from the options themselves.",
        "",
        "Every command takes `[PRESET.yaml] --option value ...`; the command line overrides the preset, the preset",
        "the defaults. A preset has options by name, in their groups or not: `lr: 2e-4` or `train: {lr: 2e-4}`.",
        "`--overwrite` is short for `--overwrite true`. A value may begin with one dash; one that begins with two is",
        "given as `--input=--odd.png`. Members of lists are separated by commas or spaces:",
        "`--style_layers relu1_1,relu2_1` is `--style_layers relu1_1 relu2_1`.",
    ]
    for program, record in PROGRAMS.items():
        lines += ["", f"## {program}", "", record.__doc__ or ""]
        parents = [(name, other) for name, other in PROGRAMS.items() if other in record.__mro__[1:]]
        name, base = parents[0] if parents else ("", None)
        lines += ["", f"The options of `{name}`, with these other defaults:"] if base else []
        for title, members in _iterate_groups(record):
            rows = [
                _format_row(option)
                for option in members
                if base is None or option.field.default != list_options(base)[option.name].field.default
            ]
            if rows:
                lines += [
                    "",
                    f"### {title}",
                    "",
                    "| option | default | allowed | meaning |",
                    "|---|---|---|---|",
                    *rows,
                ]
    lines += ["", "`*` may change when a run is resumed; all other options must not.", ""]
    lines += ["## Flags of junyanz/pytorch-CycleGAN-and-pix2pix", ""]
    lines += ["Flags with the same name mean the same. The others:", ""]
    lines += ["### python train.py", "", *_format_flags(legacy.TRAIN), "", "The other methods accept those that do not"]
    lines += ["concern pairs, D or epochs.", "", "### python test.py", ""]
    lines += ["The checkpoint has the options of training. They may be retyped if they agree with it:"]
    lines += [", ".join(f"`--{name}`" for name in sorted(legacy.CLAIMS)) + ".", "", *_format_flags(legacy.TEST)]
    return "\n".join(lines) + "\n"


def _iterate_groups(record: type[Record]) -> Iterator[tuple[str, list[Option]]]:
    """Yield the title and options of each group of a record, the top level first."""
    members = list_options(record).values()
    yield "options", [option for option in members if not option.group]
    for group, fields in get_groups(record).items():
        yield f"{group}: {fields.__doc__}", [option for option in members if option.group == group]


def _format_default(option: Option) -> str:
    if option.field.is_required():
        return "required"
    if option.field.default is None:
        return "none" if allows_none(option.field) else "not given"
    return format_scalar(option.default).strip('"')


def _format_row(option: Option) -> str:
    star = " *" if OptionFlag.MAY_CHANGE in option.field.metadata else ""
    cells = f"`--{option.name}`{star}", _format_default(option), describe_allowed(option.field)
    return f"| {' | '.join(cells)} | {option.field.description} |"


def _format_flags(table: Mapping[str, LegacyFlag]) -> list[str]:
    return ["| flag | here |", "|---|---|", *(f"| `--{name}` | {flag.here} |" for name, flag in table.items())]
