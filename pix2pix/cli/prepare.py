"""`python -m pix2pix prepare combine | edges | split | generated`: write data sets as files."""

import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.errors import UserError
from pix2pix.options import Answer, GeneratedOptions, parse
from pix2pix.options.prepare import CombineOptions, EdgesOptions, SplitOptions

if TYPE_CHECKING:
    from pix2pix.data.prepare import Drawing

USAGE = """usage: python -m pix2pix prepare COMMAND [--option value ...]

  combine    --a DIR --b DIR --out DIR: join the partners of two folders to side-by-side pairs
  edges      --input DIR --out DIR: draw the edges of photos beside them
  split      --input DIR --out DIR: deal images out to train, val and test
  generated  --out DIR: write the built-in pairs of facades

COMMAND --help lists a command's options."""

_LISTED = 20  # problems
_PROGRAM = "python -m pix2pix prepare"


def prepare(argv: Sequence[str]) -> int:
    """Write a data set into a new folder: all of it, or nothing."""
    what = argv[0] if argv else "nothing"
    if what in ("-h", "--help"):
        raise Answer(USAGE)
    if what not in _COMMANDS:
        from pix2pix.options.suggest import did_you_mean

        hint = did_you_mean(what, _COMMANDS) or f"; allowed: {', '.join(_COMMANDS)}"
        raise UserError(f"prepare got {what!r}{hint}")
    _COMMANDS[what](argv[1:])
    return 0


def _combine(argv: Sequence[str]) -> None:
    options = parse(argv, CombineOptions, program=f"{_PROGRAM} combine").options
    from pix2pix.data.prepare import combine

    _draw(*combine(Path(options.a), Path(options.b), options.max_pixels), Path(options.out))


def _edges(argv: Sequence[str]) -> None:
    options = parse(argv, EdgesOptions, program=f"{_PROGRAM} edges").options
    from pix2pix.data.prepare import sketch

    drawings, faults = sketch(Path(options.input), options.low, options.high, options.blur, options.max_pixels)
    _draw(drawings, faults, Path(options.out))


def _split(argv: Sequence[str]) -> None:
    options = parse(argv, SplitOptions, program=f"{_PROGRAM} split").options
    from tqdm import tqdm

    from pix2pix.data.new_folder import new_folder
    from pix2pix.data.prepare import save, split

    copies, faults, in_sides = split(Path(options.input), options.val, options.test)
    _refuse(faults)
    with new_folder(Path(options.out)) as folder:
        for copy in tqdm(copies, desc="copy", unit="image", disable=None):
            save(copy, folder)
    _conclude([copy.path for copy in copies], "images", Path(options.out), single=not in_sides)


def _generated(argv: Sequence[str]) -> None:
    """Write pairs of facades, photo left and labels right."""
    options = parse(argv, GeneratedOptions, program=f"{_PROGRAM} generated").options
    import numpy as np
    from tqdm import tqdm

    from pix2pix.data.generated import generate
    from pix2pix.data.new_folder import new_folder
    from pix2pix.data.prepare import Drawing, save
    from pix2pix.images import shown

    out = Path(options.out)
    index = 0
    with new_folder(out) as folder:
        for phase, count in {"train": options.train, "val": options.val, "test": options.test}.items():
            for number in tqdm(range(1, count + 1), desc=phase, unit="pair", disable=None):
                photo, labels = generate(options.seed, index, size=options.size)
                pair = partial(np.concatenate, [photo, labels], axis=1)
                save(Drawing(Path(phase, f"{number:04d}.png"), pair), folder)
                index += 1
    print(f"{index} pairs in {shown(out)}; train with: {_train(out, '--direction BtoA ')}")


_COMMANDS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "combine": _combine,
    "edges": _edges,
    "split": _split,
    "generated": _generated,
}


def _draw(drawings: "Sequence[Drawing]", faults: Sequence[str], out: Path) -> None:
    """Write all images, once it is known that each can be made."""
    from tqdm import tqdm

    from pix2pix.data.new_folder import new_folder
    from pix2pix.data.prepare import problem, save

    with new_folder(out) as folder:
        found = [problem(drawing, folder) for drawing in tqdm(drawings, desc="check", unit="pair", disable=None)]
        _refuse([*faults, *filter(None, found)])
        for drawing in tqdm(drawings, desc="write", unit="pair", disable=None):
            save(drawing, folder)
    if any(drawing.path.suffix.lower() in (".jpg", ".jpeg") for drawing in drawings):
        print("JPEG images are kept in PNG as they are, with the artefacts that JPEG has left in them")
    _conclude([drawing.path for drawing in drawings], "pairs", out)


def _refuse(problems: Sequence[str]) -> None:
    """List the problems, if any, and end."""
    if not problems:
        return
    for line in problems[:_LISTED]:
        print(line, file=sys.stderr)
    if len(problems) > _LISTED:
        print(f"and {len(problems) - _LISTED} more", file=sys.stderr)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise UserError(f"{count}, listed above; nothing was written: mend the images, or take them away")


def _conclude(paths: Sequence[Path], what: str, out: Path, *, single: bool = False) -> None:
    """Say what there is now, and the command that comes next: of `single` images nobody knows if they are pairs."""
    from pix2pix.images import shown

    phases = Counter(path.parts[0] for path in paths if len(path.parts) > 1)
    if "train" in phases:
        condition = "if each is A|B side by side, " if single else ""
        otherwise = "; photos to be coloured: add --target_kind lab" if single else ""
        counts = ", ".join(f"{phase} {phases[phase]}" for phase in ("train", "val", "test") if phase in phases)
        print(f"{len(paths)} {what} in {shown(out)} ({counts}); {condition}train with: {_train(out)}{otherwise}")
        return
    beside = Path(f"{out if out.name else out.resolve()}_split")  # the name of "." is empty
    split = f"{_PROGRAM} split {_flag('--input', out)} {_flag('--out', beside)}"
    print(f"{len(paths)} {what} in {shown(out)}; split them with: {split}")


def _train(out: Path, flags: str = "") -> str:
    return f"python train.py {_flag('--dataroot', out)} {flags}--name NAME"


def _flag(name: str, path: Path) -> str:
    """A flag with a path, to be typed as it stands: a folder `generated` must not be taken for the built-in data."""
    text = "./generated" if str(path) == "generated" else str(path)
    return f"{name}{'=' if text.startswith('--') else ' '}{shlex.quote(text)}"
