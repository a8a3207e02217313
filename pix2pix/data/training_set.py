"""What a training needs of its data: pairs to learn from and to validate on, all sound, and how they become tensors."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean
from typing import NamedTuple

from pix2pix.data.pairs import PhasePairs, open_pairs, refusal
from pix2pix.data.survey import LARGEST, Seen, Side, measured, odd_ones, survey
from pix2pix.errors import UserError
from pix2pix.images import Codec, shown
from pix2pix.options import DataOptions

_SAMPLED = 20  # pairs
_IGNORE = 255  # in all channels: what people give pixels that are of no class
_MOST, _FEW = 0.5, 0.15  # shares of pixels; compression alone gives up to 0.12

Progress = Callable[[Iterable[Seen], int, str], Iterable[Seen]]  # hands through so many pairs of a phase


class TrainingSet(NamedTuple):
    """The pairs of both phases; `skipped` names those left out by phase, `faults` says why.

    `remarks` are sentences on what a user may not have meant.
    """

    train: PhasePairs
    val: PhasePairs
    codec: Codec
    skipped: Mapping[str, Sequence[str]]
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def open_training_set(data: DataOptions, progress: Progress) -> TrainingSet:
    """Open the pairs, read each of them once, and measure what the options leave open.

    Raises:
        UserError: files or pairs are faulty and skip_bad is not set; or something is unknown without reading them.
    """
    train, val = _open_both(data)
    colours = data.target_kind == "labels" and data.target_palette is None
    if not len(train):
        reason = (
            f"no pair is left: {train.faults[0]}" if train.faults else "all pairs are kept out: lower --val_fraction"
        )
        raise UserError(f"--dataroot {shown(data.dataroot)}: there is nothing to train on, {reason}")
    if not data.check or (data.dataroot == "generated" and not colours):
        codec = _from_the_first(data, train)
        return TrainingSet(train.of(codec), val.of(codec), codec, {}, train.faults)
    seen = list(progress(survey(train, colours=colours), len(train), "train"))
    odd = odd_ones(seen)
    sound = [one for index, one in enumerate(seen) if index not in odd]
    if not sound:
        raise UserError(f"no pair of train can be used: {odd[0]}")
    codec = measured(data, train, sound)
    val = val.of(codec)
    unreadable = {one.name: one.fault for one in progress(survey(val), len(val), "val") if one.fault is not None}
    faults = (*dict.fromkeys((*train.faults, *val.faults)), *odd.values(), *unreadable.values())
    if faults and not data.skip_bad:
        raise UserError(refusal(faults, data))
    skipped = {"train": [seen[index].name for index in odd], "val": list(unreadable)}
    train, val = train.without(skipped["train"]), val.without(skipped["val"])
    train = train.of(codec)
    return TrainingSet(train, val, codec, skipped, faults, (*_out_of_range(codec, sound), *_of_no_class(train)))


def reopen_training_set(data: DataOptions, codec: Codec, skipped: Mapping[str, Sequence[str]]) -> TrainingSet:
    """Open the pairs of a run that is resumed: what was measured and left out at its start stays so."""
    train, val = (
        pairs.without(skipped.get(phase, ())).of(codec)
        for phase, pairs in zip(("train", "val"), _open_both(data), strict=True)
    )
    return TrainingSet(train, val, codec, skipped)


def _out_of_range(codec: Codec, seen: Sequence[Seen]) -> list[str]:
    """Sentences on values that a range, given or known, would clip.

    Raises:
        UserError: a range holds none of the values.
    """
    remarks = []
    for place, (side, encoding) in enumerate(zip(("source", "target"), codec, strict=True)):
        low, high = min(min(one.sides[place].low) for one in seen), max(max(one.sides[place].high) for one in seen)
        first, last = min(encoding.low), max(encoding.high)
        found = f"the {side}s hold values from {low:g} to {high:g}"
        if low < high and (high <= first or last <= low):
            raise UserError(f"--{side}_range {first:g},{last:g}: {found}: give a range that has them inside")
        if encoding.kind != "onehot" and (low < first or high > last):
            remarks.append(f"{found}: those outside {first:g} to {last:g} are clipped")
    return remarks


def _of_no_class(train: PhasePairs) -> list[str]:
    """Sentences on label maps with pixels that the palette has no class for, by a sample of the pairs.

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
        strange = [encoding.strangers(image) for image in images]
        meant = [mask & (image != _IGNORE).any(axis=2) for mask, image in zip(strange, images, strict=True)]
        share, doubtful = (mean(float(mask.mean()) for mask in masks) for masks in (strange, meant))
        numbers = f"; its numbers are 0 to {len(encoding.palette) - 1}" if encoding.is_numbered else ""
        found = f"{share:.2%} of the {side}s' pixels are of no class of the palette{numbers}"
        if doubtful > _MOST:
            raise UserError(
                f"{found}: see whether the direction is right, and whether the images hold its colours, or numbers of "
                "its classes"
            )
        if share > (0 if encoding.is_numbered else _FEW):
            remarks.append(found)
    return remarks


def _open_both(data: DataOptions) -> tuple[PhasePairs, PhasePairs]:
    return open_pairs(data, "train").first(data.max_dataset_size), open_pairs(data, "val")


def _from_the_first(data: DataOptions, train: PhasePairs) -> Codec:
    """How pairs become tensors, where the first one is all that may be read."""
    (seen,) = survey(train.first(1))
    if seen.fault is not None:
        raise UserError(seen.fault)
    needed = _unknown(data, *seen.sides)
    if needed:
        raise UserError(f"--check false reads the first pair alone: give {' and '.join(needed)}, or leave it out")
    return measured(data, train, [seen])


def _unknown(data: DataOptions, source: Side, target: Side) -> list[str]:
    """The options that have to say what only reading every pair tells."""
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


def _is_measured(side: Side, has_classes: bool, has_palette: bool) -> bool:
    """Whether the range of a side follows from its values: that of deep images, and of class numbers."""
    if side.shape[2] == 1 and has_palette:
        return False
    return side.dtype != "uint8" or (has_classes and side.shape[2] == 1)
