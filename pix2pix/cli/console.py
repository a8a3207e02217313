"""Messages at the start and the end of a training."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pix2pix.config.parse import TrainingOptions
    from pix2pix.runtime.device import Runtime
    from pix2pix.training.checkpointing import TrainState

# Options that test.py needs beside --name.
_TO_TEST = {
    "johnson": " --content PHOTO",
    "multi_style": " --content PHOTO --style all",
    "adain": " --content PHOTO --style IMAGE",
}


def describe_machine(options: "TrainingOptions", runtime: "Runtime") -> list[str]:
    """Describe the device and the speed-ups."""
    return [
        f"device {runtime.device}, {options.run.precision}, seed {options.run.seed}{warn_of_slow_bfloat16(runtime)}",
        f"fast: {describe_speedups(runtime)}",
    ]


def describe_processes(options: "TrainingOptions", images: str, norm: str, runtime: "Runtime") -> list[str]:
    """Describe the processes and their share of a batch of `images` ("pairs" or "photos")."""
    from pix2pix import distributed
    from pix2pix.config.base import get_values

    count, batch_size = distributed.world_size(), options.train.batch_size
    if count == 1:
        return []
    lines = [f"processes: {count}, each with {batch_size} of the {batch_size * count} {images} in a step"]
    if norm == "batch" and not get_values(options)["sync_batchnorm"]:
        note = "; --sync_batchnorm: over those of all" if runtime.device.type == "cuda" else ""
        lines += [f"BatchNorm: each process normalizes over its own {images}{note}"]
    return lines


def describe_steps(options: "TrainingOptions", state: "TrainState", images: int) -> str:
    """Describe the steps to make, and the epochs of `images` that they are."""
    from pix2pix import distributed

    train = options.train
    to_come = ((train.steps or 0) - state.step) * train.batch_size * distributed.world_size()
    epochs = (state.shown + to_come) / images
    stop = f", stopping at {options.run.stop_at_step}" if options.run.stop_at_step else ""
    return f"steps: {state.step + 1} to {train.steps} ({epochs:.1f} epochs){stop}"


def describe_changes(content: dict[str, Any], counts: Mapping[str, int], processes: int) -> list[str]:
    """Describe changes of the number of images and processes since the checkpoint."""
    lines = []
    for images, count in counts.items():
        if (then := content["description"].get(images, count)) != count:
            lines += [f"the data has changed: {then} training {images} before, {count} now, in another order"]
    if (then := content.get("processes", 1)) != processes:
        lines += [
            f"the number of processes has changed: {then} before, {processes} now; a step has {processes}/{then} of "
            f"the {next(iter(counts))} that it had, in the same order"
        ]
    return lines


def warn_of_slow_bfloat16(runtime: "Runtime") -> str:
    """Return a warning if bfloat16 is emulated: a step at 256 pixels then takes 12 times as long."""
    import torch

    processor = torch.backends.cpu.get_cpu_capability()
    if runtime.device.type == "cpu" and runtime.precision == "bf16" and not processor.startswith("AVX512"):
        return f" (this processor, {processor}, emulates bfloat16: --precision fp32 is many times faster)"
    return ""


def describe_speedups(runtime: "Runtime") -> str:
    """Describe the speed-ups."""
    names = ", ".join(["compiled"] * runtime.compiled + list(runtime.fast))
    return f"{names} (--fast none turns them off)" if runtime.fast else names or "nothing"


def format_run_flags(name: str, checkpoints_dir: str) -> str:
    """Return the options that name a run."""
    where = "" if checkpoints_dir == "checkpoints" else f" --checkpoints_dir {shlex.quote(checkpoints_dir)}"
    return f"--name {shlex.quote(name)}{where}"


def describe_end(options: "TrainingOptions", folder: Path | None, step: int, interrupted: bool) -> str:
    """Describe how the run ended, and the next command."""
    run = options.run
    name = format_run_flags(run.name, run.checkpoints_dir)
    if folder is None:
        return "dry run: one training step and one validation step succeeded; nothing was written"
    if interrupted or step < (options.train.steps or 0):
        return f"stopped after step {step}, which is saved; continue with: python train.py {name} --resume"
    return f"done: {step} steps in {folder}; now: python test.py {name}{_TO_TEST.get(options.model, '')}"


@contextmanager
def default_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the process at once inside the block: an exception may get lost in imports."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def print_long(text: str) -> None:
    """Print a long text; a closed pipe (`| head`) is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
