"""What a training needs of its data: pairs to learn from and to validate on, all sound, and how they become tensors."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from pix2pix.data.pairs import PhasePairs, open_pairs, refusal
from pix2pix.data.survey import Seen, measured, odd_ones, survey
from pix2pix.errors import UserError
from pix2pix.images import Codec
from pix2pix.options import DataOptions

Progress = Callable[[Iterable[Seen], int, str], Iterable[Seen]]  # hands through so many pairs of a phase


class TrainingSet(NamedTuple):
    """The pairs of both phases; `skipped` names those left out by phase, `faults` says why."""

    train: PhasePairs
    val: PhasePairs
    codec: Codec
    skipped: Mapping[str, Sequence[str]]
    faults: tuple[str, ...]


def open_training_set(data: DataOptions, progress: Progress) -> TrainingSet:
    """Open the pairs, read each of them once, and measure what the options leave open.

    Raises:
        UserError: files or pairs are faulty and skip_bad is not set; or something is unknown without reading them.
    """
    train, val = _open_both(data)
    colours = data.target_kind == "labels" and data.target_palette is None
    if not len(train):
        raise UserError(f"{data.dataroot} leaves no pair to train on; lower --val_fraction")
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
    return TrainingSet(train.of(codec), val, codec, skipped, faults)


def reopen_training_set(data: DataOptions, codec: Codec, skipped: Mapping[str, Sequence[str]]) -> TrainingSet:
    """Open the pairs of a run that is resumed: what was measured and left out at its start stays so."""
    train, val = (
        pairs.without(set(skipped.get(phase, ()))).of(codec)
        for phase, pairs in zip(("train", "val"), _open_both(data), strict=True)
    )
    return TrainingSet(train, val, codec, skipped, ())


def _open_both(data: DataOptions) -> tuple[PhasePairs, PhasePairs]:
    return open_pairs(data, "train").first(data.max_dataset_size), open_pairs(data, "val")


def _from_the_first(data: DataOptions, train: PhasePairs) -> Codec:
    """How pairs become tensors, where the first one is all that may be read."""
    (seen,) = survey(train.first(1))
    if seen.fault is not None:
        raise UserError(seen.fault)
    unknown = {
        "--source_range LO,HI": data.source_range is None and seen.sides[0].dtype != "uint8",
        "--target_range LO,HI": data.target_range is None and seen.sides[1].dtype != "uint8",
        "--target_palette PALETTE": data.target_kind == "labels" and data.target_palette is None,
    }
    needed = [flag for flag, is_unknown in unknown.items() if is_unknown]
    if needed:
        raise UserError(f"--check false reads the first pair alone: give {' and '.join(needed)}, or leave it out")
    return measured(data, train, [seen])
