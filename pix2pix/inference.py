"""A checkpoint as a translator of images of any size: PIL images, arrays and tensors."""

from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pix2pix import checkpoint, images
from pix2pix.errors import UserError
from pix2pix.layers import switched
from pix2pix.methods import METHODS
from pix2pix.options import Pix2PixOptions, from_dict
from pix2pix.options.records import leaves
from pix2pix.runtime import Precision, Runtime

AnyImage = TypeVar("AnyImage", Image.Image, npt.NDArray[np.uint8], Tensor)


class LoadedTranslator:
    """A trained translator: its weights, the options of its training, and what the checkpoint says of it."""

    def __init__(self, content: dict[str, Any], options: Pix2PixOptions, runtime: Runtime):
        self.options = options
        self.step: int = content["step"]
        self.description: dict[str, Any] = content["description"]
        self.method = METHODS[self.description["method"]](
            options, self.description["input_nc"], self.description["output_nc"], runtime, training=False
        )
        checkpoint.restore(self.method.generator, content["ema"] or content["networks"]["G"], "G")
        with switched(self.method.generator, statistics=options.test.statistics, dropout=False):
            pass  # statistics that the network does not keep are refused here, not at the first image

    def translate(self, image: AnyImage, *, name: str = "", sample: int = 0) -> AnyImage:
        """Translate one image of any size, or a batch of them as a tensor; the answer is of the same kind and size.

        A PIL image of any mode; an array (H, W, C) of uint8; a tensor (C, H, W) or (N, C, H, W) in [-1, 1]. `name` and
        `sample` choose the dropout; images of a batch are translated one by one and never influence each other.

        Raises:
            UserError: the array or tensor has another number of channels or dimensions, another type, or no pixels.
        """
        channels = self.description["input_nc"]
        if isinstance(image, Image.Image):
            array = images.convert_channels(images.from_pil(image), channels)
            if array.size == 0:
                raise UserError(f"got an image of {image.width} x {image.height} pixels; one at least is needed")
            return images.to_pil(self._translate_array(array, name, sample))
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels or image.size == 0:
                raise UserError(f"got an array {image.dtype} {image.shape}; uint8 (H, W, {channels}) is needed")
            return self._translate_array(image, name, sample)
        if not isinstance(image, Tensor):
            raise UserError(f"got {type(image).__name__}; a PIL image, an array or a tensor is needed")
        well_shaped = image.ndim in (3, 4) and image.shape[-3] == channels and image.numel() > 0
        if not well_shaped or not image.is_floating_point():
            shape = tuple(image.shape)
            raise UserError(f"got a tensor {image.dtype} {shape}; float ([N,] {channels}, H, W) in [-1, 1] is needed")
        batch = image if image.ndim == 4 else image[None]
        outputs = [self.method.translate(one[None].float(), name=name, sample=sample) for one in batch]
        output = torch.cat(outputs).to(image.device)
        return output if image.ndim == 4 else output[0]

    def _translate_array(self, array: npt.NDArray[np.uint8], name: str, sample: int) -> npt.NDArray[np.uint8]:
        output = self.method.translate(images.to_tensor(array)[None], name=name, sample=sample)
        return images.to_array(output[0].cpu())


def load(
    run: str | Path,
    *,
    epoch: str = "latest",
    device: str = "auto",
    precision: Precision = "fp32",
    statistics: Literal["image", "running"] | None = None,
    dropout: Literal["on", "off"] | None = None,
    seed: int | None = None,
) -> LoadedTranslator:
    """Load a run's folder, such as "checkpoints/facades"; nothing else need be known about it.

    `epoch` is "latest", "best" or a step. `statistics`, `dropout` and `seed` are those recorded in training unless
    given. Averaged weights (EMA) are used where the run kept them.

    Raises:
        CheckpointError: there is no such run or checkpoint, or it is damaged.
        OptionError: one of the other arguments is not allowed.
    """
    content = checkpoint.read(checkpoint.resolve(Path(run), str(epoch)))
    options = from_dict(Pix2PixOptions, content["options"])
    asked = {"device": device, "precision": precision, "statistics": statistics, "dropout": dropout, "seed": seed}
    given = {
        name: leaves(Pix2PixOptions)[name].check(value, f"load: {name}")
        for name, value in asked.items()
        if value is not None
    }
    of_test: dict[str, Any] = {name: given[name] for name in ("statistics", "dropout") if name in given}
    of_run: dict[str, Any] = {name: given[name] for name in ("device", "precision", "seed") if name in given}
    options = options.model_copy(
        update={"test": options.test.model_copy(update=of_test), "run": options.run.model_copy(update=of_run)}
    )
    return LoadedTranslator(content, options, Runtime(options.run.device, options.run.precision))
