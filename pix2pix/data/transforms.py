"""One transform of albumentations on both images of a pair, whatever their kinds, channels and depths."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pix2pix.data.records import RawPair
from pix2pix.errors import UserError
from pix2pix.images import Array, Encoding, shown

MOST_CHANNELS = 128  # of OpenCV's images: a few transforms crash the process at more

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Step:
    """A transform and the sides that it is for, "source", "target" or both: all of them are changed by one draw.

    Photos are given to it as uint8 if all are, else as float32 in [0, 1]. Labels are not given to it, but the places
    of their pixels, as a mask: so values are kept at any depth, and both sides are moved alike to the last pixel.
    What comes from nowhere has `fill`, one file value or one per channel.
    """

    name: str
    transform: Any
    encodings: Mapping[str, Encoding]
    fill: Any = 0

    def applied(self, raw: RawPair, seed: int, always: bool = False) -> RawPair:
        """Return the pair as the draw of this seed changes it; always: whatever the transform's p.

        Raises:
            UserError: if it fails on these images, or what it makes is no pair of their channels and depths.
        """
        before = {side: array for side, array in raw._asdict().items() if side in self.encodings}
        try:
            after = self._changed(before, seed, always)
            pair = RawPair(after.get("source", raw.source), after.get("target", raw.target), raw.name)
            if pair.source.shape[:2] != pair.target.shape[:2]:
                raise ValueError("it leaves the two images with different sizes")
        except Exception as error:  # albumentations and OpenCV raise some ten unrelated types
            what = " and ".join(map(self._described, before, before.values()))
            cause = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
            raise UserError(
                f"--augment: {self.name} fails on {shown(raw.name)}, {what}: {cause}; change it or leave it out"
            ) from error
        return pair

    def _changed(self, before: Arrays, seed: int, always: bool) -> Arrays:
        photos = self._as_given({side: one for side, one in before.items() if not self.encodings[side].is_labels})
        height, width = next(iter(before.values())).shape[:2]
        # albumentations insists on an image, from which some transforms draw: the first photo, or else a blank
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
            return before  # not drawn: no rounding by [0, 1] either
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
    """Number the pixels from 1; 0 is nowhere."""
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
