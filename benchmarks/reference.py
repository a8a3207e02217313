"""The other side: the user's checkout of junyanz/pytorch-CycleGAN-and-pix2pix, called as its own scripts do."""

import contextlib
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Call
from pix2pix.data.batch import PairBatch
from pix2pix.errors import UserError


def checked(directory: Path) -> Path:
    """Return the folder, if the reference is there.

    Raises:
        UserError: it is not.
    """
    if not (directory / "models" / "pix2pix_model.py").is_file():
        raise UserError(
            f"--reference {directory} has no models/pix2pix_model.py; a checkout of "
            "junyanz/pytorch-CycleGAN-and-pix2pix is needed, see benchmarks/README.md"
        )
    return directory


def model(directory: Path, norm: str, device: torch.device, *, training: bool = True) -> Any:
    """Build the reference's pix2pix model with its defaults, the U-Net 256 and the 70x70 PatchGAN."""
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    from models.pix2pix_model import Pix2PixModel  # type: ignore[import-not-found]  # the user's checkout

    options = Namespace(
        **{"isTrain": training, "gpu_ids": [device.index or 0] if device.type == "cuda" else [], "device": device},
        **{"checkpoints_dir": "", "name": "bench", "preprocess": "resize_and_crop", "direction": "AtoB"},
        **{"input_nc": 3, "output_nc": 3, "netG": "unet_256", "netD": "basic", "n_layers_D": 3, "ngf": 64, "ndf": 64},
        **{"norm": norm, "no_dropout": False, "init_type": "normal", "init_gain": 0.02, "gan_mode": "vanilla"},
        **{"lambda_L1": 100.0, "lr": 2e-4, "beta1": 0.5},
    )
    with contextlib.redirect_stdout(sys.stderr):  # it tells how it initialises
        return Pix2PixModel(options)


def training_step(directory: Path, norm: str, pairs: PairBatch, device: torch.device) -> Call:
    """Return one step of its training, on a batch that stays the same."""
    built = model(directory, norm, device)
    batch = {"A": pairs.source, "B": pairs.target, "A_paths": pairs.name, "B_paths": pairs.name}

    def step() -> None:
        built.set_input(batch)
        built.optimize_parameters()

    return step


def translation(directory: Path, pairs: PairBatch, device: torch.device) -> Call:
    """Return its translation of a batch as with its --eval: BatchNorm by running statistics, no dropout."""
    built = model(directory, "batch", device, training=False)
    built.eval()
    batch = {"A": pairs.source, "B": pairs.target, "A_paths": pairs.name, "B_paths": pairs.name}

    def translate() -> None:
        built.set_input(batch)
        built.test()

    return translate
