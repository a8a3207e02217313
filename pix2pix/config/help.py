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
    "python train.py --model conditional": MultiStyleOptions,
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

_FURTHER: Mapping[type[Record], list[str]] = {
    Pix2PixOptions: [
        "--model johnson, conditional, adain and segmenter have options of their own: see --model johnson --help."
    ],
    EvaluateOptions: ["evaluate train-segmenter trains what --segmenter takes: see evaluate train-segmenter --help."],
    ExperimentOptions: ["Options of train.py and of python -m pix2pix evaluate are taken too, and win over the file."],
    TestOptions: ["--model gatys and --model swag need no checkpoint: see --model gatys --help."],
}


def format_help(record: type[Record], program: str) -> str:
    """Return what --help shows: every option by group, with what it allows and its default."""
    usage = f"{program} [PRESET.yaml] [--OPTION VALUE ...]"
    epilog = " ".join([*_FURTHER.get(record, ()), "--help shows this, --version the version."])
    parser = ArgumentParser(usage=usage, description=record.__doc__, epilog=epilog, add_help=False)
    for title, members in _sections(record):
        name, _, purpose = title.partition(": ")
        group = parser.add_argument_group(name, purpose or None)
        for leaf in members:
            default = _default(leaf) if leaf.field.is_required() else f"default: {_default(leaf)}"
            text = f"{leaf.field.description} [{describe_allowed(leaf.field)}; {default}]"
            group.add_argument(f"--{leaf.name}", action="store_true", help=text.replace("%", "%%"))
    return parser.format_help().rstrip()


def format_options_page() -> str:
    """Return docs/options.md."""
    lines = [
        "# Options",
        "",
        "Written by `python -m pix2pix.config > docs/options.md` from the options themselves.",
        "",
        "Every command takes `[PRESET.yaml] --option value ...`; the command line wins over the preset, the preset",
        "over the defaults. A preset holds options by name, in their groups or not: `lr: 2e-4` or `train: {lr: 2e-4}`.",
        "A switch may stand alone: `--overwrite` is `--overwrite true`. A value may begin with one dash; one that",
        "begins with two is given as `--input=--odd.png`. Lists have commas or spaces between their members:",
        "`--style_layers relu1_1,relu2_1` is `--style_layers relu1_1 relu2_1`.",
    ]
    for program, record in PROGRAMS.items():
        lines += ["", f"## {program}", "", record.__doc__ or ""]
        told, base = next(((told, kind) for told, kind in PROGRAMS.items() if kind in record.__mro__[1:]), ("", None))
        lines += ["", f"What differs from `{told}`, whose other options it has too:"] if base else []
        for title, members in _sections(record):
            rows = [
                _row(leaf)
                for leaf in members
                if base is None or leaf.field.default != list_options(base)[leaf.name].field.default
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
    lines += ["", "`*` may differ when a run is resumed; everything else is continued as it was.", ""]
    lines += ["## Flags of junyanz/pytorch-CycleGAN-and-pix2pix", ""]
    lines += ["Flags with the same name mean the same. The others:", ""]
    lines += ["### python train.py", "", *_old_rows(legacy.TRAIN), "", "The other methods read those of them that are"]
    lines += ["not about pairs, D or epochs.", "", "### python test.py", ""]
    lines += ["The checkpoint knows the training's options. Retyped ones are allowed where they agree with it:"]
    lines += [", ".join(f"`--{name}`" for name in sorted(legacy.CLAIMS)) + ".", "", *_old_rows(legacy.TEST)]
    return "\n".join(lines) + "\n"


def _sections(record: type[Record]) -> Iterator[tuple[str, list[Option]]]:
    """Yield the groups of a record, those of the top level first, each with its options."""
    members = list_options(record).values()
    yield "options", [leaf for leaf in members if not leaf.group]
    for group, kind in get_groups(record).items():
        yield f"{group}: {kind.__doc__}", [leaf for leaf in members if leaf.group == group]


def _default(leaf: Option) -> str:
    if leaf.field.is_required():
        return "required"
    if leaf.field.default is None:
        return "none" if allows_none(leaf.field) else "not given"
    return format_scalar(leaf.default).strip('"')


def _row(leaf: Option) -> str:
    star = " *" if OptionFlag.MAY_CHANGE in leaf.field.metadata else ""
    return f"| `--{leaf.name}`{star} | {_default(leaf)} | {describe_allowed(leaf.field)} | {leaf.field.description} |"


def _old_rows(table: Mapping[str, LegacyFlag]) -> list[str]:
    return ["| flag | here |", "|---|---|", *(f"| `--{flag}` | {old.here} |" for flag, old in table.items())]
