"""Warnings about data sets: suspicious but valid."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from pix2pix.checkpoint import hash_file
from pix2pix.data.io import estimate_jpeg_quality, find_images, find_other_files
from pix2pix.data.validate import PairCheck, explain_mismatch, find_usual_formats
from pix2pix.errors import format_path

PLAIN = 0.95  # share of one color in an empty image
LEADING = 0.5  # share of one color that is suspicious if it rarely dominates
SELDOM = 0.01  # of the images
USUAL = 0.1  # of the images
FEW = 64  # most distinct colors of a label map
_NAMED = 3  # equal files that are named; others are counted
_JPEGS = 100  # least files of a phase whose compression is compared
_FEWER_BYTES = 0.85
_QUALITIES_APART = 5
_LOW, _MANY = 4, 16  # most rows and least channels of an image with channels first
_MEANT = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"} | {
    "test": "test",
    "testing": "test",
}

Phases = Mapping[str, Sequence[PairCheck]]


class DatasetWarning(NamedTuple):
    """A warning, and its pairs if it is about single ones."""

    sentence: str
    pairs: tuple[PairCheck, ...] = ()


class _Jpeg(NamedTuple):
    quality: float
    size: float  # bytes per pixel


class _File(NamedTuple):
    path: Path
    phase: str
    pair: PairCheck


def find_warnings(phases: Phases, *, photos: bool = False) -> list[DatasetWarning]:
    """Return warnings about valid pairs; for photos, which are both sides, once."""
    sides = {1: "the photo"} if photos else {0: "A", 1: "B"}
    sound = {phase: [one for one in seen if one.fault is None] for phase, seen in phases.items()}
    all_pairs = [one for seen in sound.values() for one in seen]
    found = [warning for place, side in sides.items() for warning in _plain(all_pairs, place, side)]
    found += [warning for place in sides for warning in _channels_first(all_pairs, place)]
    found += _twice(sound)
    found += [] if photos else _other_channels(sound)
    for place, side in {} if photos else sides.items():
        found += _labels(all_pairs, place, side)
    for files, side in (((0,), "A"), ((1,), "B"), ((0, 1), "the photos" if photos else "A|B")):
        found += _compressed_otherwise({phase: _jpegs(seen, files) for phase, seen in sound.items()}, side)
    return found


def find_unread_files(root: Path, folders: Collection[Path], layouts: Mapping[str, str]) -> list[DatasetWarning]:
    """Return warnings about images outside of the `folders` of the phases, and other files.

    `layouts` describe the folders of the phases.

    Raises:
        ImageError: a folder cannot be listed.
    """
    beside: dict[Path, list[Path]] = defaultdict(list)
    for path in find_images(root):
        beside[path.parent].append(path)
    outside: dict[Path, list[Path]] = defaultdict(list)
    for folder, paths in beside.items():
        place = _outermost(folder, root, folders)
        if place is not None:
            outside[place] += paths
    found = [
        DatasetWarning(
            f"{_count(paths, 'image')} in {format_path(place)}, such as {format_path(paths[0])}: "
            f"not read{_meant(place, layouts)}"
        )
        for place, paths in outside.items()
    ]
    kinds: dict[str, list[Path]] = defaultdict(list)
    for path in find_other_files(root):
        kinds[path.suffix.lower() or "no suffix"].append(path)
    return found + [
        DatasetWarning(f"{_count(paths, 'file')} of {format_path(kind)}, such as {format_path(paths[0])}: not read")
        for kind, paths in kinds.items()
    ]


def _outermost(folder: Path, root: Path, read: Collection[Path]) -> Path | None:
    """Return the outermost folder on the path to `folder` that contains none in `read`; None inside one of them."""
    place = root
    for part in (*folder.relative_to(root).parts, ""):
        if place in read:
            return None
        if not any(one.is_relative_to(place) for one in read):
            return place
        place /= part
    return folder


def _meant(place: Path, layouts: Mapping[str, str]) -> str:
    """Suggest what a folder that is not read was meant for."""
    name = place.name.casefold()
    side = name[-1:].upper() if name.endswith(("a", "b")) else ""
    phase = _MEANT.get(name.removesuffix(side.lower()))
    if phase is not None and phase in layouts:
        return f": {phase} is {layouts[phase]}"
    return f": call it {phase}{side}/" if phase and place.name != phase + side else ""


def _count(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'s' * (len(things) != 1)}"


def _plain(pairs: Sequence[PairCheck], place: int, side: str) -> list[DatasetWarning]:
    """Return warnings about images of one color, or dominated by a color that is rare elsewhere."""
    looks = [(one, look) for one in pairs if (look := one.sides[place].look)]
    leads = Counter(look.color for _, look in looks)
    is_usual = sum(look.share >= PLAIN for _, look in looks) > max(1, USUAL * len(looks))  # as in edge maps
    found = []
    for one, look in looks:
        stands_out = look.share >= LEADING and leads[look.color] <= SELDOM * len(looks)
        if stands_out or (look.share >= PLAIN and not is_usual):
            found.append(DatasetWarning(f"{one.places[place]}: {look.share:.0%} of {side} is one color", (one,)))
    return found


def _channels_first(pairs: Sequence[PairCheck], place: int) -> list[DatasetWarning]:
    """Return warnings about images that seem to have channels first."""
    deep = [one for one in pairs if one.sides[place].shape[0] <= _LOW and one.sides[place].shape[2] > _MANY]
    if not deep:
        return []
    height, width, channels = deep[0].sides[place].shape
    more = f" (and {len(deep) - 1} more)" if len(deep) > 1 else ""
    what = f"{channels} channels of a {height}x{width} image"
    return [DatasetWarning(f"{deep[0].places[place]}{more}: {what}: channels first? put them last", tuple(deep))]


def _other_channels(phases: Phases) -> list[DatasetWarning]:
    """Return warnings about images of val and test converted to the channels of train."""
    usual = find_usual_formats(phases.get("train", ()))
    found = []
    for phase, seen in phases.items():
        for place, encoding in enumerate(usual if phase != "train" else ()):
            others = [
                one
                for one in seen
                if one.sides[place].shape[2] != encoding.channels
                and explain_mismatch(one.sides[place], encoding) is None
            ]
            if others:
                found.append(
                    DatasetWarning(
                        f"{phase}: {len(others)} of {len(seen)} {'AB'[place]} have other channels than train, such as "
                        f"{others[0].places[place]} with {others[0].sides[place].shape[2]} for {encoding.channels}: "
                        "photos are converted, label maps refused",
                        tuple(others),
                    )
                )
    return found


def _twice(phases: Phases) -> list[DatasetWarning]:
    """Return warnings about equal files; across phases they bias scores."""
    alike: dict[object, list[_File]] = defaultdict(list)  # by a key known without reading
    for phase, seen in phases.items():
        for one in seen:
            paths = tuple(dict.fromkeys(one.files))
            for path, key in zip(paths, one.sides if len(paths) == 2 else [one.sides], strict=False):
                alike[key].append(_File(path, phase, one))
    found = []
    for candidates in alike.values():
        same: dict[str, list[_File]] = defaultdict(list)
        for file in candidates if len(candidates) > 1 else ():
            same[hash_file(file.path)].append(file)
        found += [_copies(files) for files in same.values() if len(files) > 1]
    return found


def _copies(files: Sequence[_File]) -> DatasetWarning:
    named = [format_path(file.path) for file in files[:_NAMED]]
    more = [f"{len(files) - _NAMED} more"] if len(files) > _NAMED else []
    phases = list(dict.fromkeys(file.phase for file in files))
    leak = f", in {' and '.join(phases)}: scores will be too good" if len(phases) > 1 else ""
    return DatasetWarning(f"{' and '.join(named + more)} are the same file{leak}", tuple(file.pair for file in files))


def _labels(pairs: Sequence[PairCheck], place: int, side: str) -> list[DatasetWarning]:
    """Return warnings about photos that look like label maps."""
    looks = [look for one in pairs if (look := one.sides[place].look)]
    if not looks:
        return []
    distinct = median(look.distinct for look in looks)
    palette, count = Counter(look.palette for look in looks).most_common(1)[0]
    if palette is not None and count >= len(looks) / 2 and distinct > FEW:
        return [
            DatasetWarning(
                f"{side} looks like label maps with the colors of `{palette}`, mixed by JPEG or resizing: as source "
                f"--source_onehot {palette}, as target --target_kind labels --target_palette {palette} restore them"
            )
        ]
    if distinct <= FEW:
        what = f"the colors of `{palette}`" if palette else f"few colors (about {distinct:.0f}), like label maps"
        return [DatasetWarning(f"{side} has {what}: --source_kind labels or --target_kind labels prevents mixing them")]
    return []


def _compressed_otherwise(phases: Mapping[str, Sequence[_Jpeg]], side: str) -> list[DatasetWarning]:
    """Return warnings about phases whose JPEG files differ in quality or in bytes per pixel."""
    jpegs = {phase: found for phase, found in phases.items() if found}
    if not jpegs:
        return []
    qualities = {phase: median(jpeg.quality for jpeg in found) for phase, found in jpegs.items()}
    if max(qualities.values()) - min(qualities.values()) >= _QUALITIES_APART:
        said = ", ".join(f"{phase} about {quality:.0f}" for phase, quality in qualities.items())
        return [DatasetWarning(f"the JPEG quality of {side} differs between phases: {said}")]
    sizes = {phase: median(jpeg.size for jpeg in found) for phase, found in jpegs.items()}
    most = max(sizes, key=lambda phase: sizes[phase])
    return [
        DatasetWarning(
            f"{phase}: the JPEG files of {side} have {1 - sizes[phase] / sizes[most]:.0%} fewer bytes per pixel than "
            f"those of {most}, at the same quality: smoother images, or compressed twice"
        )
        for phase in sizes
        if sizes[phase] < _FEWER_BYTES * sizes[most]
    ]


def _jpegs(seen: Sequence[PairCheck], places: tuple[int, ...]) -> list[_Jpeg]:
    """Return some of the JPEG files with exactly these sides of their pairs."""
    of_them = [one for one in seen if one.files and len(set(one.files)) == 3 - len(places)]
    found = []
    for one in of_them[:: max(len(of_them) // _JPEGS, 1)]:
        path = one.files[places[0]]
        quality = estimate_jpeg_quality(path)
        if quality is not None:
            pixels = sum(one.sides[place].shape[0] * one.sides[place].shape[1] for place in places)
            found.append(_Jpeg(quality, path.stat().st_size / pixels))
    return found
