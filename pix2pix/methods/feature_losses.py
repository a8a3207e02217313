"""What a frozen backbone adds to the objective of a generator: a perceptual loss and a style loss of its outputs.

L_perceptual = mean_l |F_l(G(x)) - F_l(y)|^2 / (C_l H_l W_l)   (Johnson, Alahi, Fei-Fei 2016, equation 2)
L_style = sum_l w_l E_l(G(x), s)   (Gatys, Ecker, Bethge 2016, equation 5), where s is the target y or one picture
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pix2pix import images
from pix2pix.colour import lab_to_rgb
from pix2pix.errors import UserError
from pix2pix.images import Encoding, ImageError
from pix2pix.images.lightness import CHROMA
from pix2pix.losses.precision import widened
from pix2pix.methods.objective import Objective, Style, general_units
from pix2pix.options import Pix2PixOptions
from pix2pix.runtime import Runtime


class Term(NamedTuple):
    """A part of an objective: its name, its weight, and the loss, a scalar."""

    name: str
    weight: float
    loss: Tensor


class FeatureLosses:
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
        self.objective = Objective(options.features.model_copy(update=off), runtime, options.run.seed)
        is_cropped = data.preprocess in ("resize_and_crop", "crop", "scale_width_and_crop")
        units = general_units(self.objective, data.crop_size) if is_cropped else general_units(self.objective)
        self.content_units, self.style_units = units
        self.description = dict(self.objective.description)
        self.style: Style | None = None
        if loss.style_image is not None:
            picture = read_style(loss.style_image, data.crop_size, data.max_pixels)
            self.style = self._style_of(runtime.place(picture))
            self.description["style_image_sha256"] = hashlib.sha256(Path(loss.style_image).read_bytes()).hexdigest()
        if is_cropped:
            blank = runtime.place(torch.zeros(1, 3, *data.crop_size))
            with torch.no_grad():  # tells at once whether layers fit crops
                list(self.terms(blank, blank))

    def terms(self, output: Tensor, target: Tensor) -> Iterator[Term]:
        """Yield the losses of outputs (N, 1 or 3, H, W) in [-1, 1] whose targets are these, with gradient to outputs.

        It never waits for the device.
        """
        perceptual, style = self.weights
        features = self.objective.features(output)
        if perceptual > 0 or self.style is None:
            with torch.no_grad():
                wanted = self.objective.features(target)
        if perceptual > 0:
            yield Term("perceptual", perceptual, self.objective.content_loss(features, wanted, self.content_units))
        if style > 0:
            aim = self.style or Style(self.objective.statistics(wanted), self.style_units)
            yield Term("style", style, self.objective.style_loss(features, [aim]))

    @torch.no_grad()
    def _style_of(self, picture: Tensor) -> Style:
        return Style(self.objective.statistics(self.objective.features(picture)), self.style_units)


def feature_losses(options: Pix2PixOptions, runtime: Runtime) -> FeatureLosses | None:
    """Build the losses on features, if the objective has any."""
    return FeatureLosses(options, runtime) if options.loss.lambda_perceptual or options.loss.lambda_style else None


def read_style(path: str, size: tuple[int, int], max_pixels: int) -> Tensor:
    """Read a picture as (1, 3, H, W) in [-1, 1], of its own proportions and just large enough to cover the size.

    Nothing of it is cut off: all of it shows the style, at about the scale of what is trained on.

    Raises:
        UserError: it cannot be read, or is no picture.
    """
    try:
        picture = images.read_rgb(path, max_pixels).permute(1, 2, 0).numpy()
    except ImageError as error:
        raise UserError(f"--style_image {error}; give another picture, or leave it out") from error
    height, width = picture.shape[:2]
    scale = max(size[0] / height, size[1] / width)
    resized = images.resize(picture, (max(size[0], round(height * scale)), max(size[1], round(width * scale))))
    return torch.from_numpy(resized).permute(2, 0, 1)[None].clamp(-1, 1)


def check_seen(target: Encoding) -> None:
    """Refuse targets that are no pictures to a backbone.

    Raises:
        UserError: they have channels other than grey, RGB, or a and b.
    """
    if target.kind != "chroma" and target.nc not in (1, 3):
        raise UserError(
            f"--lambda_perceptual and --lambda_style look at grey or RGB targets, and these have {target.nc} channels; "
            "leave both out, or give --output_nc 3"
        )


def seen(target: Encoding, output: Tensor, source: Tensor) -> Tensor:
    """Return outputs as a backbone takes them: float32 or wider, grey or RGB in [-1, 1], without waiting.

    Colours a and b get the L of their sources. Those that no screen shows lie outside, and so have a gradient.
    """
    if target.kind != "chroma":
        return widened(output)
    return lab_to_rgb(torch.cat([(widened(source) + 1) * 50, widened(output) * CHROMA], dim=1)) * 2 - 1
