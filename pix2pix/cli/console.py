"""What a training prints at its beginning and at its end."""

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

# What test.py needs to be told beside the run.
_TO_TEST = {
    "johnson": " --content PHOTO",
    "multi_style": " --content PHOTO --style all",
    "adain": " --content PHOTO --style PICTURE",
}


def describe_machine(options: "TrainingOptions", runtime: "Runtime") -> list[str]:
    """Say what it runs on, and what makes it fast."""
    return [
        f"device {runtime.device}, {options.run.precision}, seed {options.run.seed}{warn_of_slow_bfloat16(runtime)}",
        f"fast: {describe_speedups(runtime)}",
    ]


def describe_processes(options: "TrainingOptions", images: str, norm: str, runtime: "Runtime") -> list[str]:
    """Say how many processes share a step, and what each does by itself; `images` are what is counted in it."""
    from pix2pix import distributed
    from pix2pix.config.base import get_values

    count, batch_size = distributed.world_size(), options.train.batch_size
    if count == 1:
        return []
    said = [f"processes: {count}, each with {batch_size} of the {batch_size * count} {images} in a step"]
    if norm == "batch" and not get_values(options)["sync_batchnorm"]:
        way = "; --sync_batchnorm: by those of all" if runtime.device.type == "cuda" else ""
        said += [f"BatchNorm: each process normalises by its own {images}{way}"]
    return said


def describe_steps(options: "TrainingOptions", progress: "TrainState", images: int) -> str:
    """Say which steps are to be made, of how many images; `progress` is what was made before."""
    from pix2pix import distributed

    train = options.train
    to_come = ((train.steps or 0) - progress.step) * train.batch_size * distributed.world_size()
    epochs = (progress.shown + to_come) / images
    stop = f", stopping at {options.run.stop_at_step}" if options.run.stop_at_step else ""
    return f"steps: {progress.step + 1} to {train.steps} ({epochs:.1f} epochs){stop}"


def describe_changes(content: dict[str, Any], counts: Mapping[str, int], processes: int) -> list[str]:
    """Say what is no more as it was when the checkpoint was written: the number of images, and of processes."""
    said = []
    for images, count in counts.items():
        if (then := content["description"].get(images, count)) != count:
            said += [f"the data has changed: {then} training {images} then, {count} now, and another order"]
    if (then := content.get("processes", 1)) != processes:
        said += [
            f"the number of processes has changed: {then} then, {processes} now; a step has {processes}/{then} of the "
            f"{next(iter(counts))} that it had, in the same order"
        ]
    return said


def warn_of_slow_bfloat16(runtime: "Runtime") -> str:
    """Warn of bfloat16 on a processor that only emulates it: measured at 256 pixels, a step took 12 times as long."""
    import torch

    processor = torch.backends.cpu.get_cpu_capability()
    if runtime.device.type == "cpu" and runtime.precision == "bf16" and not processor.startswith("AVX512"):
        return f" (this processor, {processor}, has no bfloat16 arithmetic: --precision fp32 is many times as fast)"
    return ""


def describe_speedups(runtime: "Runtime") -> str:
    """Say what makes it fast."""
    names = ", ".join(["compiled"] * runtime.compiled + list(runtime.fast))
    return f"{names} (--fast none is without)" if runtime.fast else names or "nothing"


def format_run_flags(name: str, checkpoints_dir: str) -> str:
    """Return the flags that name a run."""
    where = "" if checkpoints_dir == "checkpoints" else f" --checkpoints_dir {shlex.quote(checkpoints_dir)}"
    return f"--name {shlex.quote(name)}{where}"


def describe_end(options: "TrainingOptions", folder: Path | None, step: int, interrupted: bool) -> str:
    """Say how the run ended, and what to type next."""
    run = options.run
    name = format_run_flags(run.name, run.checkpoints_dir)
    if folder is None:
        return "dry run: one training step and one validation step went well; nothing was written"
    if interrupted or step < (options.train.steps or 0):
        return f"stopped after step {step}, which is saved; go on with: python train.py {name} --resume"
    return f"done: {step} steps in {folder}; now: python test.py {name}{_TO_TEST.get(options.model, '')}"


@contextmanager
def default_interrupt() -> Iterator[None]:
    """Let Ctrl-C just end the process until there is a step to save: an exception may get lost in imports."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def print_long(text: str) -> None:
    """Print a text of which `| head` may read only the beginning."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at exit
