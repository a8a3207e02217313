"""What a feed-forward painter minimises: the losses of Gatys et al. 2016, of what a network makes of photographs.

W* = arg min_W  E_x[ lambda_c L_content(f_W(x), x) + lambda_s L_style(f_W(x), s) + lambda_tv L_TV(f_W(x)) ]
(Johnson, Alahi, Fei-Fei 2016, equation 1, with the losses of section 3.2).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pix2pix import images
from pix2pix.errors import UserError
from pix2pix.images import ImageError
from pix2pix.losses.pixel import total_variation
from pix2pix.losses.precision import widened
from pix2pix.methods.base import Scalars
from pix2pix.methods.objective import Features, Objective, Style, example_features, of_another
from pix2pix.options import ConditionalOptions, FeatureOptions, JohnsonOptions, TrainedOnPhotos
from pix2pix.runtime import Runtime

_CONTENT = ("relu3_3",)  # Johnson's with a VGG, as the code of the paper has it
_STYLE = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
_PREVIEW = 256  # pixels
DEVIATION = 0.02  # of initial weights, whose scale means little before norms


class Painting(NamedTuple):
    """A picture in whose manner is painted: its name, itself (1, 3, H, W) in [-1, 1], and its file's SHA-256."""

    name: str
    picture: Tensor
    sha256: str

    def preview(self) -> Tensor:
        """Return a small copy (3, H, W) of uint8, for people."""
        sides = self.picture.shape[-2:]
        size = images.fitted(sides, min(_PREVIEW, max(sides)))
        small = torch.nn.functional.interpolate(self.picture.cpu(), size, mode="bilinear", antialias=True)[0]
        return ((small.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


class FeedForwardLoss:
    """The objective of a network that paints in the manner of some paintings.

    Raises:
        UserError: weights or layers are not to be had, or crops or paintings do not fit them or the network.
    """

    def __init__(self, options: JohnsonOptions | ConditionalOptions, runtime: Runtime, paintings: Sequence[Painting]):
        self.options, self.runtime = options, runtime
        self.objective = Objective(_with_layers(options.features), runtime, options.run.seed)
        crop = options.data.crop_size
        _check_crop(crop)
        self.objective.check_crop(crop)
        others = example_features(self.objective, crop)
        self.content_units = self.objective.content_units(others, of_another(others))
        self.styles = [self._style(painting, others) for painting in paintings]
        self.description = dict(self.objective.description)
        self.pictures = [painting.preview() for painting in paintings]

    def __call__(self, output: Tensor, content: Tensor, styles: Sequence[int]) -> tuple[Tensor, Scalars]:
        """Return the loss of outputs (N, 3, H, W) of photographs, each in a style of this number, and its parts.

        It never waits for the device where all have one style.
        """
        features = self.objective.features(widened(output))
        with torch.no_grad():
            wanted = self.objective.features(content)
        content_loss = self.objective.content_loss(features, wanted, self.content_units)
        style_losses = [
            share * self.objective.style_loss(own, [self.styles[style]])
            for style, share, own in _by_style(features, styles)
        ]
        return weighted(self.options, content_loss, torch.stack(style_losses).sum(), output)

    def shown(self, style: int, beside: Tensor) -> Tensor:
        """Return the picture (1, 3, H, W') in [-1, 1] of a style, as high as the image that it is shown beside."""
        return images.of_height(self.pictures[style][None].to(beside) / 127.5 - 1, beside.shape[-2])

    @torch.no_grad()
    def _style(self, painting: Painting, others: Features) -> Style:
        height, width = painting.picture.shape[-2:]
        smallest = self.objective.extractor.smallest_side
        if min(height, width) < smallest:
            raise UserError(
                f"the style {images.shown(painting.name)} is seen as {height}x{width}, and the layers need "
                f"{smallest}x{smallest}: raise --style_size, give a picture that is less long, or name earlier layers"
            )
        return self.objective.style(self.objective.features(self.runtime.place(painting.picture)), others)


def _check_crop(size: tuple[int, int]) -> None:
    if any(side % 4 or side < 16 for side in size):
        raise UserError(
            f"--crop_size {size[0]}x{size[1]}: the network halves and doubles it twice: "
            "choose multiples of 4, from 16 on"
        )


def weighted(
    options: TrainedOnPhotos, content_loss: Tensor, style_loss: Tensor, output: Tensor
) -> tuple[Tensor, Scalars]:
    """Return lambda_c L_content + lambda_s L_style + lambda_tv L_TV of outputs (N, 3, H, W), and these parts."""
    given, smoothness = options.loss, total_variation(output)
    loss = given.content_weight * content_loss + options.beta * style_loss + given.lambda_tv * smoothness
    parts = {"content": content_loss, "style": style_loss, "tv": smoothness}
    return loss, {name: part.detach() for name, part in parts.items()}


def _by_style(features: Features, styles: Sequence[int]) -> Iterator[tuple[int, float, Features]]:
    """Yield each style, its share of the images, and their features."""
    if len(set(styles)) == 1:
        yield styles[0], 1.0, features  # as they are: picking would wait for the device
        return
    for style in sorted(set(styles)):
        places = [place for place, other in enumerate(styles) if other == style]
        yield style, len(places) / len(styles), {layer: x[places] for layer, x in features.items()}


def _with_layers(features: FeatureOptions) -> FeatureOptions:
    """Choose the paper's layers of a VGG where none are named; other backbones have their own."""
    if not features.backbone.startswith("vgg"):
        return features
    style = _STYLE[2:] if features.style_loss == "mrf" else _STYLE
    chosen = {"content_layers": features.content_layers or _CONTENT, "style_layers": features.style_layers or style}
    return features.model_copy(update=chosen)


def read_paintings(paths: Iterable[Path], longest: int, max_pixels: int, option: str) -> list[Painting]:
    """Read pictures to paint in the manner of, their longer sides as wished.

    Raises:
        UserError: one cannot be read, or is no picture.
    """
    return [_read(path, longest, max_pixels, option) for path in paths]


def _read(path: Path, longest: int, max_pixels: int, option: str) -> Painting:
    try:
        array = images.read_rgb_array(path, max_pixels)
    except ImageError as error:
        raise UserError(f"--{option} {error}; give another picture") from error
    resized = images.resize(array, images.fitted(array.shape[:2], longest))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Painting(path.stem, images.rgb_tensor(resized)[None].clamp(-1, 1), sha256)
