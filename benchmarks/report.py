"""What surrounds a measurement: its conditions, the JSON file and a table."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pix2pix.runtime.environment import collect_environment

ROOT = Path(__file__).parent.parent


def conditions() -> dict[str, Any]:
    """Return where, with what and how busy this process measures, as plain values."""
    return {
        "command": shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]]),
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg(),
        **{name: value for name, value in collect_environment().items() if name != "executable"},
    }


def cpu_model() -> str:
    """Return the processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write_json(path: Path, content: object) -> None:
    """Write plain values, indented."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds of three digits or more."""
    return f"{1000 * seconds:,.{max(0, 2 - len(str(int(1000 * seconds))) + 1)}f}"


def measured_cells(record: Mapping[str, Any], *, digits: int = 2) -> list[str]:
    """Return the median, quartiles (ms), ratios and memory (GB) of a record as cells of a table."""
    times, faster, memory = record["spread"], record["ratio"], record["memory"]
    return [
        milliseconds(times["median"]),
        f"{milliseconds(times['lower'])} - {milliseconds(times['upper'])}",
        " / ".join(f"{faster[name]:.{digits}f}" for name in ("medians", "rounds", "least")),
        f"{memory['peak'] / 1e9:.2f} / {memory['growth'] / 1e9:.2f}" if memory else "",
    ]
