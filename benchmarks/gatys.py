"""Painting by Gatys' method beside a plain loop in PyTorch, in turn: seconds an iteration, and the losses reached."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.measure import Apart, alternate, peak_memory, ratio, spread
from benchmarks.plain_gatys import PlainLoss, paint
from benchmarks.report import conditions, table, write_json
from pix2pix.config.base import from_dict
from pix2pix.config.gatys import GatysOptions
from pix2pix.config.types import parse_speedups
from pix2pix.data.arrays import to_tensor
from pix2pix.data.codec import read_rgb
from pix2pix.data.generated import generate
from pix2pix.errors import UserError
from pix2pix.methods.feature_loss import FeatureLoss
from pix2pix.methods.gatys import ContentAndStyles, optimize_image
from pix2pix.runtime.device import Runtime

PLAIN = "plain"
SIDES = {PLAIN: "", "unaided": "none", "fast": "auto"}  # ours by their --fast
HEAD = (
    *("side", "s an iteration", "quartiles", "ratio: medians / rounds / least", "processor s, ratio"),
    *("loss", "of plain", "GB: peak / growth"),
)


class Task(NamedTuple):
    """What is painted: both pictures (1, 3, S, S) in [-1, 1], the weights, how long, and beta where alpha is 1."""

    content: Tensor
    style: Tensor
    weights: str
    iterations: int
    style_weight: float


class Mark(NamedTuple):
    """When an iteration was done, by the clock and by the processor's time of the process, and its loss."""

    clock: float
    processor: float
    loss: float


Optimization = Callable[[], list[Mark]]


def build(side: str, task: Task) -> Optimization:
    """Return one side's painting."""
    return plain(task) if side == PLAIN else ours(task, SIDES[side])


def plain(task: Task) -> Optimization:
    """Return the painting by the plain loop."""
    loss = plain_loss(task)

    def painted() -> list[Mark]:
        marks: list[Mark] = []
        loss.targets(task.content, task.style)
        paint(loss, task.content, task.iterations, lambda value: marks.append(_mark(value)))
        return marks

    return painted


def ours(task: Task, fast: str) -> Optimization:
    """Return the painting of test.py --model gatys, of the same losses as the plain loop."""
    objective = _objective(task, fast)
    pictures = ContentAndStyles(task.content, [task.style])

    def painted() -> list[Mark]:
        marks: list[Mark] = []
        optimize_image(
            pictures, objective, _options(task), lambda step: marks.append(_mark(step.scalars["loss/total"]))
        )
        return marks

    return painted


def plain_loss(task: Task) -> PlainLoss:
    """Return the plain loss with the weights that ours has, rescaled to mean activation 1."""
    extractor = _objective(task, "none").extractor
    layers = [module for module in extractor.modules() if isinstance(module, nn.Conv2d)]
    kernels = [(layer.weight, layer.bias) for layer in layers if layer.bias is not None]
    return PlainLoss(kernels, extractor.scale, extractor.shift, task.style_weight)


def _objective(task: Task, fast: str) -> FeatureLoss:
    return FeatureLoss(_options(task).features, Runtime("cpu", fast=parse_speedups(fast)))


def _options(task: Task) -> GatysOptions:
    given = {"content": "-", "style": "-", "normalize_losses": False, "weights": task.weights}
    return from_dict(GatysOptions, given | {"iterations": task.iterations, "style_weight": task.style_weight})


def _mark(loss: float) -> Mark:
    return Mark(time.perf_counter(), time.process_time(), loss)


def _marks(optimization: Optimization) -> list[Mark]:
    return optimization()


def compare(task: Task, rounds: int) -> list[dict[str, Any]]:
    """Let each side paint once a round, in a process of its own; return a record of each.

    A side's time in a round is the median of its iterations, and its loss that of the last one.
    """
    sides = {name: Apart(build, name, task) for name in SIDES}
    memory = {name: side.run(peak_memory, 1) for name, side in sides.items()}
    last: dict[str, list[Mark]] = {}
    processor: dict[str, list[float]] = {name: [] for name in sides}

    def timed(name: str) -> float:
        last[name] = marks = sides[name].run(_marks)
        processor[name].append(_typical([mark.processor for mark in marks]))
        return _typical([mark.clock for mark in marks])

    seconds = alternate({name: partial(timed, name) for name in sides}, rounds, warm_up=0)
    for side in sides.values():
        side.close()
    return [
        {
            **{"side": name, "seconds": measured, "spread": spread(measured)._asdict()},
            "ratio": ratio(seconds[PLAIN], measured)._asdict(),
            "processor": spread(processor[name])._asdict(),
            "processor_ratio": ratio(processor[PLAIN], processor[name])._asdict(),
            "losses": [mark.loss for mark in last[name]],
            "of_plain": last[name][-1].loss / last[PLAIN][-1].loss,
            "memory": (peak := memory[name]) and peak._asdict(),
        }
        for name, measured in seconds.items()
    ]


def _typical(times: Sequence[float]) -> float:
    return statistics.median(after - before for before, after in pairwise(times))


def row(record: Mapping[str, Any]) -> list[str]:
    """Return a record as a line of the table."""
    times, faster, memory = record["spread"], record["ratio"], record["memory"]
    return [
        record["side"],
        f"{times['median']:.3f}",
        f"{times['lower']:.3f} - {times['upper']:.3f}",
        f"{faster['medians']:.2f} / {faster['rounds']:.2f} / {faster['least']:.2f}",
        f"{record['processor']['median']:.3f}, {record['processor_ratio']['medians']:.2f}",
        f"{record['losses'][0]:.4g} to {record['losses'][-1]:.4g}",
        f"{record['of_plain']:.4f}",
        f"{memory['peak'] / 1e9:.2f} / {memory['growth'] / 1e9:.2f}" if memory else "",
    ]


def picture(file: Path | None, index: int, size: int) -> Tensor:
    """Return a picture of the file, or a generated photo, as (1, 3, size, size) in [-1, 1]."""
    if file is None:
        return to_tensor(generate(0, index, (size, size))[0])[None]
    return F.interpolate(read_rgb(file)[None], (size, size), mode="bicubic", antialias=True).clamp(-1, 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gatys", description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="pixels a side (512)")
    parser.add_argument("--iterations", type=int, default=40, help="evaluations of the losses in each painting (40)")
    parser.add_argument("--rounds", type=int, default=3, help="paintings of each side that count, after one (3)")
    parser.add_argument("--weights", default="random", help="random (default), imagenet, or a file")
    parser.add_argument("--content", type=Path, help="a picture; else a generated facade")
    parser.add_argument("--style", type=Path, help="a picture; else another generated facade")
    parser.add_argument("--style_weight", type=float, default=100, help="beta, where alpha is 1 (100)")
    parser.add_argument("--json", type=Path, help="file for all figures and their conditions")
    asked = parser.parse_args(argv)
    if asked.iterations < 2:
        parser.error("--iterations must be 2 or more: times are those between two")
    try:
        content, style = picture(asked.content, 0, asked.size), picture(asked.style, 1, asked.size)
        task = Task(content, style, asked.weights, asked.iterations, asked.style_weight)
        surroundings = conditions()
        records = compare(task, asked.rounds)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(HEAD, [row(record) for record in records]))
    if asked.json:
        write_json(asked.json, surroundings | {"results": records})
    return 0


if __name__ == "__main__":
    sys.exit(main())
