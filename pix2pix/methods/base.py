"""What the training loop and the translating code need of a method."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from pix2pix.images import Codec, Encoding
from pix2pix.tiling import Canvas

Scalars = dict[str, Tensor]  # detached scalars by their TensorBoard name, for example "loss/G_gan"

Batch_contra = TypeVar("Batch_contra", contravariant=True)


class Report(NamedTuple):
    """What validating a batch gives, by TensorBoard names: measures, and images (N, C, H, W) in [-1, 1] in a row."""

    scalars: Scalars
    images: dict[str, list[Tensor]]


def codec_of(description: Mapping[str, Any]) -> Codec:
    """How the images of a run become tensors; the first checkpoints did not say, and knew 8-bit photos alone."""
    if "source" not in description:
        return Codec(Encoding("photo", description["input_nc"]), Encoding("photo", description["output_nc"]))
    return Codec(Encoding.from_dict(description["source"]), Encoding.from_dict(description["target"]))


class Translator(Protocol):
    """Anything that turns images into images."""

    def translate(self, image: Tensor, *, name: str = "", sample: int = 0) -> Tensor:
        """Map (N, C, H, W) in [-1, 1], of any height and width, to an image of the same height and width."""
        ...

    def translate_canvas(self, canvas: Canvas, *, name: str = "", sample: int = 0) -> None:
        """Do the same with an image that is read, and its translation that is written, by windows."""
        ...


class Method(Translator, Protocol[Batch_contra]):
    """Something that can be trained: it owns its networks, its optimisers and its update."""

    networks: dict[str, nn.Module]  # what a checkpoint holds
    optimizers: dict[str, Optimizer]
    generator: nn.Module  # the network that translates, whose weights may be averaged (EMA)
    description: dict[str, Any]  # plain facts that building it again needs, kept in the checkpoint

    def training_step(self, batch: Batch_contra) -> Scalars:
        """Make one update from a batch: forward, backward, optimisers."""
        ...

    def validation_step(self, batch: Batch_contra) -> Report:
        """Translate a batch as test time would, and compare."""
        ...

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Give the rate of step 1 to total_steps."""
        ...
