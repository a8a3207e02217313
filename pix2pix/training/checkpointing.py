"""Save, prune and resume a run; lock its folder."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

import pix2pix
from pix2pix import checkpoint, distributed
from pix2pix.config.base import to_dict
from pix2pix.config.parse import TrainingOptions
from pix2pix.errors import UserError, format_path
from pix2pix.methods.base import Method, Scalars
from pix2pix.runtime.device import NonFiniteError, is_all_finite
from pix2pix.runtime.optim import get_optimizer_state, load_optimizer_state

_SECONDS = 1  # to wait: a worker just forked from a process that was killed since holds the lock for a moment


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold `folder`/run.lock, and name this process and its host in `folder`/LOCK, which a second process quotes.

    The system releases it however the process ends, and filelock closes it in the workers that are forked.

    Raises:
        UserError: another process holds it.
    """
    from filelock import FileLock, Timeout  # here: --help does without it

    lock, holder = FileLock(folder / "run.lock", timeout=_SECONDS), folder / "LOCK"
    try:
        lock.acquire()
    except Timeout:
        name = holder.read_text(encoding="utf-8").strip() if holder.is_file() else ""
        raise UserError(
            f"{folder} is being trained by {name or 'another process'}; wait for it, stop it, or choose another --name"
        ) from None
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        lock.release()


class NamedBatch(Protocol):
    """A batch that knows the files it came from."""

    @property
    def name(self) -> list[str]:
        """One name per image."""
        ...


Batch = TypeVar("Batch", bound=NamedBatch)


@dataclass
class TrainState:
    """What a run remembers from step to step beside weights and optimisers."""

    step: int = 0
    shown: int = 0  # images that were trained on, by all processes together
    best: float | None = None
    ema: dict[str, Tensor] | None = None
    window: list[dict[str, float]] = field(default_factory=list)  # read, and not logged yet
    unread: list[tuple[int, list[str], Scalars]] = field(default_factory=list)  # still on the device


def read_scalars(progress: TrainState) -> list[dict[str, float]]:
    """Bring the scalars of recent steps from the devices of all processes, and return the window with their means.

    Raises:
        NonFiniteError: one is not finite.
    """
    own = [(names, {name: value.item() for name, value in scalars.items()}) for _, names, scalars in progress.unread]
    for (step, _, _), *parts in zip(progress.unread, *distributed.gather(own), strict=True):
        values = average_records([values for _, values in parts])
        for name, value in values.items():
            if value - value != 0:  # NaN and infinities only
                raise add_step_to_error(f"{name} is {value:g}", step, [name for names, _ in parts for name in names])
        progress.window.append(values)
    progress.unread.clear()
    return progress.window


def average_logged(progress: TrainState) -> dict[str, float]:
    """Return the means of the steps since this was last asked."""
    values = average_records(read_scalars(progress))
    progress.window.clear()
    return values


def average_records(window: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each value over records that name the same ones."""
    return {name: sum(values[name] for values in window) / len(window) for name in window[0]}


def add_step_to_error(what: str, step: int, names: list[str]) -> NonFiniteError:
    """Say in which step something was not finite, and of which files."""
    where = (
        f"step {step}: {what}; files of the batch: {', '.join(map(format_path, names))}; nothing of this step was saved"
    )
    return NonFiniteError(f"{where}; mend these files and --resume, or begin anew with a lower --lr")


def save_checkpoint(
    method: Method[Any], options: TrainingOptions, progress: TrainState, folder: Path, *, best: bool
) -> None:
    """Write the checkpoint of this step, let `latest` (and `best`) name it, and delete what --keep lets go.

    Of several processes, whose weights are the same, the first one writes; all read what is on their devices.
    """
    read_scalars(progress)
    if not distributed.is_main():
        return
    networks = {name: network.state_dict() for name, network in method.networks.items()}
    for name, state in networks.items():
        if not is_all_finite(state):
            raise NonFiniteError(f"network {name} holds NaN or Inf at step {progress.step}, which is not saved")
    content = {
        "step": progress.step,
        "shown": progress.shown,
        "processes": distributed.world_size(),
        "options": to_dict(options),
        "description": method.description,
        "networks": networks,
        "optimizers": {name: get_optimizer_state(optimizer) for name, optimizer in method.optimizers.items()},
        "ema": progress.ema,
        "best": progress.best,
        "window": progress.window,
        "versions": {"pix2pix": pix2pix.__version__, "torch": str(torch.__version__)},
    }
    checkpoint.save_file(checkpoint.checkpoint_path(folder, progress.step), content)
    checkpoint.set_pointer(folder, "latest", progress.step)
    if best:
        checkpoint.set_pointer(folder, "best", progress.step)
    checkpoint.prune(folder, options.run.keep)


def load_checkpoint(method: Method[Any], content: dict[str, Any], options: TrainingOptions) -> TrainState:
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
        checkpoint.load_weights(network, content["networks"][name], name)
        if name in method.optimizers:  # AdaIN's encoder learns nothing
            load_optimizer_state(method.optimizers[name], content["optimizers"][name])
    device = next(method.generator.parameters()).device
    ema = content["ema"] and {name: value.to(device, copy=True) for name, value in content["ema"].items()}
    same_measure = content["options"]["run"]["best_metric"] == options.run.best_metric
    shown = content.get("shown", content["step"] * options.train.batch_size)
    return TrainState(content["step"], shown, content["best"] if same_measure else None, ema, list(content["window"]))


def keep_networks_only(folder: Path) -> None:
    """Rewrite the checkpoints of a finished run without what only further steps would need.

    The newest comes last: when it is done all are.
    """
    checkpoint.remove_temporary_files(folder)
    for path in (checkpoint.checkpoint_path(folder, step) for step in checkpoint.list_steps(folder)):
        content = checkpoint.load_file(path)
        if content["optimizers"]:
            checkpoint.save_file(path, content | {"optimizers": {}, "window": []})


def _check_files(then: Mapping[str, str], now: Mapping[str, str]) -> None:
    for name, sha256 in then.items():
        if name.endswith("_sha256") and sha256 != now[name]:
            raise UserError(
                f"--{name.removesuffix('_sha256')}: the SHA-256 is {now[name]}, and was {sha256} when the run began: "
                "give that file, or begin anew with --overwrite"
            )


@contextmanager
def save_on_failure(
    method: Method[Any], options: TrainingOptions, progress: TrainState, folder: Path | None
) -> Iterator[None]:
    """Save the steps made inside the block when an image that cannot be used ends it, for all processes alike."""
    start = progress.step
    try:
        yield
    except UserError as error:
        of_images = not isinstance(error, NonFiniteError | checkpoint.CheckpointError | distributed.OutOfSyncError)
        if of_images and folder is not None and progress.step > start:
            save_checkpoint(method, options, progress, folder, best=False)
        raise
