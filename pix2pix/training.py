"""The one training loop. It owns the clock: batches, rates, averages, logs, validation, checkpoints, signals."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

import pix2pix
from pix2pix import checkpoint
from pix2pix.errors import UserError
from pix2pix.images import shown
from pix2pix.methods.base import Method, Scalars
from pix2pix.monitor import Monitor
from pix2pix.options import Pix2PixOptions, as_dict
from pix2pix.runtime import NonFiniteError, all_finite, optimizer_state, restore_optimizer, set_rate, step_seed

GRID_ROWS = 4  # validation pairs shown on TensorBoard
HIGHER_IS_BETTER = {"val/psnr", "val/ssim"}


class Named(Protocol):
    """A batch that knows the files it came from."""

    @property
    def name(self) -> list[str]:
        """One name per image."""
        ...


Batch = TypeVar("Batch", bound=Named)


@dataclass
class Progress:
    """What a run remembers from step to step beside weights and optimisers."""

    step: int = 0
    best: float | None = None
    ema: dict[str, Tensor] | None = None
    window: list[dict[str, float]] = field(default_factory=list)  # read, and not logged yet
    unread: list[tuple[int, list[str], Scalars]] = field(default_factory=list)  # still on the device


def fit(
    method: Method[Batch],
    batches: Iterator[Batch],
    validation: Callable[[], Iterable[Batch]],
    options: Pix2PixOptions,
    monitor: Monitor,
    folder: Path | None,
    progress: Progress,
) -> signal.Signals | None:
    """Train from the step after `progress.step` to the last; return the signal that ended it early, if one did.

    `batches` begins with the batch of the next step. Every random choice of a step is a function of (seed, step), so
    that a run cut anywhere and resumed equals one that was not. Nothing is written where `folder` is None.

    Raises:
        NonFiniteError: a loss or gradient is NaN or infinite; names the loss, the step and the batch's files.
        CheckpointError: a checkpoint cannot be written.
        UserError: an image cannot be used; the steps before are saved.
    """
    run, total = options.run, options.train.steps or 0
    last = min(total, run.stop_at or total)
    if options.train.ema is not None and progress.ema is None:
        progress.ema = {name: value.detach().clone() for name, value in method.generator.state_dict().items()}
    seconds, images = 0.0, 0
    with _signals() as received, _saved_when_broken_off(method, options, progress, folder):
        for step in range(progress.step + 1, last + 1):
            began = time.monotonic()
            torch.manual_seed(step_seed(run.seed, step))
            rate = _set_rate(method, step, total)
            batch = next(batches)
            try:
                progress.unread.append((step, batch.name, method.training_step(batch)))
            except NonFiniteError as error:
                raise _located(str(error), step, batch.name) from error
            if progress.ema is not None and options.train.ema is not None:
                _average(progress.ema, method.generator.state_dict(), min(options.train.ema, step / (step + 10)))
            progress.step = step
            monitor.step(step)
            seconds, images = seconds + time.monotonic() - began, images + len(batch.name)

            if step % run.log_every == 0 or step == total:
                speed = {"lr": rate, "images_per_second": images / seconds}
                monitor.scalars(step, _means(_read(progress)) | speed)
                progress.window.clear()
                seconds, images = 0.0, 0
            improved = False
            if step % run.val_every == 0 or step == total:
                improved = validate(method, validation(), options, monitor, progress)
            if folder is not None and (step % run.save_every == 0 or improved or step == last or received):
                _read(progress)
                save(method, options, progress, folder, best=improved)
            if received:
                return received[0]
    return None


def validate(
    method: Method[Batch], pairs: Iterable[Batch], options: Pix2PixOptions, monitor: Monitor, progress: Progress
) -> bool:
    """Validate G, or its average, on every pair; return whether the chosen measure is the best so far."""
    rows: dict[str, list[list[Tensor]]] = {}
    values: list[dict[str, float]] = []
    with _weights(method.generator, progress.ema):
        for number, batch in enumerate(pairs):
            report = method.validation_step(batch)
            values.append({name: value.item() for name, value in report.scalars.items()})
            if number < GRID_ROWS:
                for name, images in report.images.items():
                    rows.setdefault(name, []).append([image[0] for image in images])
    if not values:
        return False
    means = _means(values)
    monitor.scalars(progress.step, means)
    monitor.images(progress.step, rows)
    value, best = means[options.run.best_metric], progress.best
    better = best is None or (value > best if options.run.best_metric in HIGHER_IS_BETTER else value < best)
    if better:
        progress.best = value
    return better


def save(method: Method[Any], options: Pix2PixOptions, progress: Progress, folder: Path, *, best: bool) -> None:
    """Write the checkpoint of this step, let `latest` (and `best`) name it, and delete what --keep lets go."""
    networks = {name: network.state_dict() for name, network in method.networks.items()}
    for name, state in networks.items():
        if not all_finite(state):
            raise NonFiniteError(f"network {name} holds NaN or Inf at step {progress.step}, which is not saved")
    content = {
        "step": progress.step,
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


def resume(method: Method[Any], content: dict[str, Any], options: Pix2PixOptions) -> Progress:
    """Put a checkpoint's weights and optimiser states into a method built from its options.

    Another measure of the best than that of the checkpoint has seen no best yet.
    """
    for name, network in method.networks.items():
        checkpoint.restore(network, content["networks"][name], name)
        restore_optimizer(method.optimizers[name], content["optimizers"][name])
    device = next(method.generator.parameters()).device
    ema = content["ema"] and {name: value.to(device, copy=True) for name, value in content["ema"].items()}
    same_measure = content["options"]["run"]["best_metric"] == options.run.best_metric
    return Progress(content["step"], content["best"] if same_measure else None, ema, list(content["window"]))


def _read(progress: Progress) -> list[dict[str, float]]:
    """Bring the scalars of recent steps from the device, refuse those that are not finite, and return the window."""
    for step, names, scalars in progress.unread:
        values = {name: value.item() for name, value in scalars.items()}
        for name, value in values.items():
            if value - value != 0:  # NaN and infinities only
                raise _located(f"{name} is {value:g}", step, names)
        progress.window.append(values)
    progress.unread.clear()
    return progress.window


def _located(what: str, step: int, names: list[str]) -> NonFiniteError:
    where = f"step {step}: {what}; files of the batch: {', '.join(map(shown, names))}; nothing of this step was saved"
    return NonFiniteError(f"{where}; mend these files and --resume, or begin anew with a lower --lr")


def _set_rate(method: Method[Any], step: int, total: int) -> float:
    rate = method.learning_rate(step, total)
    for optimizer in method.optimizers.values():
        set_rate(optimizer, rate)
    return rate


def _means(window: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(values[name] for values in window) / len(window) for name in window[0]}


@torch.no_grad()
def _average(ema: dict[str, Tensor], weights: dict[str, Tensor], decay: float) -> None:
    for name, value in weights.items():
        ema[name].lerp_(value, 1 - decay)


@contextmanager
def _saved_when_broken_off(
    method: Method[Any], options: Pix2PixOptions, progress: Progress, folder: Path | None
) -> Iterator[None]:
    """Save the steps made inside the block when an image that cannot be used ends it."""
    start = progress.step
    try:
        yield
    except UserError as error:
        of_images = not isinstance(error, NonFiniteError | checkpoint.CheckpointError)
        if of_images and folder is not None and progress.step > start:
            _read(progress)
            save(method, options, progress, folder, best=False)
        raise


@contextmanager
def _weights(network: torch.nn.Module, weights: dict[str, Tensor] | None) -> Iterator[None]:
    """Let the network have other weights inside the block; None leaves its own."""
    if weights is None:
        yield
        return
    own = {name: value.detach().clone() for name, value in network.state_dict().items()}
    network.load_state_dict(weights)
    try:
        yield
    finally:
        network.load_state_dict(own)


@contextmanager
def _signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGINT and SIGTERM instead of dying in the middle of a step; the second SIGINT interrupts at once."""
    received: list[signal.Signals] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
