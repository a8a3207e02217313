"""`python -m pix2pix import` and `env`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.cli.console import format_run_flags, print_long
from pix2pix.config.base import from_dict
from pix2pix.config.parse import TextRequested, parse
from pix2pix.config.style import JohnsonOptions
from pix2pix.config.tools import ImportOptions
from pix2pix.errors import UserError

if TYPE_CHECKING:
    from pix2pix.networks.transformer_net import TransformerNet

_ELSEWHERE = "imported"  # instead of the photos and the style image of the training
_UNUSED = (".running_mean", ".running_var", ".num_batches_tracked")  # unused buffers of old instance norms


def import_network(argv: Sequence[str]) -> int:
    """Convert a file of weights to a run with one checkpoint, of step 0; return the exit status."""
    from pix2pix.training.checkpointing import lock_folder
    from pix2pix.training.logging import RUN_FILES

    words = ["--file", *argv] if argv and not argv[0].startswith("-") else list(argv)
    options = parse(words, ImportOptions, program="python -m pix2pix import FILE").options
    folder = Path(options.checkpoints_dir) / options.name
    network = _load_network(Path(options.file))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder):
            if any(path for pattern in RUN_FILES for path in folder.glob(pattern)):
                raise UserError(f"{folder} has a run already; choose another --name")
            _write_run(network, folder, options)
    except OSError as error:
        raise UserError(f"the run cannot be written to {folder}: {error.strerror or error}") from error
    run = format_run_flags(options.name, options.checkpoints_dir)
    print(f"{folder} written; now: python test.py {run} --content PHOTO")
    return 0


def _load_network(file: Path) -> "TransformerNet":
    from pix2pix.checkpoint import CheckpointError
    from pix2pix.errors import format_path
    from pix2pix.networks.backbone_weights import read_weights
    from pix2pix.networks.transformer_net import convert_pytorch_example

    stored = read_weights(file, option="--file").tensors
    state = {name: value for name, value in stored.items() if not name.endswith(_UNUSED)}
    try:
        return convert_pytorch_example(state)
    except CheckpointError as error:
        raise UserError(f"--file {format_path(file)}: not a TransformerNet of the PyTorch examples: {error}") from error


def _write_run(network: "TransformerNet", folder: Path, options: ImportOptions) -> None:
    """Write the options and the checkpoint of the run."""
    from pix2pix.methods.johnson import Johnson
    from pix2pix.runtime.device import Runtime
    from pix2pix.training.checkpointing import TrainState, save_checkpoint
    from pix2pix.training.logging import write_run_description

    run = {"name": options.name, "checkpoints_dir": options.checkpoints_dir}
    layout = {
        "ngf": len(network.state_dict()["encoder.0.norm.weight"]),
        "blocks": len(network.blocks),
        "norm": "instance",
        "output": "linear",
    }
    known = {"dataroot": _ELSEWHERE, "style_image": _ELSEWHERE}
    trained = from_dict(JohnsonOptions, {**known, **layout, **run})
    description = {"method": "johnson", "styles": [options.name], "style_pictures": [], "features": {}}
    method = Johnson(trained, Runtime("cpu"), description, training=False)
    method.generator.load_state_dict(network.state_dict())
    write_run_description(trained, folder)
    save_checkpoint(method, trained, TrainState(step=0), folder, best=False)


def env(argv: Sequence[str]) -> int:
    """Print versions, processor and devices as JSON."""
    if argv in (["--help"], ["-h"]):
        raise TextRequested("usage: python -m pix2pix env\n\nPrints versions, processor and devices as JSON.")
    if argv:
        raise UserError(f"env takes no options, got {argv[0]!r}")
    from pix2pix.runtime.environment import collect_environment

    print_long(json.dumps(collect_environment(), indent=2))
    return 0
