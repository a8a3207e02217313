"""Pairs per second of the loaders, in one process: the reference's (PIL), ours reading files, ours from each cache.

    python -m benchmarks.data --reference DIR --dataroot DIR [--rounds 15] [--json FILE]

DIR is a checkout of junyanz/pytorch-CycleGAN-and-pix2pix, and a folder of side-by-side pairs in train/. The variants
take turns, so that what else the machine does meets all of them.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.measure import alternate, ratio, spread
from benchmarks.report import conditions, write_json
from pix2pix.config.pix2pix import DataOptions
from pix2pix.data.cache import GpuCache, ImageFormat, PairCache, count_pair_bytes, get_formats
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.data.dataset import PairDataset, open_pairs
from pix2pix.data.loader import training_batches
from pix2pix.data.transforms import Augment, resize_pair

LOAD, CROP = 286, 256
RGB = PairCodec(ImageCodec("photo", 3), ImageCodec("photo", 3))
OURS: dict[str, Any] = {"preprocess": "resize_and_crop", "load_size": (LOAD, LOAD), "crop_size": (CROP, CROP)}

Variant = Callable[[int], object]  # loads so many batches


def reference(checkout: str, dataroot: str, batch: int) -> Variant:
    """Return the aligned data set of the checkout behind its own kind of DataLoader."""
    sys.path.insert(0, checkout)
    from data.aligned_dataset import AlignedDataset  # type: ignore[import-not-found]

    options = SimpleNamespace(
        dataroot=dataroot,
        phase="train",
        max_dataset_size=float("inf"),
        direction="AtoB",
        input_nc=3,
        output_nc=3,
        preprocess="resize_and_crop",
        load_size=LOAD,
        crop_size=CROP,
        no_flip=False,
    )
    loader = torch.utils.data.DataLoader(AlignedDataset(options), batch_size=batch, shuffle=True, num_workers=0)
    return taking(repeated(loader))


def repeated(loader: Any) -> Iterator[Any]:
    """Go through the loader again and again."""
    while True:
        yield from loader


def ours(pairs: PairDataset, batch: int, cache: PairCache | GpuCache | None) -> Variant:
    """Return our batches; a cache is filled first."""
    variant = taking(stream(pairs, batch, cache))
    if cache is not None:
        variant(len(pairs) // batch + 2)
    return variant


def cold(pairs: PairDataset, batch: int, room: int, sides: tuple[ImageFormat, ImageFormat]) -> Variant:
    """Return our batches of a first epoch, which fill a new cache in memory."""
    return lambda count: taking(stream(pairs, batch, PairCache(len(pairs), room, sides)))(count)


def stream(pairs: PairDataset, batch: int, cache: PairCache | GpuCache | None) -> Iterator[Any]:
    """Training batches."""
    augment = Augment("resize_and_crop", (CROP, CROP), flip=True, seed=0)
    return training_batches(pairs, RGB, augment, **OURS, multiple=1, batch_size=batch, seed=0, cache=cache)


def taking(batches: Iterator[Any]) -> Variant:
    """Return what takes so many from the stream."""
    return lambda count: list(islice((len(item) for item in batches), count))


def seconds_per_pair(name: str, variant: Variant, pairs: int, batch: int) -> float:
    """Return the seconds that a variant takes for a pair; a cache loads ten times as many, to take as long."""
    count = max(pairs // batch, 1) * (10 if "ours, cache" in name else 1)
    began = time.perf_counter()
    variant(count)
    return (time.perf_counter() - began) / (count * batch)


def summary(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return pairs per second (median, quartiles) and the ratio to the reference, the median of the rounds' ratios."""
    table = {}
    for name, own in seconds.items():
        _, low, middle, high = spread([1 / each for each in own])
        faster = ratio(seconds["reference"], own).rounds
        table[name] = {"median": middle, "q1": low, "q3": high, "ms": 1000 / middle, "ratio": faster}
    return table


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="pairs per second of the reference's loader and of ours")
    parser.add_argument("--reference", required=True, help="a checkout of junyanz/pytorch-CycleGAN-and-pix2pix")
    parser.add_argument("--dataroot", required=True, help="a folder with side-by-side pairs in train/")
    parser.add_argument("--rounds", type=int, default=15, help="turns that each variant takes")
    parser.add_argument("--pairs", type=int, default=32, help="pairs in each turn; ten times as many from a cache")
    parser.add_argument("--batch_size", type=int, nargs="+", default=[1, 16], help="pairs in a batch")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    return parser.parse_args()


def main() -> None:
    """Measure, print a table for each batch size, and write the results if asked to."""
    arguments = parsed()
    pairs = open_pairs(DataOptions(dataroot=arguments.dataroot, val_fraction=0), "train").of(RGB)
    first = resize_pair(pairs.read(0), **OURS, training=True)
    room, sides = len(pairs) * count_pair_bytes(first), get_formats(first)
    results: dict[str, Any] = conditions() | {"pairs": len(pairs)}
    for batch in arguments.batch_size:
        caches: dict[str, PairCache | GpuCache | None] = {
            "ours, no cache": None,
            "ours, cache in memory": PairCache(len(pairs), room, sides),
            "ours, cache on disk": PairCache(len(pairs), room, sides, Path(tempfile.gettempdir())),
        }
        if torch.cuda.is_available():
            caches["ours, cache on the GPU"] = GpuCache(len(pairs), first, RGB, torch.device("cuda"))
        variants = {"reference": reference(arguments.reference, arguments.dataroot, batch)}
        variants["ours, first epoch"] = cold(pairs, batch, room, sides)
        variants |= {name: ours(pairs, batch, cache) for name, cache in caches.items()}
        timed = {
            name: partial(seconds_per_pair, name, variant, arguments.pairs, batch) for name, variant in variants.items()
        }
        table = summary(alternate(timed, arguments.rounds, warm_up=1))
        results[f"batch {batch}"] = table
        print(f"\nbatch {batch}: {LOAD} -> {CROP}, {len(pairs)} pairs, medians of {arguments.rounds} turns")
        print(f"{'':24}{'pairs/s':>9}  {'quartiles':>15}{'ms/pair':>9}{'ratio':>7}")
        for name, row in table.items():
            quartiles = f"{row['q1']:.0f} to {row['q3']:.0f}"
            print(f"{name:24}{row['median']:9.0f}  {quartiles:>15}{row['ms']:9.2f}{row['ratio']:7.2f}")
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
