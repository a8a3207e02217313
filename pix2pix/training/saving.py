"""A run's checkpoints: what they hold, and how a run goes on from one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import pix2pix
from pix2pix import checkpoint, ranks
from pix2pix.errors import UserError
from pix2pix.methods.base import Method
from pix2pix.options import Trained, as_dict
from pix2pix.runtime import NonFiniteError, all_finite, optimizer_state, restore_optimizer
from pix2pix.training.progress import Progress, read


def save(method: Method[Any], options: Trained, progress: Progress, folder: Path, *, best: bool) -> None:
    """Write the checkpoint of this step, let `latest` (and `best`) name it, and delete what --keep lets go.

    Of several processes, whose weights are the same, the first one writes; all read what is on their devices.
    """
    read(progress)
    if not ranks.is_first():
        return
    networks = {name: network.state_dict() for name, network in method.networks.items()}
    for name, state in networks.items():
        if not all_finite(state):
            raise NonFiniteError(f"network {name} holds NaN or Inf at step {progress.step}, which is not saved")
    content = {
        "step": progress.step,
        "shown": progress.shown,
        "processes": ranks.count(),
        "options": as_dict(options),
        "description": method.description,
        "networks": networks,
        "optimizers": {name: optimizer_state(optimizer) for name, optimizer in method.optimizers.items()},
        "ema": progress.ema,
        "best": progress.best,
        "window": progress.window,
        "versions": {"pix2pix": pix2pix.__version__, "torch": str(torch.__version__)},
    }
    checkpoint.write(checkpoint.path_of(folder, progress.step), content)
    checkpoint.point(folder, "latest", progress.step)
    if best:
        checkpoint.point(folder, "best", progress.step)
    checkpoint.prune(folder, options.run.keep)


def resume(method: Method[Any], content: dict[str, Any], options: Trained) -> Progress:
    """Put a checkpoint's weights and optimiser states into a method built from its options.

    Another measure of the best than that of the checkpoint has seen no best yet. The first checkpoints did not count
    the images shown, and were made by one process.

    Raises:
        UserError: the weights do not fit, there are only weights (`keep_networks`), or the losses on features read
            other files than when the run began.
    """
    if method.optimizers and not content["optimizers"]:
        raise UserError(
            f"the checkpoint of step {content['step']} keeps the networks alone, so no step can follow it: "
            "begin anew with --overwrite, or under another --name"
        )
    _check_files(content["description"].get("features", {}), method.description.get("features", {}))
    for name, network in method.networks.items():
        checkpoint.restore(network, content["networks"][name], name)
        if name in method.optimizers:  # AdaIN's encoder learns nothing
            restore_optimizer(method.optimizers[name], content["optimizers"][name])
    device = next(method.generator.parameters()).device
    ema = content["ema"] and {name: value.to(device, copy=True) for name, value in content["ema"].items()}
    same_measure = content["options"]["run"]["best_metric"] == options.run.best_metric
    shown = content.get("shown", content["step"] * options.train.batch_size)
    return Progress(content["step"], shown, content["best"] if same_measure else None, ema, list(content["window"]))


def keep_networks(folder: Path) -> None:
    """Rewrite the checkpoints of a finished run without what only further steps would need.

    The newest comes last: when it is done all are.
    """
    checkpoint.sweep(folder)
    for path in (checkpoint.path_of(folder, step) for step in checkpoint.steps(folder)):
        content = checkpoint.read(path)
        if content["optimizers"]:
            checkpoint.write(path, content | {"optimizers": {}, "window": []})


def _check_files(then: Mapping[str, str], now: Mapping[str, str]) -> None:
    for name, sha256 in then.items():
        if name.endswith("_sha256") and sha256 != now[name]:
            raise UserError(
                f"--{name.removesuffix('_sha256')}: the SHA-256 is {now[name]}, and was {sha256} when the run began: "
                "give that file, or begin anew with --overwrite"
            )


@contextmanager
def saved_when_broken_off(
    method: Method[Any], options: Trained, progress: Progress, folder: Path | None
) -> Iterator[None]:
    """Save the steps made inside the block when an image that cannot be used ends it, for all processes alike."""
    start = progress.step
    try:
        yield
    except UserError as error:
        of_images = not isinstance(error, NonFiniteError | checkpoint.CheckpointError | ranks.ApartError)
        if of_images and folder is not None and progress.step > start:
            save(method, options, progress, folder, best=False)
        raise
