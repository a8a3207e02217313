"""Options and file of an experiment: a base, a grid of changes, and seeds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer

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


def _seeds(value: object) -> tuple[int, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    words = [str(part).strip() for part in parts] if isinstance(parts, list | tuple) else []
    seeds = tuple(int(word) for word in words if word.isascii() and word.isdecimal() and len(word) <= 10)
    if not words or len(set(seeds)) != len(words) or max(seeds) >= 2**32:
        raise ValueError(SEEDS.words + " is needed")
    return seeds


def _seeds_text(seeds: tuple[int, ...]) -> str:
    return ",".join(map(str, seeds))


Seeds = Annotated[tuple[Seed, ...], BeforeValidator(_seeds), PlainSerializer(_seeds_text), SEEDS]


class ExperimentOptions(Record):
    """Options of `python -m pix2pix experiment FILE`: a grid of runs, each made once, and one table."""

    file: FilePath = Field(description="the experiment, such as options/experiments/objectives.yaml")
    scale: RunName = Field(
        "paper", description="how large: small, paper, or another file of scales/ beside the experiment"
    )
    seeds: Seeds | None = Field(None, description="train every choice with each of these; none: those of the file")
    out: FilePath = Field("results/experiments", description="folder for the results")
    dry_run: bool = Field(False, description="only say which runs there are, and which would be trained")


REFUSED: Mapping[str, str] = {
    "name": "an experiment names its runs itself",
    "seed": "an experiment has seeds, such as seeds 0,1,2",
    "resume": "an experiment resumes by itself what is unfinished",
    "overwrite": "an experiment uses what there is; delete the folder of a run to have it trained anew",
    "stop_at": "an experiment can be stopped at any time and goes on when it is started again",
}
"""Options of a run that no one may choose in an experiment, and why."""

SHARED = ("device", "fast", "compile", "max_pixels", "skip_bad")
"""Options of training by which its results are evaluated too."""
_FOLLOWING = (
    *("name", "checkpoints_dir", "results_dir", "results", "truth", "labels", "out"),
    *("epoch", "dataroot", "preprocess", "precision", "seed", "tile"),
)
EVALUATION = tuple(name for name in list_options(EvaluateOptions) if name not in (*_FOLLOWING, *SHARED))
"""Options of evaluating that may be chosen; which run, on what, and where to, follows from the experiment."""


SCALES = ("small", "paper")
_KEYS = {
    "title": "what the experiment is called",
    "base": "the preset that every run begins with, by its path from this file, such as ../facades.yaml",
    "changes": "what all runs change",
    "grid": "axes, each with its choices, such as {objective: {L1: {gan_mode: none}, L1+cGAN: {}}}",
    "seeds": "a list of seeds, such as [0, 1, 2]",
}


class Overrides(NamedTuple):
    """What a choice changes: options of training, more of them at some scales, and options of evaluating."""

    options: Mapping[str, Any]
    scaled: Mapping[str, Mapping[str, Any]]
    evaluate: Mapping[str, Any]

    def at(self, scale: str) -> dict[str, Any]:
        """Return the options of training at a scale."""
        return {**self.options, **self.scaled.get(scale, {})}

    def names(self) -> set[str]:
        """Return every option that is changed, whatever the scale."""
        return {*self.options, *(name for options in self.scaled.values() for name in options), *self.evaluate}


class Experiment(NamedTuple):
    """What a file says: `base` holds the options that the preset gives, `axes` choices by axis and label."""

    file: str
    title: str
    base: Mapping[str, Any]
    changes: Overrides
    axes: Mapping[str, Mapping[str, Overrides]]
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the file, which begins those of the runs."""
        return Path(self.file).stem


def load_experiment(file: str) -> Experiment:
    """Read the file of an experiment, and the preset that it is based on.

    Raises:
        OptionError: something in them cannot be meant; says where.
    """
    said, source = load_yaml(file), escape_line(file)
    for key in said:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS) or f"; {', '.join(_KEYS)} are what an experiment has"
            raise OptionError(f"{source}: unknown key {format_value(key)[1:-1]}{hint}")
    for key in ("base", "grid"):
        if said.get(key) is None:
            raise OptionError(f"{source}: {key} is missing: {_KEYS[key]}")
    title, seeds = said.get("title"), said.get("seeds", (0,))
    for key, text in (("base", said["base"]), ("title", "" if title is None else title)):
        if not isinstance(text, str):
            raise OptionError(f"{source}: {key}: got {format_value(text)}; {_KEYS[key]}, is needed")
    if (checked := list_options(ExperimentOptions)["seeds"].check(seeds, f"{source}: seeds")) is None:
        raise OptionError(f"{source}: seeds: got {format_value(seeds)}; {SEEDS.words} is needed")
    scales = {*SCALES, *_scales(file)}
    return Experiment(
        file,
        " ".join(str(title or "").split()) or Path(file).stem,
        _preset(Path(file).parent / str(said["base"]), f"{source}: base: "),
        _changes(said.get("changes"), f"{source}: changes", scales),
        _axes(said["grid"], source, scales),
        checked,
    )


def load_scale(file: str, scale: str) -> Mapping[str, Any]:
    """Read the options of a scale: those of scales/SCALE.yaml beside the experiment, or for "paper" perhaps none.

    Raises:
        OptionError: there is no such scale, or its file cannot be meant.
    """
    known = _scales(file)
    if scale in known:
        path = Path(file).parent / "scales" / f"{scale}.yaml"
        return _checked(load_yaml(path), escape_line(path))
    if scale == "paper":
        return {}
    known = sorted({*known, "paper"})
    hint = did_you_mean(scale, known) or f"; there is {' and '.join(known)}"
    raise OptionError(
        f"--scale: got {format_value(scale)}, and {escape_line(Path(file).parent / 'scales')} has no such file{hint}"
    )


def _scales(file: str) -> list[str]:
    return sorted(path.stem for path in Path(file).parent.glob("scales/*.yaml"))


def _preset(path: Path, where: str) -> dict[str, Any]:
    """Return what the base gives, but for what an experiment decides by itself."""
    try:
        said = load_preset(path)
    except OptionError as error:
        raise OptionError(f"{where}{error}") from None
    model = said.get("model", "pix2pix")
    if model != "pix2pix":
        raise OptionError(
            f"{where}{escape_line(path)} is of {format_value(model)[1:-1]}; experiments are of pix2pix alone"
        )
    known = list_options(Pix2PixOptions)
    flat = flatten_options(Pix2PixOptions, said, escape_line(path))
    return {name: known[name].check(*item) for name, item in flat.items() if name not in {*REFUSED, "dry_run"}}


def _checked(said: Mapping[str, object], source: str) -> dict[str, Any]:
    """Return options of training by name, as their types.

    Raises:
        OptionError: one is unknown, not allowed, or not for a choice to say.
    """
    known = list_options(Pix2PixOptions)
    found = flatten_options(Pix2PixOptions, said, source)
    for name, item in found.items():
        if name in {**REFUSED, "checkpoints_dir": "", "dry_run": "", "model": ""}:
            raise OptionError(f"{item.origin}: {REFUSED.get(name, 'it is the same for all runs')}; leave it out")
    return {name: known[name].check(*item) for name, item in found.items()}


def _changes(said: object, source: str, scales: set[str]) -> Overrides:
    """Read a choice: options, sections of them for some scales, and a section `evaluate`."""
    if said is None:
        said = {}
    if not isinstance(said, Mapping):
        raise OptionError(
            f"{source}: got {format_value(said)}; a mapping of options, such as {{lambda_l1: 0}}, is needed"
        )
    sections = {*scales, "evaluate"}
    for key, value in said.items():
        if isinstance(value, Mapping) and key not in {*sections, *get_groups(Pix2PixOptions)}:
            hint = (
                did_you_mean(key, [*sorted(sections), *get_groups(Pix2PixOptions)])
                or f"; {_listed(sections)} are known"
            )
            raise OptionError(f"{source}: unknown section {format_value(key)[1:-1]}{hint}")
        if value is not None and key in sections and not isinstance(value, Mapping):
            raise OptionError(f"{source}: {key}: got {format_value(value)}; a mapping of options is needed")
    own = {key: value for key, value in said.items() if key not in sections}
    parts = {key: value or {} for key, value in said.items() if key in sections}
    return Overrides(
        _checked(own, source),
        {key: _checked(part, f"{source}: {key}") for key, part in parts.items() if key != "evaluate"},
        _evaluation(parts.get("evaluate", {}), f"{source}: evaluate"),
    )


def _evaluation(said: Mapping[str, object], source: str) -> dict[str, Any]:
    known = list_options(EvaluateOptions)
    for name in said:
        if name not in EVALUATION:
            raise OptionError(
                f"{source}: {format_value(name)[1:-1]} is no option of evaluating to choose"
                f"{did_you_mean(name, EVALUATION)}"
            )
    return {name: known[name].check(value, f"{source}: {name}") for name, value in said.items()}


def _axes(said: object, source: str, scales: set[str]) -> dict[str, dict[str, Overrides]]:
    """Read the grid: at least one axis of at least one choice, whose labels can be parts of a folder's name."""
    filled = [
        isinstance(part, Mapping) and part for part in (said, *(said.values() if isinstance(said, Mapping) else []))
    ]
    if not isinstance(said, Mapping) or not all(filled):
        raise OptionError(f"{source}: grid: got {format_value(said)}; {_KEYS['grid']}, are needed")
    name = list_options(Pix2PixOptions)["name"]
    changed: dict[str, str] = {}
    axes: dict[str, dict[str, Overrides]] = {}
    for axis, choices in said.items():
        where = f"{source}: grid: {axis}"
        axes[axis] = {
            name.check(label, f"{where}: label"): _changes(given, f"{where}: {label}", scales)
            for label, given in choices.items()
        }
        for option in sorted({option for choice in axes[axis].values() for option in choice.names()}):
            if changed.setdefault(option, axis) != axis:
                raise OptionError(f"{where}: {option} is changed by {changed[option]} too; keep it in one of the axes")
    return axes


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
