"""Options and file of an experiment: a base, a grid of changes, and seeds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer

from pix2pix.config import renames
from pix2pix.config.base import (
    OptionError,
    Record,
    escape_line,
    flatten_options,
    format_value,
    get_groups,
    list_options,
)
from pix2pix.config.legacy import load_preset
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.tools import EvaluateOptions
from pix2pix.config.types import FilePath, Requirement, RunName, Seed, did_you_mean
from pix2pix.config.yaml import load_yaml

SEEDS = Requirement("a list of different whole numbers from 0 to 4294967295, such as 0,1,2,", listed=True)


def _parse_seeds(value: object) -> tuple[int, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    words = [str(part).strip() for part in parts] if isinstance(parts, list | tuple) else []
    seeds = tuple(int(word) for word in words if word.isascii() and word.isdecimal() and len(word) <= 10)
    if not words or len(set(seeds)) != len(words) or max(seeds) >= 2**32:
        raise ValueError(SEEDS.words + " is needed")
    return seeds


def _format_seeds(seeds: tuple[int, ...]) -> str:
    return ",".join(map(str, seeds))


Seeds = Annotated[tuple[Seed, ...], BeforeValidator(_parse_seeds), PlainSerializer(_format_seeds), SEEDS]


class ExperimentOptions(Record):
    """Options of `python -m pix2pix experiment FILE`: train and evaluate a grid of runs, and write a table."""

    file: FilePath = Field(description="the experiment, such as options/experiments/objectives.yaml")
    scale: RunName = Field("paper", description="small, paper, or another file of scales/ beside the experiment")
    seeds: Seeds | None = Field(None, description="seeds of every cell; none: those of the file")
    out: FilePath = Field("results/experiments", description="folder for the results")
    dry_run: bool = Field(False, description="only list the runs, and which would be trained")


REFUSED: Mapping[str, str] = {
    "name": "an experiment chooses the names of its runs",
    "seed": "an experiment has --seeds, such as --seeds 0,1,2",
    "resume": "an experiment always resumes unfinished runs",
    "overwrite": "an experiment reuses finished runs; delete the folder of a run to train it again",
    "stop_at_step": "an experiment can be stopped at any time and continues when it is started again",
}
"""Options that an experiment sets, and why they cannot be given."""

SHARED = ("device", "fast", "compile", "max_pixels", "skip_bad")
"""Options of training that are used for evaluation too."""
_FOLLOWING = (
    *("name", "checkpoints_dir", "results_dir", "results", "truth", "labels", "out"),
    *("epoch", "dataroot", "preprocess", "precision", "seed", "tile"),
)
EVALUATION = tuple(name for name in list_options(EvaluateOptions) if name not in (*_FOLLOWING, *SHARED))
"""Options of evaluation that can be given; the experiment sets the others."""


SCALES = ("small", "paper")
_KEYS = {
    "title": "the title of the table",
    "base": "the preset of all runs, relative to this file, such as ../facades.yaml",
    "changes": "changes for all runs",
    "grid": "axes, each with its choices, such as {objective: {L1: {gan_mode: none}, L1+cGAN: {}}}",
    "seeds": "a list of seeds, such as [0, 1, 2]",
}


class Overrides(NamedTuple):
    """The changes of a cell: options of training, in general and at some scales, and options of evaluation."""

    options: Mapping[str, Any]
    scaled: Mapping[str, Mapping[str, Any]]
    evaluate: Mapping[str, Any]

    def at(self, scale: str) -> dict[str, Any]:
        """Return the options of training at a scale."""
        return {**self.options, **self.scaled.get(scale, {})}

    def names(self) -> set[str]:
        """Return the names of all changed options, at any scale."""
        return {*self.options, *(name for options in self.scaled.values() for name in options), *self.evaluate}


class Experiment(NamedTuple):
    """The content of an experiment file: `base` has the options of the preset, `axes` the changes by axis and label."""

    file: str
    title: str
    base: Mapping[str, Any]
    changes: Overrides
    axes: Mapping[str, Mapping[str, Overrides]]
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the file, the prefix of the runs' names."""
        return Path(self.file).stem


def load_experiment(file: str) -> Experiment:
    """Load an experiment file and the preset that it is based on.

    Raises:
        OptionError: a key, option or value is invalid; says where.
    """
    given, source = load_preset(file), escape_line(file)
    for key in given:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS) or f"; {', '.join(_KEYS)} are allowed"
            raise OptionError(f"{source}: unknown key {format_value(key)[1:-1]}{hint}")
    for key in ("base", "grid"):
        if given.get(key) is None:
            raise OptionError(f"{source}: {key} is missing: {_KEYS[key]}")
    title, seeds = given.get("title"), given.get("seeds", (0,))
    for key, text in (("base", given["base"]), ("title", "" if title is None else title)):
        if not isinstance(text, str):
            raise OptionError(f"{source}: {key}: got {format_value(text)}; {_KEYS[key]}, is needed")
    if (checked := list_options(ExperimentOptions)["seeds"].check(seeds, f"{source}: seeds")) is None:
        raise OptionError(f"{source}: seeds: got {format_value(seeds)}; {SEEDS.words} is needed")
    scales = {*SCALES, *_list_scales(file)}
    return Experiment(
        file,
        " ".join(str(title or "").split()) or Path(file).stem,
        _load_base(Path(file).parent / str(given["base"]), f"{source}: base: "),
        _parse_overrides(given.get("changes"), f"{source}: changes", scales),
        _parse_axes(given["grid"], source, scales),
        checked,
    )


def load_scale(file: str, scale: str) -> Mapping[str, Any]:
    """Load the options of a scale from scales/SCALE.yaml beside the experiment; none are needed for "paper".

    Raises:
        OptionError: there is no such scale, or its file is invalid.
    """
    known = _list_scales(file)
    if scale in known:
        path = Path(file).parent / "scales" / f"{scale}.yaml"
        return _check_training(load_yaml(path), escape_line(path))
    if scale == "paper":
        return {}
    known = sorted({*known, "paper"})
    hint = did_you_mean(scale, known) or f"; there is {' and '.join(known)}"
    raise OptionError(
        f"--scale: got {format_value(scale)}, and {escape_line(Path(file).parent / 'scales')} has no such file{hint}"
    )


def _list_scales(file: str) -> list[str]:
    return sorted(path.stem for path in Path(file).parent.glob("scales/*.yaml"))


def _load_base(path: Path, where: str) -> dict[str, Any]:
    """Load the options of the base preset, without those that the experiment sets."""
    try:
        given = load_preset(path)
    except OptionError as error:
        raise OptionError(f"{where}{error}") from None
    model = given.get("model", "pix2pix")
    if model != "pix2pix":
        raise OptionError(
            f"{where}{escape_line(path)} is of {format_value(model)[1:-1]}; experiments support only pix2pix"
        )
    known = list_options(Pix2PixOptions)
    flat = flatten_options(Pix2PixOptions, given, escape_line(path))
    return {name: known[name].check(*item) for name, item in flat.items() if name not in {*REFUSED, "dry_run"}}


def _check_training(given: Mapping[str, object], source: str) -> dict[str, Any]:
    """Validate options of training, and return them by name.

    Raises:
        OptionError: one is unknown, not allowed, or set by the experiment.
    """
    known = list_options(Pix2PixOptions)
    found = flatten_options(Pix2PixOptions, given, source)
    for name, item in found.items():
        if name in {**REFUSED, "checkpoints_dir": "", "dry_run": "", "model": ""}:
            raise OptionError(f"{item.origin}: {REFUSED.get(name, 'it is the same for all runs')}; leave it out")
    return {name: known[name].check(*item) for name, item in found.items()}


def _parse_overrides(given: object, source: str, scales: set[str]) -> Overrides:
    """Parse the changes of a cell: options, sections of options for some scales, and a section `evaluate`."""
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise OptionError(
            f"{source}: got {format_value(given)}; a mapping of options, such as {{lambda_l1: 0}}, is needed"
        )
    sections = {*scales, "evaluate"}
    for key, value in given.items():
        if isinstance(value, Mapping) and key not in {*sections, *get_groups(Pix2PixOptions)}:
            hint = (
                did_you_mean(key, [*sorted(sections), *get_groups(Pix2PixOptions)])
                or f"; {_listed(sections)} are known"
            )
            raise OptionError(f"{source}: unknown section {format_value(key)[1:-1]}{hint}")
        if value is not None and key in sections and not isinstance(value, Mapping):
            raise OptionError(f"{source}: {key}: got {format_value(value)}; a mapping of options is needed")
    own = {key: value for key, value in given.items() if key not in sections}
    parts = {key: value or {} for key, value in given.items() if key in sections}
    return Overrides(
        _check_training(own, source),
        {key: _check_training(part, f"{source}: {key}") for key, part in parts.items() if key != "evaluate"},
        _check_evaluation(parts.get("evaluate", {}), f"{source}: evaluate"),
    )


def _check_evaluation(given: Mapping[str, object], source: str) -> dict[str, Any]:
    known = list_options(EvaluateOptions)
    given = {renames.OPTIONS.get(key, key): value for key, value in given.items()}
    for name in given:
        if name not in EVALUATION:
            raise OptionError(
                f"{source}: {format_value(name)[1:-1]} is not an option of evaluation that can be given"
                f"{did_you_mean(name, EVALUATION)}"
            )
    return {name: known[name].check(value, f"{source}: {name}") for name, value in given.items()}


def _parse_axes(given: object, source: str, scales: set[str]) -> dict[str, dict[str, Overrides]]:
    """Parse the grid: at least one axis with at least one label; labels must be valid in folder names."""
    filled = [
        isinstance(part, Mapping) and part for part in (given, *(given.values() if isinstance(given, Mapping) else []))
    ]
    if not isinstance(given, Mapping) or not all(filled):
        raise OptionError(f"{source}: grid: got {format_value(given)}; {_KEYS['grid']}, are needed")
    name = list_options(Pix2PixOptions)["name"]
    changed: dict[str, str] = {}
    axes: dict[str, dict[str, Overrides]] = {}
    for axis, choices in given.items():
        where = f"{source}: grid: {axis}"
        axes[axis] = {
            name.check(label, f"{where}: label"): _parse_overrides(changes, f"{where}: {label}", scales)
            for label, changes in choices.items()
        }
        for option in sorted({option for choice in axes[axis].values() for option in choice.names()}):
            if changed.setdefault(option, axis) != axis:
                raise OptionError(f"{where}: {option} is changed by {changed[option]} too; keep it in one axis")
    return axes


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
