"""Seconds per training step of one and of two processes: `python -m benchmarks.ranks [--json FILE]`.

The processes talk by gloo on this machine's processor, each with --threads threads. One process with the batch of both
shows what sharing a step gains; one with the batch of each shows what the company of another costs.
"""

import argparse
import os
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing

from benchmarks.ours import CODEC
from benchmarks.report import conditions, table, write_json
from pix2pix import distributed
from pix2pix.config.base import from_dict
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.data.batch import PairBatch
from pix2pix.methods.base import describe_codec
from pix2pix.methods.pix2pix import Pix2Pix
from pix2pix.runtime.device import Runtime

WARM_UP = 2  # steps


def main() -> None:
    """Measure each arrangement in turn, several times over, and print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch_size", type=int, default=1, help="pairs of each of two processes")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--size", type=int, default=256, choices=(32, 64, 128, 256))
    parser.add_argument("--ngf", type=int, default=64)
    given = parser.parse_args()
    shapes = [(1, given.batch_size), (1, 2 * given.batch_size), (2, given.batch_size)]
    seconds: dict[tuple[int, int], list[float]] = {shape: [] for shape in shapes}
    for _ in range(given.rounds):  # alternating: the speed of a shared machine drifts
        for count, batch_size in shapes:
            seconds[count, batch_size] += measured(count, batch_size, given)
    report = summary(seconds, given)
    print(show(report))
    if given.json:
        write_json(given.json, report)


def measured(count: int, batch_size: int, given: argparse.Namespace) -> list[float]:
    """Return the seconds of each step, by the clock of the first of `count` processes."""
    context = torch.multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    processes = [context.Process(target=run, args=(r, count, port, batch_size, given, answers)) for r in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit("a process failed: see above")
    answer: list[float] = answers.get()
    return answer


def run(rank: int, count: int, port: int, batch_size: int, given: argparse.Namespace, answers: object) -> None:
    """Train some steps on noise, as one of the processes."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_PORT": str(port)}
    os.environ |= {"MASTER_ADDR": "localhost", "TORCHELASTIC_RUN_ID": "benchmark"}
    torch.set_num_threads(given.threads)
    network = {"generator": f"unet_{given.size}", "ngf": given.ngf, "ndf": given.ngf, "norm": "instance"}
    data = {"dataroot": "none", "crop_size": given.size, "load_size": given.size}
    options = from_dict(
        Pix2PixOptions,
        {"data": data, "network": network, "train": {"batch_size": batch_size}, "run": {"name": "x", "device": "cpu"}},
    )
    with distributed.process_group():
        method = Pix2Pix(options, Runtime("cpu"), describe_codec(CODEC))
        images = torch.rand(2, batch_size, 3, given.size, given.size) * 2 - 1
        seconds = []
        for _ in range(WARM_UP + given.steps):
            began = time.perf_counter()
            method.training_step(PairBatch(images[0], images[1], ["noise"] * batch_size))
            seconds.append(time.perf_counter() - began)
        if rank == 0:
            answers.put(seconds[WARM_UP:])  # type: ignore[attr-defined]


def summary(seconds: dict[tuple[int, int], list[float]], given: argparse.Namespace) -> dict[str, object]:
    """Return conditions, medians, and the efficiencies of two processes (1 is ideal).

    `at_equal_step`: time of one process for the pairs of both, over twice that of two. `at_equal_batch`: time of one
    process for its own pairs, over that of two for theirs.
    """
    medians = {shape: statistics.median(values) for shape, values in seconds.items()}
    alone, whole, shared = medians.values()
    rows = [
        {"processes": count, "batch_size": batch, "seconds": medians[count, batch], "steps": len(values),
         "quartiles": statistics.quantiles(values, n=4)[::2], "threads": given.threads}
        for (count, batch), values in seconds.items()
    ]  # fmt: skip
    return conditions() | {
        "cores": os.cpu_count(),
        "generator": f"unet_{given.size}",
        "ngf": given.ngf,
        "rows": rows,
        "efficiency": {"at_equal_step": whole / (2 * shared), "at_equal_batch": alone / shared},
    }


def show(report: dict[str, Any]) -> str:
    """Return the report as a Markdown table, with the efficiencies below it."""
    rows = []
    for row in report["rows"]:
        (low, high), pairs = row["quartiles"], row["processes"] * row["batch_size"]
        shape = [str(row[name]) for name in ("processes", "batch_size")]
        rows.append([*shape, f"{row['seconds']:.3f}", f"{low:.3f} - {high:.3f}", f"{pairs / row['seconds']:.2f}"])
    efficiency = report["efficiency"]
    return (
        f"{table(['processes', 'pairs each', 'seconds a step', 'quartiles', 'pairs/s'], rows)}\n\n"
        f"efficiency of each of two: {efficiency['at_equal_step']:.2f} for a step of the same pairs, "
        f"{efficiency['at_equal_batch']:.2f} for the same batch each"
    )


if __name__ == "__main__":
    main()
