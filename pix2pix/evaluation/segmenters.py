"""What tells the classes of photos, to score translations by: a run of our segmenter, or a network in an ONNX file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pix2pix import checkpoint, inference
from pix2pix.digest import sha256_of
from pix2pix.errors import UserError
from pix2pix.images import shown
from pix2pix.methods.segmenter import Segmenter as Trained
from pix2pix.options import SegmenterOptions
from pix2pix.palettes import Palette, load_palette

Inputs = Literal["imagenet", "unit", "signed"]

_DTYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as torchvision's networks have them
_TRIED = 256  # pixels a side of the photo that a network of free size is tried on


class Segmenter(Protocol):
    """What tells the classes of photos: `described` is what a protocol should say of it, in plain values.

    Classes that it does not know are among those that its palette ignores.
    """

    name: str
    sha256: str
    palette: Palette
    described: dict[str, Any]

    def classes(self, photos: Tensor) -> Tensor:
        """Map photos (N, 3, H, W) in [-1, 1] to places in the palette, int64 (N, H, W); no photo affects another."""
        ...


def open_segmenter(
    given: str, *, checkpoints_dir: str | Path, device: str | torch.device, palette: str | None, inputs: Inputs
) -> Segmenter:
    """Open a run, by its name in `checkpoints_dir` or its folder, or an ONNX file, whose name ends in .onnx.

    A run knows its classes: `palette` may be left out, or has to have the same colours. It runs on `device`, its best
    checkpoint where there is one. ONNX files run on the CPU and need the palette whose places their classes are;
    `inputs` says what they expect: RGB in [0, 1] ("unit"), in [-1, 1] ("signed"), or "imagenet", that is [0, 1]
    normalised by ImageNet's mean and deviation.

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
        called, epoch = f"--segmenter {shown(folder)}", "best" if checkpoint.pointed(folder, "best") else "latest"
        try:
            file = checkpoint.resolve(folder, epoch)
        except UserError as error:
            raise UserError(f"--segmenter: {error}") from error
        self._translator = translator = inference.load(folder, epoch=epoch, device=device)
        options, method = translator.options, translator.method
        if not isinstance(options, SegmenterOptions) or not isinstance(method, Trained):
            raise UserError(f"{called} is a run of {options.model}; one of segmenter, or an ONNX file, is needed")
        if (channels := translator.codec.source.nc) != 3:
            raise UserError(f"{called} was trained on photos of {channels} channels; one of 3 is needed")
        self.palette = method.palette
        if palette is not None and load_palette(palette).colours != self.palette.colours:
            raise UserError(f"--palette {shown(palette)} has other colours than the classes of {called}: leave it out")
        self.name, self.sha256 = folder.resolve().name, sha256_of(file)
        self.described: dict[str, Any] = {
            "kind": "run of segmenter",
            "network": f"{options.network.generator}, ngf {options.network.ngf}",
            "checkpoint": f"{epoch}, step {translator.step}",
            "classes": len(self.palette.names),
        }

    def classes(self, photos: Tensor) -> Tensor:
        """Map photos (N, 3, H, W) in [-1, 1] to places in the palette."""
        return torch.cat([self._translator.translate(photo).argmax(dim=1) for photo in torch.split(photos, 1)])


class OnnxSegmenter:
    """A network from photos (N, 3, h, w) to logits (N, K, h', w') or classes (N, h', w'), its first output."""

    def __init__(self, file: Path, palette: str | None, inputs: Inputs):
        self._called, self._inputs = f"--segmenter {shown(file)}", inputs
        if palette is None:
            raise UserError(f"{self._called} does not tell what its classes are: add --palette")
        self._session = _session(file, self._called)
        given = self._session.get_inputs()
        shape = given[0].shape if given else []
        is_fit = len(given) == 1 and len(shape) == 4 and all(map(_may_be, shape[:2], (1, 3)))
        if not is_fit or given[0].type not in _DTYPES:
            found = ", ".join(f"{one.type} {_in_words(one.shape)}" for one in given)
            raise UserError(f"{self._called} takes {found or 'nothing'}; one tensor (1, 3, h, w) of floats is needed")
        self._input, self._dtype = given[0].name, _DTYPES[given[0].type]
        self._sides = [side if isinstance(side, int) else None for side in shape[2:]]
        self.name, self.sha256 = file.name, sha256_of(file)
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
        """Map photos (N, 3, H, W) in [-1, 1] to places in the palette."""
        size = photos.shape[-2:]
        maps = torch.stack([self._classes(photo) for photo in torch.split(photos.cpu().float(), 1)])
        if maps.shape[-2:] != size:
            maps = F.interpolate(maps.double(), size, mode="nearest-exact").long()
        return maps[:, 0].to(photos.device)

    def _classes(self, photo: Tensor) -> Tensor:
        """Map a photo (1, 3, H, W) to classes (1, h', w'), of what size the network gives them."""
        output = self._run(photo)
        return output.argmax(dim=1) if output.ndim == 4 else output.long()

    def _count(self, most: int) -> int:
        """Try a grey photo, and return how many classes the network tells apart.

        Raises:
            UserError: it gives something else than classes, or more than there are.
        """
        output = self._run(torch.zeros(1, 3, _TRIED, _TRIED))
        if output.ndim not in (3, 4) or len(output) != 1:
            raise UserError(
                f"{self._called} gives {_in_words(output.shape)}; logits (1, K, h, w) or classes (1, h, w) are needed"
            )
        count = output.shape[1] if output.ndim == 4 else most
        if not 2 <= count <= most:
            raise UserError(f"{self._called} gives logits of {count} classes; 2 to the {most} of --palette are needed")
        return count

    def _run(self, photo: Tensor) -> Tensor:
        size = [fixed or side for fixed, side in zip(self._sides, photo.shape[-2:], strict=True)]
        if size != list(photo.shape[-2:]):
            photo = F.interpolate(photo, size, mode="bilinear", antialias=True)
        x = _normalised(photo, self._inputs).to(self._dtype).numpy()
        try:
            output = self._session.run(None, {self._input: x})[0]
        except Exception as error:  # of onnxruntime, whose classes have no other base
            raise UserError(f"{self._called} fails on a photo of {size[0]}x{size[1]}: {_cause(error)}") from error
        return torch.from_numpy(output)


def _session(file: Path, called: str) -> Any:
    """Open an ONNX file in onnxruntime.

    Raises:
        UserError: there is none, it is none, or onnxruntime is not installed.
    """
    if not file.is_file():
        raise UserError(f"{called}: there is no such file")
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f'{called} needs onnxruntime: pip install -e ".[evaluate]"') from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors, which are raised; no warnings
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of onnxruntime, whose classes have no other base
        raise UserError(f"{called} cannot be opened: {_cause(error)}") from error


def _normalised(photo: Tensor, inputs: Inputs) -> Tensor:
    """Map a photo in [-1, 1] to what a network expects."""
    if inputs == "signed":
        return photo
    unit = (photo + 1) / 2
    if inputs == "unit":
        return unit
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (_MEAN, _STD))
    return (unit - mean) / std


def _may_be(side: object, wanted: int) -> bool:
    """Whether a side of a shape, which may be a name or unknown, is as wanted."""
    return not isinstance(side, int) or side == wanted


def _in_words(shape: Sequence[object]) -> str:
    return f"({', '.join(map(str, shape))})"


def _cause(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
