"""`python test.py --model gatys --content a.jpg --style b.jpg`: paint a picture in the manner of another."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING

from pix2pix.cli.commissions import Commission, check_seen, commissions, name_of, opened
from pix2pix.cli.paintings import Stopped, Watch, hang, introduction, kept, open_log, runtime_of, texts
from pix2pix.cli.reconstruct import reconstruct
from pix2pix.errors import UserError, is_out_of_memory
from pix2pix.options import FeatureOptions, GatysOptions, parse

if TYPE_CHECKING:
    from pix2pix.gallery import GalleryItem
    from pix2pix.methods.objective import Objective


class OutOfMemoryError(UserError):
    """The picture is too large for the machine."""

    exit_status = 1


def stylise(argv: Sequence[str], record: type[GatysOptions]) -> int:
    """Paint what the options say, and show it as a page; return the exit status."""
    parsed = parse(argv, record, program="test.py")
    options = parsed.options
    if options.run.reconstructions and parsed.given.get("init", "noise") != "noise":
        raise UserError(f"--reconstructions begin with noise: leave --init {options.optimise.init} out")
    wished = commissions(options)
    name = options.run.name or name_of([Path(path) for path in (options.data.content, *options.data.style)])
    folder = Path(options.run.results_dir) / name
    try:
        wished = _sound(wished, options, opened)
        return (reconstruct if options.run.reconstructions else _paint)(wished, folder, options)
    except OSError as error:
        raise UserError(f"the results cannot be written to {folder}: {error.strerror or error}") from error
    except UserError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            "out of memory; lower --image_size, or add --checkpointing on "
            f"({str(error).splitlines()[0] if str(error) else 'MemoryError'})"
        ) from error


def _sound(
    wished: Sequence[Commission], options: GatysOptions, read: Callable[[Commission, GatysOptions], object]
) -> list[Commission]:
    """Read all pictures once, so that a faulty one is told before hours of painting; leave such out if that is wished.

    Raises:
        UserError: a picture cannot be used, or all are left out.
    """
    sound = []
    for commission in wished:
        try:
            read(commission, options)
        except UserError as error:
            if not options.data.skip_bad:
                raise
            print(f"left out: {error}", file=sys.stderr)
            continue
        sound.append(commission)
    if not sound:
        raise UserError("--skip_bad left no picture to paint")
    return sound


def _paint(wished: Sequence[Commission], folder: Path, options: GatysOptions) -> int:
    """Paint one picture after the other until a signal comes, and write the page of what there is."""
    from pix2pix import ranks
    from pix2pix.methods.objective import Objective
    from pix2pix.training.stops import signals

    objective = Objective(_asked(options), runtime_of(options), options.run.seed)
    for sentence in introduction(objective, options):
        print(sentence, file=sys.stderr)
    wished = _sound(wished, options, partial(check_seen, smallest=objective.extractor.smallest_side))
    items = []
    try:
        with signals() as received:
            for commission in wished[ranks.rank() :: ranks.count()]:
                if received:
                    break
                items.append(_painted(commission, folder, objective, options, received))
    except Exception:
        if items and ranks.count() == 1:  # others would wait for this process
            print(hang(folder, items, options, objective.description))
        raise
    items = [item for share in ranks.gather(items) for item in share]
    if items and ranks.is_first():
        print(hang(folder, items, options, objective.description))
    return 128 + received[0] if received else 0


def _asked(options: GatysOptions) -> FeatureOptions:
    """Return the features without the layers of a loss that has no weight."""
    idle = {"content_layers": options.loss.content_weight == 0, "style_layers": options.loss.style_weight == 0}
    update: dict[str, object] = {name: () for name, is_idle in idle.items() if is_idle}
    if idle["style_layers"]:
        update["style_layer_weights"] = None
    return options.features.model_copy(update=update)


def _painted(
    commission: Commission,
    folder: Path,
    objective: "Objective",
    options: GatysOptions,
    received: Sequence[Signals],
) -> "GalleryItem":
    """Paint one picture and write it: after a signal, as it is then."""
    from pix2pix.methods.gatys import finished, stylise

    seen = opened(commission, options)
    pictures, began = seen.pictures, time.monotonic()
    with closing(open_log(folder / "log" / commission.name, options.optimise.iterations)) as monitor:
        monitor.say(f"{commission.name}: {seen.sizes}")
        watch = Watch(monitor, options, received, lambda image: finished(image, pictures.content, options))
        try:
            image = stylise(pictures, objective, options, watch)
        except Stopped:
            image = watch.picture()
        made = watch.number
        said = texts(options, commission, objective.description, made)
        item = kept(folder, commission.name, seen, image, said, options.run.format)
        ending = f"stopped after iteration {made}" if received else f"{made} iterations"
        file = item.files.get("output", item.images["output"])
        monitor.say(f"{ending} of {options.optimise.iterations}, {time.monotonic() - began:.0f} s: {file}")
    return item
