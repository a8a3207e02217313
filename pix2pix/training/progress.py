"""What a run remembers from step to step, and how the values of its steps are read from the device."""

from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from torch import Tensor

from pix2pix import ranks
from pix2pix.images import shown
from pix2pix.methods.base import Scalars
from pix2pix.runtime import NonFiniteError


class Named(Protocol):
    """A batch that knows the files it came from."""

    @property
    def name(self) -> list[str]:
        """One name per image."""
        ...


Batch = TypeVar("Batch", bound=Named)


@dataclass
class Progress:
    """What a run remembers from step to step beside weights and optimisers."""

    step: int = 0
    shown: int = 0  # images that were trained on, by all processes together
    best: float | None = None
    ema: dict[str, Tensor] | None = None
    window: list[dict[str, float]] = field(default_factory=list)  # read, and not logged yet
    unread: list[tuple[int, list[str], Scalars]] = field(default_factory=list)  # still on the device


def read(progress: Progress) -> list[dict[str, float]]:
    """Bring the scalars of recent steps from the devices of all processes, and return the window with their means.

    Raises:
        NonFiniteError: one is not finite.
    """
    own = [(names, {name: value.item() for name, value in scalars.items()}) for _, names, scalars in progress.unread]
    for (step, _, _), *parts in zip(progress.unread, *ranks.gather(own), strict=True):
        values = means([values for _, values in parts])
        for name, value in values.items():
            if value - value != 0:  # NaN and infinities only
                raise located(f"{name} is {value:g}", step, [name for names, _ in parts for name in names])
        progress.window.append(values)
    progress.unread.clear()
    return progress.window


def logged(progress: Progress) -> dict[str, float]:
    """Return the means of the steps since this was last asked."""
    values = means(read(progress))
    progress.window.clear()
    return values


def means(window: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each value over records that name the same ones."""
    return {name: sum(values[name] for values in window) / len(window) for name in window[0]}


def located(what: str, step: int, names: list[str]) -> NonFiniteError:
    """Say in which step something was not finite, and of which files."""
    where = f"step {step}: {what}; files of the batch: {', '.join(map(shown, names))}; nothing of this step was saved"
    return NonFiniteError(f"{where}; mend these files and --resume, or begin anew with a lower --lr")
