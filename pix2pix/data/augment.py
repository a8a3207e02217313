"""One geometry for both images of a pair: first the resize, a pure function, then random crop and flip."""

import os
from typing import Literal

import numpy as np

from pix2pix.data.records import RawPair
from pix2pix.images import ImageError, resize, shown

Preprocess = Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]
Size = tuple[int, int]


def resized(raw: RawPair, preprocess: Preprocess, load_size: Size, crop_size: Size, training: bool) -> RawPair:
    """Bring both images to the size that preprocess asks for; sizes are (height, width).

    In training that is load_size (its width, for scale_width*), from which Augment crops. Else nothing is cropped, and
    what would have been has the scale of a crop: crop_size, or its width.
    """
    size = _size(raw.source.shape[0], raw.source.shape[1], preprocess, load_size, crop_size, training)
    return RawPair(resize(raw.source, size), resize(raw.target, size), raw.name)


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
    """Random crop, where preprocess has one, and horizontal flip: a function of (seed, epoch, index) alone."""

    def __init__(self, preprocess: Preprocess, crop_size: Size, flip: bool, seed: int) -> None:
        os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else it asks the network for its newest version when imported
        import albumentations  # type: ignore[import-untyped]  # takes seconds, and only training needs it

        self.crop_size = crop_size if preprocess.endswith("crop") else None
        self.seed = seed
        crops = [albumentations.RandomCrop(*crop_size)] if self.crop_size else []
        flips = [albumentations.HorizontalFlip(p=0.5)] if flip else []
        self.geometry = albumentations.Compose([*crops, *flips], additional_targets={"target": "image"})

    def __call__(self, raw: RawPair, epoch: int, index: int) -> RawPair:
        """Crop and flip both images alike.

        Raises:
            ImageError: if they are smaller than the crop.
        """
        height, width = raw.source.shape[:2]
        if self.crop_size and (height < self.crop_size[0] or width < self.crop_size[1]):
            raise ImageError(
                f"{shown(raw.name)}: {height}x{width} is too small for --crop_size {self.crop_size[0]}x"
                f"{self.crop_size[1]}: choose a smaller one, or --preprocess resize_and_crop"
            )
        seeds = np.random.SeedSequence(self.seed, spawn_key=(epoch, index)).generate_state(2, np.uint64)
        # One seed for all, as Compose.set_random_seed gives, would make the flip a function of the crop's row.
        for transform, seed in zip(self.geometry.transforms, seeds, strict=False):
            transform.set_random_seed(int(seed))
        both = self.geometry(image=raw.source, target=raw.target)
        return RawPair(both["image"], both["target"], raw.name)
