"""Textures as pure functions of a random generator: cloudy noise, masonry, and the sky."""

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Picture = NDArray[np.uint8]  # (H, W, 3), RGB
Colour = NDArray[np.float32]  # (3,), RGB in [0, 1]


def rgb(red: float, green: float, blue: float) -> Colour:
    """Return a colour."""
    return np.array((red, green, blue), np.float32)


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[float, float], octaves: int = 3) -> Array:
    """Return smooth noise of about unit range around 0; `cells` are the (rows, columns) of its coarsest octave."""
    noise = np.zeros((2, 2), np.float32)
    for octave in range(octaves):
        rows, columns = (2 + int(2**octave * n) for n in cells)
        grid = rng.random((rows, columns), np.float32) - 0.5
        noise = cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_LINEAR) + grid * 0.5**octave
    return np.asarray(cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def masonry(
    rng: np.random.Generator, shape: tuple[int, int], course: float, length: float, joint: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Return (tone, joints), both (H, W): one random number in [-1, 1] a block, and where mortar is.

    Sizes are in pixels; every second course is shifted by half a block.
    """
    y, x = np.arange(shape[0]), np.arange(shape[1])
    row = (y / course).astype(int)
    shifted = np.arange(2)[:, None] * length / 2 + x  # positions in even and in odd courses
    block = (shifted / length).astype(int)
    tones = rng.uniform(-1, 1, (int(row[-1]) + 1, int(block.max()) + 1)).astype(np.float32)
    courses = np.stack([tones[i, block[i % 2]] for i in range(len(tones))])
    flat = (y % course < joint)[:, None]
    upright = (shifted % length < joint)[row % 2]
    return courses[row], flat | upright


def tinted(tone: Array, colour: Colour) -> Picture:
    """Return the picture (H, W, 3) of a tone (H, W) >= 0 in one colour."""
    return np.asarray(cv2.merge([cv2.convertScaleAbs(tone, alpha=255 * channel) for channel in colour.tolist()]))


def sky(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return a sky: clear, cloudy, overcast or of the evening, lighter towards the horizon."""
    zenith, horizon, cover = (
        ((0.33, 0.53, 0.82), (0.72, 0.83, 0.93), rng.uniform(0.0, 0.5)),
        ((0.40, 0.58, 0.83), (0.78, 0.86, 0.93), rng.uniform(0.6, 1.0)),
        ((0.72, 0.75, 0.79), (0.87, 0.88, 0.89), 0.4),
        ((0.50, 0.57, 0.74), (0.96, 0.82, 0.68), rng.uniform(0.2, 0.6)),
    )[rng.choice(4, p=[0.35, 0.3, 0.2, 0.15])]
    depth = np.linspace(0, 1.4, shape[0], dtype=np.float32).clip(0, 1)[:, None, None]
    gradient = (1 - depth) * rgb(*zenith) + depth * rgb(*horizon)
    cloud = clouds(rng, shape, (5, 3), 4) * 2.2 * cover
    cloud = cloud.clip(0, 1)[..., None]
    return np.asarray(255 * (gradient + cloud * (np.float32(0.97) - gradient)), np.uint8)
