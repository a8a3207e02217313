"""Collect versions, processor and GPUs, for env.json and bug reports."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import pix2pix

_PACKAGES = ("torch", "torchvision", "albumentations", "numpy", "opencv-python-headless", "pillow", "pydantic")


def collect_environment() -> dict[str, Any]:
    """Return versions, processor, threads and GPUs as plain values."""
    return {
        "pix2pix": pix2pix.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used",
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "packages": {name: get_version(name) for name in _PACKAGES},
        "executable": sys.executable,
    }


def get_version(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the running checkout, or None if unknown."""
    folder = Path(__file__).parent.parent
    try:
        answer = subprocess.run(
            ["git", "-C", folder, "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
