"""Find, load and resize the images of style jobs: a content and its styles."""

import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pix2pix.config.gatys import GatysOptions
from pix2pix.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from pix2pix.data.arrays import Array
    from pix2pix.methods.gatys import ContentAndStyles

_LONGEST_NAME = 200  # bytes
_SMALLEST = 32  # shorter side in pixels of the coarsest of --pyramid_levels


class StyleJob(NamedTuple):
    """An output to compute: its name, the content and the styles."""

    name: str
    content: Path
    styles: tuple[Path, ...]


class LoadedImages(NamedTuple):
    """The pictures of a job, whether the content's file has 16 bits, and a sentence on their sizes."""

    pictures: "ContentAndStyles"
    is_deep: bool
    sizes: str


def list_jobs(options: GatysOptions) -> list[StyleJob]:
    """Return a job for every content with the styles, or with each style of a folder.

    Raises:
        UserError: an image does not exist, or a folder has none.
    """
    contents = find_input_files("content", options.data.content)
    pairs = list(product(contents, list_style_groups(options.data.style)))
    names = number_duplicates([get_job_name([content, *styles]) for content, styles in pairs])
    return [StyleJob(name, *pair) for name, pair in zip(names, pairs, strict=True)]


def list_style_groups(given: Sequence[str]) -> list[tuple[Path, ...]]:
    """Return the groups of styles to blend: all given files, or each file of a folder.

    Raises:
        UserError: an image does not exist, or a folder has none.
    """
    if len(given) > 1 and (folder := next((path for path in given if Path(path).is_dir()), None)):
        raise UserError(f"--style: {folder} is a folder; give several files to blend, or a single folder")
    found = [find_input_files("style", path) for path in given]
    return [(path,) for path in found[0]] if len(found) == 1 else [tuple(path for (path,) in found)]


def get_job_name(paths: Sequence[Path]) -> str:
    """Return a name for files and folders from the names of content and styles."""
    return join_names([path.stem for path in paths])


def join_names(words: Sequence[str]) -> str:
    """Join words to a name for files and folders."""
    plain = re.sub(r"[^\w.+ -]", "_", "_".join(words)).encode()[:_LONGEST_NAME].decode(errors="ignore")
    return plain.strip(" -.") or "painting"


def number_duplicates(names: list[str]) -> list[str]:
    """Number names that are equal, such as of a.jpg and a.png."""
    return names if len(set(names)) == len(names) else [f"{number}_{name}" for number, name in enumerate(names, 1)]


def find_input_files(option: str, given: str) -> list[Path]:
    """Return the image that an option names, or those of a folder.

    Raises:
        UserError: there is none.
    """
    from pix2pix.data.io import IMAGE_SUFFIXES, find_images
    from pix2pix.errors import format_path

    root = Path(given)
    if not root.exists():
        raise UserError(f"--{option} {format_path(root)}: it does not exist; an image or a folder of images is needed")
    files = find_images(root) if root.is_dir() else [root]
    if not files:
        raise UserError(
            f"--{option} {format_path(root)}: no images there; files ending in {', '.join(IMAGE_SUFFIXES)} are needed"
        )
    return files


def load_images(job: StyleJob, options: GatysOptions) -> LoadedImages:
    """Read the pictures and masks of a job and resize them.

    Raises:
        UserError: one cannot be used.
    """
    from pix2pix.data.arrays import fit_size, resize
    from pix2pix.data.codec import read_rgb_array, rgb_to_tensor
    from pix2pix.methods.gatys import ContentAndStyles

    data = options.data
    content = read_rgb_array(job.content, data.max_pixels)
    styles = [read_rgb_array(path, data.max_pixels) for path in job.styles]
    size = fit_size(content.shape[:2], data.image_size or max(content.shape[:2]))
    _check_levels(size, options.optimize.pyramid_levels)
    longest = max(1, round(data.style_scale * max(size)))
    style_sizes = [fit_size(style.shape[:2], longest) for style in styles]
    of_content, of_styles = data.content_masks or (), data.style_masks or ()
    pictures = ContentAndStyles(
        rgb_to_tensor(resize(content, size))[None],
        [rgb_to_tensor(resize(style, to))[None] for style, to in zip(styles, style_sizes, strict=True)],
        [_load_mask("content_masks", path, content, size, data.max_pixels) for path in of_content],
        [
            _load_mask("style_masks", path, style, to, data.max_pixels)
            for path, style, to in zip(of_styles, styles, style_sizes, strict=bool(of_styles))
        ],
    )
    sizes = [_format_size(path, array, to) for path, array, to in zip(job.styles, styles, style_sizes, strict=True)]
    sizes_text = f"content {_format_size(job.content, content, size)}; style {', '.join(sizes)} (height x width)"
    return LoadedImages(pictures, content.dtype.name == "uint16", sizes_text)


def check_image_sizes(job: StyleJob, options: GatysOptions, smallest: int) -> None:
    """Check that no image is smaller than the backbone needs, at any level.

    Raises:
        UserError: one is.
    """
    from pix2pix.errors import format_path

    pictures, scales = load_images(job, options).pictures, options.optimize.pyramid_levels
    remedies = [("content", job.content, pictures.content, "raise --image_size")]
    raised = "raise --style_scale or --image_size"
    remedies += [("style", path, x, raised) for path, x in zip(job.styles, pictures.styles, strict=True)]
    for option, path, image, remedy in remedies:
        height, width = (max(1, round(side / 2 ** (scales - 1))) for side in image.shape[-2:])
        if min(height, width) < smallest:
            coarsest, lower = (
                (" at the coarsest of --pyramid_levels", ", lower --pyramid_levels") if scales > 1 else ("", "")
            )
            raise UserError(
                f"--{option} {format_path(path)}: it is resized to {height}x{width}{coarsest}, and "
                f"{options.features.backbone} needs {smallest}x{smallest} for its layers: {remedy}{lower}, "
                "or name earlier layers"
            )


def _format_size(path: Path, array: "Array", size: tuple[int, int]) -> str:
    from pix2pix.errors import format_path

    return f"{format_path(path)} {array.shape[0]}x{array.shape[1]} at {size[0]}x{size[1]}"


def _check_levels(size: tuple[int, int], scales: int) -> None:
    most = max(1, (min(size) // _SMALLEST).bit_length())
    if scales > most:
        raise UserError(
            f"--pyramid_levels {scales}: the first would be {min(size) / 2 ** (scales - 1):.0f} pixels across, and "
            f"{_SMALLEST} "
            f"are needed; at {size[0]}x{size[1]} there are {most} at most: lower it, or raise --image_size"
        )


def _load_mask(option: str, path: str, picture: "Array", size: tuple[int, int], max_pixels: int) -> "Tensor":
    """Load a gray image as (1, 1, H, W) in [0, 1]."""
    from pix2pix.data.arrays import convert_channels, resize
    from pix2pix.data.codec import read_rgb_array, rgb_to_tensor
    from pix2pix.errors import ImageError

    try:
        array = read_rgb_array(path, max_pixels)
    except ImageError as error:
        raise UserError(f"--{option} {error}; a gray image is needed, or none") from error
    if array.shape[:2] != picture.shape[:2]:
        (height, width), (needed_height, needed_width) = array.shape[:2], picture.shape[:2]
        raise UserError(
            f"--{option}: {path} is {height}x{width}, its image {needed_height}x{needed_width}: both need one size"
        )
    resized = resize(convert_channels(array, 1), size)
    if not resized.any():
        at = f" when resized to {size[0]}x{size[1]}" if array.any() else ""
        raise UserError(f"--{option}: {path} is black everywhere{at}; white is where its style is applied")
    return (rgb_to_tensor(resized)[None] + 1) / 2
