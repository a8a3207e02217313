"""Segmentation scores: classes of label maps, confusion matrices, segmenters.

Long, Shelhamer, Darrell: Fully convolutional networks for semantic segmentation, 2015, section 5. As in pix2pix (2017),
means are over all classes, and absent ones count as 0.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pix2pix import checkpoint
from pix2pix.checkpoint import hash_file
from pix2pix.config.segmenter import SegmenterOptions
from pix2pix.config.types import did_you_mean
from pix2pix.data.arrays import Array
from pix2pix.data.labels import Palette, find_nearest_class, is_far_from_palette, load_palette, mark_unknown_classes
from pix2pix.errors import UserError, format_path
from pix2pix.inference.translator import load
from pix2pix.methods.segmenter import Segmenter as Trained


class SegmentationScores(NamedTuple):
    """Scores in [0, 1], float64, of confusion matrices (..., K, K + 1): (...), or (..., K) for each class."""

    pixel_accuracy: Tensor
    class_accuracy: Tensor
    class_iou: Tensor
    accuracies: Tensor  # of each class
    ious: Tensor  # of each class
    pixels: Tensor  # of each class in the target


def count_confusion(predicted: Tensor, truth: Tensor, count: int) -> Tensor:
    """Count pixels by true class (rows) and predicted class (columns): (count, count + 1) int64.

    Both are integers of equal shape. Pixels with a true class outside of 0..count - 1 are ignored; predictions outside
    are errors, in the last column.
    """
    counted = (truth >= 0) & (truth < count)
    true, said = truth[counted].long(), predicted[counted].long()
    said = torch.where((said >= 0) & (said < count), said, count)
    return torch.bincount(true * (count + 1) + said, minlength=count * (count + 1)).view(count, count + 1)


def score_confusion(confusion: Tensor) -> SegmentationScores:
    """Compute scores of matrices (..., K, K + 1) of `count_confusion`, or of their sums.

    A class without true pixels has accuracy 0, and without predicted ones too IoU 0: a perfect prediction with k of K
    classes has pixel accuracy 1 and class scores k / K.
    """
    matrix = confusion.double()
    right = matrix.diagonal(dim1=-2, dim2=-1)
    true, said = matrix.sum(dim=-1), matrix[..., :-1].sum(dim=-2)
    # counts are integers: a least denominator of 1 only turns 0 / 0 into 0
    accuracies = right / true.clamp(min=1)
    ious = right / (true + said - right).clamp(min=1)
    pixel_accuracy = right.sum(dim=-1) / true.sum(dim=-1).clamp(min=1)
    return SegmentationScores(
        pixel_accuracy, accuracies.mean(dim=-1), ious.mean(dim=-1), accuracies, ious, confusion.sum(dim=-1)
    )


_NONE = -1  # a true pixel that is not counted


@dataclass(frozen=True)
class ClassSet:
    """The counted classes, numbered from 0 in palette order without ignored ones."""

    palette: Palette
    ignored: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of counted classes; equal names get their color appended."""
        names, colors = self.palette.names, self.palette.colors
        return [
            names[place] if names.count(names[place]) == 1 else f"{names[place]} {colors[place]}"
            for place in self._places
        ]

    def truth(self, labels: Array) -> Tensor:
        """Return the classes (H, W) of a label map (H, W, C), -1 for classes not counted.

        Files of fewer channels than the palette's colors have class indices; others the nearest color, unless it is
        far.
        """
        count, depth = len(self.palette.names), len(self.palette.colors[0])
        if labels.shape[2] < depth:
            return self._numbered(_NONE)[torch.from_numpy(mark_unknown_classes(labels, count))]
        colors = labels[..., :depth]
        places = find_nearest_class(colors, self.palette.colors)
        far = torch.from_numpy(is_far_from_palette(colors, self.palette.colors, places))
        return self._numbered(_NONE)[torch.from_numpy(places).masked_fill(far, count)]

    def decoded(self, image: Array) -> Tensor:
        """Return the classes (H, W) of the nearest colors of a translation (H, W, C)."""
        depth = len(self.palette.colors[0])
        if image.shape[2] < depth:
            return self.seen(torch.from_numpy(mark_unknown_classes(image, len(self.palette.names))))
        return self.seen(torch.from_numpy(find_nearest_class(image[..., :depth], self.palette.colors)))

    def seen(self, places: Tensor) -> Tensor:
        """Map predicted palette indices (H, W) to classes, one past the last for classes not counted."""
        count = len(self.palette.names)
        known = (places >= 0) & (places < count)
        return self._numbered(len(self._places))[torch.where(known, places, count)]

    @cached_property
    def _places(self) -> tuple[int, ...]:
        return tuple(place for place, name in enumerate(self.palette.names) if name not in self.ignored)

    def _numbered(self, uncounted: int) -> Tensor:
        """Return the class of each palette index, and at the end that of invalid indices."""
        table = torch.full((len(self.palette.names) + 1,), uncounted)
        table[list(self._places)] = torch.arange(len(self._places))
        return table


def exclude_classes(palette: Palette, ignore: Collection[str]) -> ClassSet:
    """Exclude the classes of these names and those ignored by the palette.

    Raises:
        UserError: the palette has no such class, or none is left.
    """
    for name in ignore:
        if name not in palette.names:
            hint = did_you_mean(name, palette.names) or f"; it has {', '.join(palette.names)}"
            raise UserError(f"--ignore: the palette has no class {name!r}{hint}")
    ignored = tuple(name for name in palette.names if name in ignore or name in palette.ignored)
    if len(ignored) == len(palette.names):
        raise UserError("--ignore: no class is left; name fewer")
    return ClassSet(palette, ignored)


Inputs = Literal["imagenet", "unit", "signed"]

_DTYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
_TRIED = 256  # side of the test photo for networks without a fixed size


class Segmenter(Protocol):
    """A network that segments photos; `described` are plain values for the protocol.

    Its palette ignores the classes that it cannot predict.
    """

    name: str
    sha256: str
    palette: Palette
    described: dict[str, Any]

    def classes(self, photos: Tensor) -> Tensor:
        """Map photos (N, 3, H, W) in [-1, 1] to palette indices, int64 (N, H, W), each photo independently."""
        ...


def open_segmenter(
    given: str, *, checkpoints_dir: str | Path, device: str | torch.device, palette: str | None, inputs: Inputs
) -> Segmenter:
    """Open a run, by its name in `checkpoints_dir` or its folder, or an ONNX file (.onnx).

    A run has a palette; `palette` must have the same colors if given. Its best checkpoint, if any, runs on `device`.
    ONNX files run on the CPU and need the palette of their class indices; `inputs` is the expected range: RGB in [0, 1]
    ("unit"), in [-1, 1] ("signed"), or in [0, 1] normalized by ImageNet's mean and deviation ("imagenet").

    Raises:
        UserError: there is no such segmenter, it cannot be used, or the palette does not fit.
    """
    if given.lower().endswith(".onnx"):
        return OnnxSegmenter(Path(given), palette, inputs)
    folder = Path(given) if Path(given).is_dir() else Path(checkpoints_dir) / given
    return RunSegmenter(folder, palette, str(device))


class RunSegmenter:
    """A run of `train.py --model segmenter`."""

    def __init__(self, folder: Path, palette: str | None, device: str):
        called, epoch = (
            f"--segmenter {format_path(folder)}",
            "best" if checkpoint.read_pointer(folder, "best") else "latest",
        )
        try:
            file = checkpoint.resolve(folder, epoch)
        except UserError as error:
            raise UserError(f"--segmenter: {error}") from error
        self._translator = translator = load(folder, epoch=epoch, device=device)
        options, method = translator.options, translator.method
        if not isinstance(options, SegmenterOptions) or not isinstance(method, Trained):
            raise UserError(f"{called} is a run of {options.model}; a run of segmenter or an ONNX file is needed")
        if (channels := translator.codec.source.nc) != 3:
            raise UserError(f"{called} was trained on photos of {channels} channels; one of 3 is needed")
        self.palette = method.palette
        if palette is not None and load_palette(palette).colors != self.palette.colors:
            raise UserError(
                f"--palette {format_path(palette)} has other colors than the classes of {called}: leave it out"
            )
        self.name, self.sha256 = folder.resolve().name, hash_file(file)
        self.described: dict[str, Any] = {
            "kind": "run of segmenter",
            "network": f"{options.network.generator}, ngf {options.network.ngf}",
            "checkpoint": f"{epoch}, step {translator.step}",
            "classes": len(self.palette.names),
        }

    def classes(self, photos: Tensor) -> Tensor:
        """Map photos (N, 3, H, W) in [-1, 1] to palette indices."""
        return torch.cat([self._translator.translate(photo).argmax(dim=1) for photo in torch.split(photos, 1)])


class OnnxSegmenter:
    """An ONNX network from photos (N, 3, h, w) to logits (N, K, h', w') or classes (N, h', w'), its first output."""

    def __init__(self, file: Path, palette: str | None, inputs: Inputs):
        self._called, self._inputs = f"--segmenter {format_path(file)}", inputs
        if palette is None:
            raise UserError(f"{self._called} has no names of classes: add --palette")
        self._session = _session(file, self._called)
        given = self._session.get_inputs()
        shape = given[0].shape if given else []
        is_fit = len(given) == 1 and len(shape) == 4 and all(map(_may_be, shape[:2], (1, 3)))
        if not is_fit or given[0].type not in _DTYPES:
            found = ", ".join(f"{one.type} {_format_shape(one.shape)}" for one in given)
            raise UserError(f"{self._called} takes {found or 'nothing'}; one tensor (1, 3, h, w) of floats is needed")
        self._input, self._dtype = given[0].name, _DTYPES[given[0].type]
        self._sides = [side if isinstance(side, int) else None for side in shape[2:]]
        self.name, self.sha256 = file.name, hash_file(file)
        known = load_palette(palette)
        count = self._count(len(known.names))
        unknown = (name for name in known.names[count:] if name not in known.ignored)
        self.palette = known._replace(ignored=(*known.ignored, *unknown))
        size = "x".join(str(side or "any") for side in self._sides)
        self.described: dict[str, Any] = {
            "kind": "ONNX, on the CPU",
            "input": inputs,
            "resized": f"photos to {size} (height x width), bilinear; classes back, nearest"
            if any(self._sides)
            else "no",
            "classes": count,
        }

    def classes(self, photos: Tensor) -> Tensor:
        """Map photos (N, 3, H, W) in [-1, 1] to palette indices."""
        size = photos.shape[-2:]
        maps = torch.stack([self._classes(photo) for photo in torch.split(photos.cpu().float(), 1)])
        if maps.shape[-2:] != size:
            maps = F.interpolate(maps.double(), size, mode="nearest-exact").long()
        return maps[:, 0].to(photos.device)

    def _classes(self, photo: Tensor) -> Tensor:
        """Map a photo (1, 3, H, W) to classes (1, h', w') of the network's output size."""
        output = self._run(photo)
        return output.argmax(dim=1) if output.ndim == 4 else output.long()

    def _count(self, most: int) -> int:
        """Run the network on a gray photo, and return its number of classes.

        Raises:
            UserError: its output is not of classes, or of more than `most`.
        """
        output = self._run(torch.zeros(1, 3, _TRIED, _TRIED))
        if output.ndim not in (3, 4) or len(output) != 1:
            raise UserError(
                f"{self._called} gives {_format_shape(output.shape)}; "
                "logits (1, K, h, w) or classes (1, h, w) are needed"
            )
        count = output.shape[1] if output.ndim == 4 else most
        if not 2 <= count <= most:
            raise UserError(f"{self._called} gives logits of {count} classes; 2 to the {most} of --palette are needed")
        return count

    def _run(self, photo: Tensor) -> Tensor:
        size = [fixed or side for fixed, side in zip(self._sides, photo.shape[-2:], strict=True)]
        if size != list(photo.shape[-2:]):
            photo = F.interpolate(photo, size, mode="bilinear", antialias=True)
        x = _normalize(photo, self._inputs).to(self._dtype).numpy()
        try:
            output = self._session.run(None, {self._input: x})[0]
        except Exception as error:  # onnxruntime's errors have no common base
            raise UserError(f"{self._called} fails on a photo of {size[0]}x{size[1]}: {_cause(error)}") from error
        return torch.from_numpy(output)


def _session(file: Path, called: str) -> Any:
    """Open an ONNX file in onnxruntime.

    Raises:
        UserError: there is no such file, it is not ONNX, or onnxruntime is not installed.
    """
    if not file.is_file():
        raise UserError(f"{called}: there is no such file")
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f'{called} needs onnxruntime: pip install -e ".[evaluate]"') from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base
        raise UserError(f"{called} cannot be opened: {_cause(error)}") from error


def _normalize(photo: Tensor, inputs: Inputs) -> Tensor:
    """Map a photo in [-1, 1] to the range of a network."""
    if inputs == "signed":
        return photo
    unit = (photo + 1) / 2
    if inputs == "unit":
        return unit
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (_MEAN, _STD))
    return (unit - mean) / std


def _may_be(side: object, expected: int) -> bool:
    """Return whether a side of a shape, which may be symbolic, can have this value."""
    return not isinstance(side, int) or side == expected


def _format_shape(shape: Sequence[object]) -> str:
    return f"({', '.join(map(str, shape))})"


def _cause(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
