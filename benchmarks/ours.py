"""This package as the benchmarks run it, by the same doors as train.py and test.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import pix2pix
from benchmarks.measure import Call
from pix2pix.config.base import from_dict
from pix2pix.config.pix2pix import Pix2PixOptions, RunOptions
from pix2pix.config.types import parse_speedups
from pix2pix.data.batch import PairBatch
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.data.generated import generate
from pix2pix.methods.base import describe_codec
from pix2pix.methods.pix2pix import Pix2Pix
from pix2pix.networks.norm import Norm, eval_mode
from pix2pix.runtime.device import Runtime
from pix2pix.training.checkpointing import TrainState, save_checkpoint


class Variant(NamedTuple):
    """A way to run it: options of train.py, arguments of `pix2pix.load`, and the arithmetic that both mean."""

    options: dict[str, Any]
    loading: dict[str, Any]
    dtype: torch.dtype = torch.float32


VARIANTS = {
    "plain": Variant({"fast": "none"}, {"fast": "none"}),  # every speed-up off: the network as it is written
    "fp32": Variant({}, {}),
    "compiled": Variant({"compile": True}, {"compile": True}),
    "bf16": Variant({"precision": "bf16"}, {"precision": "bf16"}, torch.bfloat16),
}
CODEC = PairCodec(ImageCodec("photo", 3), ImageCodec("photo", 3))


def facades(count: int, size: int, device: torch.device) -> PairBatch:
    """Return generated facades, labels to photos: (count, 3, size, size)."""
    drawn = [generate(0, index, (size, size)) for index in range(count)]
    x = torch.stack([CODEC.source.encode(labels) for _, labels in drawn])
    y = torch.stack([CODEC.target.encode(photo) for photo, _ in drawn])
    return PairBatch(x.to(device), y.to(device), [str(index) for index in range(count)])


def training_step(norm: str, batch: int, size: int, variant: str, device: torch.device) -> Call:
    """Return one step of training the U-Net 256 and the 70x70 PatchGAN, on a batch that stays the same."""
    given = {"dataroot": "datasets", "name": "bench", "norm": norm, "batch_size": batch, "device": str(device)}
    sizes = {"load_size": size, "crop_size": size}
    options = from_dict(Pix2PixOptions, given | sizes | VARIANTS[variant].options)
    method = Pix2Pix(options, runtime(options.run), describe_codec(CODEC))
    pairs = facades(batch, size, device)
    return lambda: method.training_step(pairs)


def runtime(run: RunOptions) -> Runtime:
    """Return the runtime that train.py makes of the options."""
    return Runtime(run.device, run.precision, parse_speedups(run.fast), compiled=run.compile)


def write_random_run(folder: Path, norm: str = "batch") -> Path:
    """Write the run of an untrained U-Net 256; running statistics of BatchNorm are those of a facade."""
    given = {"dataroot": "datasets", "name": folder.name, "norm": norm, "device": "cpu"}
    options = from_dict(Pix2PixOptions, given | ({"statistics": "running"} if norm == "batch" else {}))
    method = Pix2Pix(options, Runtime("cpu"), describe_codec(CODEC))
    for module in method.generator.modules():
        if isinstance(module, Norm):
            module.momentum = 1.0
    if norm == "batch":
        with torch.no_grad(), eval_mode(method.generator, statistics="batch", dropout=False):
            method.generator(facades(1, 256, torch.device("cpu")).source)
    method.networks, method.optimizers = {"G": method.generator}, {}
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(method, options, TrainState(step=1), folder, best=False)
    return folder


def translator(run: Path, variant: str, device: torch.device, **given: Any) -> Callable[[Tensor], Tensor]:
    """Return what translates (N, 3, H, W) by the run's network, without dropout; `given` goes to `pix2pix.load`."""
    loaded = pix2pix.load(run, device=str(device), dropout="off", **VARIANTS[variant].loading, **given)
    return lambda image: loaded.translate(image)


def error(output: Tensor, exact: Tensor) -> float:
    """Return the norm of the difference as a share of the norm of what is exact."""
    return float((output.double() - exact.double()).norm() / exact.double().norm())
