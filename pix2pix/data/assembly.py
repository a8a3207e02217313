"""From pairs to a batch: read or taken from the cache, augmented, encoded, padded, stacked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from pix2pix.data.augment import Augment, Preprocess, Size, resized
from pix2pix.data.cache import Cache
from pix2pix.data.records import Pair, Pairs, RawPair
from pix2pix.errors import UserError
from pix2pix.images import Array, Codec, Encoding, reflect_to_multiple, shown


class Sample(NamedTuple):
    """Which pair is shown in which epoch: what its augmentation is drawn from."""

    epoch: int
    pair: int


@dataclass(frozen=True)
class Resized(Dataset[list[RawPair] | UserError]):
    """The pairs of samples as training resizes them; a user's mistake is returned, not raised: see `loaded`."""

    pairs: Pairs
    codec: Codec
    preprocess: Preprocess
    load_size: Size
    crop_size: Size
    cache: Cache | None = None

    def __getitem__(self, samples: Sequence[Sample]) -> list[RawPair] | UserError:
        try:
            return [self.read(sample.pair) for sample in samples]
        except UserError as error:
            return error

    def read(self, index: int) -> RawPair:
        """Read a pair, or find it in the cache, whose images are not to be written to."""
        kept = self.cache.get(index) if self.cache else None
        if kept is not None:
            return RawPair(*kept, self.pairs.names[index])
        raw = self.pairs.read(index)
        raw = resized(raw, self.preprocess, self.load_size, self.crop_size, training=True, codec=self.codec)
        if self.cache:
            self.cache.put(index, raw)
        return raw


@dataclass(frozen=True)
class Assembly(Dataset[Pair | UserError]):
    """The batches of samples, augmented, and padded to the multiple by reflection."""

    resized: Resized
    augment: Augment
    multiple: int

    def __getitem__(self, samples: Sequence[Sample]) -> Pair | UserError:
        try:
            raws = [self.augment(self.resized.read(pair), epoch, pair) for epoch, pair in samples]
            names = [raw.name for raw in raws]
            codec = self.resized.codec
            source = self._stacked(codec.source, [raw.source for raw in raws], names)
            return Pair(source, self._stacked(codec.target, [raw.target for raw in raws], names), names)
        except UserError as error:
            return error

    def _stacked(self, encoding: Encoding, arrays: list[Array], names: list[str]) -> Tensor:
        if len({array.shape for array in arrays}) == 1:
            return reflect_to_multiple(encoding.encode_all(arrays), self.multiple)[0]
        padded = [reflect_to_multiple(encoding.encode_all([array]), self.multiple)[0] for array in arrays]
        if len({image.shape for image in padded}) > 1:
            sizes = [
                f"{shown(name)} {image.shape[2]}x{image.shape[3]}" for name, image in zip(names, padded, strict=True)
            ]
            raise UserError(
                f"images of one batch differ in size: {', '.join(sizes)}: "
                "use --batch_size 1 or a --preprocess with crop"
            )
        return torch.cat(padded)
