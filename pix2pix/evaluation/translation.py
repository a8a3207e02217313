"""What a folder of results says of itself: which translator made it, and what its files hold."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from pix2pix import checkpoint
from pix2pix.digest import sha256_of
from pix2pix.errors import UserError
from pix2pix.images import Codec, Encoding, shown
from pix2pix.inference import LoadedTranslator
from pix2pix.options import Pix2PixOptions

FILE = "translation.json"


class Translation(NamedTuple):
    """Who made the results, as plain values, and how their files become tensors."""

    translator: dict[str, Any]
    codec: Codec


def translation_by(translator: LoadedTranslator, run: Path, *, phase: str, size: str) -> Translation:
    """Describe the translations, by the checkpoint of a run's folder, of a phase's pairs that are sized so."""
    options: Any = translator.options  # of runs on pairs
    switches: dict[str, str | None] = {"statistics": None, "dropout": None}
    if isinstance(options, Pix2PixOptions):
        switches = {"statistics": options.test.statistics, "dropout": options.test.dropout}
    described = {
        "name": run.name,
        "model": options.model,
        "step": translator.step,
        "sha256": sha256_of(checkpoint.path_of(run, translator.step)),
        "direction": options.data.direction,
        **switches,
        "seed": options.run.seed,
        "phase": phase,
        "size": size,
    }
    return Translation(described, translator.codec)


def write_translation(folder: Path, translation: Translation) -> None:
    """Write folder/translation.json."""
    codec = {side: encoding.as_dict() for side, encoding in translation.codec._asdict().items()}
    content = {"translator": translation.translator, "codec": codec}
    (folder / FILE).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_translation(folder: Path) -> Translation | None:
    """Read folder/translation.json; None where there is none, for the images come from elsewhere.

    Raises:
        UserError: it cannot be read as what `write_translation` wrote.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        codec = Codec(**{side: Encoding.from_dict(stored) for side, stored in content["codec"].items()})
        return Translation(dict(content["translator"]), codec)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{shown(path)} is not as test.py wrote it: make the results anew by test.py") from error
