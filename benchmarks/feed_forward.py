"""Painting one image: one pass of Johnson's network or of AdaIN's beside the iterations of Gatys' method, in turn."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks import measure
from benchmarks.gatys import picture
from benchmarks.measure import Apart, Call, ratio, spread
from benchmarks.report import conditions, measured_cells, table, write_json
from pix2pix.config.base import from_dict
from pix2pix.config.gatys import GatysOptions
from pix2pix.config.style import AdainOptions, JohnsonOptions
from pix2pix.errors import UserError
from pix2pix.methods.adain import Adain
from pix2pix.methods.base import Styles, translate
from pix2pix.methods.feature_loss import FeatureLoss
from pix2pix.methods.gatys import ContentAndStyles, build_loss
from pix2pix.methods.image_optimizer import ImageOptimizer
from pix2pix.methods.johnson import Johnson
from pix2pix.networks.norm import AdaIN, channel_statistics
from pix2pix.runtime.device import Runtime

GATYS = "gatys"
RUN = {"dataroot": "-", "name": "bench"}  # of networks that are not trained here
HEAD = ("size", "method", "ms an image", "quartiles", "times as fast: medians / rounds / least", "GB: peak / growth")


class Task(NamedTuple):
    """What is painted: both pictures (1, 3, S, S) in [-1, 1], with which weights of Gatys' VGG-19, on what device."""

    content: Tensor
    style: Tensor
    weights: str
    device: str


def gatys(task: Task) -> Call:
    """Return one iteration of L-BFGS by VGG-19: an evaluation of losses and gradient, and its update."""
    options = from_dict(GatysOptions, {"content": "-", "style": "-", "weights": task.weights})
    objective = FeatureLoss(options.features, Runtime(task.device))
    losses = build_loss(ContentAndStyles(task.content, [task.style]), objective, options)
    return ImageOptimizer(objective.runtime.to_device(task.content), losses, options.optimize).step


def johnson(task: Task) -> Call:
    """Return the painting of a network with 32 channels in its first layer, weights random as those of `adain`."""
    method = Johnson(from_dict(JohnsonOptions, RUN | {"style_image": "-"}), Runtime(task.device), training=False)
    content = method.runtime.to_device(task.content)
    return lambda: translate(method, content)


def adain(task: Task) -> Call:
    """Return the AdaIN output, encoding the style image again."""
    method = _adain(task)
    content, style = method.runtime.to_device(task.content), method.runtime.to_device(task.style)
    return lambda: translate(method, content, styles=Styles([style]))


def adain_known(task: Task) -> Call:
    """Return the painting by AdaIN in a style whose mean and deviation are at hand."""
    method = _adain(task)
    content, style = method.runtime.to_device(task.content), method.runtime.to_device(task.style)
    with torch.inference_mode():
        known = AdaIN(*channel_statistics(method.encoder(style)))
    return torch.inference_mode()(partial(nn.Sequential(method.encoder, known, method.generator), content))


SIDES: dict[str, Callable[[Task], Call]] = {
    GATYS: gatys,
    "johnson": johnson,
    "adain": adain,
    "adain, known style": adain_known,
}


def build(side: str, task: Task) -> Call:
    """Return one side's painting; of Gatys' method one iteration."""
    return SIDES[side](task)


def compare(size: int, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Let each side paint once a round, in a process of its own; yield a record of each."""
    task = Task(picture(None, 0, size), picture(None, 1, size), asked.weights, asked.device)
    device = Runtime(asked.device).device
    sides = {name: Apart(build, name, task) for name in SIDES}
    seconds, memory = measure.compare(sides, device, asked.rounds)
    for side in sides.values():
        side.close()
    seconds[GATYS] = [asked.iterations * measured for measured in seconds[GATYS]]
    for name, measured in seconds.items():
        peak = memory[name]
        yield {
            **{"size": size, "method": name, "iterations": asked.iterations if name == GATYS else 1},
            **{"seconds": measured, "spread": spread(measured)._asdict()},
            **{"ratio": ratio(seconds[GATYS], measured)._asdict(), "memory": peak and peak._asdict()},
        }


def row(record: Mapping[str, Any]) -> list[str]:
    """Return a record as a line of the table."""
    method, iterations = record["method"], record["iterations"]
    named = f"{method}, {iterations} iterations" if iterations > 1 else method
    return [str(record["size"]), named, *measured_cells(record, digits=1)]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feed_forward", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="sides in pixels (256 512)")
    parser.add_argument("--iterations", type=int, default=300, help="of Gatys; one is timed (300)")
    parser.add_argument("--rounds", type=int, default=10, help="alternations that count, after two (10)")
    parser.add_argument("--weights", default="random", help="of Gatys' VGG-19: random (default), imagenet, or a file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--threads", type=int, help="of the processor; default: as PyTorch chooses")
    parser.add_argument("--json", type=Path, help="file for all figures and their conditions")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure size after size, and return the exit status."""
    asked = arguments(argv)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    try:
        surroundings, records = conditions() | {"device": str(Runtime(asked.device).device)}, []
        print(table(HEAD, []))
        for size in asked.sizes:
            for record in compare(size, asked):
                records.append(record)
                print(f"| {' | '.join(row(record))} |", flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if asked.json:
        write_json(asked.json, surroundings | {"results": records})
    return 0


def _adain(task: Task) -> Adain:
    return Adain(from_dict(AdainOptions, RUN | {"styles": "-"}), Runtime(task.device), training=False)


if __name__ == "__main__":
    sys.exit(main())
