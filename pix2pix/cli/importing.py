"""`python -m pix2pix import FILE --name X`: a network that another program trained becomes a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.cli.run_folder import RUN_FILES, describe
from pix2pix.cli.sentences import flags_of
from pix2pix.errors import UserError
from pix2pix.lock import locked
from pix2pix.options import ImportOptions, JohnsonOptions, from_dict, parse

if TYPE_CHECKING:
    from pix2pix.networks.stylizer import Stylizer

_ELSEWHERE = "imported"  # in place of the photos and the style picture that it learnt from
_UNUSED = (".running_mean", ".running_var", ".num_batches_tracked")  # old instance norms kept them for nothing


def import_network(argv: Sequence[str]) -> int:
    """Make a run with one checkpoint, of step 0, from a file of weights; return the exit status."""
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
    from pix2pix.images import shown
    from pix2pix.networks.backbones.files import read_weights
    from pix2pix.networks.stylizer import from_transformer_net

    stored = read_weights(file, option="--file").tensors
    state = {name: value for name, value in stored.items() if not name.endswith(_UNUSED)}
    try:
        return from_transformer_net(state)
    except CheckpointError as error:
        raise UserError(f"--file {shown(file)}: no TransformerNet of the PyTorch examples: {error}") from error


def _keep(stylizer: "Stylizer", folder: Path, options: ImportOptions) -> None:
    """Write the run: its options, and the checkpoint that `test.py` and `load` take."""
    from pix2pix.methods.johnson import Johnson
    from pix2pix.runtime import Runtime
    from pix2pix.training import Progress, save

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
