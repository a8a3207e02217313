"""A run's folder as a translator."""

from pathlib import Path
from typing import Literal

from pix2pix import checkpoint
from pix2pix.inference.translator import LoadedTranslator
from pix2pix.options import Pix2PixOptions, check_used, speedups, stored_options
from pix2pix.options.records import leaves
from pix2pix.runtime import Precision, Runtime


def load(
    run: str | Path,
    *,
    epoch: str = "latest",
    device: str = "auto",
    precision: Precision = "fp32",
    fast: str = "auto",
    compile: bool = False,
    statistics: Literal["image", "running"] | None = None,
    dropout: Literal["on", "off"] | None = None,
    seed: int | None = None,
    tile: Literal["auto", "off"] | int = "auto",
) -> LoadedTranslator:
    """Load a run's folder, such as "checkpoints/facades"; nothing else need be known about it.

    `epoch` is "latest", "best" or a step. `statistics`, `dropout` and `seed` are those recorded in training unless
    given; `precision`, `fast` and `compile` are the options of these names. Averaged weights (EMA) are used where the
    run kept them. `tile` is the side of the tiles that large images are translated in; "auto" chooses by the memory
    that there is, and "off" keeps images whole.

    Raises:
        CheckpointError: there is no such run or checkpoint, or it is damaged.
        OptionError: one of the other arguments is not allowed, or the method has no use for it.
    """
    content = checkpoint.read(checkpoint.resolve(Path(run), str(epoch)))
    options = stored_options(content["options"])
    of_run = {"device": device, "precision": precision, "fast": fast, "compile": compile, "seed": seed}
    asked = of_run | {"statistics": statistics, "dropout": dropout, "tile": tile}
    given = {
        name: leaves(Pix2PixOptions)[name].check(value, f"load: {name}")
        for name, value in asked.items()
        if value is not None
    }
    check_used(options.model, [name for name in ("statistics", "dropout", "seed") if name in given])
    of_test = {name: value for name, value in given.items() if name not in of_run}
    test = options.test.model_copy(update=of_test)
    here = options.run.model_copy(update={name: value for name, value in given.items() if name in of_run})
    options = options.model_copy(update={"test": test, "run": here})
    runtime = Runtime(here.device, here.precision, speedups(here.fast), compiled=here.compile)
    return LoadedTranslator(content, options, runtime)
