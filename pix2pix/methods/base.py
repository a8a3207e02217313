"""The interface of a method, and what all methods share: translating images of any size, naming losses for the log."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pix2pix.data.arrays import pad_to_multiple
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.errors import UserError
from pix2pix.networks.canvas import Canvas, TensorCanvas
from pix2pix.networks.norm import Statistics, eval_mode
from pix2pix.networks.receptive_field import Stage
from pix2pix.networks.tiled import translate_tiled
from pix2pix.runtime.device import Runtime
from pix2pix.seeds import image_seed, temporary_seed

Scalars = dict[str, Tensor]  # detached scalars by their TensorBoard name, for example "loss/G_gan"

Batch_contra = TypeVar("Batch_contra", contravariant=True)


class ValidationReport(NamedTuple):
    """Metrics of a validation batch by TensorBoard name, and rows of images (N, C, H, W) in [-1, 1] to show."""

    scalars: Scalars
    images: dict[str, list[Tensor]]


class Styles(NamedTuple):
    """The styles of a translation: style images, or numbers of the styles that the network was trained on.

    Style images are (1, 3, H, W) in [-1, 1], numbers count from 0. Several styles are blended by their weights (equal
    if None; normalized to sum to 1), or each fills the region of its mask (1, 1, H, W) in [0, 1], of the content's
    size. `alpha` 0 keeps the content, 1 applies the full style.
    """

    images: Sequence[Tensor] = ()
    numbers: Sequence[int] = ()
    weights: Sequence[float] | None = None
    masks: Sequence[Tensor] = ()
    alpha: float = 1.0

    def normalized_weights(self) -> list[float]:
        """Return the weights of the styles, scaled to sum to 1."""
        count = len(self.images) or len(self.numbers)
        weights = [1.0] * count if self.weights is None else self.weights
        parts = [weight / max(weights) for weight in weights]  # the sum of the weights may overflow
        return [part / sum(parts) for part in parts]


class Translation(NamedTuple):
    """A network that translates, as one function and as the list of its operations.

    `network` maps images (N, C, H, W) to outputs of the same height and width. `stages` are the same operations for
    tiles. `by_region` maps images and masks (K, 1, H, W), one for each of K styles, for methods that support them.
    """

    network: Callable[[Tensor], Tensor]
    stages: Sequence[Stage]
    by_region: Callable[[Tensor, Tensor], Tensor] | None = None


class Method(Protocol[Batch_contra]):
    """A model that can be trained: its networks, optimizers and update.

    Built as `Method(options, runtime, description, training=...)`: `description` is that of a checkpoint whose weights
    are about to be loaded; `training=False` leaves out losses, discriminator and optimizers.
    """

    runtime: Runtime
    networks: dict[str, nn.Module]  # what a checkpoint holds
    optimizers: dict[str, Optimizer]
    description: dict[str, Any]  # plain values for rebuilding it, kept in the checkpoint

    @property
    def options(self) -> Any:
        """The options of the run."""
        ...

    @property
    def generator(self) -> nn.Module:
        """The network that translates, whose weights may be averaged (EMA)."""
        ...

    @property
    def multiple(self) -> int:
        """Height and width that the generator takes are multiples of this."""
        ...

    @property
    def output_nc(self) -> int:
        """Channels of the outputs."""
        ...

    @property
    def statistics(self) -> Statistics:
        """Statistics of the norms at test time."""
        ...

    @property
    def dropout(self) -> bool:
        """Whether dropout is on at test time."""
        ...

    def training_step(self, batch: Batch_contra) -> Scalars:
        """Make one update from a batch: forward, backward, optimizers."""
        ...

    def validation_step(self, batch: Batch_contra) -> ValidationReport:
        """Translate a batch as at test time, and compare."""
        ...

    def translation(self, styles: Styles | None) -> Translation:
        """Return the network that translates in the given styles.

        Raises:
            UserError: styles are missing, or the method does not support them.
        """
        ...

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Return the learning rate of step 1 to total_steps."""
        ...


@torch.inference_mode()
def translate(
    method: Method[Any], image: Tensor, *, styles: Styles | None = None, name: str = "", sample: int = 0
) -> Tensor:
    """Translate images (N, C, H, W) in [-1, 1] of any height and width to outputs of the same height and width.

    Dropout is drawn from the run's seed, `name` and `sample`.
    """
    canvas = TensorCanvas(image.to(method.runtime.device), method.output_nc)
    translate_canvas(method, canvas, styles=styles, name=name, sample=sample)
    return canvas.output


@torch.inference_mode()
def translate_canvas(
    method: Method[Any],
    canvas: Canvas,
    *,
    styles: Styles | None = None,
    name: str = "",
    sample: int = 0,
    translation: Translation | None = None,
) -> None:
    """Translate an image that is read and written by windows, with the norms and dropout of test time.

    `translation` replaces that of the method.
    """
    runtime = method.runtime
    with (
        temporary_seed(image_seed(method.options.run.seed, name, sample), runtime.device),
        eval_mode(method.generator, statistics=method.statistics, dropout=method.dropout),
        runtime.autocast(),
    ):
        network, stages, by_region = translation or method.translation(styles)
        if styles is not None and styles.masks and by_region is not None:
            _translate_regions(by_region, canvas, styles, method.multiple, runtime)
            return
        tile = method.options.test.tile
        translate_tiled(network, stages, method.multiple, canvas, tile, runtime.device, runtime.layout)


def _translate_regions(
    by_region: Callable[[Tensor, Tensor], Tensor], canvas: Canvas, styles: Styles, multiple: int, runtime: Runtime
) -> None:
    """Translate a whole image, each style in the region of its mask; both are padded by reflection to a multiple.

    Raises:
        UserError: the number of masks is not that of styles, or a mask is not of the image's size.
    """
    height, width = canvas.size
    count = len(styles.images) or len(styles.numbers)
    if len(styles.masks) != count:
        raise UserError(f"got {len(styles.masks)} masks for {count} styles: give one for each, in their order")
    for mask in styles.masks:
        if tuple(mask.shape[-2:]) != (height, width):
            raise UserError(
                f"a mask is {mask.shape[-2]}x{mask.shape[-1]} and the content {height}x{width}: both need one size"
            )
    masks = torch.cat([mask.to(runtime.device) for mask in styles.masks])
    whole = slice(0, height), slice(0, width)
    image, inside = pad_to_multiple(runtime.to_device(canvas.read(*whole)), multiple)
    output = by_region(image, pad_to_multiple(masks, multiple)[0])
    canvas.write(*whole, output[(..., *inside)])


def check_no_styles(method: str, styles: Styles | None) -> None:
    """Refuse styles for a method that has none to choose from.

    Raises:
        UserError: styles are given.
    """
    if styles is not None:
        raise UserError(f"{method} translates in the one way that it was trained for: leave the style out")


class WeightedLoss(NamedTuple):
    """A term of an objective: its name in the log, its weight, and its value, a scalar."""

    name: str
    weight: float
    value: Tensor


def sum_losses(terms: Iterable[WeightedLoss]) -> tuple[Tensor, Scalars]:
    """Return the weighted sum of losses, and the value of each by its name, detached."""
    total, values = torch.zeros(()), {}
    for name, weight, value in terms:
        total = total + weight * value
        values[name] = value.detach()
    return total, values


def add_prefix(prefix: str, scalars: Mapping[str, Tensor]) -> Scalars:
    """Return scalars detached and under the names of the log: "loss", "G" give "loss/G"."""
    return {f"{prefix}/{name}": value.detach() for name, value in scalars.items()}


def describe_codec(codec: PairCodec) -> dict[str, Any]:
    """Return as plain values how images become tensors and back: a part of a checkpoint's description."""
    return {
        "input_nc": codec.source.nc,
        "output_nc": codec.target.nc,
        "source": codec.source.to_dict(),
        "target": codec.target.to_dict(),
    }


def load_codec(description: Mapping[str, Any]) -> PairCodec:
    """Return the codec that a description holds; the first checkpoints have none, and are of 8-bit photos."""
    if "source" not in description:
        return PairCodec(ImageCodec("photo", description["input_nc"]), ImageCodec("photo", description["output_nc"]))
    return PairCodec(ImageCodec.from_dict(description["source"]), ImageCodec.from_dict(description["target"]))
