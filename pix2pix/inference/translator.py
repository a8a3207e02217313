"""Load a trained translator from a run folder, and translate images of any size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pix2pix import checkpoint
from pix2pix.config.base import list_options
from pix2pix.config.parse import PhotoTrainingOptions, TrainingOptions, load_stored_options
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.test import check_applicable
from pix2pix.config.types import parse_speedups
from pix2pix.data.arrays import Array, to_array
from pix2pix.data.codec import PairCodec, rgb_codec, rgb_to_tensor, to_rgb_array
from pix2pix.data.pillow import from_pil, to_pil
from pix2pix.errors import UserError
from pix2pix.inference.style_request import ColorPreservingCanvas, KeepColors, Picture, StyleRequest, resolve_styles
from pix2pix.methods import METHODS
from pix2pix.methods.base import Method, load_codec, translate_canvas
from pix2pix.networks.canvas import ArrayCanvas, Canvas, ImageReader, TensorCanvas, WriterFactory
from pix2pix.networks.norm import eval_mode, fold_norms
from pix2pix.runtime.device import Precision, Runtime

AnyImage = TypeVar("AnyImage", Image.Image, npt.NDArray[Any], Tensor)


class LoadedTranslator:
    """A trained translator: its method with loaded weights, the options of training, and the description."""

    def __init__(self, content: dict[str, Any], options: TrainingOptions, runtime: Runtime):
        self.options = options
        self.step: int = content["step"]
        self.description: dict[str, Any] = content["description"]
        self.is_style_method = isinstance(options, PhotoTrainingOptions)
        photo = rgb_codec("uint8")
        self.codec = PairCodec(photo, photo) if self.is_style_method else load_codec(self.description)
        method: Any = METHODS[options.model]
        self.method: Method[Any] = method(options, runtime, self.description, training=False)
        self._device = runtime.device
        averaged = {"G": content["ema"]} if content["ema"] else {}
        for name, network in self.method.networks.items():
            checkpoint.load_weights(network, averaged.get(name) or content["networks"][name], name)
        statistics = self.method.statistics
        with eval_mode(self.method.generator, statistics=statistics, dropout=False):
            pass  # refuses statistics that the network does not have
        if statistics == "running" and "fold" in runtime.fast:
            fold_norms(self.method.generator)

    @property
    def styles(self) -> list[str]:
        """The names of the trained styles, in the order of their numbers."""
        return list(self.description.get("styles", ()))

    def translate(
        self,
        image: AnyImage,
        *,
        style: Picture | int | Sequence[Picture | int] | None = None,
        style_weights: Sequence[float] | None = None,
        masks: Sequence[Picture] | None = None,
        alpha: float | None = None,
        keep_colors: KeepColors = "none",
        style_size: int | None = None,
        name: str = "",
        sample: int = 0,
    ) -> AnyImage:
        """Translate an image of any size, or a batch as a tensor; the result has the same type and size.

        `image` is a PIL image; an array (H, W, C) with the depth and channels of the training sources (the result has
        those of the targets); or a tensor (C, H, W) or (N, C, H, W) in [-1, 1], as `codec.source.encode` returns.
        `name` and `sample` seed the dropout; images of a batch do not influence each other.

        Style methods take gray or RGB, with or without alpha, and arrays of uint8, uint16 or float32 (from 0 to 1); the
        result is RGB of the same depth (8 bits for PIL). `style` is, for adain, an image: a file, a PIL image, an array
        or a tensor, resized to `style_size` (default 512) on its longer side; for multi_style, the name of a trained
        style or its number from 1. Several are blended by `style_weights` (default equal), or each is applied where its
        mask, a gray image of the content's size, is white. `alpha` is the strength of the style. `keep_colors` keeps
        the content's colors: "luminance" uses only the lightness of the result, "coral" recolors the style.

        Raises:
            UserError: the image has the wrong channels, dimensions or depth, or no pixels; or the method does not use
                an argument, or lacks one.
        """
        request = StyleRequest(style, style_weights, masks, alpha, keep_colors, style_size)
        if isinstance(image, Image.Image):
            if image.width * image.height == 0:
                raise UserError(f"got an image of {image.width} x {image.height} pixels; at least one is needed")
            array = self.accept(from_pil(image))
            if self.is_style_method and array.dtype != np.uint8:
                array = to_array(rgb_to_tensor(array))
            return to_pil(self._translate_array(array, request, name, sample))
        if isinstance(image, np.ndarray):
            return self._translate_array(self._check_array(image), request, name, sample)
        if not isinstance(image, Tensor):
            raise UserError(f"got {type(image).__name__}; a PIL image, an array or a tensor is needed")
        batch = self._check_tensor(image)
        # images have their own dropout or colors
        is_apart = request.keep_colors == "coral" or (
            isinstance(self.options, Pix2PixOptions) and self.options.test.dropout == "on"
        )
        parts = torch.split(batch, 1) if is_apart else [batch]
        outputs = [self._translate_tensor(part.float(), request, name, sample) for part in parts]
        output = torch.cat(outputs).to(image.device)
        return output if image.ndim == 4 else output[0]

    def accept(self, array: Array) -> Array:
        """Convert the channels of an image to those of the training sources.

        Raises:
            UserError: that is not possible, or its depth differs.
        """
        return to_rgb_array(array) if self.is_style_method else self.codec.source.accept(array)

    def codec_for(self, array: Array) -> PairCodec:
        """Return the codec for sources of this dtype and their translations."""
        if not self.is_style_method:
            return self.codec
        encoding = rgb_codec(array.dtype.name)
        return PairCodec(encoding, encoding)

    def translate_pixels(
        self,
        source: ImageReader,
        make: WriterFactory,
        *,
        request: StyleRequest = StyleRequest(),  # noqa: B008 (it is frozen)
        name: str = "",
        sample: int = 0,
    ) -> None:
        """Translate an image that is read and written by windows.

        `make` is called once, with the shape (H, W, C) and the dtype of the translation. A source that is no array but
        a file which is open is never in memory as a whole.

        Raises:
            UserError: a window cannot be used, there is no memory for the smallest tiles, or the request needs to see
                the whole of a file.
        """
        codec = self.codec_for(source[0:1, 0:1])
        canvas = ArrayCanvas(source, codec, make)
        if request.needs_whole_content and not canvas.is_in_memory:
            argument = "masks" if request.masks is not None else "keep_colors coral"
            raise UserError(f"{argument}: the content does not fit in memory; use a smaller one")
        self._translate_canvas(canvas, request, name, sample)

    def _translate_array(self, array: Array, request: StyleRequest, name: str, sample: int) -> Array:
        made: list[Array] = []

        def make(shape: tuple[int, int, int], dtype: str) -> Array:
            made.append(np.empty(shape, dtype))
            return made[0]

        self.translate_pixels(array, make, request=request, name=name, sample=sample)
        return made[0]

    def _translate_tensor(self, batch: Tensor, request: StyleRequest, name: str, sample: int) -> Tensor:
        canvas = TensorCanvas(batch.to(self._device), self.codec.target.nc)
        with torch.inference_mode():
            self._translate_canvas(canvas, request, name, sample)
        return canvas.output

    def _translate_canvas(self, canvas: Canvas, request: StyleRequest, name: str, sample: int) -> None:
        """Translate the canvas with the styles of the request."""
        rows, columns = (slice(0, side) for side in canvas.size)
        styles = resolve_styles(
            request, self.options.model, self.styles, canvas.size, lambda: canvas.read(rows, columns)
        )
        kept = ColorPreservingCanvas(canvas) if request.keep_colors == "luminance" else canvas
        translate_canvas(self.method, kept, styles=styles, name=name, sample=sample)

    def _check_array(self, array: Array) -> Array:
        if self.is_style_method and array.ndim in (2, 3) and array.size > 0:
            return to_rgb_array(array if array.ndim == 3 else array[..., np.newaxis])
        source = self.codec.source
        if array.dtype != source.dtype or array.ndim != 3 or array.shape[2] != source.channels or array.size == 0:
            raise UserError(
                f"got an array {array.dtype} {array.shape}; {source.dtype} (H, W, {source.channels}) is needed"
            )
        return array

    def _check_tensor(self, image: Tensor) -> Tensor:
        """Return a tensor (N, C, H, W) with the channels of the sources."""
        channels = self.codec.source.nc
        allowed = (1, 3, 4) if self.is_style_method else (channels,)
        well_shaped = image.ndim in (3, 4) and image.shape[-3] in allowed and image.numel() > 0
        if not well_shaped or not image.is_floating_point():
            shape = tuple(image.shape)
            raise UserError(f"got a tensor {image.dtype} {shape}; float ([N,] {channels}, H, W) in [-1, 1] is needed")
        batch = image if image.ndim == 4 else image[None]
        if not self.is_style_method:
            return batch
        return batch.expand(-1, 3, -1, -1) if batch.shape[1] == 1 else batch[:, :3]


def load(
    run: str | Path,
    *,
    epoch: str = "latest",
    device: str = "auto",
    precision: Precision = "fp32",
    fast: str = "auto",
    compile: bool = False,
    norm_stats: Literal["image", "running"] | None = None,
    dropout: Literal["on", "off"] | None = None,
    seed: int | None = None,
    tile: Literal["auto", "off"] | int = "auto",
) -> LoadedTranslator:
    """Load a translator from a run folder, such as "checkpoints/facades".

    `epoch` is "latest", "best" or a step. `norm_stats`, `dropout` and `seed` default to those of training; `precision`,
    `fast` and `compile` are the options of these names. EMA weights are used if the run has them. `tile` is the tile
    size for large images; "auto" chooses it by free memory, "off" uses no tiles.

    Raises:
        CheckpointError: there is no such run or checkpoint, or it is damaged.
        OptionError: an argument is not allowed, or the method does not use it.
    """
    content = checkpoint.load_file(checkpoint.resolve(Path(run), str(epoch)))
    options = load_stored_options(content["options"])
    of_run = {"device": device, "precision": precision, "fast": fast, "compile": compile, "seed": seed}
    requested = of_run | {"norm_stats": norm_stats, "dropout": dropout, "tile": tile}
    given = {
        name: list_options(Pix2PixOptions)[name].check(value, f"load: {name}")
        for name, value in requested.items()
        if value is not None
    }
    check_applicable(options.model, [name for name in ("norm_stats", "dropout", "seed") if name in given])
    of_test = {name: value for name, value in given.items() if name not in of_run}
    test = options.test.model_copy(update=of_test)
    here = options.run.model_copy(update={name: value for name, value in given.items() if name in of_run})
    options = options.model_copy(update={"test": test, "run": here})
    runtime = Runtime(here.device, here.precision, parse_speedups(here.fast), compiled=here.compile)
    return LoadedTranslator(content, options, runtime)
