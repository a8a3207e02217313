"""Validation: translate images as at test time, each process a share of them."""

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

GRID_ROWS = 4  # validation images on TensorBoard
HIGHER_IS_BETTER = {"val/psnr", "val/ssim", "val/pixel_accuracy"}


class ImageResult(NamedTuple):
    """The metrics of a validation image, and rows of images (C, H, W) to show."""

    values: dict[str, float]
    rows: dict[str, list[Tensor]]


def validate(
    method: Method[Batch], batches: Iterable[Batch], options: TrainingOptions, logger: Logger, state: TrainState
) -> bool:
    """Validate G, or its EMA, on every batch; return whether --best_metric improved.

    `batches`, of one image each, are this process's share, [rank::world_size].
    """
    with _use_weights(method.generator, state.ema):
        distributed.broadcast(method.generator.buffers())  # running statistics differ between processes
        results = distributed.merge_shares(distributed.run_on_each(lambda: _validate_each(method, batches)))
    if not results:
        return False
    rows: dict[str, list[list[Tensor]]] = {}
    for result in results[:GRID_ROWS]:
        for name, row in result.rows.items():
            rows.setdefault(name, []).append(row)
    values = average_records([result.values for result in results])
    logger.scalars(state.step, values)
    logger.images(state.step, rows)
    value, best = values[options.run.best_metric], state.best
    better = best is None or (value > best if options.run.best_metric in HIGHER_IS_BETTER else value < best)
    if better:
        state.best = value
    return better


def _validate_each(method: Method[Batch], batches: Iterable[Batch]) -> list[ImageResult]:
    results = []
    for number, batch in enumerate(batches):
        report = method.validation_step(batch)
        is_shown = number * distributed.world_size() + distributed.rank() < GRID_ROWS
        rows = (
            {name: [image[0].cpu() for image in images] for name, images in report.images.items()} if is_shown else {}
        )
        results.append(ImageResult({name: value.item() for name, value in report.scalars.items()}, rows))
    return results


@contextmanager
def _use_weights(network: torch.nn.Module, weights: dict[str, Tensor] | None) -> Iterator[None]:
    """Give a network other weights inside the block; None keeps its own."""
    if weights is None:
        yield
        return
    own = {name: value.detach().clone() for name, value in network.state_dict().items()}
    network.load_state_dict(weights)
    try:
        yield
    finally:
        network.load_state_dict(own)
