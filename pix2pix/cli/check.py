"""`python -m pix2pix check DATAROOT`: everything that is wrong or odd in a data set, in one pass."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix.errors import UserError
from pix2pix.options import CheckOptions, parse

if TYPE_CHECKING:
    from pix2pix.data.layouts import FilePairs, Listing
    from pix2pix.data.oddities import Oddity
    from pix2pix.data.survey import Seen

PHASES = ("train", "val", "test")
SHEET_PAIRS = 24
_LONGEST = 200  # bytes of the sheet's name, of the 255 that file systems allow
_NO_PAIRS = "pairs; put A|B images into train/, or A and B into trainA/ and trainB/"


def check(argv: Sequence[str]) -> int:
    """Read every file of a data set and print what was found; return 2 if anything is wrong."""
    words = ["--dataroot", *argv] if argv and not argv[0].startswith("--") else list(argv)
    options = parse(words, CheckOptions, program="python -m pix2pix check DATAROOT").options
    from pix2pix.data.oddities import oddities
    from pix2pix.images import shown

    root = Path(options.dataroot)
    if not root.is_dir():
        raise UserError(f"{shown(root)} is no folder; the folder of a data set is needed")
    sheet = _sheet(root, options)
    listings, faults = _listed(root, options)
    if not listings and not faults:
        raise UserError(f"{shown(root)} holds no {_NO_PAIRS}")
    pairs = {phase: listing.pairs for phase, listing in listings.items()}
    others, unlisted = _others(root, listings)
    phases = {phase: _read(phase, found) for phase, found in pairs.items()}
    unlike = _unlike(phases, photos=options.photos)
    for phase, found in unlike.items():
        faults += (_of(phase, fault) for fault in found.values())
    faults = list(dict.fromkeys([*faults, *unlisted]))
    odd = [*others, *oddities(phases, photos=options.photos)]
    for line in _table(phases, pairs):
        print(line)
    for sentence in faults:
        print(f"wrong: {sentence}")
    for oddity in odd:
        print(f"odd: {oddity.sentence}")
    print(f"{len(faults)} wrong, {len(odd)} odd" if faults else f"nothing wrong, {len(odd)} odd", flush=True)
    striking = {id(phases[phase][index]) for phase, found in unlike.items() for index in found}
    _write_sheet(sheet, phases, pairs, striking | {id(one) for oddity in odd for one in oddity.pairs})
    print(f"contact sheet: {shown(sheet)}")
    return 2 if faults else 0


def _sheet(root: Path, options: CheckOptions) -> Path:
    """Where the contact sheet goes: not among the images that the next look would read."""
    from pix2pix.images import shown

    if Path(options.out).resolve().is_relative_to(root.resolve()):
        raise UserError(f"--out {shown(options.out)} lies in the data set: name a folder outside {shown(root)}")
    name = root.resolve().name
    while len(os.fsencode(name)) > _LONGEST:
        name = name[:-1]
    return Path(options.out) / f"{name}.png"


def _listed(root: Path, options: CheckOptions) -> "tuple[dict[str, Listing], list[str]]":
    """The pairs of the phases that there are, and what is wrong with the folders."""
    from pix2pix.data.layouts import list_pairs
    from pix2pix.images import shown

    listings, faults, missing = {}, [], []
    for phase in PHASES:
        try:
            listing = list_pairs(root, phase, photos=options.photos, max_pixels=options.max_pixels)
        except UserError as error:
            faults.append(_of(phase, str(error)))
            continue
        if listing is None:
            missing.append(phase)
        else:
            listings[phase] = listing
            faults += (_of(phase, fault) for fault in listing.faults)
    if "train" in missing and len(missing) < len(PHASES):
        faults.insert(0, f"{shown(root)} has no train, without which nothing can be learnt: add it")
    return listings, faults


def _of(phase: str, fault: str) -> str:
    """The fault, told apart where training does not mind."""
    return f"for test.py alone: {fault}" if phase == "test" else fault


def _others(root: Path, listings: "Mapping[str, Listing]") -> "tuple[list[Oddity], list[str]]":
    """What lies in the data set and is not read; as faults, folders that cannot be listed."""
    from pix2pix.data.layouts import possible_folders
    from pix2pix.data.oddities import unread

    folders = {
        folder
        for phase in PHASES
        for folder in (listings[phase].folders if phase in listings else possible_folders(root, phase))
    }
    try:
        return unread(root, folders, {phase: listing.pairs.layout for phase, listing in listings.items()}), []
    except UserError as error:
        return [], [str(error)]


def _unlike(phases: "Mapping[str, Sequence[Seen]]", *, photos: bool) -> dict[str, dict[int, str]]:
    """The faults of each phase by place: train's as training counts them, the others' by what train has."""
    from pix2pix.data.survey import odd_ones, unlike_train, usual_encodings

    train = phases.get("train", ())
    usual = usual_encodings(train, photos=photos)
    return {
        phase: odd_ones(train, ("photo",) if photos else ("A", "B"), photos=photos)
        if phase == "train"
        else unlike_train(seen, usual)
        for phase, seen in phases.items()
    }


def _read(phase: str, pairs: "FilePairs") -> "list[Seen]":
    from tqdm import tqdm

    from pix2pix.data.survey import survey

    return list(tqdm(survey(pairs, closely=True), desc=phase, total=len(pairs), unit="pair", disable=None))


def _count(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'s' * (len(things) != 1)}"


def _table(phases: "Mapping[str, Sequence[Seen]]", pairs: "Mapping[str, FilePairs]") -> list[str]:
    """Lines on what each phase holds."""
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


def _sizes_and_values(sound: "Sequence[Seen]") -> list[str]:
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
    path: Path, phases: "Mapping[str, Sequence[Seen]]", pairs: "Mapping[str, FilePairs]", striking: set[int]
) -> None:
    """Draw pairs from all phases, those with something odd first."""
    from pix2pix.data.contact_sheet import Tile, contact_sheet
    from pix2pix.images import shown, write

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
        tiles.append(Tile(f"{phase}/{name}", (a,) if b is a else (a, b), is_striking))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {shown(path.parent)} cannot be written: {error.strerror}") from error
    write(path, contact_sheet(tiles))
