"""Write the outputs of style jobs: the image, the log of its optimization, and the page."""

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
    """Build the runtime.

    Raises:
        UserError: a speed-up is requested that optimizing an image does not use.
    """
    from pix2pix.runtime.device import Runtime

    run = options.run
    speedups = parse_speedups(run.fast)
    unused = [name for name in speedups or () if name not in _FAST]
    if unused:
        raise UserError(f"--fast {','.join(unused)} is not used here; allowed: {', '.join(_FAST)}")
    runtime = Runtime(run.device, run.precision, speedups, compiled=run.compile)
    runtime.fast = tuple(name for name in runtime.fast if name in _FAST)
    return runtime


def describe_job(feature_loss: "FeatureLoss", options: GatysOptions) -> list[str]:
    """Describe the backbone, layers and device, a line each."""
    described, features, runtime = feature_loss.description, options.features, feature_loss.runtime
    untrained = ["weights random: an untrained network; for a trained one give --weights imagenet or a file"]
    smoothed = f", smoothed at temperature {features.temperature:g}" if features.smoothing else ""
    return [
        f"backbone: {described['backbone']}, weights {described['weights']}, SHA-256 {described['weights_sha256']}",
        *(untrained if features.weights == "random" else []),
        f"layers: content {described['content_layers'] or 'none'}; style {described['style_layers'] or 'none'}, "
        f"by {features.style_loss}{smoothed}",
        f"device {runtime.device}, {options.run.precision}, seed {options.run.seed}{warn_of_slow_bfloat16(runtime)}",
        f"fast: {describe_speedups(runtime)}",
    ]


class Interrupted(Exception):  # noqa: N818 (not an error)
    """Raised after an iteration if a signal was received."""


class ProgressCallback:
    """Logs every iteration, keeps the last one, and ends the optimization after a signal.

    `finish` converts an optimized image to the one to show. `before` counts the iterations of earlier optimizations
    in the same log.
    """

    def __init__(
        self,
        logger: "RunLogger",
        options: GatysOptions,
        received: Sequence[Signals],
        finish: "Callable[[Tensor], Tensor]",
    ):
        self.logger, self.run, self.received, self.finish = logger, options.run, received, finish
        self.last: OptimizationStep | None = None
        self.before = 0

    def __call__(self, step: "OptimizationStep") -> None:
        """Log a step.

        Raises:
            Interrupted: a signal was received.
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
        """The number of iterations."""
        return self.before + (self.last.number if self.last else 0)

    def picture(self) -> "Tensor":
        """Return the image (1, 3, H, W) in [-1, 1] of the last iteration."""
        assert self.last is not None
        return self.finish(self.last.image())


def open_log(folder: Path, steps: int) -> "RunLogger":
    """Start a log in the folder, replacing an earlier one."""
    from pix2pix.training.logging import RunLogger

    for old in [*folder.glob("tb/events.out.tfevents.*"), folder / "train.log"]:
        old.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    return RunLogger(folder, 0, steps)


def describe_inputs(
    options: GatysOptions, job: StyleJob, description: Mapping[str, str], iterations: int
) -> dict[str, str]:
    """Return the metadata of an output: its options with the files of this job, and the backbone."""
    pictures = {"content": str(job.content), "style": tuple(map(str, job.styles))}
    own = options.model_copy(update={"data": options.data.model_copy(update=pictures)})
    metadata = {"Software": f"pix2pix {__version__}", "options": json.dumps(to_dict(own))}
    return metadata | dict(description) | {"iterations": f"{iterations} of {options.optimize.iterations}"}


def write_output(output: Path, array: "Array", metadata: Mapping[str, str]) -> None:
    """Write an image atomically; PNG stores the metadata."""
    from pix2pix.data.io import write_image

    output.parent.mkdir(parents=True, exist_ok=True)
    write_image(output, array, metadata)


def write_result(
    folder: Path, name: str, seen: LoadedImages, image: "Tensor", metadata: Mapping[str, str], suffix: str
) -> "GalleryItem":
    """Write an output (1, 3, H, W) in [-1, 1] and, for the page, its content and styles."""
    from pix2pix.data.arrays import to_array
    from pix2pix.report.gallery import GalleryItem

    output = folder / "output" / f"{name}.{suffix}"
    is_deep = seen.is_deep and suffix != "jpg"
    write_output(output, to_array(image[0], "uint16", high=(65535.0,)) if is_deep else to_array(image[0]), metadata)
    shown = {"content": seen.pictures.content}
    styles = seen.pictures.styles
    shown |= {f"style {number}" if len(styles) > 1 else "style": style for number, style in enumerate(styles, 1)}
    is_seen = suffix != "tif"  # in browsers
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
    """Write the page of outputs and the options that reproduce them; return the path of the page."""
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
        "iterations": f"{how.iterations} of {how.optimizer}, from {how.init}, {how.pyramid_levels} levels",
        "command": shlex.join(["python", *sys.argv]),
    }
    return write_gallery(folder, items, title=f"{options.model}: {folder.name}", facts=facts)
