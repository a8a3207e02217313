"""What painting leaves behind: the picture, its log while it is made, and the page that shows all of them."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING

from pix2pix import __version__
from pix2pix.cli.console import describe_speedups, warn_of_slow_bfloat16
from pix2pix.cli.style_jobs import LoadedImages, StyleJob
from pix2pix.config.base import to_dict
from pix2pix.config.gatys import GatysOptions
from pix2pix.config.types import parse_speedups
from pix2pix.config.yaml import to_yaml
from pix2pix.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pix2pix.data.arrays import Array
    from pix2pix.methods.feature_loss import FeatureLoss
    from pix2pix.methods.gatys import OptimizationStep
    from pix2pix.report.gallery import GalleryItem
    from pix2pix.runtime.device import Runtime
    from pix2pix.training.logging import RunLogger

_FAST = ("malloc", "channels_last", "gemm", "winograd")  # speed-ups of a backbone


def build_runtime(options: GatysOptions) -> "Runtime":
    """Return what the options say to run on.

    Raises:
        UserError: a speed-up is wished that painting has no use for.
    """
    from pix2pix.runtime.device import Runtime

    run = options.run
    wished = parse_speedups(run.fast)
    idle = [name for name in wished or () if name not in _FAST]
    if idle:
        raise UserError(f"--fast {','.join(idle)} has nothing to do in painting; {', '.join(_FAST)} have")
    runtime = Runtime(run.device, run.precision, wished, compiled=run.compile)
    runtime.fast = tuple(name for name in runtime.fast if name in _FAST)
    return runtime


def describe_job(objective: "FeatureLoss", options: GatysOptions) -> list[str]:
    """Say what judges the picture, and on what it runs."""
    said, features, runtime = objective.description, options.features, objective.runtime
    untrained = ["weights random: an untrained network; --weights imagenet or a file has one trained on photographs"]
    smoothed = f", smoothed at temperature {features.temperature:g}" if features.smoothing else ""
    return [
        f"backbone: {said['backbone']}, weights {said['weights']}, SHA-256 {said['weights_sha256']}",
        *(untrained if features.weights == "random" else []),
        f"layers: content {said['content_layers'] or 'none'}; style {said['style_layers'] or 'none'}, "
        f"by {features.style_loss}{smoothed}",
        f"device {runtime.device}, {options.run.precision}, seed {options.run.seed}{warn_of_slow_bfloat16(runtime)}",
        f"fast: {describe_speedups(runtime)}",
    ]


class Interrupted(Exception):  # noqa: N818 (no error)
    """A signal asked for the end, and an iteration has ended."""


class ProgressCallback:
    """Tells a logger of every iteration, remembers the last, and ends the optimisation once a signal was received.

    `finished` makes of the image that is optimised the one to show. `before` counts the iterations of optimisations
    that the logger saw before this one.
    """

    def __init__(
        self,
        logger: "RunLogger",
        options: GatysOptions,
        received: Sequence[Signals],
        finished: "Callable[[Tensor], Tensor]",
    ):
        self.logger, self.run, self.received, self.finished = logger, options.run, received, finished
        self.last: OptimizationStep | None = None
        self.before = 0

    def __call__(self, step: "OptimizationStep") -> None:
        """Tell of a step.

        Raises:
            Stopped: it is to be the last one.
        """
        self.last = step
        self.logger.step(self.number)
        is_end = step.number in (1, step.total)
        if is_end or step.number % self.run.log_every == 0:
            self.logger.scalars(self.number, step.scalars)
        if is_end or step.number % self.run.show_every == 0:
            self.logger.images(self.number, {"painting": [[self.picture()[0]]]})
        if self.received:
            raise Interrupted

    @property
    def number(self) -> int:
        """How many iterations there were."""
        return self.before + (self.last.number if self.last else 0)

    def picture(self) -> "Tensor":
        """Return the picture (1, 3, H, W) in [-1, 1] that the last iteration made."""
        assert self.last is not None
        return self.finished(self.last.image())


def open_log(folder: Path, steps: int) -> "RunLogger":
    """Begin a log in the folder, in place of that of an earlier painting."""
    from pix2pix.training.logging import RunLogger

    for old in [*folder.glob("tb/events.out.tfevents.*"), folder / "train.log"]:
        old.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    return RunLogger(folder, 0, steps)


def describe_inputs(
    options: GatysOptions, commission: StyleJob, description: Mapping[str, str], iterations: int
) -> dict[str, str]:
    """Return what a picture says of how it was made: of pictures in folders, from which ones."""
    pictures = {"content": str(commission.content), "style": tuple(map(str, commission.styles))}
    own = options.model_copy(update={"data": options.data.model_copy(update=pictures)})
    made = {"Software": f"pix2pix {__version__}", "options": json.dumps(to_dict(own))}
    return made | dict(description) | {"iterations": f"{iterations} of {options.optimize.iterations}"}


def write_output(output: Path, array: "Array", said: Mapping[str, str]) -> None:
    """Write a picture whole or not at all; PNG keeps what is said of it."""
    from pix2pix.data.io import write_image

    output.parent.mkdir(parents=True, exist_ok=True)
    write_image(output, array, said)


def write_result(
    folder: Path, name: str, seen: LoadedImages, image: "Tensor", said: Mapping[str, str], suffix: str
) -> "GalleryItem":
    """Write a painting (1, 3, H, W) in [-1, 1] and, for the page, the pictures that it was made of."""
    from pix2pix.data.arrays import to_array
    from pix2pix.report.gallery import GalleryItem

    output = folder / "output" / f"{name}.{suffix}"
    is_deep = seen.is_deep and suffix != "jpg"
    write_output(output, to_array(image[0], "uint16", high=(65535.0,)) if is_deep else to_array(image[0]), said)
    shown = {"content": seen.pictures.content}
    styles = seen.pictures.styles
    shown |= {f"style {number}" if len(styles) > 1 else "style": style for number, style in enumerate(styles, 1)}
    is_seen = suffix != "tif"  # by browsers
    shown |= {} if is_seen else {"output": image}
    images = {}
    for label, tensor in shown.items():
        place = f"preview_{label}" if label == "output" else label.replace(" ", "_")
        images[label] = folder / place / f"{name}.png"
        write_output(images[label], to_array(tensor[0]), {})
    images |= {"output": output} if is_seen else {}
    return GalleryItem(name, images, {}, {} if is_seen else {"output": output})


def write_page(
    folder: Path, items: "Sequence[GalleryItem]", options: GatysOptions, description: Mapping[str, str]
) -> Path:
    """Write the page of these paintings and the options that make them again; return the page's path."""
    from pix2pix.report.gallery import write_gallery

    temporary = folder / ".options.yaml.tmp"
    temporary.write_text(to_yaml(options), encoding="utf-8")
    temporary.replace(folder / "options.yaml")
    weight, how = options.loss, options.optimize
    facts = {
        "method": options.model,
        **{name.replace("_", " "): value for name, value in description.items()},
        "style loss": options.features.style_loss + (", smoothed" if options.features.smoothing else ""),
        "content : style": f"{weight.content_weight:g} : {options.beta:g}",
        "iterations": f"{how.iterations} of {how.optimizer}, from {how.init}, scales {how.pyramid_levels}",
        "command": shlex.join(["python", *sys.argv]),
    }
    return write_gallery(folder, items, title=f"{options.model}: {folder.name}", facts=facts)
