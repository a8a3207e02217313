"""Validation: images translated as at test time, by all processes, each its share."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from pix2pix import distributed
from pix2pix.config.parse import TrainingOptions
from pix2pix.methods.base import Method
from pix2pix.training.checkpointing import Batch, TrainState, average_records
from pix2pix.training.logging import Logger

GRID_ROWS = 4  # of the images validated on: shown on TensorBoard
HIGHER_IS_BETTER = {"val/psnr", "val/ssim", "val/pixel_accuracy"}


class ImageResult(NamedTuple):
    """What validating on one image gave: measures, and rows of images (C, H, W)."""

    values: dict[str, float]
    rows: dict[str, list[Tensor]]


def validate(
    method: Method[Batch], batches: Iterable[Batch], options: TrainingOptions, logger: Logger, progress: TrainState
) -> bool:
    """Validate G, or its average, on every batch; return whether the chosen measure is the best so far.

    `batches`, of one image each, are this process's share of them, [rank::count].
    """
    with _weights(method.generator, progress.ema):
        distributed.broadcast(
            method.generator.buffers()
        )  # running statistics are of the images that a process has seen
        outcomes = distributed.merge_shares(distributed.run_on_each(lambda: _outcomes(method, batches)))
    if not outcomes:
        return False
    rows: dict[str, list[list[Tensor]]] = {}
    for outcome in outcomes[:GRID_ROWS]:
        for name, row in outcome.rows.items():
            rows.setdefault(name, []).append(row)
    values = average_records([outcome.values for outcome in outcomes])
    logger.scalars(progress.step, values)
    logger.images(progress.step, rows)
    value, best = values[options.run.best_metric], progress.best
    better = best is None or (value > best if options.run.best_metric in HIGHER_IS_BETTER else value < best)
    if better:
        progress.best = value
    return better


def _outcomes(method: Method[Batch], batches: Iterable[Batch]) -> list[ImageResult]:
    outcomes = []
    for number, batch in enumerate(batches):
        report = method.validation_step(batch)
        is_shown = number * distributed.world_size() + distributed.rank() < GRID_ROWS
        rows = (
            {name: [image[0].cpu() for image in images] for name, images in report.images.items()} if is_shown else {}
        )
        outcomes.append(ImageResult({name: value.item() for name, value in report.scalars.items()}, rows))
    return outcomes


@contextmanager
def _weights(network: torch.nn.Module, weights: dict[str, Tensor] | None) -> Iterator[None]:
    """Let the network have other weights inside the block; None leaves its own."""
    if weights is None:
        yield
        return
    own = {name: value.detach().clone() for name, value in network.state_dict().items()}
    network.load_state_dict(weights)
    try:
        yield
    finally:
        network.load_state_dict(own)
