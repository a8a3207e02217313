"""Resize, crop, flip and augment both images of a pair identically."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from random import Random
from types import ModuleType
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from pydantic import ValidationError

from pix2pix.config.augmentation import Transform
from pix2pix.config.base import format_value as shown_value
from pix2pix.config.types import did_you_mean
from pix2pix.data.arrays import Array, resize
from pix2pix.data.batch import RawPair
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.errors import UserError, format_path


class CropWindow(NamedTuple):
    """The rows and columns of a crop, and whether it is mirrored."""

    rows: slice
    columns: slice
    mirrored: bool

    def of(self, raw: RawPair) -> RawPair:
        """Crop both images; views if not mirrored."""
        source, target = (image[self.rows, self.columns] for image in (raw.source, raw.target))
        if self.mirrored:
            source, target = _mirrored(source), _mirrored(target)
        return RawPair(source, target, raw.name)


def draw_crop(raw: RawPair, size: tuple[int, int], draw: Random) -> tuple[slice, slice]:
    """Draw the rows and columns of a crop of (height, width).

    Raises:
        UserError: the pair is smaller than that.
    """
    height, width = raw.source.shape[:2]
    if height < size[0] or width < size[1]:
        raise UserError(
            f"{format_path(raw.name)}: {height}x{width} is smaller than --crop_size {size[0]}x{size[1]}: "
            "lower it, or use --preprocess resize_and_crop"
        )
    top = int((height - size[0] + 1) * draw.random())
    left = int((width - size[1] + 1) * draw.random())
    return slice(top, top + size[0]), slice(left, left + size[1])


def _mirrored(array: Array) -> Array:
    if array.shape[2] > 4:
        return array.take(np.arange(array.shape[1])[::-1], axis=1)
    # OpenCV is faster for few channels; as bytes, since OpenCV 4 has no uint32
    mirrored: Array = np.asarray(cv2.flip(np.ascontiguousarray(array).view(np.uint8), 1))
    return mirrored.view(array.dtype).reshape(array.shape)


MOST_CHANNELS = 128  # OpenCV's limit: a few transforms crash the process above it

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class PairTransform:
    """A transform and its sides ("source", "target" or both), which share its random parameters.

    Photos are passed as uint8 if all are, else as float32 in [0, 1]. For labels the indices of their pixels are passed
    as a mask, so that values of any type are kept and both sides move identically. Pixels from outside of the image
    become `fill`, one file value or one per channel.
    """

    name: str
    transform: Any
    encodings: Mapping[str, ImageCodec]
    fill: Any = 0

    def apply(self, raw: RawPair, seed: int, always: bool = False) -> RawPair:
        """Apply the transform with this seed; `always` ignores its p.

        Raises:
            UserError: it fails on these images, or its result is not a pair of the same channels and types.
        """
        before = {side: array for side, array in raw._asdict().items() if side in self.encodings}
        try:
            after = self._changed(before, seed, always)
            pair = RawPair(after.get("source", raw.source), after.get("target", raw.target), raw.name)
            if pair.source.shape[:2] != pair.target.shape[:2]:
                raise ValueError("it leaves the two images with different sizes")
        except Exception as error:  # albumentations and OpenCV raise many types
            what = " and ".join(map(self._described, before, before.values()))
            cause = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
            raise UserError(
                f"--augment: {self.name} fails on {format_path(raw.name)}, {what}: {cause}; change it or leave it out"
            ) from error
        return pair

    def _changed(self, before: Arrays, seed: int, always: bool) -> Arrays:
        photos = self._as_given({side: one for side, one in before.items() if not self.encodings[side].is_labels})
        height, width = next(iter(before.values())).shape[:2]
        # albumentations needs an image, on which some transforms depend: the first photo, or a blank one
        keys = dict(zip(photos, ("image", "other"), strict=False))
        given: dict[str, Array] = {"image": np.zeros((height, width, 1), np.uint8)}
        given |= {keys[side]: one for side, one in photos.items()}
        if len(photos) < len(before):
            given["mask"] = _places(height, width)
        self.transform.add_targets({"other": "image"})
        self.transform.set_random_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = self.transform(force_apply=always, **given)
        if all(made[key] is given[key] for key in given):
            return before  # not applied: avoid rounding by [0, 1]
        return {
            side: self._taken(side, one, photos[side], made[keys[side]])
            if side in photos
            else _from_places(one, made["mask"], self.fill)
            for side, one in before.items()
        }

    def _as_given(self, photos: Arrays) -> Arrays:
        for side, array in photos.items():
            if array.shape[2] > MOST_CHANNELS:
                raise ValueError(f"more than {MOST_CHANNELS} channels in the {side}")
        if all(array.dtype == np.uint8 for array in photos.values()):
            return photos
        return {side: self.encodings[side].to_unit(array) for side, array in photos.items()}

    def _taken(self, side: str, before: Array, given: Array, made: Array) -> Array:
        made = made.reshape(*made.shape[:2], -1)
        if made.dtype != given.dtype or made.shape[2] != given.shape[2]:
            raise ValueError(f"it turns the {side} into {made.shape[2]} x {made.dtype}")
        if not np.isfinite(made).all():
            raise ValueError(f"it makes values of the {side} NaN or infinite")
        return made if given is before else self.encodings[side].from_unit(made)

    def _described(self, side: str, array: Array) -> str:
        kind = "labels" if self.encodings[side].is_labels else "photo"
        height, width, channels = array.shape
        return f"the {side} {kind} of {height}x{width} and {channels} x {array.dtype}"


def _places(height: int, width: int) -> Array:
    """Number the pixels from 1; 0 means outside."""
    count = height * width
    exact = np.float32 if count < 2**24 else np.float64
    return np.arange(1, count + 1, dtype=exact).reshape(height, width)


def _from_places(array: Array, places: Array, fill: Any) -> Array:
    numbers = places.astype(np.intp)
    moved: Array = array.reshape(-1, array.shape[2])[np.maximum(numbers, 1) - 1]
    if np.issubdtype(array.dtype, np.integer):
        limits = np.iinfo(array.dtype)
        fill = np.clip(np.rint(fill), limits.min, limits.max)
    moved[numbers == 0] = np.asarray(fill, dtype=array.dtype)
    return moved


Preprocess = Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]
Size = tuple[int, int]

_PHOTOS = PairCodec(ImageCodec("photo", 3), ImageCodec("photo", 3))
_NEAREST = (0, 6)  # INTER_NEAREST and INTER_NEAREST_EXACT
_BOXES = "it needs boxes or masks"
_OTHERS = "it needs other images or texts"
_VALUES = "it changes the range of values"
_FILLS = ("fill_mask", "mask_drop_value")
_CUTTING = ("CoarseDropout", "Erasing", "GridDropout", "PixelDropout", "XYMasking")  # leave all else where it is
_UNFIT: Mapping[str, str] = {
    **dict.fromkeys(("AtLeastOneBBoxRandomCrop", "BBoxSafeRandomCrop", "RandomSizedBBoxSafeCrop"), _BOXES),
    **dict.fromkeys(("RandomCropNearBBox", "CropNonEmptyMaskIfExists", "MaskDropout"), _BOXES),
    "ConstrainedCoarseDropout": _BOXES,
    **dict.fromkeys(("FDA", "HistogramMatching", "PixelDistributionAdaptation", "Mosaic"), _OTHERS),
    **dict.fromkeys(("OverlayElements", "TextImage"), _OTHERS),
    **dict.fromkeys(("Normalize", "ToFloat", "FromFloat"), _VALUES),
    "Lambda": "it needs code",
}


def resize_pair(
    raw: RawPair,
    preprocess: Preprocess,
    load_size: Size,
    crop_size: Size,
    training: bool,
    codec: PairCodec | None = None,
) -> RawPair:
    """Resize both images as preprocess says; sizes are (height, width).

    In training that is load_size (its width for scale_width*), from which Augment crops. Otherwise nothing is cropped:
    where training crops, images are resized to crop_size, or its width. Without a codec both are photos.
    """
    size = _size(raw.source.shape[0], raw.source.shape[1], preprocess, load_size, crop_size, training)
    if codec is None:
        return RawPair(resize(raw.source, size), resize(raw.target, size), raw.name)
    return RawPair(codec.source.resize(raw.source, size), codec.target.resize(raw.target, size), raw.name)


def _size(height: int, width: int, preprocess: Preprocess, load_size: Size, crop_size: Size, training: bool) -> Size:
    match preprocess:
        case "resize_and_crop":
            return load_size if training else crop_size
        case "scale_width":
            new_width = load_size[1]
        case "scale_width_and_crop":
            new_width = load_size[1] if training else crop_size[1]
        case "crop" | "none":
            return height, width
    return max(round(height * new_width / width), 1), new_width


class Augment:
    """The user's transforms, random crop and flip, a function of (seed, epoch, index).

    Each has its own random stream, independent of the others. Without a codec both images are 8-bit photos.

    Raises:
        UserError: a transform is unknown, has invalid arguments, or does not fit the kinds of images.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        crop_size: Size,
        flip: bool,
        seed: int,
        codec: PairCodec | None = None,
        transforms: Sequence[Transform] = (),
    ) -> None:
        self.crop_size = crop_size if preprocess.endswith("crop") else None
        self.flip = flip
        self.seed = seed
        self.steps = [_build_transform(transform, codec or _PHOTOS) for transform in transforms]

    def __call__(self, raw: RawPair, epoch: int, index: int) -> RawPair:
        """Augment both images of a pair.

        Raises:
            UserError: they are smaller than the crop, or a transform fails.
        """
        if self.steps:  # some write into their input, which may be cached
            raw = RawPair(raw.source.copy(), raw.target.copy(), raw.name)
        for number, step in enumerate(self.steps):
            draw = np.random.SeedSequence(self.seed, spawn_key=(epoch, index, number))
            raw = step.apply(raw, int(draw.generate_state(1, np.uint64)[0]))
        return self.window(raw, epoch, index).of(raw)

    def window(self, raw: RawPair, epoch: int, index: int) -> CropWindow:
        """Draw the crop and flip of a pair.

        Raises:
            UserError: the pair is smaller than the crop.
        """
        seeds = np.random.SeedSequence(self.seed, spawn_key=(epoch, index)).generate_state(2, np.uint64)
        draws = [Random(int(seed)) for seed in seeds]
        height, width = raw.source.shape[:2]
        rows, columns = slice(0, height), slice(0, width)
        if self.crop_size:
            rows, columns = draw_crop(raw, self.crop_size, draws.pop(0))
        return CropWindow(rows, columns, self.flip and draws[0].random() < 0.5)

    def try_on(self, raw: RawPair) -> None:
        """Apply each transform once to a resized pair, regardless of p, to find errors before training.

        Raises:
            UserError: a transform fails on these channels or this type, or leaves less than the crop.
        """
        for number, step in enumerate(self.steps):
            raw = step.apply(raw, number, always=True)
        if self.crop_size:
            draw_crop(raw, self.crop_size, Random(0))


def _build_transform(asked: Transform, codec: PairCodec) -> PairTransform:
    """Build a transform; geometry is applied to both images, others to the source unless `to` is given."""
    origin = f"--augment: {asked.name}"
    made, moves = _made(asked, origin)
    sides = {"source": codec.source, "target": codec.target}
    labels = [side for side, encoding in sides.items() if encoding.is_labels]
    if moves:
        if asked.to not in (None, "both"):
            raise UserError(
                f"{origin} moves pixels, which would misalign pairs on the {asked.to} alone; leave `to` out"
            )
        blends = getattr(made, "mask_interpolation", 0) not in _NEAREST
        blends |= getattr(made, "area_for_downscale", None) == "image_mask"
        if labels and (blends or asked.name == "Morphological"):
            what = "mask_interpolation and area_for_downscale" if blends else "it"
            raise UserError(f"{origin} mixes the colors of the {labels[0]}'s labels; leave {what} out")
        return PairTransform(asked.name, made, sides, _fill_of_labels(made))
    changed = {side: one for side, one in sides.items() if asked.to == "both" or side == (asked.to or "source")}
    if asked.name in _CUTTING:
        if all(one.is_labels for one in changed.values()) and not any(asked.arguments.get(name) for name in _FILLS):
            raise UserError(f"{origin} does not change labels; give {' or '.join(_FILLS)}, or leave it out")
        return PairTransform(asked.name, made, changed, _fill_of_labels(made))
    mixed = [side for side in labels if side in changed]
    if mixed:
        photos = [side for side in sides if side not in labels]
        hint = f"add `to: {photos[0]}` or leave it out" if photos else "leave it out"
        raise UserError(f"{origin} mixes the colors of the {mixed[0]}'s labels; {hint}")
    return PairTransform(asked.name, made, changed)


def _fill_of_labels(made: Any) -> Any:
    """Return a transform's fill value of labels, and replace it by 0, the index for outside."""
    fill = 0
    for name in _FILLS:
        if getattr(made, name, None) is not None:  # None keeps labels
            fill = getattr(made, name)
            setattr(made, name, 0)
    return fill


def _made(asked: Transform, origin: str) -> tuple[Any, bool]:
    """Build the albumentations transform; return it and whether it moves pixels."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or importing it checks the network for updates
    import albumentations  # type: ignore[import-untyped]  # slow import

    kind = _kind(asked.name, origin, albumentations)
    known = list(signature(kind.__init__).parameters)[1:]
    for name in asked.arguments:
        if name not in known:
            hint = did_you_mean(name, known) or f"; it has {', '.join(known)}"
            raise UserError(f"{origin}: unknown argument {shown_value(name)[1:-1]}{hint}")
    p = asked.arguments.get("p", 1)
    if type(p) not in (int, float) or not 0 <= p <= 1:  # some classes accept anything
        raise UserError(f"{origin}: p: got {shown_value(p)}; a number from 0 to 1 is needed")
    strict = {"strict": True} if "InitSchema" in vars(kind) else {}  # or it warns and uses defaults
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about more general transforms
            made = kind(**asked.arguments, **strict)
    except Exception as error:  # from values that its schema accepts
        raise UserError(f"{origin}: {_cause(error, asked)}") from error
    return made, issubclass(kind, albumentations.DualTransform) and asked.name not in _CUTTING


def _kind(name: str, origin: str, albumentations: ModuleType) -> Any:
    bases = (albumentations.DualTransform, albumentations.ImageOnlyTransform)
    classes = {key: value for key, value in vars(albumentations).items() if isinstance(value, type)}
    unfit = (*bases, albumentations.Transform3D)
    flat = {key for key, value in classes.items() if issubclass(value, bases) and value not in unfit}
    fit = flat - {key for key in flat if issubclass(classes[key], albumentations.Transform3D)} - _UNFIT.keys()
    if name in fit:
        return classes[name]
    if name in classes:
        raise UserError(
            f"{origin} does not fit: {_UNFIT.get(name, 'it is not a transform of 2D images')}; leave it out"
        )
    hint = did_you_mean(name, sorted(fit)) or "; https://explore.albumentations.ai lists all"
    raise UserError(f"--augment: albumentations {albumentations.__version__} has no transform {name}{hint}")


def _cause(error: Exception, asked: Transform) -> str:
    """Describe an error and its argument in one line."""
    if not isinstance(error.__cause__, ValidationError):
        return " ".join(str(error).split())
    problems = error.__cause__.errors()
    name = str(problems[0]["loc"][0]) if problems[0]["loc"] else ""
    words = " or ".join(dict.fromkeys(one["msg"] for one in problems if name in ("", *map(str, one["loc"][:1]))))
    got = f"{name}: got {shown_value(asked.arguments[name])}; " if name in asked.arguments else f"{name}: " * bool(name)
    return got + " ".join(words.split())
