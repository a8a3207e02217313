"""torchvision's ImageNet weights: in torch hub's cache folder, else downloaded into it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pix2pix.errors import UserError
from pix2pix.networks.backbones.architecture import STUDY

PATIENCE = 5.0  # seconds of silence


def url_of(backbone: str) -> str:
    """Return where torchvision's first ImageNet weights of a backbone lie.

    Raises:
        UserError: it is a study network, for which there are none.
    """
    if backbone in STUDY:
        raise UserError(
            f"--weights imagenet: nobody publishes weights of {backbone}; use --weights random or --weights FILE"
        )
    from torchvision import models  # takes seconds

    url: str = models.get_model_weights(backbone)["IMAGENET1K_V1"].url
    return url


def imagenet_place(backbone: str) -> Path:
    """Return where torch hub keeps a backbone's ImageNet weights, whether they are there or not.

    Raises:
        UserError: it is a study network, for which there are none.
    """
    return Path(torch.hub.get_dir()) / "checkpoints" / url_of(backbone).rpartition("/")[2]


def imagenet_file(backbone: str) -> Path:
    """Return the file of a backbone's ImageNet weights, downloaded if it is not there yet.

    Raises:
        UserError: it is not there and cannot be downloaded.
    """
    url, path = url_of(backbone), imagenet_place(backbone)
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _impatient():  # the file gets its name when it is complete and its hash is right
            torch.hub.download_url_to_file(url, str(path), hash_of(path))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"--weights imagenet: {path} is not there, and {url} cannot be downloaded ({error}): "
            "put the file there, or use --weights FILE or --weights random"
        ) from error
    return path


def hash_of(path: Path) -> str:
    """Return how the SHA-256 of a file of torchvision's starts: its name ends with that."""
    return path.stem.rpartition("-")[2]


@contextmanager
def _impatient() -> Iterator[None]:
    """Let connections that say nothing fail: torch.hub has no limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
