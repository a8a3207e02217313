"""Losses of a generator's outputs on the features of a frozen backbone.

L_perceptual = mean_l |F_l(G(x)) - F_l(y)|^2 / (C_l H_l W_l)   (Johnson, Alahi, Fei-Fei 2016, equation 2)
L_style = sum_l w_l E_l(G(x), s)   (Gatys, Ecker, Bethge 2016, equation 5), where s is the target y or one picture

W* = arg min_W  E_x[ lambda_c L_content(f_W(x), x) + lambda_s L_style(f_W(x), s) + lambda_tv L_TV(f_W(x)) ]
(Johnson, Alahi, Fei-Fei 2016, equation 1, with the losses of section 3.2).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pix2pix.config.losses import FeatureOptions
from pix2pix.config.parse import PhotoTrainingOptions
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.style import JohnsonOptions, MultiStyleOptions
from pix2pix.data.arrays import fit_size, resize, resize_to_height
from pix2pix.data.codec import ImageCodec, read_rgb, read_rgb_array, rgb_to_tensor
from pix2pix.data.color import CHROMA, lab_to_rgb
from pix2pix.errors import ImageError, UserError, format_path
from pix2pix.losses.pixel import total_variation
from pix2pix.losses.precision import to_float32
from pix2pix.methods.base import Scalars
from pix2pix.methods.feature_loss import (
    FeatureLoss,
    Features,
    StyleTarget,
    compute_example_features,
    measure_general_units,
    roll_batch,
)
from pix2pix.runtime.device import Runtime


class WeightedLoss(NamedTuple):
    """A part of an objective: its name, its weight, and the loss, a scalar."""

    name: str
    weight: float
    loss: Tensor


class PerceptualLoss:
    """The perceptual and the style loss of outputs, each with its weight; one of weight 0 is left out.

    All is computed in float32, whatever the precision of the networks. With bfloat16 the image's gradient differed by
    5 to 12 % of its length (trained VGG-19 on facades, 128 pixels; cosine 0.993 to 0.999).

    Raises:
        UserError: weights or layers are not to be had, the style image is none, or crops are too small for the layers.
    """

    def __init__(self, options: Pix2PixOptions, runtime: Runtime):
        loss, data = options.loss, options.data
        off = {"content_layers": ()} if loss.lambda_perceptual == 0 else {}
        off |= {"style_layers": ()} if loss.lambda_style == 0 else {}
        self.weights = loss.lambda_perceptual, loss.lambda_style
        self.objective = FeatureLoss(options.features.model_copy(update=off), runtime, options.run.seed)
        is_cropped = data.preprocess in ("resize_and_crop", "crop", "scale_width_and_crop")
        units = (
            measure_general_units(self.objective, data.crop_size)
            if is_cropped
            else measure_general_units(self.objective)
        )
        self.content_units, self.style_units = units
        self.description = dict(self.objective.description)
        self.style: StyleTarget | None = None
        if loss.style_image is not None:
            picture = load_style_image(loss.style_image, data.crop_size, data.max_pixels)
            self.style = self._style_of(runtime.to_device(picture))
            self.description["style_image_sha256"] = hashlib.sha256(Path(loss.style_image).read_bytes()).hexdigest()
        if is_cropped:
            blank = runtime.to_device(torch.zeros(1, 3, *data.crop_size))
            with torch.no_grad():  # tells at once whether layers fit crops
                list(self.terms(blank, blank))

    def terms(self, output: Tensor, target: Tensor) -> Iterator[WeightedLoss]:
        """Yield the losses of outputs (N, 1 or 3, H, W) in [-1, 1] whose targets are these, with gradient to outputs.

        It never waits for the device.
        """
        perceptual, style = self.weights
        features = self.objective.features(output)
        if perceptual > 0 or self.style is None:
            with torch.no_grad():
                wanted = self.objective.features(target)
        if perceptual > 0:
            yield WeightedLoss(
                "perceptual", perceptual, self.objective.content_loss(features, wanted, self.content_units)
            )
        if style > 0:
            aim = self.style or StyleTarget(self.objective.statistics(wanted), self.style_units)
            yield WeightedLoss("style", style, self.objective.style_loss(features, [aim]))

    @torch.no_grad()
    def _style_of(self, picture: Tensor) -> StyleTarget:
        return StyleTarget(self.objective.statistics(self.objective.features(picture)), self.style_units)


def build_perceptual_loss(options: Pix2PixOptions, runtime: Runtime) -> PerceptualLoss | None:
    """Build the losses on features, if the objective has any."""
    return PerceptualLoss(options, runtime) if options.loss.lambda_perceptual or options.loss.lambda_style else None


def load_style_image(path: str, size: tuple[int, int], max_pixels: int) -> Tensor:
    """Read a picture as (1, 3, H, W) in [-1, 1], of its own proportions and just large enough to cover the size.

    Nothing of it is cut off: all of it shows the style, at about the scale of what is trained on.

    Raises:
        UserError: it cannot be read, or is no picture.
    """
    try:
        picture = read_rgb(path, max_pixels).permute(1, 2, 0).numpy()
    except ImageError as error:
        raise UserError(f"--style_image {error}; give another picture, or leave it out") from error
    height, width = picture.shape[:2]
    scale = max(size[0] / height, size[1] / width)
    resized = resize(picture, (max(size[0], round(height * scale)), max(size[1], round(width * scale))))
    return torch.from_numpy(resized).permute(2, 0, 1)[None].clamp(-1, 1)


def check_backbone_input(target: ImageCodec) -> None:
    """Refuse targets that are no pictures to a backbone.

    Raises:
        UserError: they have channels other than grey, RGB, or a and b.
    """
    if target.kind != "chroma" and target.nc not in (1, 3):
        raise UserError(
            f"--lambda_perceptual and --lambda_style look at grey or RGB targets, and these have {target.nc} channels; "
            "leave both out, or give --output_nc 3"
        )


def to_backbone_input(target: ImageCodec, output: Tensor, source: Tensor) -> Tensor:
    """Return outputs as a backbone takes them: float32 or wider, grey or RGB in [-1, 1], without waiting.

    Colours a and b get the L of their sources. Those that no screen shows lie outside, and so have a gradient.
    """
    if target.kind != "chroma":
        return to_float32(output)
    return lab_to_rgb(torch.cat([(to_float32(source) + 1) * 50, to_float32(output) * CHROMA], dim=1)) * 2 - 1


_CONTENT = ("relu3_3",)  # Johnson's with a VGG, as the code of the paper has it
_STYLE = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
_PREVIEW = 256  # pixels
DEVIATION = 0.02  # of initial weights, whose scale means little before norms


class StyleImage(NamedTuple):
    """A picture in whose manner is painted: its name, itself (1, 3, H, W) in [-1, 1], and its file's SHA-256."""

    name: str
    picture: Tensor
    sha256: str

    def preview(self) -> Tensor:
        """Return a small copy (3, H, W) of uint8, for people."""
        sides = self.picture.shape[-2:]
        size = fit_size(sides, min(_PREVIEW, max(sides)))
        small = torch.nn.functional.interpolate(self.picture.cpu(), size, mode="bilinear", antialias=True)[0]
        return ((small.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


class StyleNetworkLoss:
    """The objective of a network that paints in the manner of some paintings.

    Raises:
        UserError: weights or layers are not to be had, or crops or paintings do not fit them or the network.
    """

    def __init__(self, options: JohnsonOptions | MultiStyleOptions, runtime: Runtime, paintings: Sequence[StyleImage]):
        self.options, self.runtime = options, runtime
        self.objective = FeatureLoss(_with_layers(options.features), runtime, options.run.seed)
        crop = options.data.crop_size
        _check_crop(crop)
        self.objective.check_crop(crop)
        others = compute_example_features(self.objective, crop)
        self.content_units = self.objective.content_units(others, roll_batch(others))
        self.styles = [self._style(painting, others) for painting in paintings]
        self.description = dict(self.objective.description)
        self.pictures = [painting.preview() for painting in paintings]

    def __call__(self, output: Tensor, content: Tensor, styles: Sequence[int]) -> tuple[Tensor, Scalars]:
        """Return the loss of outputs (N, 3, H, W) of photographs, each in a style of this number, and its parts.

        It never waits for the device where all have one style.
        """
        features = self.objective.features(to_float32(output))
        with torch.no_grad():
            wanted = self.objective.features(content)
        content_loss = self.objective.content_loss(features, wanted, self.content_units)
        style_losses = [
            share * self.objective.style_loss(own, [self.styles[style]])
            for style, share, own in _by_style(features, styles)
        ]
        return sum_weighted_losses(self.options, content_loss, torch.stack(style_losses).sum(), output)

    def shown(self, style: int, beside: Tensor) -> Tensor:
        """Return the picture (1, 3, H, W') in [-1, 1] of a style, as high as the image that it is shown beside."""
        return resize_to_height(self.pictures[style][None].to(beside) / 127.5 - 1, beside.shape[-2])

    @torch.no_grad()
    def _style(self, painting: StyleImage, others: Features) -> StyleTarget:
        height, width = painting.picture.shape[-2:]
        smallest = self.objective.extractor.smallest_side
        if min(height, width) < smallest:
            raise UserError(
                f"the style {format_path(painting.name)} is seen as {height}x{width}, and the layers need "
                f"{smallest}x{smallest}: raise --style_size, give a picture that is less long, or name earlier layers"
            )
        return self.objective.style(self.objective.features(self.runtime.to_device(painting.picture)), others)


def _check_crop(size: tuple[int, int]) -> None:
    if any(side % 4 or side < 16 for side in size):
        raise UserError(
            f"--crop_size {size[0]}x{size[1]}: the network halves and doubles it twice: "
            "choose multiples of 4, from 16 on"
        )


def sum_weighted_losses(
    options: PhotoTrainingOptions, content_loss: Tensor, style_loss: Tensor, output: Tensor
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


def load_style_images(paths: Iterable[Path], longest: int, max_pixels: int, option: str) -> list[StyleImage]:
    """Read pictures to paint in the manner of, their longer sides as wished.

    Raises:
        UserError: one cannot be read, or is no picture.
    """
    return [_read(path, longest, max_pixels, option) for path in paths]


def _read(path: Path, longest: int, max_pixels: int, option: str) -> StyleImage:
    try:
        array = read_rgb_array(path, max_pixels)
    except ImageError as error:
        raise UserError(f"--{option} {error}; give another picture") from error
    resized = resize(array, fit_size(array.shape[:2], longest))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return StyleImage(path.stem, rgb_to_tensor(resized)[None].clamp(-1, 1), sha256)
