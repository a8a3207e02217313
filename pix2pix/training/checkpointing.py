"""Save and resume a run: the training state, checkpoints, and the lock of the run folder."""

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

_TIMEOUT = 1  # seconds: a worker forked from a killed process may hold the lock for a moment


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock `folder`/run.lock; `folder`/LOCK names this process and its host for the message of a second one.

    The system releases the lock when the process ends, in any way; forked workers do not hold it.

    Raises:
        UserError: another process holds it.
    """
    from filelock import FileLock, Timeout  # not needed for --help

    lock, holder = FileLock(folder / "run.lock", timeout=_TIMEOUT), folder / "LOCK"
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
    """A batch with the names of its files."""

    @property
    def name(self) -> list[str]:
        """One name per image."""
        ...


Batch = TypeVar("Batch", bound=NamedBatch)


@dataclass
class TrainState:
    """The state of a training beside networks and optimizers; what a resumed run continues from."""

    step: int = 0
    shown: int = 0  # images trained on, by all processes
    best: float | None = None
    ema: dict[str, Tensor] | None = None
    window: list[dict[str, float]] = field(default_factory=list)  # scalars of steps that are not logged yet
    unread: list[tuple[int, list[str], Scalars]] = field(default_factory=list)  # the same, still on the device


def read_scalars(state: TrainState) -> list[dict[str, float]]:
    """Read the scalars of recent steps from the devices of all processes, and return those that are not logged yet.

    Raises:
        NonFiniteError: one is not finite.
    """
    own = [(names, {name: value.item() for name, value in scalars.items()}) for _, names, scalars in state.unread]
    for (step, _, _), *parts in zip(state.unread, *distributed.gather(own), strict=True):
        values = average_records([values for _, values in parts])
        for name, value in values.items():
            if value - value != 0:  # NaN and infinities only
                raise add_step_to_error(f"{name} is {value:g}", step, [name for names, _ in parts for name in names])
        state.window.append(values)
    state.unread.clear()
    return state.window


def average_logged(state: TrainState) -> dict[str, float]:
    """Return the mean scalars since the last call."""
    values = average_records(read_scalars(state))
    state.window.clear()
    return values


def average_records(window: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each value over records with the same names."""
    return {name: sum(values[name] for values in window) / len(window) for name in window[0]}


def add_step_to_error(what: str, step: int, names: list[str]) -> NonFiniteError:
    """Return the error for a non-finite value, with its step and the files of the batch."""
    where = (
        f"step {step}: {what}; files of the batch: {', '.join(map(format_path, names))}; nothing of this step was saved"
    )
    return NonFiniteError(f"{where}; repair these files and --resume, or start again with a lower --lr")


def save_checkpoint(
    method: Method[Any], options: TrainingOptions, state: TrainState, folder: Path, *, best: bool
) -> None:
    """Write the checkpoint of this step, set `latest` (and `best`), and delete old checkpoints as --keep says.

    With several processes the first one writes; all must call this, because scalars are gathered.
    """
    read_scalars(state)
    if not distributed.is_main():
        return
    networks = {name: network.state_dict() for name, network in method.networks.items()}
    for name, weights in networks.items():
        if not is_all_finite(weights):
            raise NonFiniteError(f"network {name} has NaN or Inf at step {state.step}, which is not saved")
    content = {
        "step": state.step,
        "shown": state.shown,
        "processes": distributed.world_size(),
        "options": to_dict(options),
        "description": method.description,
        "networks": networks,
        "optimizers": {name: get_optimizer_state(optimizer) for name, optimizer in method.optimizers.items()},
        "ema": state.ema,
        "best": state.best,
        "window": state.window,
        "versions": {"pix2pix": pix2pix.__version__, "torch": str(torch.__version__)},
    }
    checkpoint.save_file(checkpoint.checkpoint_path(folder, state.step), content)
    checkpoint.set_pointer(folder, "latest", state.step)
    if best:
        checkpoint.set_pointer(folder, "best", state.step)
    checkpoint.prune(folder, options.run.keep)


def load_checkpoint(method: Method[Any], content: dict[str, Any], options: TrainingOptions) -> TrainState:
    """Load the networks and optimizers of a checkpoint into a method, and return the state to continue from.

    The best value is dropped if --best_metric has changed. The first checkpoints had no count of images, and were
    written by one process.

    Raises:
        UserError: the weights do not fit, the checkpoint has only networks (`keep_networks_only`), or files of the
            perceptual losses have changed.
    """
    if method.optimizers and not content["optimizers"]:
        raise UserError(
            f"the checkpoint of step {content['step']} has only networks, and cannot be resumed: "
            "start again with --overwrite, or with another --name"
        )
    _check_files(content["description"].get("features", {}), method.description.get("features", {}))
    for name, network in method.networks.items():
        checkpoint.load_weights(network, content["networks"][name], name)
        if name in method.optimizers:  # AdaIN's encoder is frozen
            load_optimizer_state(method.optimizers[name], content["optimizers"][name])
    device = next(method.generator.parameters()).device
    ema = content["ema"] and {name: value.to(device, copy=True) for name, value in content["ema"].items()}
    same_metric = content["options"]["run"]["best_metric"] == options.run.best_metric
    shown = content.get("shown", content["step"] * options.train.batch_size)
    return TrainState(content["step"], shown, content["best"] if same_metric else None, ema, list(content["window"]))


def keep_networks_only(folder: Path) -> None:
    """Remove the state of optimizers from the checkpoints of a finished run, the newest last."""
    checkpoint.remove_temporary_files(folder)
    for path in (checkpoint.checkpoint_path(folder, step) for step in checkpoint.list_steps(folder)):
        content = checkpoint.load_file(path)
        if content["optimizers"]:
            checkpoint.save_file(path, content | {"optimizers": {}, "window": []})


def _check_files(stored: Mapping[str, str], now: Mapping[str, str]) -> None:
    for name, sha256 in stored.items():
        if name.endswith("_sha256") and sha256 != now[name]:
            raise UserError(
                f"--{name.removesuffix('_sha256')}: the SHA-256 is {now[name]}, and was {sha256} when the run began: "
                "give that file, or start again with --overwrite"
            )


@contextmanager
def save_on_failure(
    method: Method[Any], options: TrainingOptions, state: TrainState, folder: Path | None
) -> Iterator[None]:
    """If an unusable image ends the block, save the steps that were made in it."""
    first = state.step
    try:
        yield
    except UserError as error:
        is_image_error = not isinstance(error, NonFiniteError | checkpoint.CheckpointError | distributed.OutOfSyncError)
        if is_image_error and folder is not None and state.step > first:
            save_checkpoint(method, options, state, folder, best=False)
        raise
