"""Read every pair before training: find faults, and measure ranges and palettes."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import NamedTuple, TypeVar

import numpy as np

from pix2pix.config.pix2pix import DataOptions
from pix2pix.data.arrays import Array
from pix2pix.data.batch import PairSource
from pix2pix.data.codec import ImageCodec, Kind, PairCodec
from pix2pix.data.dataset import PairDataset, format_faults, open_pairs
from pix2pix.data.labels import PixelSample, load_palette, sample_pixels
from pix2pix.errors import ImageError, UserError, format_path

Result = TypeVar("Result")

_AHEAD = 16  # results computed ahead


def map_ordered(work: Callable[[int], Result], count: int, threads: int = 2) -> Iterator[Result]:
    """Yield work(0) to work(count - 1) in order, computed by threads; exceptions are raised in order."""
    executor = ThreadPoolExecutor(threads)
    ahead: deque[Future[Result]] = deque()
    try:
        for index in range(count):
            ahead.append(executor.submit(work, index))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


MAX_COLOURS = 256  # of labels without a given palette
_TOO_MANY = frozenset((number,) for number in range(MAX_COLOURS + 1))  # shared by all images with more
LARGEST = {"uint8": 255.0, "uint16": 65535.0}  # of photos with a known range


class ImageSummary(NamedTuple):
    """An image: shape (H, W, C), type, minimum and maximum per channel, and its colors if requested."""

    shape: tuple[int, int, int]
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    colors: frozenset[tuple[int, ...]] = frozenset()
    look: PixelSample | None = None


class PairCheck(NamedTuple):
    """The fault of a pair, or both of its sides; `places` are their files as text."""

    name: str
    files: tuple[Path, ...]
    places: tuple[str, ...]
    fault: str | None
    sides: tuple[ImageSummary, ...]


def check_pairs(
    pairs: PairSource, *, colors: bool = False, closely: bool = False, threads: int = 2
) -> Iterator[PairCheck]:
    """Read every pair in order; `colors` collects the target's colors, `closely` samples pixels."""

    def see(index: int) -> PairCheck:
        name = pairs.names[index]
        files = pairs.files(index)
        places = tuple(map(format_path, files)) or (name, name)
        try:
            raw = pairs.read(index)
        except UserError as error:
            return PairCheck(name, files, places, str(error), ())
        target = describe_image(raw.target, colors=colors, closely=closely)
        source = target if raw.source is raw.target else describe_image(raw.source, closely=closely)
        return PairCheck(name, files, places, None, (source, target))

    return map_ordered(see, len(pairs), threads)


def describe_image(image: Array, *, colors: bool = False, closely: bool = False) -> ImageSummary:
    """Summarize an image."""
    channels = image.shape[2]
    bands = [image[..., channel] for channel in range(channels)]  # faster than along an axis
    return ImageSummary(
        image.shape,
        image.dtype.name,
        tuple(float(band.min()) for band in bands),
        tuple(float(band.max()) for band in bands),
        _colors(image.reshape(-1, channels)) if colors else frozenset(),
        sample_pixels(image) if closely else None,
    )


def _colors(flat: Array) -> frozenset[tuple[int, ...]]:
    """Return the distinct colors of (pixels, channels), or _TOO_MANY."""
    if flat.dtype == np.uint8 and flat.shape[1] == 3:  # packed into one integer: 100 times faster
        red, green, blue = flat.T.astype(np.uint32)
        numbers = np.unique(red << 16 | green << 8 | blue)
        distinct = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=1)
    else:
        distinct = np.unique(flat, axis=0)
    return _TOO_MANY if len(distinct) > MAX_COLOURS else frozenset(map(tuple, distinct.tolist()))


def find_inconsistent(
    seen: Sequence[PairCheck], sides: Sequence[str] = ("source", "target"), *, photos: bool = False
) -> dict[int, str]:
    """Return faults by index in `seen`: those of reading, and channels or types that differ from most.

    For colorization, photos may differ in channels. Faults of both sides of a pair are joined.
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
                    f"{one.places[place]}: the {side} has {_in_words(*kind)}, but {count} of {len(sound)} have "
                    f"{_in_words(*usual)}: make them equal"
                )
    return {index: "; ".join(dict.fromkeys(found)) for index, found in faults.items()}


def find_unlike_train(seen: Sequence[PairCheck], usual: Sequence[ImageCodec]) -> dict[int, str]:
    """Return faults by index in `seen`: those of reading, and images that cannot be converted to those of train."""
    faults = {index: [one.fault] for index, one in enumerate(seen) if one.fault is not None}
    for place, encoding in enumerate(usual):
        for index, one in enumerate(seen):
            reason = explain_mismatch(one.sides[place], encoding) if one.fault is None else None
            if reason is not None:
                faults.setdefault(index, []).append(f"{one.places[place]}: {reason}")
    return {index: "; ".join(dict.fromkeys(found)) for index, found in faults.items()}


def explain_mismatch(side: ImageSummary, encoding: ImageCodec) -> str | None:
    """Return why an image cannot be converted to the codec, or None."""
    try:
        encoding.accept(np.zeros((1, 1, side.shape[2]), side.dtype))
    except ImageError as error:
        return str(error)
    return None


def find_usual_formats(train: Sequence[PairCheck], *, photos: bool = False) -> tuple[ImageCodec, ...]:
    """Return the most common channels and type of each side (one side for photos); empty without pairs."""
    sound = [one for one in train if one.fault is None]
    if not sound:
        return ()
    if photos:
        return (ImageCodec("lightness", 3, Counter(one.sides[0].dtype for one in sound).most_common(1)[0][0]),)
    usual = [Counter(_kind(one.sides[place], False) for one in sound).most_common(1)[0][0] for place in (0, 1)]
    return tuple(ImageCodec("photo", channels, dtype) for channels, dtype in usual)


def _kind(side: ImageSummary, photos: bool) -> tuple[int, str]:
    """Return channels (0 for photos, any) and type."""
    return (0 if photos else side.shape[2]), side.dtype


def _in_words(channels: int, dtype: str) -> str:
    return f"{channels} channel{'s' * (channels != 1)} of {dtype}" if channels else f"values of {dtype}"


def measure_codec(data: DataOptions, pairs: PairDataset, seen: Sequence[PairCheck]) -> PairCodec:
    """Build the codec of the pairs from the options and, where they are silent, from the training pairs.

    Raises:
        UserError: the target labels have too many colors for a palette.
    """
    sources, targets = ([one.sides[place] for one in seen if one.fault is None] for place in (0, 1))
    suffixes = [path.suffix.lower() for path in pairs.files(0)] or [".png", ".png"]
    if data.target_kind == "lab":
        return PairCodec(
            _encoding("lightness", sources, data.source_range, suffixes[0]),
            _encoding("chroma", targets, data.target_range or data.source_range, suffixes[1]),
        )
    source = _encoding(data.source_kind, sources, data.source_range, suffixes[0])
    target = _encoding(data.target_kind, targets, data.target_range, suffixes[1])
    if data.source_onehot is not None:
        colors = load_palette(data.source_onehot).colors
        source = replace(source, kind="onehot", palette=colors)
    if data.target_kind == "labels":
        target = replace(target, palette=_palette(data, targets))
    return PairCodec(source, target)


def _encoding(
    kind: Kind, sides: Sequence[ImageSummary], given_range: tuple[float, float] | None, suffix: str
) -> ImageCodec:
    channels, dtype = sides[0].shape[2], sides[0].dtype
    is_lab = kind in ("lightness", "chroma")
    low: tuple[float, ...]
    high: tuple[float, ...]
    lows = np.min([side.low for side in sides], axis=0)
    highs = np.max([side.high for side in sides], axis=0)
    if given_range is not None:
        low, high = (given_range[0],), (given_range[1],)
    elif (dtype == "uint8" and not (kind == "labels" and channels == 1)) or (is_lab and dtype in LARGEST):
        low, high = (0.0,), (LARGEST[dtype],)
    elif is_lab:
        low, high = (float(lows.min()),), (float(highs.max()),)
    else:
        low, high = tuple(map(float, lows)), tuple(map(float, highs))
    channels = 3 if is_lab else channels
    if suffix not in (".tif", ".tiff", ".npy"):
        suffix = ".png" if channels in (1, 3, 4) and dtype in LARGEST else ".tif"
    return ImageCodec(kind, channels, dtype, low, high, (), suffix)


def _palette(data: DataOptions, targets: Sequence[ImageSummary]) -> tuple[tuple[int, ...], ...]:
    if data.target_palette is not None:
        return load_palette(data.target_palette).colors
    colors = frozenset[tuple[int, ...]]().union(*(side.colors for side in targets))
    if len(colors) > MAX_COLOURS:
        raise UserError(
            f"--target_kind labels: the targets have more than {MAX_COLOURS} colors, as in JPEG files: "
            "give their palette with --target_palette"
        )
    return tuple(sorted(colors))


_SAMPLED = 20  # pairs
_IGNORE = 255  # in all channels: a common value of pixels without a class
_MOST, _FEW = 0.5, 0.15  # shares of pixels; compression alone reaches 0.12

Progress = Callable[[Iterable[PairCheck], int, str], Iterable[PairCheck]]  # (pairs, count, phase) -> pairs


class TrainingSet(NamedTuple):
    """The pairs of train and val; `skipped` has the names left out of each, `faults` the reasons.

    `remarks` are warnings about probably unintended options.
    """

    train: PairDataset
    val: PairDataset
    codec: PairCodec
    skipped: Mapping[str, Sequence[str]]
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def open_training_set(data: DataOptions, progress: Progress) -> TrainingSet:
    """Open the pairs, read each of them once, and build the codec.

    Raises:
        UserError: files or pairs are faulty and skip_bad is not set; or --check false lacks options.
    """
    train, val = _open_both(data)
    colors = data.target_kind == "labels" and data.target_palette is None
    if not len(train):
        reason = f"no pair is left: {train.faults[0]}" if train.faults else "all pairs are in val: lower --val_fraction"
        raise UserError(f"--dataroot {format_path(data.dataroot)}: there are no training pairs, {reason}")
    if not data.check or (data.dataroot == "generated" and not colors):
        codec = _from_the_first(data, train)
        return TrainingSet(train.of(codec), val.of(codec), codec, {}, train.faults)
    seen = list(progress(check_pairs(train, colors=colors), len(train), "train"))
    odd = find_inconsistent(seen)
    sound = [one for index, one in enumerate(seen) if index not in odd]
    if not sound:
        raise UserError(f"no pair of train can be used: {odd[0]}")
    codec = measure_codec(data, train, sound)
    val = val.of(codec)
    unreadable = {one.name: one.fault for one in progress(check_pairs(val), len(val), "val") if one.fault is not None}
    faults = (*dict.fromkeys((*train.faults, *val.faults)), *odd.values(), *unreadable.values())
    if faults and not data.skip_bad:
        raise UserError(format_faults(faults, data))
    skipped = {"train": [seen[index].name for index in odd], "val": list(unreadable)}
    train, val = train.without(skipped["train"]), val.without(skipped["val"])
    train = train.of(codec)
    return TrainingSet(train, val, codec, skipped, faults, (*_out_of_range(codec, sound), *_of_no_class(train)))


def reopen_training_set(data: DataOptions, codec: PairCodec, skipped: Mapping[str, Sequence[str]]) -> TrainingSet:
    """Open the pairs of a resumed run, with its codec and without the pairs left out at its start."""
    train, val = (
        pairs.without(skipped.get(phase, ())).of(codec)
        for phase, pairs in zip(("train", "val"), _open_both(data), strict=True)
    )
    return TrainingSet(train, val, codec, skipped)


def _out_of_range(codec: PairCodec, seen: Sequence[PairCheck]) -> list[str]:
    """Return warnings about values that a range clips.

    Raises:
        UserError: all values are outside of a range.
    """
    remarks = []
    for place, (side, encoding) in enumerate(zip(("source", "target"), codec, strict=True)):
        low, high = min(min(one.sides[place].low) for one in seen), max(max(one.sides[place].high) for one in seen)
        first, last = min(encoding.low), max(encoding.high)
        found = f"the {side}s have values from {low:g} to {high:g}"
        if low < high and (high <= first or last <= low):
            raise UserError(f"--{side}_range {first:g},{last:g}: {found}: give a range that includes them")
        if encoding.kind != "onehot" and (low < first or high > last):
            remarks.append(f"{found}: those outside {first:g} to {last:g} are clipped")
    return remarks


def _of_no_class(train: PairDataset) -> list[str]:
    """Return warnings about label pixels without a class in the palette, from a sample of the pairs.

    Raises:
        UserError: they are most of the pixels.
    """
    assert train.codec is not None
    if not any(encoding.palette for encoding in train.codec):
        return []
    sample = [train.read(index) for index in range(0, len(train), max(len(train) // _SAMPLED, 1))]
    remarks = []
    for place, (side, encoding) in enumerate(zip(("source", "target"), train.codec, strict=True)):
        images = [(pair.source, pair.target)[place] for pair in sample]
        strange = [encoding.find_unknown_pixels(image) for image in images]
        meant = [mask & (image != _IGNORE).any(axis=2) for mask, image in zip(strange, images, strict=True)]
        share, doubtful = (mean(float(mask.mean()) for mask in masks) for masks in (strange, meant))
        numbers = f"; its indices are 0 to {len(encoding.palette) - 1}" if encoding.is_numbered else ""
        found = f"{share:.2%} of the {side}s' pixels have no class in the palette{numbers}"
        if doubtful > _MOST:
            raise UserError(
                f"{found}: check --direction, and whether the images have the palette's colors, or indices of "
                "its classes"
            )
        if share > (0 if encoding.is_numbered else _FEW):
            remarks.append(found)
    return remarks


def _open_both(data: DataOptions) -> tuple[PairDataset, PairDataset]:
    return open_pairs(data, "train").first(data.max_dataset_size), open_pairs(data, "val")


def _from_the_first(data: DataOptions, train: PairDataset) -> PairCodec:
    """Build the codec from the first pair alone."""
    (seen,) = check_pairs(train.first(1))
    if seen.fault is not None:
        raise UserError(seen.fault)
    needed = _unknown(data, *seen.sides)
    if needed:
        raise UserError(f"--check false reads only the first pair: give {' and '.join(needed)}, or leave it out")
    return measure_codec(data, train, [seen])


def _unknown(data: DataOptions, source: ImageSummary, target: ImageSummary) -> list[str]:
    """Return the options required without reading every pair."""
    if data.target_kind == "lab":
        return [] if data.source_range or source.dtype in LARGEST else ["--source_range LO,HI"]
    has_classes = data.target_kind == "labels"
    unknown = {
        "--source_range LO,HI": data.source_range is None
        and _is_measured(source, data.source_kind == "labels", data.source_onehot is not None),
        "--target_range LO,HI": data.target_range is None and _is_measured(target, has_classes, has_classes),
        "--target_palette PALETTE": has_classes and data.target_palette is None,
    }
    return [flag for flag, is_unknown in unknown.items() if is_unknown]


def _is_measured(side: ImageSummary, has_classes: bool, has_palette: bool) -> bool:
    """Return whether a side's range is measured: for types other than uint8, and class indices without a palette."""
    if side.shape[2] == 1 and has_palette:
        return False
    return side.dtype != "uint8" or (has_classes and side.shape[2] == 1)
