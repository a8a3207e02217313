"""Presets of version 0.1 that were removed: their paths still load, as the options that replace them."""

import logging
import os
from pathlib import Path

from pix2pix.options.records import OptionError, one_line
from pix2pix.options.yaml_text import load_yaml

REMOVED = {
    "gan": "--gan_mode vanilla --conditional false --lambda_l1 0",
    "cgan": "--gan_mode vanilla --conditional true --lambda_l1 0",
    "l1": "--gan_mode none --lambda_l1 100",
    "l1_gan": "--gan_mode vanilla --conditional false --lambda_l1 100",
    "l1_cgan": "--gan_mode vanilla --conditional true --lambda_l1 100",
    **{
        f"patch_{side}": f"--dataroot ./datasets/facades --direction BtoA --patch {side} --name facades_patch_{side}"
        for side in (1, 16, 70, 286)
    },
}
"""The flags that replace options/NAME.yaml. Delete this table with version 0.3."""


def load_preset(path: str | Path) -> dict[str, object]:
    """Load a preset; where options/NAME.yaml was removed and no such file exists, log what replaces it.

    Raises:
        OptionError: as `load_yaml`.
    """
    try:
        return load_yaml(path)
    except OptionError:
        absolute = Path(os.path.normpath(Path.cwd() / path))
        if absolute.suffix != ".yaml" or absolute.parent.name != "options" or absolute.stem not in REMOVED:
            raise
        if os.path.lexists(path):
            raise
    flags = REMOVED[absolute.stem]
    logging.getLogger(__name__).warning("%s is gone: use %s", one_line(path), flags)
    words = flags.split()
    return {flag.removeprefix("--"): value for flag, value in zip(words[::2], words[1::2], strict=True)}
