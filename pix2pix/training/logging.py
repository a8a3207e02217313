"""Log a training: TensorBoard, metrics.jsonl, train.log and the terminal."""

import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol, TextIO

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams
from tqdm import tqdm

from pix2pix.config.base import to_dict
from pix2pix.config.parse import TrainingOptions
from pix2pix.config.types import get_choices
from pix2pix.config.yaml import to_yaml


class Logger(Protocol):
    """Receives the events of the training loop."""

    def step(self, step: int) -> None:
        """Report the end of a step."""
        ...

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log values by TensorBoard name."""
        ...

    def images(self, step: int, rows: Mapping[str, Sequence[Sequence[Tensor]]]) -> None:
        """Log a grid of images for each name; the images (C, H, W) in [-1, 1] of a row have one size."""
        ...

    def info(self, message: str) -> None:
        """Log a line for the user."""
        ...


class ConsoleLogger:
    """Logs to the terminal only, for --dry_run."""

    def __init__(self, terminal: TextIO | None = None):
        self.terminal = terminal or sys.stderr

    def step(self, step: int) -> None:
        """Do nothing: there is only one step."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Print the values."""
        self.info(f"step {step}  " + "  ".join(f"{name} {value:.3g}" for name, value in values.items()))

    def images(self, step: int, rows: Mapping[str, Sequence[Sequence[Tensor]]]) -> None:
        """Do nothing."""

    def info(self, message: str) -> None:
        """Print a line."""
        self.terminal.write(message + "\n")
        self.terminal.flush()


class RunLogger:
    """Logs to TensorBoard, metrics.jsonl, train.log and the terminal; `start` is the step of the resumed checkpoint."""

    def __init__(self, folder: Path, start: int, total_steps: int, terminal: TextIO | None = None):
        self.total_steps = total_steps
        self.terminal = terminal or sys.stderr
        self.start = time.monotonic(), start
        self._truncate(folder / "metrics.jsonl", start)
        self.metrics = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        self.log = (folder / "train.log").open("a", encoding="utf-8")
        self.tensorboard = SummaryWriter(str(folder / "tb"), purge_step=start + 1 if start else None)
        self.bar = (
            tqdm(total=total_steps, initial=start, unit="step", file=self.terminal, dynamic_ncols=True, smoothing=0.05)
            if self.terminal.isatty()
            else None
        )

    def step(self, step: int) -> None:
        """Move the progress bar."""
        if self.bar is not None:
            self.bar.update(step - self.bar.n)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write values to TensorBoard, metrics.jsonl and, shortened, to the terminal."""
        for name, value in values.items():
            self.tensorboard.add_scalar(name, value, step)
        self.metrics.write(json.dumps({"step": step, **values}) + "\n")
        self.metrics.flush()
        shown = {name: value for name, value in values.items() if name.startswith(("loss/", "val/", "D/"))}
        text = "  ".join(f"{name.removeprefix('loss/')} {value:.3f}" for name, value in shown.items())
        if self.bar is not None and not any(name.startswith("val/") for name in values):
            self.bar.set_postfix_str(text)
            self._write_log(f"step {step}  {text}")
        else:
            ending = "" if "lr" not in values else self._format_remaining(step)
            self.info(f"step {step}/{self.total_steps}  {text}{ending}")

    def images(self, step: int, rows: Mapping[str, Sequence[Sequence[Tensor]]]) -> None:
        """Write each grid of images to TensorBoard."""
        for name, grid in rows.items():
            self.tensorboard.add_image(name, _make_grid(grid), step)
        self.tensorboard.flush()

    def hparams(self, options: Mapping[str, str | int | float | bool], metrics: Sequence[str]) -> None:
        """Write the options to TensorBoard's HPARAMS page, with these validation metrics."""
        assert self.tensorboard.file_writer is not None
        for summary in hparams(dict(options), dict.fromkeys(metrics, 0.0)):
            self.tensorboard.file_writer.add_summary(summary)  # SummaryWriter.add_hparams would start a second run

    def info(self, message: str) -> None:
        """Print a line above the progress bar and append it to train.log."""
        if self.bar is not None:
            self.bar.write(message, file=self.terminal)
        else:
            self.terminal.write(message + "\n")
            self.terminal.flush()
        self._write_log(message)

    def close(self) -> None:
        """Flush and close all files."""
        if self.bar is not None:
            self.bar.close()
        self.tensorboard.close()
        self.metrics.close()
        self.log.close()

    def _write_log(self, message: str) -> None:
        self.log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {message}\n")
        self.log.flush()

    def _format_remaining(self, step: int) -> str:
        start_time, start = self.start
        seconds = (time.monotonic() - start_time) / (step - start) * (self.total_steps - step) if step > start else 0
        return f"  {seconds / 60:.0f} min left" if seconds >= 60 else f"  {seconds:.0f} s left"

    @staticmethod
    def _truncate(path: Path, start: int) -> None:
        """Remove the lines after the step that a resumed run starts from."""
        if path.exists():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            kept = [line for line in lines if (step := _parse_step(line)) is not None and step <= start]
            temporary = path.with_name(f".{path.name}.tmp")
            temporary.write_text("".join(kept), encoding="utf-8")
            temporary.replace(path)


def add_scalars(folder: Path, step: int, values: Mapping[str, float]) -> None:
    """Add values by TensorBoard name to the log of a finished run.

    Raises:
        OSError: the run's folder cannot be written.
    """
    with SummaryWriter(str(folder / "tb")) as tensorboard:
        for name, value in values.items():
            tensorboard.add_scalar(name, value, step)


def _parse_step(line: str) -> int | None:
    """Return the step of a line, or None if the line is damaged."""
    try:
        return int(json.loads(line)["step"]) if line.endswith("\n") else None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _make_grid(grid: Sequence[Sequence[Tensor]]) -> Tensor:
    """Arrange rows of images as one RGB image (3, H, W) in [0, 1]; shorter rows are padded with black."""
    rows = [torch.cat([_to_rgb(image.detach().float().cpu()) for image in row], dim=2) for row in grid]
    width = max(row.shape[2] for row in rows)
    return torch.cat([torch.nn.functional.pad(row, (0, width - row.shape[2])) for row in rows], dim=1)


def _to_rgb(image: Tensor) -> Tensor:
    """Convert (C, H, W) in [-1, 1] to RGB in [0, 1]: gray is repeated, channels after the third are dropped."""
    shown = image.expand(3, -1, -1) if len(image) < 3 else image[:3]
    return ((shown + 1) / 2).clamp(0, 1)


# options.yaml is deleted last and written first, so that what a killed process leaves can be resumed or overwritten.
RUN_FILES = (
    *("step_[0-9]*.pt", "latest", "best", "env.json", "train.log", "metrics.jsonl"),
    *("tb/events.out.tfevents.*", "options.yaml"),
)


def open_logger(
    options: TrainingOptions, folder: Path | None, replaced: Sequence[Path], step: int, stack: ExitStack
) -> "Logger":
    """Build the logger and write the options, after deleting replaced files and temporary files of a killed run."""
    from pix2pix import checkpoint

    if folder is None:
        return ConsoleLogger()
    checkpoint.remove_temporary_files(folder)
    for path in replaced:
        path.unlink()
    write_run_description(options, folder)
    logger = stack.enter_context(closing(RunLogger(folder, step, options.train.steps or 0)))
    logger.hparams(_flatten(options), get_choices(type(options.run).model_fields["best_metric"]))
    return logger


def write_run_description(options: TrainingOptions, folder: Path) -> None:
    """Write options.yaml and env.json."""
    from pix2pix import distributed
    from pix2pix.runtime.environment import collect_environment

    temporary = folder / ".options.yaml.tmp"
    temporary.write_text(to_yaml(options), encoding="utf-8")
    temporary.replace(folder / "options.yaml")
    command = {"command": shlex.join(sys.argv), "processes": distributed.world_size()}
    (folder / "env.json").write_text(json.dumps(command | collect_environment(), indent=2) + "\n", encoding="utf-8")


def _flatten(options: TrainingOptions) -> dict[str, str | int | float | bool]:
    """Return the options as a flat dict without None, for TensorBoard."""
    groups = to_dict(options)
    leaves = {name: value for group in groups.values() if isinstance(group, dict) for name, value in group.items()}
    return {name: value for name, value in leaves.items() if value is not None}
