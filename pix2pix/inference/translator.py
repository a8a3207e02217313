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
from pix2pix.layers import fold_norms, switched
from pix2pix.methods import METHODS
from pix2pix.methods.base import codec_of
from pix2pix.options import Pix2PixOptions, from_dict, speedups
from pix2pix.options.records import leaves
from pix2pix.runtime import Precision, Runtime

AnyImage = TypeVar("AnyImage", Image.Image, npt.NDArray[Any], Tensor)


class LoadedTranslator:
    """A trained translator: its weights, the options of its training, and what the checkpoint says of it."""

    def __init__(self, content: dict[str, Any], options: Pix2PixOptions, runtime: Runtime):
        self.options = options
        self.step: int = content["step"]
        self.description: dict[str, Any] = content["description"]
        self.codec = codec_of(self.description)
        self.method = METHODS[self.description["method"]](options, self.codec, runtime, training=False)
        checkpoint.restore(self.method.generator, content["ema"] or content["networks"]["G"], "G")
        with switched(self.method.generator, statistics=options.test.statistics, dropout=False):
            pass  # statistics that the network does not keep are refused here, not at the first image
        if options.test.statistics == "running" and "fold" in runtime.fast:
            fold_norms(self.method.generator)

    def translate(self, image: AnyImage, *, name: str = "", sample: int = 0) -> AnyImage:
        """Translate one image of any size, or a batch of them as a tensor; the answer is of the same kind and size.

        A PIL image; an array (H, W, C) of the depth and channels of the training's sources, answered in those of its
        targets; a tensor (C, H, W) or (N, C, H, W) in [-1, 1], as `codec.source.encode` makes it of an array. `name`
        and `sample` choose the dropout; images of a batch never influence each other.

        Raises:
            UserError: the image has another number of channels or dimensions, another depth, or no pixels.
        """
        if isinstance(image, Image.Image):
            if image.width * image.height == 0:
                raise UserError(f"got an image of {image.width} x {image.height} pixels; one at least is needed")
            return images.to_pil(self._translate_array(self.accept(images.from_pil(image)), name, sample))
        if isinstance(image, np.ndarray):
            source = self.codec.source
            if image.dtype != source.dtype or image.ndim != 3 or image.shape[2] != source.channels or image.size == 0:
                raise UserError(
                    f"got an array {image.dtype} {image.shape}; {source.dtype} (H, W, {source.channels}) is needed"
                )
            return self._translate_array(image, name, sample)
        if not isinstance(image, Tensor):
            raise UserError(f"got {type(image).__name__}; a PIL image, an array or a tensor is needed")
        channels = self.codec.source.nc
        well_shaped = image.ndim in (3, 4) and image.shape[-3] == channels and image.numel() > 0
        if not well_shaped or not image.is_floating_point():
            shape = tuple(image.shape)
            raise UserError(f"got a tensor {image.dtype} {shape}; float ([N,] {channels}, H, W) in [-1, 1] is needed")
        batch = image if image.ndim == 4 else image[None]
        parts = torch.split(batch, 1) if self.options.test.dropout == "on" else [batch]  # each has a dropout of its own
        outputs = [self.method.translate(part.float(), name=name, sample=sample) for part in parts]
        output = torch.cat(outputs).to(image.device)
        return output if image.ndim == 4 else output[0]

    def accept(self, array: images.Array) -> images.Array:
        """Convert the channels of an image, as it was read, to those of the training's sources.

        Raises:
            UserError: that cannot be done, or its depth is another.
        """
        return self.codec.source.accept(array)

    def translate_pixels(self, source: images.Pixels, make: images.Maker, *, name: str = "", sample: int = 0) -> None:
        """Translate what gives arrays of the training's sources by windows, into what takes them by windows.

        `make` is called once, with the shape (H, W, C) and the dtype of the translation. A source that is no array but
        a file which is open is never in memory as a whole.

        Raises:
            UserError: a window cannot be used, or there is no memory for the smallest tiles.
        """
        self.method.translate_canvas(images.ArrayCanvas(source, self.codec, make), name=name, sample=sample)

    def _translate_array(self, array: images.Array, name: str, sample: int) -> images.Array:
        made: list[images.Array] = []

        def make(shape: tuple[int, int, int], dtype: str) -> images.Array:
            made.append(np.empty(shape, dtype))
            return made[0]

        self.translate_pixels(array, make, name=name, sample=sample)
        return made[0]


def load(
    run: str | Path,
    *,
    epoch: str = "latest",
    device: str = "auto",
    precision: Precision = "fp32",
    fast: str = "auto",
    compile: bool = False,
    statistics: Literal["image", "running"] | None = None,
    dropout: Literal["on", "off"] | None = None,
    seed: int | None = None,
    tile: Literal["auto", "off"] | int = "auto",
) -> LoadedTranslator:
    """Load a run's folder, such as "checkpoints/facades"; nothing else need be known about it.

    `epoch` is "latest", "best" or a step. `statistics`, `dropout` and `seed` are those recorded in training unless
    given; `precision`, `fast` and `compile` are the options of these names. Averaged weights (EMA) are used where the
    run kept them. `tile` is the side of the tiles that large images are translated in; "auto" chooses by the memory
    that there is, and "off" keeps images whole.

    Raises:
        CheckpointError: there is no such run or checkpoint, or it is damaged.
        OptionError: one of the other arguments is not allowed.
    """
    content = checkpoint.read(checkpoint.resolve(Path(run), str(epoch)))
    options = from_dict(Pix2PixOptions, content["options"])
    of_run = {"device": device, "precision": precision, "fast": fast, "compile": compile, "seed": seed}
    asked = of_run | {"statistics": statistics, "dropout": dropout, "tile": tile}
    given = {
        name: leaves(Pix2PixOptions)[name].check(value, f"load: {name}")
        for name, value in asked.items()
        if value is not None
    }
    of_test = {name: value for name, value in given.items() if name not in of_run}
    test = options.test.model_copy(update=of_test)
    here = options.run.model_copy(update={name: value for name, value in given.items() if name in of_run})
    options = options.model_copy(update={"test": test, "run": here})
    runtime = Runtime(here.device, here.precision, speedups(here.fast), compiled=here.compile)
    return LoadedTranslator(content, options, runtime)
