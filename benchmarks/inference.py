"""Translating by size: milliseconds an image in fp32 and bf16, alone and in batches, and the memory that it takes."""

import argparse
import functools
import itertools
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import ours
from benchmarks.measure import Apart, Call, alternate, peak_memory, seconds_of, spread
from benchmarks.report import conditions, milliseconds, table, write_json
from benchmarks.roofline import has_bf16
from pix2pix.errors import UserError
from pix2pix.runtime import Runtime

HEAD = ("size", "batch", "variant", "ms an image", "quartiles", "GB: peak / growth", "error")


class Setting(NamedTuple):
    """A network and where it translates; `statistics` None are those that the run records."""

    run: Path
    statistics: str | None
    device: torch.device


def build(variant: str, size: int, batch: int, setting: Setting) -> Call:
    """Return the translation of a batch of generated facades, all images the same."""
    translate = ours.translator(setting.run, variant, setting.device, statistics=setting.statistics)
    source = ours.facades(1, size, setting.device).source.repeat(batch, 1, 1, 1)
    return lambda: translate(source)


def by_size(
    size: int, variants: Sequence[str], setting: Setting, asked: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Measure every variant and batch of a size in turn; yield a record each."""
    batches = [batch for batch in asked.batches if batch * size**2 <= asked.max_pixels]
    source = ours.facades(1, size, setting.device).source
    given = {"statistics": setting.statistics}
    translators = {name: ours.translator(setting.run, name, setting.device, **given) for name in {"plain", *variants}}
    exact = translators["plain"](source)
    errors = {variant: ours.error(translators[variant](source), exact) for variant in variants}
    sides = {
        f"{variant} {batch}": Apart(build, variant, size, batch, setting) for variant in variants for batch in batches
    }
    memory = {name: side.run(peak_memory) for name, side in sides.items()}
    timed = {name: functools.partial(side.run, seconds_of, setting.device) for name, side in sides.items()}
    seconds = alternate(timed, asked.rounds, warm_up=1)
    for side in sides.values():
        side.close()
    for variant, batch in itertools.product(variants, batches):
        each = [measured / batch for measured in seconds[f"{variant} {batch}"]]
        peak = memory[f"{variant} {batch}"]
        yield {
            **{"size": size, "batch": batch, "variant": variant, "seconds_per_image": each},
            **{"spread": spread(each)._asdict(), "memory": peak and peak._asdict(), "error": errors[variant]},
        }


def row(record: Mapping[str, Any]) -> list[str]:
    """Return a record as a line of the table."""
    times, memory = record["spread"], record["memory"]
    return [
        *(str(record[name]) for name in ("size", "batch", "variant")),
        milliseconds(times["median"]),
        f"{milliseconds(times['lower'])} - {milliseconds(times['upper'])}",
        f"{memory['peak'] / 1e9:.2f} / {memory['growth'] / 1e9:.2f}" if memory else "",
        f"{record['error']:.1e}",
    ]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", type=Path, help="folder of a run, as checkpoints/facades")
    which.add_argument("--random", action="store_true", help="an untrained U-Net 256 with BatchNorm instead")
    parser.add_argument("--statistics", choices=("image", "running"), help="default: as the run records")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024, 2048], help="sides in pixels")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8], help="images at a time (1 4 8)")
    parser.add_argument("--max_pixels", type=int, default=2048**2, help="leave out larger batches (2048 x 2048)")
    parser.add_argument("--variants", nargs="+", choices=ours.VARIANTS, help="default: fp32, and bf16 if native")
    parser.add_argument("--rounds", type=int, default=15, help="alternations that count (15)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--json", type=Path, help="file for all figures and their conditions")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure size after size, and return the exit status."""
    asked = arguments(argv)
    try:
        device = Runtime(asked.device).device
        variants = asked.variants or (["fp32", "bf16"] if has_bf16(device) else ["fp32"])
        surroundings, records = conditions() | {"device": str(device)}, []
        print(table(HEAD, []))
        with tempfile.TemporaryDirectory() as folder:
            run = asked.run or ours.write_random_run(Path(folder) / "random")
            setting = Setting(run, asked.statistics, device)
            for size in asked.sizes:
                for record in by_size(size, variants, setting, asked):
                    records.append(record)
                    print(f"| {' | '.join(row(record))} |", flush=True)
        if asked.json:
            write_json(asked.json, surroundings | {"results": records})
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
