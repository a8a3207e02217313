"""`python -m pix2pix check` and `prepare`: validate a dataset, or make one."""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.config.parse import TextRequested, parse
from pix2pix.config.tools import CheckOptions, CombineOptions, EdgesOptions, GeneratedOptions, SplitOptions
from pix2pix.errors import UserError

if TYPE_CHECKING:
    from pix2pix.data.layouts import FilePairs, PairListing
    from pix2pix.data.prepare import ImageToWrite
    from pix2pix.data.validate import PairCheck
    from pix2pix.data.warnings import DatasetWarning

PHASES = ("train", "val", "test")
SHEET_PAIRS = 24
_LONGEST = 200  # bytes of the name of the sheet; file systems allow 255
_NO_PAIRS = "pairs; put A|B images into train/, or A and B into trainA/ and trainB/"


def check(argv: Sequence[str]) -> int:
    """Validate every file of a dataset, and print errors and warnings; return 2 if there are errors."""
    words = ["--dataroot", *argv] if argv and not argv[0].startswith("--") else list(argv)
    options = parse(words, CheckOptions, program="python -m pix2pix check DATAROOT").options
    from pix2pix.data.warnings import find_warnings
    from pix2pix.errors import format_path

    root = Path(options.dataroot)
    if not root.is_dir():
        raise UserError(f"{format_path(root)} is not a folder; the folder of a dataset is needed")
    sheet = _get_sheet_path(root, options)
    listings, faults = _list_pairs(root, options)
    if not listings and not faults:
        raise UserError(f"{format_path(root)} has no {_NO_PAIRS}")
    pairs = {phase: listing.pairs for phase, listing in listings.items()}
    others, unlisted = _list_unread(root, listings)
    phases = {phase: _read_pairs(phase, found) for phase, found in pairs.items()}
    unlike = _find_mismatches(phases, photos=options.photos)
    for phase, found in unlike.items():
        faults += (_mark_test(phase, fault) for fault in found.values())
    faults = list(dict.fromkeys([*faults, *unlisted]))
    odd = [*others, *find_warnings(phases, photos=options.photos)]
    for line in _format_phases(phases, pairs):
        print(line)
    for sentence in faults:
        print(f"error: {sentence}")
    for warning in odd:
        print(f"warning: {warning.sentence}")
    print(f"{len(faults)} errors, {len(odd)} warnings" if faults else f"no errors, {len(odd)} warnings", flush=True)
    striking = {id(phases[phase][index]) for phase, found in unlike.items() for index in found}
    _write_sheet(sheet, phases, pairs, striking | {id(one) for warning in odd for one in warning.pairs})
    print(f"contact sheet: {format_path(sheet)}")
    return 2 if faults else 0


def _get_sheet_path(root: Path, options: CheckOptions) -> Path:
    """Return the path of the contact sheet, outside of the dataset."""
    from pix2pix.errors import format_path

    if Path(options.out).resolve().is_relative_to(root.resolve()):
        raise UserError(
            f"--out {format_path(options.out)} is inside the dataset: give a folder outside of {format_path(root)}"
        )
    name = root.resolve().name
    while len(os.fsencode(name)) > _LONGEST:
        name = name[:-1]
    return Path(options.out) / f"{name}.png"


def _list_pairs(root: Path, options: CheckOptions) -> "tuple[dict[str, PairListing], list[str]]":
    """Return the pairs of each phase, and the faults of the folders."""
    from pix2pix.data.layouts import list_pairs
    from pix2pix.errors import format_path

    listings, faults, missing = {}, [], []
    for phase in PHASES:
        try:
            listing = list_pairs(root, phase, photos=options.photos, max_pixels=options.max_pixels)
        except UserError as error:
            faults.append(_mark_test(phase, str(error)))
            continue
        if listing is None:
            missing.append(phase)
        else:
            listings[phase] = listing
            faults += (_mark_test(phase, fault) for fault in listing.faults)
    if "train" in missing and len(missing) < len(PHASES):
        faults.insert(0, f"{format_path(root)} has no train folder: add it")
    return listings, faults


def _mark_test(phase: str, fault: str) -> str:
    """Mark a fault that concerns only test.py."""
    return f"for test.py only: {fault}" if phase == "test" else fault


def _list_unread(root: Path, listings: "Mapping[str, PairListing]") -> "tuple[list[DatasetWarning], list[str]]":
    """Return warnings about files that are not read, and faults for folders that cannot be listed."""
    from pix2pix.data.layouts import list_candidate_folders
    from pix2pix.data.warnings import find_unread_files

    folders = {
        folder
        for phase in PHASES
        for folder in (listings[phase].folders if phase in listings else list_candidate_folders(root, phase))
    }
    try:
        return find_unread_files(
            root, folders, {phase: listing.pairs.layout for phase, listing in listings.items()}
        ), []
    except UserError as error:
        return [], [str(error)]


def _find_mismatches(phases: "Mapping[str, Sequence[PairCheck]]", *, photos: bool) -> dict[str, dict[int, str]]:
    """Return the mismatching pairs of each phase by index: within train, and of val and test with train."""
    from pix2pix.data.validate import find_inconsistent, find_unlike_train, find_usual_formats

    train = phases.get("train", ())
    usual = find_usual_formats(train, photos=photos)
    return {
        phase: find_inconsistent(train, ("photo",) if photos else ("A", "B"), photos=photos)
        if phase == "train"
        else find_unlike_train(seen, usual)
        for phase, seen in phases.items()
    }


def _read_pairs(phase: str, pairs: "FilePairs") -> "list[PairCheck]":
    from tqdm import tqdm

    from pix2pix.data.validate import check_pairs

    return list(tqdm(check_pairs(pairs, closely=True), desc=phase, total=len(pairs), unit="pair", disable=None))


def _count(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'s' * (len(things) != 1)}"


def _format_phases(phases: "Mapping[str, Sequence[PairCheck]]", pairs: "Mapping[str, FilePairs]") -> list[str]:
    """Describe the pairs of each phase."""
    lines = []
    for phase in PHASES:
        if phase not in phases:
            lines.append(f"{phase}: none")
            continue
        seen = phases[phase]
        sound = [one for one in seen if one.fault is None]
        found = _count(sound, "pair") + f" of {len(seen)}" * (len(sound) < len(seen))
        lines.append(f"{phase}: {pairs[phase].layout}: {found}")
        if sound:
            lines += _sizes_and_values(sound)
    return lines


def _sizes_and_values(sound: "Sequence[PairCheck]") -> list[str]:
    sizes = Counter(one.sides[0].shape[:2] for one in sound)
    common = ", ".join(f"{height}x{width} ({count})" for (height, width), count in sizes.most_common(3))
    lines = [f"  height x width: {common}" + f", and {len(sizes) - 3} other sizes" * (len(sizes) > 3)]
    for place, letter in enumerate("AB"):
        kinds = Counter((one.sides[place].shape[2], one.sides[place].dtype) for one in sound)
        low = min(min(one.sides[place].low) for one in sound)
        high = max(max(one.sides[place].high) for one in sound)
        words = ", ".join(f"{nc} x {dtype} ({count})" for (nc, dtype), count in kinds.most_common())
        lines.append(f"  {letter}: channels x depth: {words}; values {low:g} to {high:g}")
    return lines


def _write_sheet(
    path: Path, phases: "Mapping[str, Sequence[PairCheck]]", pairs: "Mapping[str, FilePairs]", striking: set[int]
) -> None:
    """Draw pairs of all phases, those with warnings first."""
    from pix2pix.data.io import write_image
    from pix2pix.errors import format_path
    from pix2pix.report.contact_sheet import PairTile, draw_contact_sheet

    sound = [
        (id(one) in striking, phase, index)
        for phase, seen in phases.items()
        for index, one in enumerate(seen)
        if one.fault is None
    ]
    first = [place for place in sound if place[0]][: SHEET_PAIRS // 3]
    others = [place for place in sound if place not in first]
    chosen = [*first, *others[:: max(-(-len(others) // (SHEET_PAIRS - len(first))), 1)]]
    tiles = []
    for is_striking, phase, index in chosen:
        a, b, name = pairs[phase].read(index)
        tiles.append(PairTile(f"{phase}/{name}", (a,) if b is a else (a, b), is_striking))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {format_path(path.parent)} cannot be written: {error.strerror}") from error
    write_image(path, draw_contact_sheet(tiles))


USAGE = """usage: python -m pix2pix prepare COMMAND [--option value ...]

  combine    --a DIR --b DIR --out DIR: join two folders to side-by-side pairs
  edges      --input DIR --out DIR: make pairs of edges and photos
  split      --input DIR --out DIR: distribute images over train, val and test
  generated  --out DIR: write the built-in facades

COMMAND --help lists a command's options."""

_LISTED = 20  # problems
_PROGRAM = "python -m pix2pix prepare"


def prepare(argv: Sequence[str]) -> int:
    """Write a dataset into a new folder, all or nothing."""
    what = argv[0] if argv else "nothing"
    if what in ("-h", "--help"):
        raise TextRequested(USAGE)
    if what not in _COMMANDS:
        from pix2pix.config.types import did_you_mean

        hint = did_you_mean(what, _COMMANDS) or f"; allowed: {', '.join(_COMMANDS)}"
        raise UserError(f"prepare got {what!r}{hint}")
    _COMMANDS[what](argv[1:])
    return 0


def _combine(argv: Sequence[str]) -> None:
    options = parse(argv, CombineOptions, program=f"{_PROGRAM} combine").options
    from pix2pix.data.prepare import plan_pairs

    _write_drawings(*plan_pairs(Path(options.a), Path(options.b), options.max_pixels), Path(options.out))


def _edges(argv: Sequence[str]) -> None:
    options = parse(argv, EdgesOptions, program=f"{_PROGRAM} edges").options
    from pix2pix.data.prepare import plan_edges

    drawings, faults = plan_edges(Path(options.input), options.low, options.high, options.blur, options.max_pixels)
    _write_drawings(drawings, faults, Path(options.out))


def _split(argv: Sequence[str]) -> None:
    options = parse(argv, SplitOptions, program=f"{_PROGRAM} split").options
    from tqdm import tqdm

    from pix2pix.data.prepare import atomic_folder, plan_split, write_item

    copies, faults, in_sides = plan_split(Path(options.input), options.val, options.test)
    _refuse(faults)
    with atomic_folder(Path(options.out)) as folder:
        for copy in tqdm(copies, desc="copy", unit="image", disable=None):
            write_item(copy, folder)
    _conclude([copy.path for copy in copies], "images", Path(options.out), single=not in_sides)


def _generated(argv: Sequence[str]) -> None:
    """Write pairs of facades, photos left and labels right."""
    options = parse(argv, GeneratedOptions, program=f"{_PROGRAM} generated").options
    import numpy as np
    from tqdm import tqdm

    from pix2pix.data.generated import generate
    from pix2pix.data.prepare import ImageToWrite, atomic_folder, write_item
    from pix2pix.errors import format_path

    out = Path(options.out)
    index = 0
    with atomic_folder(out) as folder:
        for phase, count in {"train": options.train, "val": options.val, "test": options.test}.items():
            for number in tqdm(range(1, count + 1), desc=phase, unit="pair", disable=None):
                photo, labels = generate(options.seed, index, size=options.size)
                pair = partial(np.concatenate, [photo, labels], axis=1)
                write_item(ImageToWrite(Path(phase, f"{number:04d}.png"), pair), folder)
                index += 1
    print(f"{index} pairs in {format_path(out)}; train with: {_train(out, '--direction BtoA ')}")


_COMMANDS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "combine": _combine,
    "edges": _edges,
    "split": _split,
    "generated": _generated,
}


def _write_drawings(drawings: "Sequence[ImageToWrite]", faults: Sequence[str], out: Path) -> None:
    """Write all images, after checking that each can be made."""
    from tqdm import tqdm

    from pix2pix.data.prepare import atomic_folder, find_problem, write_item

    with atomic_folder(out) as folder:
        found = [find_problem(drawing, folder) for drawing in tqdm(drawings, desc="check", unit="pair", disable=None)]
        _refuse([*faults, *filter(None, found)])
        for drawing in tqdm(drawings, desc="write", unit="pair", disable=None):
            write_item(drawing, folder)
    if any(drawing.path.suffix.lower() in (".jpg", ".jpeg") for drawing in drawings):
        print("JPEG images are stored as PNG with their JPEG artifacts")
    _conclude([drawing.path for drawing in drawings], "pairs", out)


def _refuse(problems: Sequence[str]) -> None:
    """Print the problems, if any, and raise a UserError."""
    if not problems:
        return
    for line in problems[:_LISTED]:
        print(line, file=sys.stderr)
    if len(problems) > _LISTED:
        print(f"and {len(problems) - _LISTED} more", file=sys.stderr)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise UserError(f"{count}, listed above; nothing was written: repair or remove the images")


def _conclude(paths: Sequence[Path], what: str, out: Path, *, single: bool = False) -> None:
    """Print what was written and the next command; `single` images may or may not be pairs."""
    from pix2pix.errors import format_path

    phases = Counter(path.parts[0] for path in paths if len(path.parts) > 1)
    if "train" in phases:
        condition = "if each is A|B side by side, " if single else ""
        otherwise = "; for photos to color: add --target_kind lab" if single else ""
        counts = ", ".join(f"{phase} {phases[phase]}" for phase in ("train", "val", "test") if phase in phases)
        print(f"{len(paths)} {what} in {format_path(out)} ({counts}); {condition}train with: {_train(out)}{otherwise}")
        return
    beside = Path(f"{out if out.name else out.resolve()}_split")  # the name of "." is empty
    split = f"{_PROGRAM} split {_flag('--input', out)} {_flag('--out', beside)}"
    print(f"{len(paths)} {what} in {format_path(out)}; split them with: {split}")


def _train(out: Path, flags: str = "") -> str:
    return f"python train.py {_flag('--dataroot', out)} {flags}--name NAME"


def _flag(name: str, path: Path) -> str:
    """Format an option with a path for the shell; a folder `generated` is written as ./generated."""
    text = "./generated" if str(path) == "generated" else str(path)
    return f"{name}{'=' if text.startswith('--') else ' '}{shlex.quote(text)}"
