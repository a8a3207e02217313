"""One look at every pair before training: what is wrong with it, and what its values span."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pix2pix.data.looks import Look, look_at
from pix2pix.data.pairs import PhasePairs
from pix2pix.data.records import Pairs
from pix2pix.data.threads import in_order
from pix2pix.errors import UserError
from pix2pix.images import Array, Codec, Encoding, ImageError, shown
from pix2pix.images.encoding import Kind
from pix2pix.options import DataOptions
from pix2pix.palettes import load_palette

MAX_COLOURS = 256  # of labels whose palette is not given
_TOO_MANY = frozenset(
    (number,) for number in range(MAX_COLOURS + 1)
)  # for all images with more, lest each keep its own
LARGEST = {"uint8": 255.0, "uint16": 65535.0}  # of photos whose range is known without reading all


class Side(NamedTuple):
    """One image: its shape (H, W, C), depth, smallest and largest value per channel, and its colours if asked for."""

    shape: tuple[int, int, int]
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    colours: frozenset[tuple[int, ...]] = frozenset()
    look: Look | None = None


class Seen(NamedTuple):
    """What reading a pair told: the fault, or both of its sides; `places` says in words where each lies."""

    name: str
    files: tuple[Path, ...]
    places: tuple[str, ...]
    fault: str | None
    sides: tuple[Side, ...]


def survey(pairs: Pairs, *, colours: bool = False, closely: bool = False, threads: int = 2) -> Iterator[Seen]:
    """Read every pair, in order; `colours` collects those of the target, `closely` adds a look at the pixels."""

    def see(index: int) -> Seen:
        name = pairs.names[index]
        files = pairs.files(index)
        places = tuple(map(shown, files)) or (name, name)
        try:
            raw = pairs.read(index)
        except UserError as error:
            return Seen(name, files, places, str(error), ())
        target = describe(raw.target, colours=colours, closely=closely)
        source = target if raw.source is raw.target else describe(raw.source, closely=closely)
        return Seen(name, files, places, None, (source, target))

    return in_order(see, len(pairs), threads)


def describe(image: Array, *, colours: bool = False, closely: bool = False) -> Side:
    """Say what an image holds."""
    channels = image.shape[2]
    bands = [image[..., channel] for channel in range(channels)]  # far faster than along an axis of the whole
    return Side(
        image.shape,
        image.dtype.name,
        tuple(float(band.min()) for band in bands),
        tuple(float(band.max()) for band in bands),
        _colours(image.reshape(-1, channels)) if colours else frozenset(),
        look_at(image) if closely else None,
    )


def _colours(flat: Array) -> frozenset[tuple[int, ...]]:
    """The distinct colours of (pixels, channels), or _TOO_MANY."""
    if flat.dtype == np.uint8 and flat.shape[1] == 3:  # as one number each: a hundred times as fast
        red, green, blue = flat.T.astype(np.uint32)
        numbers = np.unique(red << 16 | green << 8 | blue)
        distinct = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=1)
    else:
        distinct = np.unique(flat, axis=0)
    return _TOO_MANY if len(distinct) > MAX_COLOURS else frozenset(map(tuple, distinct.tolist()))


def odd_ones(
    seen: Sequence[Seen], sides: Sequence[str] = ("source", "target"), *, photos: bool = False
) -> dict[int, str]:
    """The faults by place in `seen`: those met in reading, and other channels or another depth than most have.

    Photos to be coloured may differ in their channels. What is wrong with both sides of a pair is told in one fault.
    """
    faults = {index: [one.fault] for index, one in enumerate(seen) if one.fault is not None}
    sound = {index: one for index, one in enumerate(seen) if one.fault is None}
    for place, side in enumerate(sides):
        kinds = Counter(_kind(one.sides[place], photos) for one in sound.values())
        for index, one in sound.items():
            kind = _kind(one.sides[place], photos)
            usual, count = kinds.most_common(1)[0]
            if kind != usual:
                faults.setdefault(index, []).append(
                    f"{one.places[place]}: the {side} has {_in_words(*kind)}, where {count} of {len(sound)} have "
                    f"{_in_words(*usual)}: make them alike"
                )
    return {index: "; ".join(dict.fromkeys(found)) for index, found in faults.items()}


def unlike_train(seen: Sequence[Seen], usual: Sequence[Encoding]) -> dict[int, str]:
    """The faults by place in `seen`: those met in reading, and images that do not become what train has."""
    faults = {index: [one.fault] for index, one in enumerate(seen) if one.fault is not None}
    for place, encoding in enumerate(usual):
        for index, one in enumerate(seen):
            reason = refused(one.sides[place], encoding) if one.fault is None else None
            if reason is not None:
                faults.setdefault(index, []).append(f"{one.places[place]}: {reason}")
    return {index: "; ".join(dict.fromkeys(found)) for index, found in faults.items()}


def refused(side: Side, encoding: Encoding) -> str | None:
    """Why an image is not of the encoding and does not become so; None if it does."""
    try:
        encoding.accept(np.zeros((1, 1, side.shape[2]), side.dtype))
    except ImageError as error:
        return str(error)
    return None


def usual_encodings(train: Sequence[Seen], *, photos: bool = False) -> tuple[Encoding, ...]:
    """The channels and the depth that most images of each side have, photos being one side; none without a pair."""
    sound = [one for one in train if one.fault is None]
    if not sound:
        return ()
    if photos:
        return (Encoding("lightness", 3, Counter(one.sides[0].dtype for one in sound).most_common(1)[0][0]),)
    usual = [Counter(_kind(one.sides[place], False) for one in sound).most_common(1)[0][0] for place in (0, 1)]
    return tuple(Encoding("photo", channels, dtype) for channels, dtype in usual)


def _kind(side: Side, photos: bool) -> tuple[int, str]:
    """Channels, of which photos to be coloured may have any (0), and depth."""
    return (0 if photos else side.shape[2]), side.dtype


def _in_words(channels: int, dtype: str) -> str:
    return f"{channels} channel{'s' * (channels != 1)} of {dtype}" if channels else f"values of {dtype}"


def measured(data: DataOptions, pairs: PhasePairs, seen: Sequence[Seen]) -> Codec:
    """How the pairs become tensors: by the options, or else by what was seen of the training pairs.

    Raises:
        UserError: the labels to translate to have too many colours to be a palette.
    """
    sources, targets = ([one.sides[place] for one in seen if one.fault is None] for place in (0, 1))
    suffixes = [path.suffix.lower() for path in pairs.files(0)] or [".png", ".png"]
    if data.target_kind == "lab":
        return Codec(
            _encoding("lightness", sources, data.source_range, suffixes[0]),
            _encoding("chroma", targets, data.target_range or data.source_range, suffixes[1]),
        )
    source = _encoding(data.source_kind, sources, data.source_range, suffixes[0])
    target = _encoding(data.target_kind, targets, data.target_range, suffixes[1])
    if data.source_onehot is not None:
        colours = load_palette(data.source_onehot).colours
        source = replace(source, kind="onehot", palette=colours)
    if data.target_kind == "labels":
        target = replace(target, palette=_palette(data, targets))
    return Codec(source, target)


def _encoding(kind: Kind, sides: Sequence[Side], wished: tuple[float, float] | None, suffix: str) -> Encoding:
    channels, dtype = sides[0].shape[2], sides[0].dtype
    is_lab = kind in ("lightness", "chroma")
    low: tuple[float, ...]
    high: tuple[float, ...]
    lows = np.min([side.low for side in sides], axis=0)
    highs = np.max([side.high for side in sides], axis=0)
    if wished is not None:
        low, high = (wished[0],), (wished[1],)
    elif (dtype == "uint8" and not (kind == "labels" and channels == 1)) or (is_lab and dtype in LARGEST):
        low, high = (0.0,), (LARGEST[dtype],)
    elif is_lab:
        low, high = (float(lows.min()),), (float(highs.max()),)
    else:
        low, high = tuple(map(float, lows)), tuple(map(float, highs))
    channels = 3 if is_lab else channels
    if suffix not in (".tif", ".tiff", ".npy"):
        suffix = ".png" if channels in (1, 3, 4) and dtype in LARGEST else ".tif"
    return Encoding(kind, channels, dtype, low, high, (), suffix)


def _palette(data: DataOptions, targets: Sequence[Side]) -> tuple[tuple[int, ...], ...]:
    if data.target_palette is not None:
        return load_palette(data.target_palette).colours
    colours = frozenset[tuple[int, ...]]().union(*(side.colours for side in targets))
    if len(colours) > MAX_COLOURS:
        raise UserError(
            f"--target_kind labels: the targets have more than {MAX_COLOURS} colours, as JPEG files of labels do: "
            "name the palette that they stand for with --target_palette"
        )
    return tuple(sorted(colours))
