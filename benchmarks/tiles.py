"""Translating large images in tiles: time and memory of one, and how far from the whole image's result it is.

    python benchmarks/tiles.py --run checkpoints/facades --images datasets/facades/test --size 8192
    python benchmarks/tiles.py --random --size 8192 --tile 512 --json tiles.json

The large image is a mosaic of the images, enlarged fourfold; without images it is made of coloured rectangles. It is
translated in a process of its own, whose peak memory (ru_maxrss) is that of a program which does just this. Errors and
seams are measured at 1024 and 2048 pixels, in tiles of 256, against the same checkpoint with `tile="off"`: a seam is
the mean absolute step across the borders of tiles, divided by that of the whole image's output at the same places.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

import pix2pix
from pix2pix.images import Codec, Encoding, find_images, read, resize_nearest
from pix2pix.methods.pix2pix import Pix2Pix
from pix2pix.options import Pix2PixOptions, from_dict
from pix2pix.runtime import Runtime
from pix2pix.training import Progress, save

SMALL_TILE = 256


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--run", type=Path, help="a run's folder")
    network.add_argument("--random", action="store_true", help="random weights: unet_256, ngf 64, InstanceNorm")
    parser.add_argument("--images", type=Path, help="a folder of sources, or of pairs side by side")
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--tile", default="1024", help="auto, off or a side in pixels")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--check", type=int, nargs="*", default=[1024, 2048], help="sizes to compare with the whole at")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    return parser.parse_args()


def random_run(folder):
    """Save a run of random weights that has not trained a step, and return its folder."""
    options = from_dict(Pix2PixOptions, {"dataroot": "none", "name": "random", "norm": "instance", "device": "cpu"})
    codec = Codec(Encoding("photo", 3), Encoding("photo", 3))
    folder.mkdir()
    save(Pix2Pix(options, codec, Runtime("cpu")), options, Progress(step=1), folder, best=True)
    return folder


def sources(folder, direction):
    """Return the sources (H, W, 3) in a folder; of what is twice as wide as high, the source's half."""
    images = []
    for path in find_images(folder)[:64]:
        image = read(path)[..., :3]
        half = image.shape[1] // 2
        if image.shape[1] == 2 * image.shape[0]:
            image = image[:, :half] if direction == "AtoB" else image[:, half:]
        images.append(image)
    return images


def rectangles(size, seed=0):
    """Return an image of coloured rectangles, some of them noisy."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-size // 64), -(-size // 96), 3), dtype=np.uint8)
    image = np.repeat(np.repeat(coarse, 64, axis=0), 96, axis=1)[:size, :size].copy()
    image[: size // 2, : size // 2] ^= rng.integers(0, 32, (size // 2, size // 2, 3), dtype=np.uint8)
    return image


def mosaic(images, size, scale):
    """Lay enlarged images beside each other until (size, size) is full."""
    if not images:
        return rectangles(size)
    canvas = np.empty((size, size, images[0].shape[2]), np.uint8)
    side = 256 * scale
    for number, (top, left) in enumerate((t, x) for t in range(0, size, side) for x in range(0, size, side)):
        part = resize_nearest(images[number % len(images)], (side, side))
        canvas[top : top + side, left : left + side] = part[: size - top, : size - left]
    return canvas


def large(queue, run, file, choices):
    """Translate the image in a file and report its time and this process's peak memory, in bytes."""
    translator = pix2pix.load(run, **choices)
    image = read(file)
    start, computing = time.perf_counter(), time.process_time()
    output = translator.translate(image, name="large")
    seconds, computed = time.perf_counter() - start, time.process_time() - computing
    assert output.shape[:2] == image.shape[:2]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)
    queue.put({"seconds": seconds, "cpu_seconds": computed, "peak_bytes": peak})


def steps(image, side):
    """Mean absolute step of (C, H, W) across the borders of tiles of this side, down and across."""
    down = (image[:, side::side] - image[:, side - 1 : -1 : side]).abs().mean()
    across = (image[:, :, side::side] - image[:, :, side - 1 : -1 : side]).abs().mean()
    return float(down + across) / 2


def compared(run, image, choices):
    """Translate in tiles and whole; return the largest and the mean error, and the seam."""
    outputs = []
    for tile in (SMALL_TILE, "off"):
        translator = pix2pix.load(run, **{**choices, "tile": tile})
        x = translator.codec.source.encode(translator.accept(image))
        outputs.append(translator.translate(x, name="large"))
    tiled, whole = outputs
    error = (tiled - whole).abs()
    return {
        "size": image.shape[0],
        "largest_error": float(error.max()),
        "mean_error": float(error.mean()),
        "seam": steps(tiled, SMALL_TILE) / steps(whole, SMALL_TILE),
    }


def main():
    """Measure, print and write."""
    options = arguments()
    tile = options.tile if options.tile in ("auto", "off") else int(options.tile)
    choices = {"device": options.device, "precision": options.precision}
    with tempfile.TemporaryDirectory() as place:
        run = random_run(Path(place) / "run") if options.random else options.run
        direction = pix2pix.load(run, device="cpu").description["direction"]
        images = sources(options.images, direction) if options.images else []
        file = Path(place) / "large.npy"
        np.save(file, mosaic(images, options.size, 4))
        context = multiprocessing.get_context("spawn")
        queue = context.SimpleQueue()
        child = context.Process(target=large, args=(queue, run, file, choices | {"tile": tile}))
        child.start()
        child.join()
        if child.exitcode:
            sys.exit(f"the process that translates ended with {child.exitcode}")
        figures = {"size": options.size, "tile": tile, "threads": torch.get_num_threads(), "cores": os.cpu_count()}
        figures |= choices | queue.get()
        print(json.dumps(figures), flush=True)
        figures["compared"] = []
        for size in options.check:
            figures["compared"].append(compared(run, mosaic(images, size, 2), choices))
            print(json.dumps(figures["compared"][-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
