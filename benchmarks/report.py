"""What surrounds a measurement: its conditions, the JSON file, a table and a bar chart."""

import html
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pix2pix.environment import environment

ROOT = Path(__file__).parent.parent


def conditions() -> dict[str, Any]:
    """Return where, with what and how busy this process measures, as plain values."""
    return {
        "command": shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]]),
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg(),
        **{name: value for name, value in environment().items() if name != "executable"},
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


class Bar(NamedTuple):
    """A bar of the chart, from 0 to `value`; `low` and `high` are the ends of its whisker."""

    label: str
    value: float
    low: float
    high: float


def chart(title: str, bars: Sequence[Bar]) -> str:
    """Return a bar chart as an SVG file: a bar a line, all on one scale, each with its value and whisker."""
    scale = 360 / max(bar.high for bar in bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{40 + 24 * len(bars)}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="100%" height="100%" fill="#fff"/><text x="10" y="22" font-weight="bold">{html.escape(title)}'
        "</text>",
    ]
    for row, bar in enumerate(bars):
        y = 36 + 24 * row
        left, right = 180 + scale * bar.low, 180 + scale * bar.high
        lines += [
            f'<text x="170" y="{y + 13}" text-anchor="end">{html.escape(bar.label)}</text>',
            f'<rect x="180" y="{y}" width="{scale * bar.value:.1f}" height="18" fill="#7aa6d6"/>',
            f'<path d="M{left:.1f} {y + 9}H{right:.1f}" stroke="#234" stroke-width="2"/>',
            f'<text x="{right + 8:.1f}" y="{y + 13}">{bar.value:.2f}</text>',
        ]
    return "\n".join([*lines, "</svg>\n"])
