"""The types of options, and a description of the values that each accepts."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer
from pydantic.fields import FieldInfo


def did_you_mean(word: str, names: Iterable[str], prefix: str = "") -> str:
    """Return ": did you mean A or B?" with at most two names, the nearest first, or "" where none is near.

    A word that resembles no name, such as "LR", may be part of one.
    """
    known = list(names)
    # One wrong letter of three, as in nfg for ngf, gives a ratio of 2/3; less is not a typo.
    containing = [name for name in known if len(word) > 1 and word.lower() in name.lower()]
    likely = [prefix + name for name in (get_close_matches(word, known, n=2, cutoff=0.65) or containing)[:2]]
    return f": did you mean {' or '.join(likely)}?" if likely else ""


class OptionFlag(Enum):
    """Properties of an option other than its type."""

    MAY_CHANGE = "may differ when a run is resumed"
    SWITCH = "concerns a single start of the program, not the experiment: never stored"


@dataclass(frozen=True)
class Requirement:
    """The allowed values in words, for types whose limits pydantic cannot describe."""

    words: str
    listed: bool = False
    """Whether all words after the option form one value, as if separated by commas."""


def _parse_size(value: object) -> tuple[int, int]:
    if isinstance(value, str):
        parts: list[Any] = [int(part) if re.fullmatch("[0-9]{1,5}", part) else 0 for part in value.split("x")]
    else:
        parts = list(value) if isinstance(value, list | tuple) else [value]
    sides = parts * 2 if len(parts) == 1 else parts
    if len(sides) != 2 or any(type(side) is not int or not 1 <= side <= 65535 for side in sides):
        raise ValueError(SIZE.words + " is needed")
    return sides[0], sides[1]


def _format_size(size: tuple[int, int]) -> int | str:
    return size[0] if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _parse_range(value: object) -> tuple[float, float]:
    parts = value.split(",") if isinstance(value, str) else value
    try:
        low, high = (float(part) for part in parts)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        low = high = 0.0
    if not -float("inf") < low < high < float("inf"):
        raise ValueError(RANGE.words + " is needed")
    return low, high


def _format_range(ends: tuple[float, float]) -> str:
    return ",".join(repr(end).removesuffix(".0") for end in ends)


def _check_run_name(name: str) -> str:
    unsafe = any(letter in "/\\" or unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)
    if unsafe or name != name.strip() or name in ("", ".", "..") or name[0] == "-" or len(name.encode()) > 200:
        raise ValueError(RUN_NAME.words + " is needed")
    return name


def _normalize_path(path: str) -> str:
    if not path or "\0" in path:
        raise ValueError("a path is needed")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError("a path of valid UTF-8 is needed: rename the folder") from None
    # ./datasets/x, datasets/x and datasets/x/ must be the same folder when a run is resumed. Nothing else is
    # normalized: a/../b depends on links, and ./generated is a folder, not the built-in dataset.
    normalized = str(PurePath(path))
    return "./generated" if normalized == "generated" != path else normalized


def _check_generator(name: str) -> str:
    if name not in GENERATORS:
        raise ValueError(GENERATOR.words + " is needed" + did_you_mean(name, GENERATORS))
    return name


def _parse_fast(value: object) -> object:
    """Validate a list of speed-ups, and return each once, in the order of SPEEDUPS."""
    if value in ("auto", "none"):
        return value
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise ValueError(FAST.words + " is needed")
    for name in names:
        if name not in SPEEDUPS:
            raise ValueError(FAST.words + " is needed" + did_you_mean(str(name), SPEEDUPS))
    return ",".join(name for name in SPEEDUPS if name in names)


def _split_list(value: object) -> object:
    """Split a comma-separated list; return other values unchanged."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _parse_layer_names(value: object) -> tuple[str, ...]:
    names = _split_list(value)
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(LAYERS.words + " is needed")
    if len(set(names)) < len(names):
        raise ValueError(f"{max(names, key=list(names).count)} is named twice; name each layer once")
    return tuple(names)


def _parse_weights(value: object) -> tuple[float, ...]:
    parts = _split_list(value)
    try:
        numbers = tuple(float(part) for part in parts)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not all(0 <= number < float("inf") for number in numbers):
        raise ValueError(WEIGHTS.words + " is needed")
    return numbers


def _format_numbers(numbers: tuple[float, ...]) -> str:
    return ",".join(repr(number).removesuffix(".0") for number in numbers)


def _parse_paths(value: object) -> tuple[str, ...]:
    names = _split_list(value)
    if not isinstance(names, list | tuple) or not names or any(type(name) is not str or "," in name for name in names):
        raise ValueError(PATHS.words + " is needed")  # a comma in a name would split it when it is loaded again
    return tuple(_normalize_path(name) for name in names)


def parse_speedups(fast: str) -> tuple[str, ...] | None:
    """Return the speed-ups in a value of --fast; None for auto."""
    return None if fast == "auto" else () if fast == "none" else tuple(fast.split(","))


_POWERS = tuple(2**n for n in range(3, 13))
GENERATORS = (
    *("unet_256", "encoder_decoder", "resnet_9blocks", "resnet_6blocks"),
    *(f"{kind}_{size}" for kind in ("unet", "encoder_decoder") for size in _POWERS),
)
GENERATOR = Requirement(
    "unet_N, encoder_decoder, encoder_decoder_N (N a power of two from 8 to 4096), resnet_9blocks or resnet_6blocks"
)
SPEEDUPS = ("malloc", "channels_last", "gemm", "winograd", "one_pass", "fold", "graph")
FAST = Requirement(f"auto, none, or some of {','.join(SPEEDUPS)}")
SIZE = Requirement("N or HxW with sides from 1 to 65535")
RANGE = Requirement("LO,HI, two numbers of which the first is smaller,")
RUN_NAME = Requirement("a folder name (no slash, no dash in front, no control character, at most 200 bytes)")
DEVICE = Requirement("auto, cpu, cuda, cuda:N or mps")
TILE = Requirement("auto, off or a whole number from 64 to 1048576")
LAYERS = Requirement("a list of layers such as relu1_1,relu2_1", listed=True)
WEIGHTS = Requirement("a list of numbers >= 0 such as 1,0.5,0.2", listed=True)
PATHS = Requirement("a path, or a list of them such as a.jpg,b.jpg", listed=True)
CHECKPOINT = Requirement("latest, best or a step")

Size = Annotated[tuple[int, int], BeforeValidator(_parse_size), PlainSerializer(_format_size), SIZE]
Range = Annotated[tuple[float, float], BeforeValidator(_parse_range), PlainSerializer(_format_range), RANGE]
RunName = Annotated[str, AfterValidator(_check_run_name), RUN_NAME]
FilePath = Annotated[str, AfterValidator(_normalize_path), Requirement("a path")]
Palette = Annotated[
    str, AfterValidator(_normalize_path), Requirement("facades, cityscapes, camvid or a file of `R G B name` lines")
]
Generator = Annotated[str, AfterValidator(_check_generator), GENERATOR]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,3})?)$"), DEVICE]
Checkpoint = Annotated[Literal["latest", "best"] | Annotated[int, Field(gt=0)], CHECKPOINT]
Fast = Annotated[str, BeforeValidator(_parse_fast), FAST]
Tile = Annotated[Literal["auto", "off"] | Annotated[int, Field(ge=64, le=2**20)], TILE]
LayerNames = Annotated[tuple[str, ...], BeforeValidator(_parse_layer_names), PlainSerializer(",".join), LAYERS]
Paths = Annotated[tuple[str, ...], BeforeValidator(_parse_paths), PlainSerializer(",".join), PATHS]
LayerWeights = Annotated[tuple[float, ...], BeforeValidator(_parse_weights), PlainSerializer(_format_numbers), WEIGHTS]
BackboneName = Literal[
    "vgg16",
    "vgg19",
    "resnet18",
    "resnet50",
    "wide_resnet50_2",
    "googlenet",
    "inception_v3",
    "squeezenet1_1",
    "noresnet",
    "pseudo_vgg",
    "pseudo_resvgg",
]
WeightsFormat = Literal["torchvision", "caffe"]
Pooling = Literal["max", "average"]
Padding = Literal["zeros", "reflection"]
StyleLossName = Literal["gram", "mean_std", "covariance", "mmd", "histogram", "mrf"]
Kernel = Literal["linear", "polynomial", "rbf"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Channels = Annotated[int, Field(gt=0, le=1024), Requirement("a whole number from 1 to 1024 or none")]
NormStats = Literal["image", "running"]
Dropout = Literal["on", "off"]
Phase = Literal["train", "val", "test"]
Precision = Literal["fp32", "bf16"]
Preprocess = Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]


def list_types(field: FieldInfo) -> tuple[Any, ...]:
    """Return the types of a field's union, or its single type, without annotations."""
    is_union = get_origin(field.annotation) in (Union, UnionType)
    kinds = get_args(field.annotation) if is_union else (field.annotation,)
    return tuple(get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds)


def get_choices(field: FieldInfo) -> tuple[Any, ...]:
    """Return the literal values of a field, or nothing where it has none."""
    return tuple(value for member in list_types(field) if get_origin(member) is Literal for value in get_args(member))


def allows_none(field: FieldInfo) -> bool:
    """Return whether the word "none" means no value: not for text, nor where it is one of the choices."""
    return NoneType in list_types(field) and str not in list_types(field) and "none" not in get_choices(field)


def parse_text(field: FieldInfo, text: str) -> object:
    """Convert a command-line argument: a choice or None, otherwise text that pydantic parses."""
    words: dict[str, object] = {str(value): value for value in get_choices(field)}
    if allows_none(field):
        words["none"] = None
    return words.get(text, text)


def get_annotations(field: FieldInfo) -> list[Any]:
    """Return the annotations of a field's type, and of the types of its union."""
    return [*field.metadata, *(note for kind in get_args(field.annotation) for note in get_args(kind)[1:])]


_LIMITS = {Gt: (">", "gt"), Ge: (">=", "ge"), Lt: ("<", "lt"), Le: ("<=", "le")}
_WORDS: Mapping[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def describe_allowed(field: FieldInfo) -> str:
    """Describe in words what a field accepts: "a number > 0", "AtoB or BtoA"."""
    for note in get_annotations(field):
        if isinstance(note, Requirement):
            return note.words
    words = [str(value) for value in get_choices(field)]
    limits = [f"{_LIMITS[type(m)][0]} {getattr(m, _LIMITS[type(m)][1])}" for m in field.metadata if type(m) in _LIMITS]
    words += [" ".join((_WORDS[kind], " and ".join(limits))).strip() for kind in list_types(field) if kind in _WORDS]
    words += ["none"] if allows_none(field) else []
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
