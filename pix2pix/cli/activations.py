"""`python -m pix2pix activations`: measure maximum and entropy of the activations of backbones."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.config.base import to_dict
from pix2pix.config.parse import parse
from pix2pix.config.tools import ActivationsOptions
from pix2pix.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from pix2pix.evaluation.activations import Profile, Statistics

_COLUMNS = f"{'maximum':>11}{'entropy':>9}{'Gram max.':>11}{'entropy':>9}"
_HEADING = f"{'':16}{'plain':^40}   {'smoothed (SWAG)':^40}\n{'':16}{_COLUMNS}   {_COLUMNS}"
_FILES = ("activations.json", "activations.png", "activations.svg")


def activations(argv: Sequence[str]) -> int:
    """Measure the activations of backbones by stage; print a table, and write the numbers and a plot."""
    options = parse(argv, ActivationsOptions, program="python -m pix2pix activations").options
    from tqdm import tqdm

    from pix2pix.errors import format_path
    from pix2pix.evaluation.activations import build_extractor, measure_activations, plot_activations
    from pix2pix.runtime.device import Runtime

    out = Path(options.out)
    runtime = Runtime(options.device, options.precision)
    pictures = _load_images(options)
    extractors = [build_extractor(backbone, options) for backbone in options.backbone]
    many = f"{len(pictures)} images" if len(pictures) > 1 else "1 image"
    weights = options.weights if options.weights in ("random", "imagenet") else "given"
    with _open_folder(out):  # fails before measuring
        out.mkdir(parents=True, exist_ok=True)
    profiles = []
    print(f"means over {many}; entropies are normalized: 1 if all values are equal\n\n{_HEADING}")
    for extractor in extractors:
        shows = tqdm(pictures.values(), desc=extractor.backbone, unit="image", leave=False, disable=None)
        profiles.append(measure_activations(runtime.prepare(extractor), shows, runtime, options.temperature))
        print(_format_table(profiles[-1]), flush=True)
    with _open_folder(out):
        (out / _FILES[0]).write_text(_format_json(options, list(pictures), profiles), encoding="utf-8")
        for name in _FILES[1:]:
            (out / name).unlink(missing_ok=True)  # of an earlier run
        if is_plotted := find_spec("matplotlib") is not None:
            plot_activations(
                profiles, [out / name for name in _FILES[1:]], f"Activations by {weights} weights, means over {many}"
            )
    if is_plotted:
        print(f"\nnumbers and plot: {', '.join(format_path(out / name) for name in _FILES)}")
    else:
        print(f"\nnumbers: {format_path(out / _FILES[0])}")
        print('no plot: matplotlib is not installed: pip install -e ".[evaluate]"', file=sys.stderr)
    return 0


@contextmanager
def _open_folder(out: Path) -> Iterator[None]:
    """Report a folder that cannot be written."""
    from pix2pix.errors import format_path

    try:
        yield
    except OSError as error:
        raise UserError(f"--out {format_path(out)} cannot be written: {error.strerror or error}") from error


def _load_images(options: ActivationsOptions) -> "dict[str, Tensor]":
    """Load images by name, (1, 3, H, W) in [-1, 1], resized to --size on the shorter side.

    Raises:
        UserError: there are none, or one cannot be read.
    """
    from pix2pix.data.arrays import resize, to_tensor
    from pix2pix.data.codec import read_rgb
    from pix2pix.data.generated import generate
    from pix2pix.data.io import find_images
    from pix2pix.errors import format_path

    side = options.size
    if options.images is None:
        photos = [generate(options.seed, index, (side, side))[0] for index in range(options.count)]
        return {f"generated {index}": to_tensor(photo)[None] for index, photo in enumerate(photos)}
    folder = Path(options.images)
    paths = find_images(folder)[: options.count]
    if not paths:
        raise UserError(f"--images {format_path(folder)} has no images; a folder with at least one is needed")
    pictures = {}
    for path in paths:
        array = read_rgb(path).permute(1, 2, 0).numpy()
        height, width = (max(round(length * side / min(array.shape[:2])), 1) for length in array.shape[:2])
        pictures[path.relative_to(folder).as_posix()] = to_tensor(resize(array, (height, width)), (-1,), (1,))[None]
    return pictures


def _format_table(profile: "Profile") -> str:
    """Format the statistics of a backbone."""
    rows = [
        f"  {stage.layer:<14}{_format_cells(stage.plain)}   {_format_cells(stage.smoothed)}" for stage in profile.stages
    ]
    return "\n".join([f"{profile.backbone} ({profile.weights})", *rows])


def _format_cells(statistics: "Statistics") -> str:
    numbers = [f"{statistics.maximum:>11.3g}", f"{statistics.entropy:>9.4f}"]
    return "".join([*numbers, f"{statistics.gram_maximum:>11.3g}", f"{statistics.gram_entropy:>9.4f}"])


def _format_json(options: ActivationsOptions, names: Sequence[str], profiles: "Sequence[Profile]") -> str:
    """Format the options and statistics as JSON."""
    backbones: Mapping[str, object] = {
        profile.backbone: {
            "weights": profile.weights,
            "sha256": profile.sha256,
            "stages": {
                stage.layer: {"plain": stage.plain._asdict(), "smoothed": stage.smoothed._asdict()}
                for stage in profile.stages
            },
        }
        for profile in profiles
    }
    content = {"options": to_dict(options), "images": names, "backbones": backbones}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
