"""`python -m pix2pix import` and `env`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.cli.console import flags_of, print_long
from pix2pix.config.base import from_dict
from pix2pix.config.parse import Answer, parse
from pix2pix.config.style import JohnsonOptions
from pix2pix.config.tools import ImportOptions
from pix2pix.errors import UserError

if TYPE_CHECKING:
    from pix2pix.networks.transformer_net import Stylizer

_ELSEWHERE = "imported"  # in place of the photos and the style picture that it learnt from
_UNUSED = (".running_mean", ".running_var", ".num_batches_tracked")  # old instance norms kept them for nothing


def import_network(argv: Sequence[str]) -> int:
    """Make a run with one checkpoint, of step 0, from a file of weights; return the exit status."""
    from pix2pix.training.checkpointing import locked
    from pix2pix.training.logging import RUN_FILES

    words = ["--file", *argv] if argv and not argv[0].startswith("-") else list(argv)
    options = parse(words, ImportOptions, program="python -m pix2pix import FILE").options
    folder = Path(options.checkpoints_dir) / options.name
    stylizer = _stylizer(Path(options.file))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if any(path for pattern in RUN_FILES for path in folder.glob(pattern)):
                raise UserError(f"{folder} holds a run already; choose another --name")
            _keep(stylizer, folder, options)
    except OSError as error:
        raise UserError(f"the run cannot be written to {folder}: {error.strerror or error}") from error
    run = flags_of(options.name, options.checkpoints_dir)
    print(f"{folder} paints in one style; now: python test.py {run} --content PICTURE")
    return 0


def _stylizer(file: Path) -> "Stylizer":
    from pix2pix.checkpoint import CheckpointError
    from pix2pix.errors import shown
    from pix2pix.networks.backbone_weights import read_weights
    from pix2pix.networks.transformer_net import from_transformer_net

    stored = read_weights(file, option="--file").tensors
    state = {name: value for name, value in stored.items() if not name.endswith(_UNUSED)}
    try:
        return from_transformer_net(state)
    except CheckpointError as error:
        raise UserError(f"--file {shown(file)}: no TransformerNet of the PyTorch examples: {error}") from error


def _keep(stylizer: "Stylizer", folder: Path, options: ImportOptions) -> None:
    """Write the run: its options, and the checkpoint that `test.py` and `load` take."""
    from pix2pix.methods.johnson import Johnson
    from pix2pix.runtime.device import Runtime
    from pix2pix.training.checkpointing import Progress, save
    from pix2pix.training.logging import describe

    run = {"name": options.name, "checkpoints_dir": options.checkpoints_dir}
    network = {
        "ngf": len(stylizer.state_dict()["encoder.0.norm.weight"]),
        "blocks": len(stylizer.blocks),
        "norm": "instance",
        "output": "linear",
    }
    known = {"dataroot": _ELSEWHERE, "style_image": _ELSEWHERE}
    trained = from_dict(JohnsonOptions, {**known, **network, **run})
    description = {"method": "johnson", "styles": [options.name], "style_pictures": [], "features": {}}
    method = Johnson.restored(trained, description, Runtime("cpu"))
    method.generator.load_state_dict(stylizer.state_dict())
    describe(trained, folder)
    save(method, trained, Progress(step=0), folder, best=False)


def env(argv: Sequence[str]) -> int:
    """Print versions, processor and devices as JSON."""
    if argv in (["--help"], ["-h"]):
        raise Answer("usage: python -m pix2pix env\n\nPrints versions, processor and devices as JSON.")
    if argv:
        raise UserError(f"env takes no options, got {argv[0]!r}")
    from pix2pix.runtime.environment import environment

    print_long(json.dumps(environment(), indent=2))
    return 0
