"""One network of many styles beside a network for each: losses of the same photos by one objective, style by style.

A run of conditional is compared with runs of johnson, each with the style of its name. The objective is that of the
run of conditional, in units; `name:STEP` takes a run's checkpoint of that step.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

import pix2pix
from benchmarks import ours
from benchmarks.pictures import photographs
from benchmarks.report import conditions, table, write_json
from pix2pix.errors import UserError
from pix2pix.inference import LoadedTranslator
from pix2pix.methods.feed_forward import FeedForwardLoss, read_paintings
from pix2pix.options import ConditionalOptions, JohnsonOptions

HEAD = ("style", "network", "step", "content", "style loss", "total", "ratio of the totals")
CHOICES = ("latest", "best")


@torch.inference_mode()
def losses(
    translate: Callable[[Tensor], Tensor], objective: FeedForwardLoss, style: int, photos: Sequence[Tensor]
) -> dict[str, float]:
    """Return the means over photos (1, 3, H, W) of the content and style losses to a style, and of their total."""
    found: dict[str, list[float]] = {"content": [], "style": [], "total": []}
    for photo in photos:
        total, parts = objective(translate(photo), photo, [style])
        for name, loss in ({"content": parts["content"], "style": parts["style"], "total": total}).items():
            found[name].append(loss.item())
    return {name: fmean(each) for name, each in found.items()}


def compare(
    many: LoadedTranslator, singles: Sequence[LoadedTranslator], options: ConditionalOptions, photos: list[Tensor]
) -> Iterator[dict[str, Any]]:
    """Yield a record of each style that has a network of its own.

    Raises:
        UserError: a run is none of johnson, or of a style that the other does not know, or its picture is gone.
    """
    runtime = ours.runtime(options.run)
    photos = [runtime.place(photo) for photo in photos]
    longest = options.loss.style_size or max(options.data.crop_size)
    files = [style_file(single, many) for single in singles]
    objective = FeedForwardLoss(options, runtime, read_paintings(files, longest, options.data.max_pixels, "johnson"))
    for number, single in enumerate(singles):
        (style,) = single.styles
        of_many = losses(partial(many.translate, style=style), objective, number, photos)
        of_one = losses(single.translate, objective, number, photos)
        yield {
            **{"style": style, "conditional": of_many | {"step": many.step}, "johnson": of_one | {"step": single.step}},
            "ratio": of_many["total"] / of_one["total"],
        }


def style_file(single: LoadedTranslator, many: LoadedTranslator) -> Path:
    """Return the picture that a run learnt to paint in the manner of.

    Raises:
        UserError: it is no run of johnson, or the style is none of the other's.
    """
    options, names = single.options, many.styles
    if not isinstance(options, JohnsonOptions):
        raise UserError(f"--johnson {options.run.name} is a run of {options.model}: one of johnson is needed")
    if single.styles[0] not in names:
        raise UserError(
            f"--johnson {options.run.name} paints {single.styles[0]}, and --conditional paints {', '.join(names)}: "
            "give a run of one of these"
        )
    return Path(options.loss.style_image)


def rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Return a record as two lines of the table."""
    return [
        [
            *(record["style"], network, str(record[network]["step"])),
            *(f"{record[network][name]:.4f}" for name in ("content", "style", "total")),
            f"{record['ratio']:.3f}" if network == "conditional" else "1",
        ]
        for network in ("johnson", "conditional")
    ]


def loaded(asked: argparse.Namespace, run: str, epoch: str) -> LoadedTranslator:
    """Load a run's checkpoint; `run` is its name, perhaps with `:STEP`."""
    name, colon, step = run.rpartition(":")
    if not colon or not (step.isdecimal() or step in CHOICES):
        name, step = run, epoch
    return pix2pix.load(asked.checkpoints_dir / name, epoch=step, device=asked.device)


def measured(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Load what was asked for, and measure.

    Raises:
        UserError: runs, photos or weights are not to be had, or are others than needed.
    """
    many = loaded(asked, asked.conditional, asked.epoch)
    options = many.options
    if not isinstance(options, ConditionalOptions):
        raise UserError(f"--conditional {asked.conditional} is a run of {options.model}: one of conditional is needed")
    if asked.weights is not None:
        features = options.features.model_copy(update={"weights": asked.weights})
        options = options.model_copy(update={"features": features})
    photos = photographs(options.data, asked.dataroot, asked.size, asked.limit)
    return list(compare(many, [loaded(asked, run, "latest") for run in asked.johnson], options, photos))


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many_styles",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--conditional", required=True, metavar="RUN", help="a run of conditional")
    parser.add_argument("--epoch", default="latest", help="its checkpoint: latest (default), best, or a step")
    parser.add_argument("--johnson", required=True, nargs="+", metavar="RUN[:STEP]", help="runs of johnson")
    parser.add_argument("--checkpoints_dir", type=Path, default=Path("checkpoints"), help="folder of all runs")
    parser.add_argument("--dataroot", help="folder of photos, or `generated`; default: those that RUN held out")
    parser.add_argument("--weights", help="of the backbone: random, imagenet, or a file; default: the run's")
    parser.add_argument("--size", type=int, help="shorter side of the photos; default: that of the run's crop")
    parser.add_argument("--limit", type=int, help="so many photos at most")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--json", type=Path, help="file for all figures and their conditions")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and return the exit status."""
    asked = arguments(argv)
    surroundings: dict[str, Any] = conditions()
    try:
        records = measured(asked)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(HEAD, [line for record in records for line in rows(record)]))
    if asked.json:
        write_json(asked.json, surroundings | {"results": records})
    return 0


if __name__ == "__main__":
    sys.exit(main())
