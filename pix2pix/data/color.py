"""CIE Lab, gamut clipping, color transfer, colorization.

Images are (..., 3, H, W), float32 or float64. Source: IEC 61966-2-1 for sRGB, CIE 15 for Lab.
"""

import numpy as np
import torch
from torch import Tensor

from pix2pix.data.arrays import Array, cast_values, to_tensor

LUMINANCE = (0.212671, 0.715160, 0.072169)  # of linear R, G and B
_XYZ_OF_RGB = ((0.412453, 0.357580, 0.180423), LUMINANCE, (0.019334, 0.119193, 0.950227))
_RGB_OF_XYZ = torch.linalg.inv(torch.tensor(_XYZ_OF_RGB, dtype=torch.float64)).tolist()
_WHITE = (0.95047, 1.0, 1.08883)  # of D65
_DARK, _SLOPE, _OFFSET = 0.008856, 7.787, 16 / 116  # linear below _DARK
_WHITE_LIGHT = [sum(weight * white for weight, white in zip(row, _WHITE, strict=True)) for row in _RGB_OF_XYZ]
_HIGHEST = [max(1.0, light) for light in _WHITE_LIGHT]  # the published matrix misses white by up to 8e-5
_HALVINGS = 24  # one part in 16 million, as fine as float32
_NOISE = 1e-4  # of the largest variance: about that of 8-bit rounding


def srgb_to_linear(rgb: Tensor) -> Tensor:
    """Convert sRGB values in [0, 1], of any shape, to linear light in [0, 1]."""
    return torch.where(rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB in [0, 1] to L in 0..100 and a, b in -108..99."""
    lights = _mixed(_XYZ_OF_RGB, srgb_to_linear(rgb)).unbind(-3)
    x, y, z = (_root(light / white) for light, white in zip(lights, _WHITE, strict=True))
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert Lab to sRGB, outside of [0, 1] for colors out of gamut: the inverse of `rgb_to_lab`."""
    return _gamma(_linear_rgb(lab))


def lightness_to_gray(lightness: Tensor) -> Tensor:
    """Return the sRGB gray in [0, 1] of this L, of any shape."""
    return _gamma(_cube((lightness + 16) / 116))


def clip_to_gamut(lab: Tensor) -> Tensor:
    """Reduce the chroma of colors outside of the sRGB gamut until they fit; L and hue stay.

    a and b are multiplied by the largest factor in [0, 1] that fits, found by bisection. Linear light may still exceed
    [0, 1] by 1e-4: clip after `lab_to_rgb`.
    """
    outside = ~_fits(lab)
    result = lab.clone()
    channels = result.movedim(-3, 0)
    chosen = channels[:, outside].unsqueeze(-1)
    lightness, chroma = chosen[:1], chosen[1:]  # (1, M, 1), (2, M, 1)
    inner, outer = torch.zeros_like(lightness), torch.ones_like(lightness)
    for _ in range(_HALVINGS):
        middle = (inner + outer) / 2
        fits = _fits(torch.cat([lightness, chroma * middle]))
        inner, outer = torch.where(fits, middle, inner), torch.where(fits, outer, middle)
    channels[1:, outside] = (chroma * inner).squeeze(-1)
    return result


def match_colors(image: Tensor, reference: Tensor) -> Tensor:
    """Give the image the mean and covariance of the reference's colors; both are (..., C, H, W) of any size.

    The map is linear: whitening by the image's covariance, coloring by the reference's. Values may leave the range of
    the images: clip them. Directions with less than a hundredth of the largest deviation are noise and dropped; an
    image of a single color becomes the mean.

    Source: Sun, Feng, Saenko, *Return of Frustratingly Easy Domain Adaptation* (CORAL), 2016, algorithm 1, without its
    identity matrix; for style transfer Gatys et al., *Preserving Color in Neural Artistic Style Transfer*, 2016.
    """
    center, covariance = _moments(image)
    new_center, new_covariance = _moments(reference)
    matrix = (_power(new_covariance, 0.5, least=0) @ _power(covariance, -0.5, least=_NOISE)).to(image)
    parts = matrix.unbind(-1)  # no matmul: see _mixed
    channels = (image - center).unbind(-3)
    return new_center + sum(
        part[..., None, None] * channel.unsqueeze(-3) for part, channel in zip(parts, channels, strict=True)
    )


def luminance(image: Tensor) -> Tensor:
    """Return the gray image (..., 1, H, W) of the same lightness, for images in [-1, 1]."""
    return lightness_to_gray(rgb_to_lab((image + 1) / 2)[..., :1, :, :]) * 2 - 1


def keep_colors(output: Tensor, content: Tensor) -> Tensor:
    """Return an image in [-1, 1] with L of the output and a, b of the content, images of one size in [-1, 1].

    Colors out of gamut lose chroma.
    Source: Gatys et al., *Preserving Color in Neural Artistic Style Transfer*, 2016, there in YIQ.
    """
    lightness = rgb_to_lab((output.clamp(-1, 1) + 1) / 2)[..., :1, :, :]
    chroma = rgb_to_lab((content.clamp(-1, 1) + 1) / 2)[..., 1:, :, :]
    return lab_to_rgb(clip_to_gamut(torch.cat([lightness, chroma], dim=-3))).clamp(0, 1) * 2 - 1


def _moments(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (..., C, 1, 1) of the colors and their covariance (..., C, C), float64 on the CPU."""
    center = image.mean(dim=(-2, -1), keepdim=True)
    channels = (image - center).flatten(-2).unbind(-2)
    rows = [torch.stack([(a * b).mean(dim=-1) for b in channels], dim=-1) for a in channels]
    return center, torch.stack(rows, dim=-2).cpu().double()


def _power(covariance: Tensor, exponent: float, least: float) -> Tensor:
    """Return the power of symmetric matrices (..., C, C); eigenvalues up to a share `least` of the largest become 0."""
    values, vectors = torch.linalg.eigh(covariance)
    counts = (values > least * values[..., -1:]) & (values > 0)
    powers = torch.where(counts, values.clamp(min=torch.finfo(values.dtype).tiny).pow(exponent), 0.0)
    return torch.matmul(vectors * powers.unsqueeze(-2), vectors.mT)


def _fits(lab: Tensor) -> Tensor:
    linear = _linear_rgb(lab)
    round_off = 64 * torch.finfo(lab.dtype).eps
    highest = torch.tensor(_HIGHEST, dtype=lab.dtype, device=lab.device).reshape(3, 1, 1)
    return ((linear >= -round_off) & (linear <= highest + round_off)).all(dim=-3)


def _linear_rgb(lab: Tensor) -> Tensor:
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    lights = [_cube(root) * white for root, white in zip((y + a / 500, y, y - b / 200), _WHITE, strict=True)]
    return _mixed(_RGB_OF_XYZ, torch.stack(lights, dim=-3))


def _mixed(matrix: list[list[float]] | tuple[tuple[float, ...], ...], image: Tensor) -> Tensor:
    """Multiply the channels by the matrix; matmul would lose precision under TF32 and autocast."""
    first, second, third = image.unbind(-3)
    return torch.stack([a * first + b * second + c * third for a, b, c in matrix], dim=-3)


def _root(light: Tensor) -> Tensor:
    return torch.where(light > _DARK, light.clamp(min=_DARK) ** (1 / 3), _SLOPE * light + _OFFSET)


def _cube(root: Tensor) -> Tensor:
    return torch.where(root > _DARK ** (1 / 3), root**3, (root - _OFFSET) / _SLOPE)


def _gamma(linear: Tensor) -> Tensor:
    return torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055, linear * 12.92)


CHROMA = 110.0  # a and b of sRGB colors lie within -108..99
Span = tuple[tuple[float], tuple[float]]  # file values of black and white

_BAND = 2**16  # pixels at a time, to limit memory
_ROUND_OFF = 4e-7  # of the span: L is float32


def photo_to_lab(array: Array, span: Span) -> Tensor:
    """Return Lab (3, H, W) float32 of a photo (H, W, 1, 3 or 4); alpha is ignored."""
    rgb = to_tensor(array[..., :3], *span)
    return rgb_to_lab((rgb.expand(3, -1, -1) + 1) / 2)


def join_lab(lightness: Tensor, chroma: Tensor) -> Tensor:
    """Join tensors in [-1, 1], (..., 1, H, W) and (..., 2, H, W), to a Lab image in the sRGB gamut."""
    return clip_to_gamut(torch.cat([(lightness + 1) * 50, chroma.clamp(-1, 1) * CHROMA], dim=-3))


def lightness_to_image(lightness: Tensor, dtype: str, span: Span) -> Array:
    """Return the gray image (H, W, 1) of a lightness (1, H, W) in [-1, 1]."""
    (low,), (high,) = span
    level = lightness_to_gray((_plain(lightness) + 1) * 50) * (high - low) + low
    return cast_values(level.permute(1, 2, 0).numpy(), dtype)


def colorize(lightness: Tensor, chroma: Tensor, dtype: str, span: Span) -> Array:
    """Return the photo (H, W, 3) of a lightness (1, H, W) and a chroma (2, H, W) in [-1, 1].

    Integer colors are rounded to the nearest color whose gray equals that of the lightness.
    """
    (low,), (high,) = span
    whole = not np.issubdtype(dtype, np.floating) and low != high
    bands = []
    for light, ab in zip(_bands(lightness), _bands(chroma), strict=True):
        colors = lab_to_rgb(join_lab(light, ab)).clamp(0, 1) * (high - low) + low
        bands.append(_rounded(colors, lightness_to_gray((light + 1) * 50), low, high) if whole else colors)
    image = torch.cat(bands, dim=1).reshape(3, *lightness.shape[1:]).permute(1, 2, 0)
    return cast_values(image.contiguous().numpy(), dtype)


def _bands(image: Tensor) -> tuple[Tensor, ...]:
    """Split the pixels into pieces (C, M, 1)."""
    return torch.split(_plain(image).flatten(1).unsqueeze(-1), _BAND, dim=1)


def _plain(image: Tensor) -> Tensor:
    return image.detach().cpu().double().clamp(-1, 1)


def _rounded(colors: Tensor, gray: Tensor, low: float, high: float) -> Tensor:
    """Round colors (3, M, 1) to the nearest integers with the same gray level."""
    scale = high - low
    weights = torch.tensor(LUMINANCE, dtype=torch.float64).reshape(3, 1, 1)
    level = (gray * scale + low).round() - low
    margin = max(0.5 - _ROUND_OFF * scale, 0.25)
    darkest, lightest = (srgb_to_linear((level + step) / scale)[0, :, 0] for step in (-margin, margin))
    rounded = colors.round()
    light = (srgb_to_linear((rounded - low) / scale) * weights).sum(dim=0)[:, 0]
    missed = (light < darkest) | (light > lightest)
    darkest, lightest = darkest[missed], lightest[missed]
    # One of the 27 neighbors has the level, since a step in one channel moves the gray by less than one.
    near = (rounded[:, missed] + torch.tensor([-1.0, 0.0, 1.0])).clamp(low, high)  # (channels, missed, steps)
    light = _sums(srgb_to_linear((near - low) / scale) * weights)
    excess = (darkest - light).clamp(min=0) + (light - lightest).clamp(min=0)
    best = (_sums((near - colors[:, missed]) ** 2) + 1e9 * excess).argmin(dim=0)
    steps = torch.stack([best // 9, best // 3 % 3, best % 3]).unsqueeze(-1)
    rounded[:, missed] = near.gather(2, steps)
    return rounded


def _sums(parts: Tensor) -> Tensor:
    """Return the sums over channels of (channels, M, steps) for each choice of three steps: (27, M)."""
    red, green, blue = parts.movedim(-1, 1)
    return torch.flatten(red[:, None, None] + green[None, :, None] + blue, 0, 2)
