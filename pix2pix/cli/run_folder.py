"""The run's folder: what is in it, and the monitor that writes there."""

import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.options import Trained, as_dict, to_yaml
from pix2pix.options.fields import choices

if TYPE_CHECKING:
    from pix2pix.monitor import Monitor

# options.yaml goes last and comes first: whatever a killed process leaves can be resumed or overwritten.
RUN_FILES = (
    *("step_[0-9]*.pt", "latest", "best", "env.json", "train.log", "metrics.jsonl"),
    *("tb/events.out.tfevents.*", "options.yaml"),
)


def open_monitor(
    options: Trained, folder: Path | None, replaced: Sequence[Path], step: int, stack: ExitStack
) -> "Monitor":
    """Begin to write into the folder, if there is one, without the run that is replaced and what a killed one left."""
    from pix2pix import checkpoint
    from pix2pix.monitor import DryMonitor, RunMonitor

    if folder is None:
        return DryMonitor()
    checkpoint.sweep(folder)
    for path in replaced:
        path.unlink()
    describe(options, folder)
    monitor = stack.enter_context(closing(RunMonitor(folder, step, options.train.steps or 0)))
    monitor.hparams(_flat(options), choices(type(options.run).model_fields["best_metric"]))
    return monitor


def describe(options: Trained, folder: Path) -> None:
    """Write options.yaml and env.json."""
    from pix2pix import ranks
    from pix2pix.environment import environment

    temporary = folder / ".options.yaml.tmp"
    temporary.write_text(to_yaml(options), encoding="utf-8")
    temporary.replace(folder / "options.yaml")
    command = {"command": shlex.join(sys.argv), "processes": ranks.count()}
    (folder / "env.json").write_text(json.dumps(command | environment(), indent=2) + "\n", encoding="utf-8")


def _flat(options: Trained) -> dict[str, str | int | float | bool]:
    """Return the options as TensorBoard takes them: one level, no None."""
    groups = as_dict(options)
    leaves = {name: value for group in groups.values() if isinstance(group, dict) for name, value in group.items()}
    return {name: value for name, value in leaves.items() if value is not None}
