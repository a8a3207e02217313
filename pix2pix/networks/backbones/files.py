"""Files of weights: safetensors and PyTorch's state dicts, read without running anything."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from pix2pix.digest import sha256_of
from pix2pix.errors import UserError

FLAVOURS = ("torchvision", "caffe")
CAFFE_MEANS = (123.68, 116.779, 103.939)  # of red, green and blue, from 0 to 255
IMAGENET_MEANS, IMAGENET_DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # from 0 to 1


class WeightsFile(NamedTuple):
    """What a file holds: tensors by name, what it says of them, and the hash of its bytes."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    sha256: str

    def without_prefix(self, names: Sequence[str]) -> "WeightsFile":
        """Return the file with its tensors named as a network names them, if they are so but for a prefix."""
        prefixes = {"", *(key.removesuffix(names[0]) for key in self.tensors if key.endswith("." + names[0]))}
        best = max(sorted(prefixes), key=lambda prefix: sum(prefix + name in self.tensors for name in names))
        named = {key.removeprefix(best): x for key, x in self.tensors.items() if key.startswith(best)}
        return self._replace(tensors=named)

    def tensor(self, name: str, shape: Sequence[int]) -> Tensor:
        """Return a tensor as float32.

        Raises:
            UserError: it has another shape.
        """
        found = self.tensors[name]
        if tuple(found.shape) != tuple(shape) or not found.is_floating_point():
            raise UserError(
                f"--weights {self.path}: {name} is {_shape(found.shape)} {str(found.dtype).partition('.')[2]} and must "
                f"be {_shape(shape)} of floating point: it is of another network than --backbone"
            )
        return found.float()


def read_weights(path: Path, hash_start: str = "", *, option: str = "--weights") -> WeightsFile:
    """Read a file of weights: safetensors if its name ends so, else what torch.save made of a state dict.

    Its SHA-256, in hexadecimal digits, must start with `hash_start`; `option` is what named the file.

    Raises:
        UserError: it is not there, damaged, or no such file.
    """
    try:
        sha256 = sha256_of(path)
    except OSError as error:
        raise UserError(
            f"{option} {path}: it cannot be read ({error.strerror}); give a .safetensors or .pth file"
            + (", or use imagenet or random" if option == "--weights" else "")
        ) from error
    if not sha256.startswith(hash_start):
        raise UserError(f"{option} {path}: it is damaged (its SHA-256 is not that of its name): delete the file")
    try:
        tensors, metadata = _safetensors(path) if path.suffix == ".safetensors" else (_state_dict(path), {})
    except MemoryError:
        raise
    except Exception as error:  # damaged archives have many ways to fail
        raise UserError(
            f"{option} {path}: it is damaged, or no safetensors file or state dict of tensors alone; get it anew"
        ) from error
    return WeightsFile(path, tensors, metadata, sha256)


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _state_dict(path: Path) -> dict[str, Tensor]:
    content = torch.load(path, map_location="cpu", weights_only=True)
    content = content.get("state_dict", content)  # as training scripts save it
    tensors = {str(name): x for name, x in content.items() if isinstance(x, Tensor)}
    if not tensors:
        raise ValueError("no tensors")
    return tensors


def flavour_of(file: WeightsFile, wished: str | None) -> str:
    """Return what input the weights were trained on: as the file's metadata say, else as is wished, else torchvision.

    A file says it as `flavour`, or in words as `preprocess`: the means of Caffe's models, or the means and deviations
    of torchvision's.

    Raises:
        UserError: the file contradicts the wish, or says what is not understood while nothing is wished.
    """
    said = file.metadata.get("flavour")
    words = file.metadata.get("preprocess")
    if said is None and words is not None:
        said = _flavour_in(words) or wished
        if said is None:
            raise UserError(
                f"--weights {file.path}: its preprocessing {words!r} is not understood; say which is meant by "
                "--weights_flavour torchvision or caffe"
            )
    said = said or wished or "torchvision"
    if said not in FLAVOURS:
        raise UserError(f"--weights {file.path}: its flavour is {said!r}; allowed: {', '.join(FLAVOURS)}")
    if wished not in (None, said):
        raise UserError(f"--weights {file.path} is of {said} flavour: leave --weights_flavour {wished} out")
    return said


def _flavour_in(words: str) -> str | None:
    numbers = [float(number) for number in re.findall(r"\d*\.\d+|\d+", words)]
    triples = set(zip(numbers, numbers[1:], numbers[2:], strict=False))
    if CAFFE_MEANS in triples and IMAGENET_DEVIATIONS not in triples:
        return "caffe"
    return "torchvision" if {IMAGENET_MEANS, IMAGENET_DEVIATIONS} <= triples else None


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"
