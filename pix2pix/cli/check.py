"""`python -m pix2pix check DATAROOT`: everything that is wrong or odd in a data set, in one pass."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.errors import UserError
from pix2pix.options import CheckOptions, parse

if TYPE_CHECKING:
    from pix2pix.data.layouts import FilePairs
    from pix2pix.data.survey import Seen

PHASES = ("train", "val", "test")
SHEET_PAIRS = 24


def check(argv: Sequence[str]) -> int:
    """Read every file of a data set and print what was found; return 2 if anything is wrong."""
    words = ["--dataroot", *argv] if argv and not argv[0].startswith("--") else list(argv)
    options = parse(words, CheckOptions, program="python -m pix2pix check DATAROOT").options
    from pix2pix.data.layouts import list_pairs
    from pix2pix.data.oddities import oddities
    from pix2pix.data.survey import odd_ones

    root = Path(options.dataroot)
    if not root.is_dir():
        raise UserError(f"{root} is no folder; the folder of a data set is needed")
    pairs: dict[str, FilePairs] = {}
    faults: list[str] = []
    for phase in PHASES:
        try:
            listing = list_pairs(root, phase, photos=options.photos, max_pixels=options.max_pixels)
        except UserError as error:
            faults.append(str(error))
            continue
        if listing is not None:
            pairs[phase] = listing.pairs
            faults += listing.faults
    if not pairs and not faults:
        raise UserError(f"{root} holds no pairs; put A|B images into train/, or A and B into trainA/ and trainB/")
    phases = {phase: _read(phase, found) for phase, found in pairs.items()}
    everything = [one for seen in phases.values() for one in seen]
    found = odd_ones(everything, ("A", "B"))
    faults += found.values()
    odd = [*_unused(root), *oddities(phases)]
    _print_table(phases, pairs)
    _print_list("wrong", faults)
    _print_list("odd", odd)
    marked = {id(everything[index]) for index in found} | {
        id(one) for one in everything if any(place in sentence for sentence in odd for place in one.places)
    }
    sheet = _write_sheet(Path(options.out) / f"{root.resolve().name}.png", phases, pairs, marked)
    print(f"contact sheet: {sheet}")
    print(f"{len(faults)} wrong, {len(odd)} odd" if faults else f"nothing wrong, {len(odd)} odd")
    return 2 if faults else 0


def _read(phase: str, pairs: "FilePairs") -> "list[Seen]":
    from tqdm import tqdm

    from pix2pix.data.survey import survey

    return list(tqdm(survey(pairs, closely=True), desc=phase, total=len(pairs), unit="pair", disable=None))


def _unused(root: Path) -> list[str]:
    """What lies in the data set and is not read: files of other kinds, and a missing val or test."""
    from pix2pix.images import find_others, shown

    others = find_others(root)
    kinds = Counter(path.suffix.lower() or "no suffix" for path in others)
    said = [
        f"{count} files of {kind} are not read, such as {shown(_first(others, kind))}" for kind, count in kinds.items()
    ]
    return said


def _first(paths: Sequence[Path], kind: str) -> Path:
    return next(path for path in paths if (path.suffix.lower() or "no suffix") == kind)


def _print_table(phases: "dict[str, list[Seen]]", pairs: "dict[str, FilePairs]") -> None:
    for phase in PHASES:
        if phase not in phases:
            print(f"{phase}: none")
            continue
        seen = phases[phase]
        sound = [one for one in seen if one.fault is None]
        print(f"{phase}: {pairs[phase].layout}: {len(sound)} pairs" + f" of {len(seen)}" * (len(sound) < len(seen)))
        sizes = Counter(one.sides[0].shape[:2] for one in sound)
        if not sizes:
            continue
        common = ", ".join(f"{height}x{width} ({count})" for (height, width), count in sizes.most_common(3))
        print(f"  height x width: {common}" + f", and {len(sizes) - 3} other sizes" * (len(sizes) > 3))
        for place, letter in enumerate("AB"):
            kinds = Counter((one.sides[place].shape[2], one.sides[place].dtype) for one in sound)
            low = min(min(one.sides[place].low) for one in sound)
            high = max(max(one.sides[place].high) for one in sound)
            words = ", ".join(f"{nc} x {dtype} ({count})" for (nc, dtype), count in kinds.most_common())
            print(f"  {letter}: channels x depth: {words}; values {low:g} to {high:g}")


def _print_list(title: str, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        print(f"{title}: {sentence}")


def _write_sheet(path: Path, phases: "dict[str, list[Seen]]", pairs: "dict[str, FilePairs]", marked: set[int]) -> Path:
    """Draw pairs from all phases, those with something odd first."""
    from pix2pix.data.contact_sheet import Tile, contact_sheet
    from pix2pix.images import write

    sound = [
        (id(one) in marked, phase, index)
        for phase, seen in phases.items()
        for index, one in enumerate(seen)
        if one.fault is None
    ]
    striking = [place for place in sound if place[0]][: SHEET_PAIRS // 3]
    others = [place for place in sound if place not in striking]
    count = SHEET_PAIRS - len(striking)
    chosen = [*striking, *others[:: max(-(-len(others) // count), 1)]]
    tiles = []
    for is_marked, phase, index in chosen:
        a, b, name = pairs[phase].read(index)
        tiles.append(Tile(f"{phase}/{name}", (a, b), is_marked))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {path.parent} cannot be written: {error.strerror}") from error
    write(path, contact_sheet(tiles))
    return path
