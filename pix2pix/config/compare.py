"""Compare given options with stored ones: at resume, and at test."""

from collections.abc import Mapping
from typing import Any

from pix2pix.config.base import Option, OptionError, Record, build_options, format_value, get_values, list_options
from pix2pix.config.parse import TrainingOptions
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.types import OptionFlag
from pix2pix.config.yaml import format_scalar


def check_resume(stored: TrainingOptions, given: Mapping[str, Any]) -> TrainingOptions:
    """Return the stored options with those given ones that may change while a run is resumed.

    Raises:
        OptionError: another one differs from what is stored; all such are named.
    """
    was, known = get_values(stored), list_options(type(stored))
    _check_kind(stored, given, "leave {} out, or start a new --name")
    changed = {name: value for name, value in given.items() if value != was[name]}
    fixed = [name for name in changed if OptionFlag.MAY_CHANGE not in known[name].field.metadata]
    if fixed:
        what = ", ".join(_difference(stored, name, changed[name]) for name in fixed)
        advice = f"leave {'it' if len(fixed) == 1 else 'them'} out or start a new --name"
        raise OptionError(f"--resume continues the run as it was: {what}; {advice}")
    return build_options(type(stored), was | changed)


def check_claims(stored: TrainingOptions, claims: Mapping[str, Any]) -> None:
    """Compare training options retyped at test with those of the checkpoint.

    Raises:
        OptionError: some differ; all such are named.
    """
    _check_kind(stored, claims, "leave {} out: the checkpoint knows")
    wrong = [name for name, value in claims.items() if value not in _agreeing(stored, name)]
    if wrong:
        typed = list_options(Pix2PixOptions)  # as which they were read
        what = ", ".join(_difference(stored, name, claims[name], typed[name]) for name in wrong)
        advice = f"leave {'it' if len(wrong) == 1 else 'them'} out: the checkpoint knows"
        raise OptionError(f"the checkpoint was trained otherwise: {what}; {advice}")


def _check_kind(stored: TrainingOptions, given: Mapping[str, Any], advice: str) -> None:
    """Refuse another method than that which was trained, and options that it has not."""
    if "model" in given and given["model"] != stored.model:
        got = format_value(given["model"])
        raise OptionError(f"--model: the run is of {stored.model}, got {got}; {advice.format('--model')}")
    for name in given.keys() - list_options(type(stored)).keys():
        what = f"the run is of {stored.model}, which has no such option"
        raise OptionError(f"--{name}: {what}; {advice.format(f'--{name}')}")


def _agreeing(stored: TrainingOptions, name: str) -> tuple[Any, ...]:
    """Return what may be claimed of one option."""
    value = get_values(stored)[name]
    if name == "load_size" and isinstance(value, int):
        return value, (value, value)
    if name == "load_size":
        # Test pairs are resized straight to crop_size: both that and the training's size are right.
        return value, stored.data.crop_size
    if name in ("input_nc", "output_nc") and value is None:
        return None, *range(1, 1025)  # as the images had
    if name == "norm" and value == "auto":
        # At batch 1, where auto is instance norm, batch norm is the same function.
        return "auto", "batch", "instance"
    return (value,)


def _difference(stored: Record, name: str, value: Any, typed: Option | None = None) -> str:
    leaf = list_options(type(stored))[name]
    there, got = leaf.plain(get_values(stored)[name]), (typed or leaf).plain(value)
    return f"{name} is {format_scalar(there)} there, got {format_scalar(got)}"
