"""`python -m pix2pix prepare generated --out DIR`: write the built-in data set as files."""

from collections.abc import Sequence
from pathlib import Path

from pix2pix.errors import UserError
from pix2pix.options import GeneratedOptions, parse


def prepare(argv: Sequence[str]) -> int:
    """Write pairs of facades side by side, photo left and labels right, into DIR/train, DIR/val and DIR/test."""
    what = argv[0] if argv else "nothing"
    if what in ("-h", "--help"):
        what = "generated"
        argv = ["generated", "--help"]
    if what != "generated":
        raise UserError(f"prepare got {what!r}; allowed: generated")
    options = parse(argv[1:], GeneratedOptions, program="python -m pix2pix prepare generated").options
    import numpy as np
    from tqdm import tqdm

    from pix2pix.data.generated import generate
    from pix2pix.images import write

    out = Path(options.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} exists and is no empty folder; choose another, nothing is written over")
    counts = {"train": options.train, "val": options.val, "test": options.test}
    index = 0
    for phase, count in counts.items():
        folder = out / phase
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise UserError(f"--out {out} cannot be written: {error.strerror}") from error
        for number in tqdm(range(1, count + 1), desc=phase, unit="pair", disable=None):
            photo, labels = generate(options.seed, index, size=options.size)
            write(folder / f"{number:04d}.png", np.concatenate([photo, labels], axis=1))
            index += 1
    print(f"{index} pairs in {out}; train with: python train.py --dataroot {out} --direction BtoA --name NAME")
    return 0
