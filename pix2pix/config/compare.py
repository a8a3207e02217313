"""Compare given options with stored ones: at resume, and at test."""

from collections.abc import Mapping
from typing import Any

from pix2pix.config.base import Option, OptionError, Record, build_options, format_value, get_values, list_options
from pix2pix.config.parse import TrainingOptions
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.types import OptionFlag
from pix2pix.config.yaml import format_scalar


def check_resume(stored: TrainingOptions, given: Mapping[str, Any]) -> TrainingOptions:
    """Return the stored options, updated by the given ones, if these may change when a run is resumed.

    Raises:
        OptionError: options that must not change differ from the stored ones; names them all.
    """
    values, known = get_values(stored), list_options(type(stored))
    _check_model(stored, given, "leave {} out, or start a new --name")
    changed = {name: value for name, value in given.items() if value != values[name]}
    fixed = [name for name in changed if OptionFlag.MAY_CHANGE not in known[name].field.metadata]
    if fixed:
        differences = ", ".join(_format_difference(stored, name, changed[name]) for name in fixed)
        advice = f"leave {'it' if len(fixed) == 1 else 'them'} out or start a new --name"
        raise OptionError(f"--resume continues the run with its own options: {differences}; {advice}")
    return build_options(type(stored), values | changed)


def check_claims(stored: TrainingOptions, claims: Mapping[str, Any]) -> None:
    """Check training options that were retyped at test against those of the checkpoint.

    Raises:
        OptionError: some differ; names them all.
    """
    _check_model(stored, claims, "leave {} out: the checkpoint has it")
    wrong = [name for name, value in claims.items() if value not in _list_equivalents(stored, name)]
    if wrong:
        parsed_as = list_options(Pix2PixOptions)
        differences = ", ".join(_format_difference(stored, name, claims[name], parsed_as[name]) for name in wrong)
        advice = f"leave {'it' if len(wrong) == 1 else 'them'} out: the checkpoint has the value"
        raise OptionError(f"the checkpoint was trained with other options: {differences}; {advice}")


def _check_model(stored: TrainingOptions, given: Mapping[str, Any], advice: str) -> None:
    """Refuse another --model than the trained one, and options that it does not have."""
    if "model" in given and given["model"] != stored.model:
        got = format_value(given["model"])
        raise OptionError(f"--model: the run is of {stored.model}, got {got}; {advice.format('--model')}")
    for name in given.keys() - list_options(type(stored)).keys():
        problem = f"the run is of {stored.model}, which has no such option"
        raise OptionError(f"--{name}: {problem}; {advice.format(f'--{name}')}")


def _list_equivalents(stored: TrainingOptions, name: str) -> tuple[Any, ...]:
    """Return the values of an option that agree with the stored one."""
    value = get_values(stored)[name]
    if name == "load_size" and isinstance(value, int):
        return value, (value, value)
    if name == "load_size":
        # Test pairs are resized directly to crop_size: both this and the size in training agree.
        return value, stored.data.crop_size
    if name in ("input_nc", "output_nc") and value is None:
        return None, *range(1, 1025)  # that of the training images
    if name == "norm" and value == "auto":
        # At batch 1, auto is instance norm, and batch norm is the same function.
        return "auto", "batch", "instance"
    return (value,)


def _format_difference(stored: Record, name: str, value: Any, parsed_as: Option | None = None) -> str:
    option = list_options(type(stored))[name]
    expected, got = option.to_json(get_values(stored)[name]), (parsed_as or option).to_json(value)
    return f"{name} is {format_scalar(expected)} there, got {format_scalar(got)}"
