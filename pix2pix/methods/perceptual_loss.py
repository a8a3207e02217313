"""The perceptual and the style loss of pix2pix: losses of outputs on the features of a frozen backbone.

L_perceptual = mean_l |F_l(G(x)) - F_l(y)|^2 / (C_l H_l W_l)   (Johnson, Alahi, Fei-Fei 2016, equation 2)
L_style = sum_l w_l E_l(G(x), s)   (Gatys, Ecker, Bethge 2016, equation 5), where s is the target y or one style image
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.data.arrays import resize
from pix2pix.data.codec import ImageCodec, read_rgb
from pix2pix.data.color import CHROMA, lab_to_rgb
from pix2pix.errors import ImageError, UserError
from pix2pix.losses.precision import to_float32
from pix2pix.methods.base import WeightedLoss
from pix2pix.methods.feature_loss import EXAMPLE_SIDE, FeatureLoss, StyleTarget, measure_baselines
from pix2pix.runtime.device import Runtime


class PerceptualLoss:
    """The perceptual and the style loss of outputs, with their weights; a loss of weight 0 is left out.

    Features are float32, whatever the precision of the networks. With bfloat16 the image's gradient differed by 5 to
    12 % of its length (trained VGG-19 on facades, 128 pixels; cosine 0.993 to 0.999).

    Raises:
        UserError: weights, layers or the style image cannot be used, or crops are too small for the layers.
    """

    def __init__(self, options: Pix2PixOptions, runtime: Runtime):
        loss, data = options.loss, options.data
        off = {"content_layers": ()} if loss.lambda_perceptual == 0 else {}
        off |= {"style_layers": ()} if loss.lambda_style == 0 else {}
        self.weights = loss.lambda_perceptual, loss.lambda_style
        self.feature_loss = FeatureLoss(options.features.model_copy(update=off), runtime, options.run.seed)
        is_cropped = data.preprocess in ("resize_and_crop", "crop", "scale_width_and_crop")
        size = data.crop_size if is_cropped else (EXAMPLE_SIDE, EXAMPLE_SIDE)
        self.content_baselines, self.style_baselines = measure_baselines(self.feature_loss, size)
        self.description = dict(self.feature_loss.description)
        self.style: StyleTarget | None = None
        if loss.style_image is not None:
            image = runtime.to_device(load_style_image(loss.style_image, data.crop_size, data.max_pixels))
            with torch.no_grad():
                statistics = self.feature_loss.compute_statistics(self.feature_loss.extract(image))
            self.style = StyleTarget(statistics, self.style_baselines)
            self.description["style_image_sha256"] = hashlib.sha256(Path(loss.style_image).read_bytes()).hexdigest()
        if is_cropped:
            blank = runtime.to_device(torch.zeros(1, 3, *data.crop_size))
            with torch.no_grad():  # fails now, not in training, if layers do not fit crops
                list(self.terms(blank, blank))

    def terms(self, output: Tensor, target: Tensor) -> Iterator[WeightedLoss]:
        """Yield the losses between outputs and targets (N, 1 or 3, H, W) in [-1, 1]; it never waits for the device."""
        lambda_perceptual, lambda_style = self.weights
        features = self.feature_loss.extract(output)
        if lambda_perceptual > 0 or self.style is None:
            with torch.no_grad():
                target_features = self.feature_loss.extract(target)
        if lambda_perceptual > 0:
            loss = self.feature_loss.content_loss(features, target_features, self.content_baselines)
            yield WeightedLoss("perceptual", lambda_perceptual, loss)
        if lambda_style > 0:
            style = self.style or StyleTarget(
                self.feature_loss.compute_statistics(target_features), self.style_baselines
            )
            yield WeightedLoss("style", lambda_style, self.feature_loss.style_loss(features, [style]))


def build_perceptual_loss(options: Pix2PixOptions, runtime: Runtime) -> PerceptualLoss | None:
    """Build the losses on features if --lambda_perceptual or --lambda_style is above 0."""
    return PerceptualLoss(options, runtime) if options.loss.lambda_perceptual or options.loss.lambda_style else None


def load_style_image(path: str, size: tuple[int, int], max_pixels: int) -> Tensor:
    """Load an image as (1, 3, H, W) in [-1, 1], resized, with its aspect ratio, to just cover `size`; nothing is cut.

    Raises:
        UserError: it cannot be read.
    """
    try:
        image = read_rgb(path, max_pixels).permute(1, 2, 0).numpy()
    except ImageError as error:
        raise UserError(f"--style_image {error}; give another image, or leave it out") from error
    height, width = image.shape[:2]
    scale = max(size[0] / height, size[1] / width)
    resized = resize(image, (max(size[0], round(height * scale)), max(size[1], round(width * scale))))
    return torch.from_numpy(resized).permute(2, 0, 1)[None].clamp(-1, 1)


def check_backbone_input(target: ImageCodec) -> None:
    """Refuse targets that a backbone cannot take.

    Raises:
        UserError: their channels are not gray, RGB, or a and b of Lab.
    """
    if target.kind != "chroma" and target.nc not in (1, 3):
        raise UserError(
            f"--lambda_perceptual and --lambda_style need gray or RGB targets, and these have {target.nc} channels; "
            "leave both out, or give --output_nc 3"
        )


def to_backbone_input(target: ImageCodec, image: Tensor, source: Tensor) -> Tensor:
    """Return outputs or targets as a backbone takes them: float32 or wider, gray or RGB in [-1, 1].

    Channels a and b are joined with the L of their sources. Colors outside of RGB are not clipped, so that they have
    a gradient.
    """
    if target.kind != "chroma":
        return to_float32(image)
    return lab_to_rgb(torch.cat([(to_float32(source) + 1) * 50, to_float32(image) * CHROMA], dim=1)) * 2 - 1
