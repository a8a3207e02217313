"""This package beside junyanz/pytorch-CycleGAN-and-pix2pix, in turn: training steps and translations."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import measure, ours, reference
from benchmarks.measure import Apart, Call, launches, ratio, seconds_of, spread
from benchmarks.report import conditions, measured_cells, table, write_json
from benchmarks.roofline import Peaks, flops, has_bf16, higher, peaks
from pix2pix.errors import UserError
from pix2pix.runtime.device import Runtime

REFERENCE = "reference"
FACADES_STEPS = 80_000  # 200 epochs of 400 pairs, the paper's training


class Case(NamedTuple):
    """What is measured: a training step or a translation, with which norm, batch and size."""

    training: bool
    norm: str
    batch: int
    size: int


CASES = {
    **{f"in_b{batch}": Case(True, "instance", batch, 256) for batch in (1, 4, 16)},
    **{f"bn_b{batch}": Case(True, "batch", batch, 256) for batch in (1, 4, 16)},
    **{f"translate_{size}": Case(False, "batch", 1, size) for size in (256, 512, 1024)},
}
ON_CPU = ("in_b1", "bn_b1", "bn_b4", "in_b4", "translate_256", "translate_512", "translate_1024")
ON_GPU = ("in_b1", "bn_b1", "in_b16", "bn_b16", "translate_256", "translate_512", "translate_1024")


class Place(NamedTuple):
    """Where things are and run: the reference's checkout, a run of ours to translate with, and a device."""

    directory: Path
    run: Path
    device: torch.device


def build(variant: str, case: Case, place: Place) -> Call:
    """Return the call of one side."""
    pairs = ours.facades(case.batch, case.size, place.device)
    if variant == REFERENCE and case.training:
        return reference.training_step(place.directory, case.norm, pairs, place.device)
    if variant == REFERENCE:
        return reference.translation(place.directory, pairs, place.device)
    if case.training:
        return ours.training_step(case.norm, case.batch, case.size, variant, place.device)
    translate = ours.translator(place.run, variant, place.device, statistics="running")
    return lambda: translate(pairs.source)


def compare(name: str, variants: Sequence[str], place: Place, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure a case, its variants in turn, each in a process of its own; yield a record of each."""
    case, device = CASES[name], place.device
    sides = {variant: Apart(build, variant, case, place) for variant in (REFERENCE, *variants)}
    seconds, memory = measure.compare(sides, device, asked.rounds, warm_up=asked.warm_up)
    work = sides[REFERENCE].run(flops)
    errors = {} if case.training else _errors(variants, case, place)
    for variant, measured in seconds.items():
        on_gpu = sides[variant].run(launches) if device.type == "cuda" else None
        peak = memory[variant]
        yield {
            **{"case": name, "variant": variant, "flops": work, "seconds": measured},
            "spread": spread(measured)._asdict(),
            "ratio": ratio(seconds[REFERENCE], measured)._asdict(),
            "memory": peak and peak._asdict(),
            "error": errors.get(variant),
            "launches": on_gpu and on_gpu._asdict(),
            "hours_of_facades": sides[variant].run(_hours, asked.steps, device)
            if case.training and asked.steps
            else None,
        }
    for side in sides.values():
        side.close()


def _errors(variants: Sequence[str], case: Case, place: Place) -> dict[str, float]:
    """Return how far each variant's output is from that of the plain network."""
    source = ours.facades(1, case.size, place.device).source
    outputs = {
        variant: ours.translator(place.run, variant, place.device, statistics="running")(source)
        for variant in {"plain", *variants}
    }
    return {variant: ours.error(output, outputs["plain"]) for variant, output in outputs.items()}


def _hours(call: Call, steps: int, device: torch.device) -> float:
    """Return the hours that the paper's training on facades would take, by the time of `steps` steps on end."""
    return seconds_of(lambda: [call() for _ in range(steps)], device) / steps * FACADES_STEPS / 3600


def row(record: Mapping[str, Any], limits: Mapping[str, Peaks]) -> list[str]:
    """Return a record as a line of the table."""
    peak = limits[arithmetic(record["variant"])].conv
    *times, memory = measured_cells(record)
    return [
        *(record["case"], record["variant"], *times),
        f"{100 * record['flops'] / record['spread']['median'] / peak:.0f} %",
        memory,
        f"{record['error']:.1e}" if record["error"] is not None else "",
        *(f"{record['launches'][name]}" for name in ("kernels", "calls") if record["launches"]),
        *([f"{record['hours_of_facades']:.1f} h"] if record["hours_of_facades"] else []),
    ]


def dtype_of(variant: str) -> torch.dtype:
    """Return the arithmetic of a variant; the reference has float32 alone."""
    return torch.float32 if variant == REFERENCE else ours.VARIANTS[variant].dtype


def arithmetic(variant: str) -> str:
    """Return "float32" or "bfloat16"."""
    return str(dtype_of(variant)).removeprefix("torch.")


HEAD = ("case", "variant", "ms", "quartiles", "ratio: medians / rounds / least", "of the peak", "GB: peak / growth")


def measure_cases(asked: argparse.Namespace, place: Place) -> None:
    """Run what was asked, print a table line for each record, and keep the JSON file up to date after every case.

    Peaks are measured again before every case and the highest counts, since other processes may lower one of them.
    """
    variants = asked.variants or (["fp32", "bf16"] if has_bf16(place.device) else ["fp32"])
    dtypes = {arithmetic(variant): dtype_of(variant) for variant in (REFERENCE, *variants)}
    limits = {name: Peaks(0, 0, 0) for name in dtypes}
    surroundings = conditions() | {"device": str(place.device)}
    extra = ("kernels", "launches") if place.device.type == "cuda" else ()
    hours = ("80,000 steps",) if asked.steps else ()
    print(table([*HEAD, "error", *extra, *hours], []))
    records: list[dict[str, Any]] = []
    for name in asked.cases or (ON_GPU if place.device.type == "cuda" else ON_CPU):
        limits = {kind: higher(limits[kind], peaks(place.device, dtype)) for kind, dtype in dtypes.items()}
        for record in compare(name, variants, place, asked):
            records.append(record)
            print(f"| {' | '.join(row(record, limits))} |", flush=True)
        if asked.json:
            found = {kind: limit._asdict() for kind, limit in limits.items()}
            write_json(asked.json, surroundings | {"peaks": found, "results": records})
    for kind, limit in limits.items():
        gemm, conv, copy = (figure / 1e9 for figure in limit)
        print(f"peaks, {kind}: GEMM {gemm:.0f} GFLOP/s, convolution {conv:.0f} GFLOP/s, copy {copy:.1f} GB/s")


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against_reference", description=__doc__)
    parser.add_argument("--reference", type=Path, required=True, help="checkout of the reference")
    parser.add_argument("--cases", nargs="+", choices=CASES, metavar="CASE", help=f"some of {', '.join(CASES)}")
    parser.add_argument("--variants", nargs="+", choices=ours.VARIANTS, help="of ours; default: fp32, bf16 if native")
    parser.add_argument("--rounds", type=int, default=15, help="alternations that count (15)")
    parser.add_argument("--warm_up", type=int, default=2, help="alternations before (2)")
    parser.add_argument("--run", type=Path, help="a run of unet_256 with BatchNorm to translate with; else untrained")
    parser.add_argument("--steps", type=int, help="also time so many steps on end and extrapolate to 80,000")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--json", type=Path, help="file for all figures and their conditions")
    asked = parser.parse_args(argv)
    try:
        directory, device = reference.checked(asked.reference.resolve()), Runtime(asked.device).device
        with tempfile.TemporaryDirectory() as folder:
            run = asked.run or ours.write_random_run(Path(folder) / "random")
            measure_cases(asked, Place(directory, run, device))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
