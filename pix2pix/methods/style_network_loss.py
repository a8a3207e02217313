"""The loss of networks that stylize photos (Johnson's and multi-style), and the style images that they learn from.

L = lambda_c L_content(f_W(x), x) + lambda_s L_style(f_W(x), s) + lambda_tv L_TV(f_W(x))
(Johnson, Alahi, Fei-Fei 2016, equation 1, with the losses of section 3.2)
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pix2pix.config.losses import FeatureOptions
from pix2pix.config.parse import PhotoTrainingOptions
from pix2pix.config.style import JohnsonOptions, MultiStyleOptions
from pix2pix.data.arrays import fit_size, resize, resize_to_height
from pix2pix.data.codec import read_rgb_array, rgb_to_tensor
from pix2pix.errors import ImageError, UserError, format_path
from pix2pix.losses.pixel import total_variation
from pix2pix.losses.precision import to_float32
from pix2pix.methods.base import Scalars, WeightedLoss, sum_losses
from pix2pix.methods.feature_loss import FeatureLoss, Features, StyleTarget, extract_example_features, roll_batch
from pix2pix.runtime.device import Runtime

_CONTENT_LAYERS = ("relu3_3",)  # of a VGG, as in the code of Johnson's paper
_STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
_THUMBNAIL_SIDE = 256
INIT_STD = 0.02  # of initial weights, whose scale matters little before norms


class StyleImage(NamedTuple):
    """A style image: its name, its pixels (1, 3, H, W) in [-1, 1], and its file's SHA-256."""

    name: str
    pixels: Tensor
    sha256: str

    def thumbnail(self) -> Tensor:
        """Return a small copy (3, H, W) of uint8, to show."""
        size = self.pixels.shape[-2:]
        small_size = fit_size(size, min(_THUMBNAIL_SIDE, max(size)))
        small = F.interpolate(self.pixels.cpu(), small_size, mode="bilinear", antialias=True)[0]
        return ((small.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def load_style_images(paths: Iterable[Path], longest: int, max_pixels: int, option: str) -> list[StyleImage]:
    """Load style images, resized so that the longer side of each is `longest`.

    Raises:
        UserError: one cannot be read; names the option that they come from.
    """
    images = []
    for path in paths:
        try:
            array = read_rgb_array(path, max_pixels)
        except ImageError as error:
            raise UserError(f"--{option} {error}; give another image") from error
        pixels = rgb_to_tensor(resize(array, fit_size(array.shape[:2], longest)))[None].clamp(-1, 1)
        images.append(StyleImage(path.stem, pixels, hashlib.sha256(path.read_bytes()).hexdigest()))
    return images


class StyleNetworkLoss:
    """The objective of a network for one or more styles.

    Raises:
        UserError: weights or layers cannot be used, or crops or style images are too small for them or the network.
    """

    def __init__(self, options: JohnsonOptions | MultiStyleOptions, runtime: Runtime, styles: Sequence[StyleImage]):
        self.options, self.runtime = options, runtime
        crop = options.data.crop_size
        if any(side % 4 or side < 16 for side in crop):
            raise UserError(
                f"--crop_size {crop[0]}x{crop[1]}: the network halves and doubles it twice: "
                "choose multiples of 4, from 16 on"
            )
        self.feature_loss = FeatureLoss(_choose_layers(options.features), runtime, options.run.seed)
        self.feature_loss.check_crop(crop)
        examples = extract_example_features(self.feature_loss, crop)
        self.content_baselines = self.feature_loss.content_baselines(examples, roll_batch(examples))
        self.styles = [self._style_target(style, examples) for style in styles]
        self.thumbnails = [style.thumbnail() for style in styles]
        self.description = dict(self.feature_loss.description)

    def __call__(self, output: Tensor, content: Tensor, styles: Sequence[int]) -> tuple[Tensor, Scalars]:
        """Return the loss of outputs for photos (N, 3, H, W), each in the style of this number, and its parts.

        It does not wait for the device if all have the same style.
        """
        features = self.feature_loss.extract(to_float32(output))
        with torch.no_grad():
            content_features = self.feature_loss.extract(content)
        content_loss = self.feature_loss.content_loss(features, content_features, self.content_baselines)
        style_losses = [
            share * self.feature_loss.style_loss(of_style, [self.styles[style]])
            for style, share, of_style in _split_by_style(features, styles)
        ]
        return sum_losses(weight_losses(self.options, content_loss, torch.stack(style_losses).sum(), output))

    def style_thumbnail(self, style: int, like: Tensor) -> Tensor:
        """Return a style's image (1, 3, H, W') in [-1, 1], as high as the image that it is shown beside."""
        return resize_to_height(self.thumbnails[style][None].to(like) / 127.5 - 1, like.shape[-2])

    @torch.no_grad()
    def _style_target(self, style: StyleImage, unrelated: Features) -> StyleTarget:
        height, width = style.pixels.shape[-2:]
        smallest = self.feature_loss.extractor.smallest_side
        if min(height, width) < smallest:
            raise UserError(
                f"the style {format_path(style.name)} is resized to {height}x{width}, and the layers need "
                f"{smallest}x{smallest}: raise --style_size, give an image that is less long, or name earlier layers"
            )
        features = self.feature_loss.extract(self.runtime.to_device(style.pixels))
        return self.feature_loss.style_target(features, unrelated)


def weight_losses(
    options: PhotoTrainingOptions, content_loss: Tensor, style_loss: Tensor, output: Tensor
) -> list[WeightedLoss]:
    """Return the terms lambda_c L_content, lambda_s L_style and lambda_tv L_TV of outputs (N, 3, H, W)."""
    return [
        WeightedLoss("content", options.loss.content_weight, content_loss),
        WeightedLoss("style", options.beta, style_loss),
        WeightedLoss("tv", options.loss.lambda_tv, total_variation(output)),
    ]


def _split_by_style(features: Features, styles: Sequence[int]) -> Iterator[tuple[int, float, Features]]:
    """Yield each style of a batch, its share of the images, and their features."""
    if len(set(styles)) == 1:
        yield styles[0], 1.0, features  # no indexing, which would wait for the device
        return
    for style in sorted(set(styles)):
        indices = [index for index, other in enumerate(styles) if other == style]
        yield style, len(indices) / len(styles), {layer: x[indices] for layer, x in features.items()}


def _choose_layers(features: FeatureOptions) -> FeatureOptions:
    """Fill in the layers of the paper's code for a VGG; other backbones have their own defaults."""
    if not features.backbone.startswith("vgg"):
        return features
    style_layers = _STYLE_LAYERS[2:] if features.style_loss == "mrf" else _STYLE_LAYERS
    layers = {
        "content_layers": features.content_layers or _CONTENT_LAYERS,
        "style_layers": features.style_layers or style_layers,
    }
    return features.model_copy(update=layers)
