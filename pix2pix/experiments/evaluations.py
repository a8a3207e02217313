"""Evaluations that are there already."""

import json
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path
from typing import Any

from pix2pix import checkpoint
from pix2pix.options import EvaluateOptions, as_dict


def evaluated_before(folder: Path, options: EvaluateOptions, run: Path) -> Mapping[str, Any] | None:
    """Return the content of the folder's metrics.json if it answers these options for the run as it is now."""
    try:
        content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        asked, translator = content["asked"], content["translator"]
        same = asked == as_dict(options) and translator["sha256"] == _sha256(checkpoint.resolve(run, "latest"))
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return content if same else None


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()
