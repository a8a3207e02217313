"""`--reconstructions`: what each layer keeps of a picture, as one grid with names (Gatys et al. 2016, figure 1)."""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING

from pix2pix.cli.commissions import Commission, Opened, check_seen, opened
from pix2pix.cli.paintings import Stopped, Watch, introduction, keep, open_log, runtime_of, texts
from pix2pix.errors import UserError
from pix2pix.options import FeatureOptions, GatysOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from pix2pix.images import Array
    from pix2pix.methods.objective import Objective
    from pix2pix.methods.reconstructions import Panel


def reconstruct(wished: Sequence[Commission], folder: Path, options: GatysOptions) -> int:
    """Draw the grid of one content and one style; after a signal, of the layers that are done. Return the status."""
    from pix2pix import ranks
    from pix2pix.methods.objective import Objective, style_layers_of
    from pix2pix.training.stops import signals

    if len(wished) > 1:
        raise UserError(f"--reconstructions: got {len(wished)} pairs of content and style; give a file for each")
    if not ranks.is_first():
        return 0
    seen, runtime = opened(wished[0], options), runtime_of(options)
    layers = style_layers_of(options.features)

    def objective_of(features: FeatureOptions) -> "Objective":
        return Objective(features, runtime, options.run.seed)

    # of all layers: what they are called and where they come from is told before the first hour, not after it
    whole = objective_of(options.features.model_copy(update={"content_layers": layers}))
    for sentence in introduction(whole, options):
        print(sentence, file=sys.stderr)
    check_seen(wished[0], options, whole.extractor.smallest_side)
    said = texts(options, wished[0], whole.description, options.optimise.iterations)
    with signals() as received:
        panels = _panels(seen, objective_of, folder, options, 2 * len(layers), received)
    if panels:
        file = folder / f"reconstructions.{options.run.format}"
        keep(file, grid(seen, panels), said)
        print(file)
    return 128 + received[0] if received else 0


def _panels(
    seen: Opened,
    objective_of: "Callable[[FeatureOptions], Objective]",
    folder: Path,
    options: GatysOptions,
    count: int,
    received: Sequence[Signals],
) -> "list[Panel]":
    """Return what was reconstructed before a signal came."""
    from pix2pix.methods.reconstructions import reconstructions

    panels: list[Panel] = []
    iterations = options.optimise.iterations
    with closing(open_log(folder / "log" / "reconstructions", count * iterations)) as monitor:
        monitor.say(f"reconstructions: {seen.sizes}")
        watch = Watch(monitor, options, received, lambda image: image)
        try:
            for panel in reconstructions(seen.pictures, options, objective_of, watch):
                panels.append(panel)
                watch.before += iterations
                monitor.say(f"{panel.row} from {panel.layers}: {len(panels)} of {count}")
        except Stopped:
            monitor.say(f"stopped; whole reconstructions: {len(panels)} of {count}")
    return panels


def grid(seen: Opened, panels: "Sequence[Panel]") -> "Array":
    """Return a row of contents and one of styles, each after its picture: (H, W, 3) uint8."""
    from pix2pix.images import Captioned, captioned_grid, to_array

    pictures = {"content": seen.pictures.content, "style": seen.pictures.styles[0]}
    rows = []
    for row, picture in pictures.items():
        shown = [(f"{row} picture", picture), *((panel.layers, panel.image) for panel in panels if panel.row == row)]
        rows.append([Captioned(caption, to_array(image[0])) for caption, image in shown])
    return captioned_grid(rows)
