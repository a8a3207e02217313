"""Evaluations that are there already."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pix2pix import checkpoint
from pix2pix.digest import sha256_of
from pix2pix.options import EvaluateOptions, as_dict


def evaluated_before(folder: Path, options: EvaluateOptions, run: Path) -> Mapping[str, Any] | None:
    """Return the content of the folder's metrics.json if it answers these options for the run as it is now."""
    try:
        content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        asked, translator = content["asked"], content["translator"]
        same = asked == as_dict(options) and translator["sha256"] == sha256_of(checkpoint.resolve(run, "latest"))
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return content if same else None
