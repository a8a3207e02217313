"""Translating large images in tiles: time and memory of one, and how far from the whole image's result it is.

    python -m benchmarks.tiles --run checkpoints/facades --images datasets/facades/test --size 8192
    python -m benchmarks.tiles --random --size 8192 --tile 512 --json tiles.json

The large image is a mosaic of the images, enlarged fourfold; without images it is made of coloured rectangles. It is
translated in a process of its own, whose peak memory is that of a program which does just this. Errors and seams are
measured at 1024 and 2048 pixels, in tiles of 256, against the same checkpoint with `tile="off"`: a seam is the mean
absolute step across the borders of tiles, divided by that of the whole image's output at the same places.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import pix2pix
from benchmarks import ours
from benchmarks.measure import Apart, Call, Memory, peak_memory, seconds_of
from benchmarks.report import conditions, write_json
from pix2pix.data.arrays import Array, resize_nearest
from pix2pix.data.io import find_images, read_image

SMALL_TILE = 256


def arguments() -> argparse.Namespace:
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


def sources(folder: Path, direction: str) -> list[Array]:
    """Return the sources (H, W, 3) in a folder; of what is twice as wide as high, the source's half."""
    images = []
    for path in find_images(folder)[:64]:
        image = read_image(path)[..., :3]
        half = image.shape[1] // 2
        if image.shape[1] == 2 * image.shape[0]:
            image = image[:, :half] if direction == "AtoB" else image[:, half:]
        images.append(image)
    return images


def rectangles(size: int, seed: int = 0) -> Array:
    """Return an image of coloured rectangles, some of them noisy."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-size // 64), -(-size // 96), 3), dtype=np.uint8)
    image = np.repeat(np.repeat(coarse, 64, axis=0), 96, axis=1)[:size, :size].copy()
    image[: size // 2, : size // 2] ^= rng.integers(0, 32, (size // 2, size // 2, 3), dtype=np.uint8)
    return image


def mosaic(images: list[Array], size: int, scale: int) -> Array:
    """Lay enlarged images beside each other until (size, size) is full."""
    if not images:
        return rectangles(size)
    canvas = np.empty((size, size, images[0].shape[2]), np.uint8)
    side = 256 * scale
    for number, (top, left) in enumerate((t, x) for t in range(0, size, side) for x in range(0, size, side)):
        part = resize_nearest(images[number % len(images)], (side, side))
        canvas[top : top + side, left : left + side] = part[: size - top, : size - left]
    return canvas


def large(run: Path, file: Path, choices: dict[str, Any]) -> Call:
    """Return the translation of the image in a file."""
    translator = pix2pix.load(run, **choices)
    image = read_image(file)
    return lambda: translator.translate(image, name="large")


def timed(call: Call, device: torch.device) -> tuple[float, Memory | None]:
    """Return the seconds and the memory of one and the same run of a call."""
    seconds: list[float] = []
    memory = peak_memory(lambda: seconds.append(seconds_of(call, device)), 1)
    return seconds[0], memory


def steps(image: Tensor, side: int) -> float:
    """Mean absolute step of (C, H, W) across the borders of tiles of this side, down and across."""
    down = (image[:, side::side] - image[:, side - 1 : -1 : side]).abs().mean()
    across = (image[:, :, side::side] - image[:, :, side - 1 : -1 : side]).abs().mean()
    return float(down + across) / 2


def compared(run: Path, image: Array, choices: dict[str, Any]) -> dict[str, float]:
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


def main() -> int:
    """Measure, print and write."""
    options = arguments()
    tile = options.tile if options.tile in ("auto", "off") else int(options.tile)
    choices = {"device": options.device, "precision": options.precision}
    with tempfile.TemporaryDirectory() as place:
        run = ours.write_random_run(Path(place) / "run", "instance") if options.random else options.run
        direction = pix2pix.load(run, device="cpu").description["direction"]
        images = sources(options.images, direction) if options.images else []
        file = Path(place) / "large.npy"
        np.save(file, mosaic(images, options.size, 4))
        side = Apart(large, run, file, choices | {"tile": tile})
        seconds, memory = side.run(timed, torch.device(options.device))
        side.close()
        figures: dict[str, Any] = {"size": options.size, "tile": tile, **choices}
        figures |= {"seconds": seconds, "peak_bytes": memory and memory.peak}
        print(json.dumps(figures), flush=True)
        figures |= conditions()
        figures["compared"] = []
        for size in options.check:
            figures["compared"].append(compared(run, mosaic(images, size, 2), choices))
            print(json.dumps(figures["compared"][-1]), flush=True)
    if options.json:
        write_json(options.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
