"""What a training needs that depends on what is learnt from: pairs, or photographs."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pix2pix.options import Trained, TrainedOnPairs

if TYPE_CHECKING:
    from pix2pix.methods.base import Method
    from pix2pix.runtime import Runtime
    from pix2pix.training import Progress


class Supply(NamedTuple):
    """This process's batches from the next step on, those to validate on, and sentences that introduce the training."""

    batches: Generator[Any, None, None]
    validation: Callable[[], Iterable[Any]]
    introduction: list[str]


class Training(Protocol):
    """A method and what it learns from, both opened and found to fit."""

    @property
    def options(self) -> Trained:
        """All options, the number of steps among them."""
        ...

    @property
    def method(self) -> "Method[Any]":
        """What is trained."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """How many images there are to learn from, by what they are called: first what steps are counted in."""
        ...

    @property
    def skipped(self) -> Mapping[str, Sequence[str]]:
        """The names of faulty images that are left out, by phase."""
        ...

    def supply(self, progress: "Progress", folder: Path | None, say: Callable[[str], None]) -> Supply:
        """Begin to load; `say` is told what turns up on the way. Without a folder, in a dry run, all is short."""
        ...


def open_training(
    options: Trained, runtime: "Runtime", content: dict[str, Any] | None, *, read_again: bool, dry: bool
) -> Training:
    """Open what a method learns from, and build it; a checkpoint's content says what was found when the run began.

    All images are read once before a run begins, and again where one that is resumed is told to (`read_again`).

    Raises:
        UserError: options, images or weights do not fit each other.
    """
    if isinstance(options, TrainedOnPairs):
        from pix2pix.cli.training_on_pairs import TrainingOnPairs

        return TrainingOnPairs.opened(options, runtime, content, read_again=read_again, dry=dry)
    from pix2pix.cli.training_on_photos import TrainingOnPhotos

    return TrainingOnPhotos.opened(options, runtime, content, read_again=read_again, dry=dry)
