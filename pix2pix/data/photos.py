"""Which photographs a stylising translator learns from, and which style pictures: found, and held to be sound."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pix2pix.data.pairs import GENERATED, GENERATED_SEED, held_out
from pix2pix.data.threads import in_order
from pix2pix.errors import UserError
from pix2pix.images import IMAGE_SUFFIXES, MAX_PIXELS, Array, find_images, read_rgb_array, shown
from pix2pix.options import ContentStyleOptions, PhotoOptions

Progress = Callable[[Iterable[str | None], int, str], Iterable[str | None]]  # hands through so many photos of a phase


@dataclass(frozen=True)
class PhotoSet:
    """Photographs by their names, paths from `root` with slashes; `layout` is a phrase saying where they come from.

    Those of a `side` are no files, but the built-in facades, drawn as squares of so many pixels.
    """

    root: Path
    names: tuple[str, ...]
    layout: str
    max_pixels: int = MAX_PIXELS
    side: int | None = None

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> Array:
        """Read a photograph as (H, W, 3) of uint8, uint16 or float32, not to be written to.

        Raises:
            ImageError: as `read_rgb_array`.
        """
        if self.side is not None:
            return _facade(self.names[index], self.side)
        return read_rgb_array(self.root / self.names[index], self.max_pixels)

    def fault(self, index: int) -> str | None:
        """Say what is wrong with a photograph."""
        try:
            self.read(index)
        except UserError as error:
            return str(error)
        return None

    def first(self, count: int | None) -> "PhotoSet":
        """Keep the first photographs; None keeps all."""
        return replace(self, names=self.names[:count])

    def without(self, names: Collection[str]) -> "PhotoSet":
        """Leave out the photographs of these names."""
        left_out = set(names)
        return replace(self, names=tuple(name for name in self.names if name not in left_out))


class PhotoData(NamedTuple):
    """What a training of a stylising translator learns from; styles are None where it is told its styles otherwise.

    `skipped` names those left out by phase ("train", "val", "styles"), `faults` says why.
    """

    train: PhotoSet
    val: PhotoSet
    styles: PhotoSet | None
    skipped: Mapping[str, Sequence[str]]
    faults: tuple[str, ...] = ()


def open_photo_data(data: PhotoOptions, progress: Progress) -> PhotoData:
    """Find the photographs and the style pictures, and read each of them once, if data.check.

    Raises:
        UserError: there are none; or some are faulty and skip_bad is not set, or all are.
    """
    found = _listed(data)
    skipped: dict[str, list[str]] = {}
    faults: list[str] = []
    for phase, photos in found.items():
        if not len(photos) or not data.check or photos.side is not None:
            continue
        told = progress(in_order(photos.fault, len(photos)), len(photos), phase)
        bad = {name: fault for name, fault in zip(photos.names, told, strict=True) if fault is not None}
        skipped[phase] = list(bad)
        faults += bad.values()
        if len(bad) == len(photos) and phase != "val":
            raise UserError(f"no picture of {phase} can be used: {next(iter(bad.values()))}")
    if faults and not data.skip_bad:
        others = f" (and {len(faults) - 1} more fault{'s' * (len(faults) > 2)})" * (len(faults) > 1)
        raise UserError(f"{faults[0]}{others}; --skip_bad leaves them out, and names each")
    return _without(found, skipped, tuple(faults))


def reopen_photo_data(data: PhotoOptions, skipped: Mapping[str, Sequence[str]]) -> PhotoData:
    """Find the photographs of a run that is resumed: what was left out at its start stays so.

    Raises:
        UserError: there are none.
    """
    return _without(_listed(data), skipped)


def _without(
    found: Mapping[str, PhotoSet], skipped: Mapping[str, Sequence[str]], faults: tuple[str, ...] = ()
) -> PhotoData:
    kept = {phase: photos.without(skipped.get(phase, ())) for phase, photos in found.items()}
    return PhotoData(kept["train"], kept["val"], kept.get("styles"), skipped, faults)


def _listed(data: PhotoOptions) -> dict[str, PhotoSet]:
    """All photographs by phase, and the style pictures if there are any of their own."""
    train, val = _generated(data) if data.dataroot == "generated" else _both(data)
    found = {"train": train.first(data.max_dataset_size), "val": val}
    if isinstance(data, ContentStyleOptions):
        found["styles"] = _tree("--styles", Path(data.styles), data.max_pixels)
    return found


def _both(data: PhotoOptions) -> tuple[PhotoSet, PhotoSet]:
    """The photographs to learn from and to validate on: those of train/ and val/, or shares of one tree."""
    root = Path(data.dataroot)
    inside = [phase for phase in ("train", "val", "test") if (root / phase).is_dir()]
    if inside and "train" not in inside:
        raise UserError(
            f"--dataroot {shown(root)}: holds {inside[0]}/ without train/: put the photos to learn from into train/"
        )
    train = _tree("--dataroot", root / "train" if inside else root, data.max_pixels)
    if "val" in inside:
        return train, _tree("--dataroot", root / "val", data.max_pixels)
    kept_out = held_out(train.names, data.val_fraction)
    learnt = train.without(kept_out)
    validated = train.without(learnt.names)

    def told(share: PhotoSet, phase: str) -> PhotoSet:
        said = f"({len(share)} of {len(train)}: {phase} by --val_fraction {data.val_fraction:g})"
        return replace(share, layout=f"{share.layout} {said}")

    return told(learnt, "train"), told(validated, "val")


def _tree(flag: str, folder: Path, max_pixels: int) -> PhotoSet:
    """All photographs below a folder, in natural order of their names."""
    if not folder.is_dir():
        raise UserError(f"{flag} {shown(folder)} is no folder: a folder tree of photos is needed")
    names = tuple(path.relative_to(folder).as_posix() for path in find_images(folder))
    if not names:
        raise UserError(f"{flag} {shown(folder)}: no photos: files ending in {', '.join(IMAGE_SUFFIXES)} are needed")
    return PhotoSet(folder, names, f"photos in {shown(folder)}", max_pixels)


def _generated(data: PhotoOptions) -> tuple[PhotoSet, PhotoSet]:
    train, val = (
        PhotoSet(
            Path(data.dataroot),
            tuple(f"facade_{number}" for number in GENERATED[phase]),
            f"{len(GENERATED[phase])} generated facades",
            side=data.load_size,
        )
        for phase in ("train", "val")
    )
    return train, val


@lru_cache(maxsize=512)  # all there are: drawing one takes longer than reading ten
def _facade(name: str, side: int) -> Array:
    from pix2pix.data.generated import generate  # those who bring their own photos need not load it

    photo, _ = generate(GENERATED_SEED, int(name.removeprefix("facade_")), size=(side, side))
    photo.setflags(write=False)
    return photo
