"""What alpha of AdaIN trades: how far the output's features are from the content's, and its style loss, by alpha.

For each photo, style picture and alpha: |f(y) - f(c)| / |f(c)|, where f is the encoder to relu4_1, and the style loss
that the run was trained with, in units. As alpha falls from 1 to 0, the first should fall and the second rise.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor

import pix2pix
from benchmarks.ours import error
from benchmarks.pictures import paintings, photographs
from benchmarks.report import conditions, table, write_json
from pix2pix.errors import UserError
from pix2pix.images import reflect_to_multiple
from pix2pix.methods.adain import Adain
from pix2pix.methods.base import Styles
from pix2pix.methods.objective import Objective, Style

ALPHAS = (1.0, 0.75, 0.5, 0.25, 0.0)
HEAD = ("alpha", "distance from the content", "style loss")


class Pair(NamedTuple):
    """A content painted in a style: by alpha, the distance from the content and the style loss."""

    distances: list[float]
    style_losses: list[float]

    @property
    def is_traded(self) -> bool:
        """Whether, from each alpha to the next lower one, the distance falls and the style loss rises."""
        return falls(self.distances) and falls([-loss for loss in self.style_losses])


def falls(values: Sequence[float]) -> bool:
    """Say whether each value is below the one before."""
    return all(after < before for before, after in pairwise(values))


@torch.inference_mode()
def trade_off(method: Adain, objective: Objective, contents: list[Tensor], styles: list[Tensor]) -> list[Pair]:
    """Paint every content (1, 3, H, W) in every style by every alpha."""
    units = {layer: torch.tensor(unit) for layer, unit in method.description["units"][1].items()}
    aims = [Style(objective.statistics(objective.features(method.runtime.place(style))), units) for style in styles]

    def encoded(image: Tensor) -> Tensor:
        features: Tensor = method.encoder(reflect_to_multiple(method.runtime.place(image), method.multiple)[0])
        return features

    pairs = []
    for content, (style, aim) in product(contents, list(zip(styles, aims, strict=True))):
        exact = encoded(content)
        pair = Pair([], [])
        for alpha in ALPHAS:
            output = method.translate(content, styles=Styles(pictures=[style], alpha=alpha)).clamp(-1, 1)
            pair.distances.append(error(encoded(output), exact))
            pair.style_losses.append(objective.style_loss(objective.features(output), [aim]).item())
        pairs.append(pair)
    return pairs


def summary(pairs: Sequence[Pair]) -> Pair:
    """Return the means over pairs."""
    distances, losses = zip(*pairs, strict=True)
    return Pair(
        [fmean(each) for each in zip(*distances, strict=True)], [fmean(each) for each in zip(*losses, strict=True)]
    )


def verdict(pairs: Sequence[Pair]) -> str:
    """Return in a sentence whether the means, and how many of the pairs, go one way."""
    of_means, of_pairs = summary(pairs).is_traded, sum(pair.is_traded for pair in pairs)
    return (
        f"As alpha falls, the mean distance falls and the mean style loss rises at every step: "
        f"{'yes' if of_means else 'no'}; so do those of {of_pairs} of {len(pairs)} pairs."
    )


def measured(asked: argparse.Namespace) -> list[Pair]:
    """Load what was asked for, and measure.

    Raises:
        UserError: the run is not to be had or of another method, or pictures or weights are not to be had.
    """
    loaded = pix2pix.load(asked.checkpoints_dir / asked.name, epoch=asked.epoch, device=asked.device)
    method = loaded.method
    if not isinstance(method, Adain):
        raise UserError(f"--name {asked.name} is a run of {loaded.options.model}: one of adain is needed")
    features, data = method.options.features, method.options.data
    if asked.weights is not None:
        features = features.model_copy(update={"weights": asked.weights})
    contents = photographs(data, asked.dataroot, asked.size, asked.limit)
    styles = paintings(data, asked.styles, asked.size, asked.limit)
    return trade_off(method, Objective(features, method.runtime, method.options.run.seed), contents, styles)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.alpha", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", required=True, help="a run of adain")
    parser.add_argument("--checkpoints_dir", type=Path, default=Path("checkpoints"), help="folder of all runs")
    parser.add_argument("--epoch", default="latest", help="latest (default), best, or a step")
    parser.add_argument("--dataroot", help="folder of photos, or `generated`; default: those that the run held out")
    parser.add_argument("--styles", help="folder of style pictures; default: the run's")
    parser.add_argument("--weights", help="of VGG-19: random, imagenet, or a file; default: the run's")
    parser.add_argument("--size", type=int, help="shorter side of all pictures; default: that of the run's crop")
    parser.add_argument("--limit", type=int, default=8, help="so many photos and styles at most, all pairs (8)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--json", type=Path, help="file for all figures and their conditions")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and return the exit status."""
    asked = arguments(argv)
    surroundings: dict[str, Any] = conditions()
    try:
        pairs = measured(asked)
    except UserError as refused:
        print(f"error: {refused}", file=sys.stderr)
        return 2
    columns = zip(ALPHAS, *summary(pairs), strict=True)
    print(table(HEAD, [[f"{alpha:g}", f"{distance:.4f}", f"{loss:.4f}"] for alpha, distance, loss in columns]))
    print(f"\n{verdict(pairs)}")
    if asked.json:
        write_json(asked.json, surroundings | {"alphas": ALPHAS, "pairs": [pair._asdict() for pair in pairs]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
