"""What the training loop and the translators need of a method."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pix2pix.data.arrays import pad_to_multiple
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.errors import UserError
from pix2pix.networks.canvas import Canvas
from pix2pix.runtime.device import Runtime

Scalars = dict[str, Tensor]  # detached scalars by their TensorBoard name, for example "loss/G_gan"

Batch_contra = TypeVar("Batch_contra", contravariant=True)


class ValidationReport(NamedTuple):
    """What validating a batch gives, by TensorBoard names: measures, and images (N, C, H, W) in [-1, 1] in a row."""

    scalars: Scalars
    images: dict[str, list[Tensor]]


class Styles(NamedTuple):
    """The styles that a translator is asked for: pictures, or numbers of those that it was trained on.

    Pictures are (1, 3, H, W) in [-1, 1], numbers count from 0. Several are blended by their weights, which are made to
    sum to 1 (None: equal ones), or each fills the region of its mask (1, 1, H, W) in [0, 1], of the content's size.
    `alpha` 0 keeps the content, 1 has all of the style.
    """

    pictures: Sequence[Tensor] = ()
    numbers: Sequence[int] = ()
    weights: Sequence[float] | None = None
    masks: Sequence[Tensor] = ()
    alpha: float = 1.0

    def shares(self) -> list[float]:
        """Return the weights of the styles, which sum to 1."""
        count = len(self.pictures) or len(self.numbers)
        weights = [1.0] * count if self.weights is None else self.weights
        parts = [weight / max(weights) for weight in weights]  # the sum of the weights may be more than a float holds
        return [part / sum(parts) for part in parts]


def check_no_styles(method: str, styles: Styles | None) -> None:
    """Refuse styles for a translator that has none to choose from.

    Raises:
        UserError: there are some.
    """
    if styles is not None:
        raise UserError(f"{method} translates in the one way that it was trained for: leave the style out")


def load_codec(description: Mapping[str, Any]) -> PairCodec:
    """How the images of a run become tensors; the first checkpoints did not say, and knew 8-bit photos alone."""
    if "source" not in description:
        return PairCodec(ImageCodec("photo", description["input_nc"]), ImageCodec("photo", description["output_nc"]))
    return PairCodec(ImageCodec.from_dict(description["source"]), ImageCodec.from_dict(description["target"]))


class Translator(Protocol):
    """Anything that turns images into images."""

    def translate(self, image: Tensor, *, styles: Styles | None = None, name: str = "", sample: int = 0) -> Tensor:
        """Map (N, C, H, W) in [-1, 1], of any height and width, to an image of the same height and width."""
        ...

    def translate_canvas(
        self, canvas: Canvas, *, styles: Styles | None = None, name: str = "", sample: int = 0
    ) -> None:
        """Do the same with an image that is read, and its translation that is written, by windows."""
        ...


class Method(Translator, Protocol[Batch_contra]):
    """Something that can be trained: it owns its networks, its optimisers and its update."""

    networks: dict[str, nn.Module]  # what a checkpoint holds
    optimizers: dict[str, Optimizer]
    generator: nn.Module  # the network that translates, whose weights may be averaged (EMA)
    description: dict[str, Any]  # plain facts that building it again needs, kept in the checkpoint

    @classmethod
    def restore(cls, options: Any, description: Mapping[str, Any], runtime: Any) -> Self:
        """Build it for weights that are about to be loaded, to translate."""
        ...

    def training_step(self, batch: Batch_contra) -> Scalars:
        """Make one update from a batch: forward, backward, optimisers."""
        ...

    def validation_step(self, batch: Batch_contra) -> ValidationReport:
        """Translate a batch as test time would, and compare."""
        ...

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Give the rate of step 1 to total_steps."""
        ...


def translate_regions(
    paint: Callable[[Tensor, Tensor], Tensor], canvas: Canvas, styles: Styles, multiple: int, runtime: Runtime
) -> None:
    """Let `paint` make a painting of images (N, 3, H, W) and masks (K, 1, H, W), both mirrored to a multiple.

    Raises:
        UserError: masks and styles differ in number, or a mask is not of the image's size.
    """
    height, width = canvas.size
    count = len(styles.pictures) or len(styles.numbers)
    if len(styles.masks) != count:
        raise UserError(f"got {len(styles.masks)} masks for {count} styles: give one for each, in their order")
    for mask in styles.masks:
        if tuple(mask.shape[-2:]) != (height, width):
            raise UserError(
                f"a mask is {mask.shape[-2]}x{mask.shape[-1]} and the content {height}x{width}: both need one size"
            )
    masks = torch.cat([mask.to(runtime.device) for mask in styles.masks])
    everything = slice(0, height), slice(0, width)
    image, inside = pad_to_multiple(runtime.to_device(canvas.read(*everything)), multiple)
    painting = paint(image, pad_to_multiple(masks, multiple)[0])
    canvas.write(*everything, painting[(..., *inside)])
