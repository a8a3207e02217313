"""Does a long training leak? Many small steps of train.py, with its memory and open files watched from outside."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import ROOT, conditions, table, write_json

SMALL = (
    *("--generator", "unet_32", "--ngf", "4", "--ndf", "4", "--patch", "16", "--load_size", "36", "--crop_size", "32"),
    *("--log_every", "50", "--val_every", "1000", "--save_every", "1000"),
)


class Sample(NamedTuple):
    """What a training used after `step` steps: bytes of its main process, of all its processes, and open files."""

    step: int
    rss: int
    pss: int
    files: int


def growth(samples: Sequence[Sample], of: str, warm_up: float = 0.2, share: float = 0.1) -> float:
    """Return how much a quantity grew from the `share` of steps after the warm-up to the last `share`, as a fraction.

    Raises:
        ValueError: there is no sample in one of the two spans.
    """
    steps = samples[-1].step
    first = [sample for sample in samples if warm_up * steps <= sample.step <= (warm_up + share) * steps]
    last = [sample for sample in samples if sample.step >= (1 - share) * steps]
    if not first or not last:
        raise ValueError(f"{len(samples)} samples of {steps} steps are too few; sample more often")
    before, after = (float(statistics.median(getattr(sample, of) for sample in span)) for span in (first, last))
    return after / before - 1


def family(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from family(int(child))


def sample(pid: int, metrics: Path) -> Sample | None:
    """Look at a running training; None before its first logged step, and when it has ended."""
    try:
        step = json.loads(metrics.read_text().splitlines()[-1])["step"]
        rss = _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS")
        pss = sum(_kilobytes(Path(f"/proc/{one}/smaps_rollup"), "Pss") for one in family(pid))
        files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except (OSError, LookupError, ValueError):  # the last line may be half written, a worker just gone
        return None
    return Sample(step, rss * 1024, pss * 1024, files)


def _kilobytes(file: Path, field: str) -> int:
    fields = dict(line.partition(":")[::2] for line in file.read_text().splitlines())
    return int(fields[field].split()[0])  # a process that has just ended has none


def watch(command: Sequence[str], metrics: Path, interval: float, log: Path) -> list[Sample]:
    """Run a training to its end and return a sample of each step at which it was looked at.

    Raises:
        SystemExit: the training failed.
    """
    samples: dict[int, Sample] = {}
    with log.open("w") as output, subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output) as training:
        while training.poll() is None:
            if (seen := sample(training.pid, metrics)) is not None:
                samples.setdefault(seen.step, seen)
            time.sleep(interval)
    if training.returncode:
        raise SystemExit(f"the training ended with status {training.returncode}: {log.read_text()[-2000:]}")
    return list(samples.values())


def main(argv: Sequence[str] | None = None) -> None:
    """Soak, print the growth, and write the samples where --json says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000, help="training steps (10000)")
    parser.add_argument("--num_workers", type=int, default=0, help="processes that load images (0)")
    parser.add_argument("--interval", type=float, default=0.2, help="seconds between samples (0.2)")
    parser.add_argument("--json", type=Path, help="file for the samples and conditions")
    parser.add_argument("flags", nargs="*", help="further flags of train.py, after --")
    asked = parser.parse_args(argv)

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        data = ("--out", str(home / "data"), "--train", "16", "--val", "2", "--test", "0", "--size", "36")
        prepare = [sys.executable, "-m", "pix2pix", "prepare", "generated", *data]
        subprocess.run(prepare, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        places = ("--dataroot", str(home / "data"), "--checkpoints_dir", str(home / "runs"), "--name", "soak")
        amount = ("--steps", str(asked.steps), "--num_workers", str(asked.num_workers))
        command = [sys.executable, str(ROOT / "train.py"), *places, *SMALL, *amount, *asked.flags]
        began = time.monotonic()
        samples = watch(command, home / "runs/soak/metrics.jsonl", asked.interval, home / "log")
        seconds = time.monotonic() - began

    grown = {quantity: growth(samples, quantity) for quantity in ("rss", "pss", "files")}
    files = sorted({seen.files for seen in samples})
    rows = [[name, f"{100 * value:+.2f} %"] for name, value in grown.items()]
    print(table(["growth after warm-up", f"{samples[-1].step} steps, {seconds:.0f} s"], rows))
    print(f"open files: {files[0]} to {files[-1]}; last RSS {samples[-1].rss / 1e6:.0f} MB")
    if asked.json:
        found = {"seconds": seconds, "growth": grown, "samples": [seen._asdict() for seen in samples]}
        write_json(asked.json, conditions() | found)


if __name__ == "__main__":
    main()
