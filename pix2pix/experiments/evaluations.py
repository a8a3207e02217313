"""Evaluations that are there already."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pix2pix import checkpoint
from pix2pix.digest import sha256_of
from pix2pix.errors import UserError
from pix2pix.evaluation import Absent, Instruments, Picture, find_pictures, folders, networks_of
from pix2pix.options import EvaluateOptions, as_dict


def networks(instruments: Instruments) -> dict[str, Any]:
    """Return what tells the networks that measure from others, as plain values."""
    segmenter = instruments.segmenter
    return {"segmenter": None if isinstance(segmenter, Absent) else segmenter.sha256, **networks_of(instruments)}


def evaluated_before(
    folder: Path, options: EvaluateOptions, run: Path, by: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return the content of the folder's metrics.json if it answers these options for the run as it is now.

    The pictures that were measured have to be there, and the `networks` that measured them are those at hand now.
    """
    try:
        content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        asked, translator = content["asked"], content["translator"]
        same = asked == as_dict(options)
        same &= translator["sha256"] == sha256_of(checkpoint.resolve(run, str(options.epoch)))
        same &= _networks_of(content["protocol"]) == by
        same &= {picture.name for picture in pictures_of(folder) if picture.labels} == set(content["images"])
    except (OSError, ValueError, LookupError, TypeError, UserError):
        return None
    return content if same else None


def pictures_of(folder: Path) -> list[Picture]:
    """Bring the images of a cell's folder together; their labels are the sources.

    Raises:
        UserError: some are not there.
    """
    return find_pictures(folders(folder, None, None))


def _networks_of(protocol: Mapping[str, Any]) -> dict[str, Any]:
    seen_by = (protocol["segmentation"] or {}).get("seen_by")
    return {"segmenter": seen_by["sha256"] if isinstance(seen_by, dict) else None, **protocol["networks"]}
