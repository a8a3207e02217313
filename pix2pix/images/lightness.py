"""Photos as lightness and chroma: a grey image keeps its L to the level when colours are joined to it."""

import numpy as np
import torch
from torch import Tensor

from pix2pix.colour import LUMINANCE, lab_to_rgb, lightness_to_grey, rgb_to_lab, srgb_to_linear, within_gamut
from pix2pix.images.arrays import Array
from pix2pix.images.tensors import to_tensor, to_type

CHROMA = 110.0  # a and b of sRGB colours lie within -108..99
Span = tuple[tuple[float], tuple[float]]  # the file values of black and white

_BAND = 2**16  # pixels at a time: large images take no more memory for it, and small ones stay in the cache
_ROUND_OFF = 4e-7  # of the span: L is float32


def lab_of(array: Array, span: Span) -> Tensor:
    """Return Lab (3, H, W) float32 of a photo (H, W, 1, 3 or 4); alpha is passed over."""
    rgb = to_tensor(array[..., :3], *span)
    return rgb_to_lab((rgb.expand(3, -1, -1) + 1) / 2)


def lab_from(lightness: Tensor, chroma: Tensor) -> Tensor:
    """Join tensors in [-1, 1], (..., 1, H, W) and (..., 2, H, W), to a Lab image that a screen can show: L stays."""
    return within_gamut(torch.cat([(lightness + 1) * 50, chroma.clamp(-1, 1) * CHROMA], dim=-3))


def grey(lightness: Tensor, dtype: str, span: Span) -> Array:
    """Return the grey (H, W, 1) of a lightness (1, H, W) in [-1, 1]."""
    (low,), (high,) = span
    level = lightness_to_grey((_plain(lightness) + 1) * 50) * (high - low) + low
    return to_type(level.permute(1, 2, 0).numpy(), dtype)


def colourised(lightness: Tensor, chroma: Tensor, dtype: str, span: Span) -> Array:
    """Return the photo (H, W, 3) of a lightness (1, H, W) and a chroma (2, H, W) in [-1, 1].

    For whole numbers, colours are rounded to the nearest whose grey rounds to the same level as that of the lightness.
    """
    (low,), (high,) = span
    whole = not np.issubdtype(dtype, np.floating) and low != high
    bands = []
    for light, ab in zip(_bands(lightness), _bands(chroma), strict=True):
        colours = lab_to_rgb(lab_from(light, ab)).clamp(0, 1) * (high - low) + low
        bands.append(_rounded(colours, lightness_to_grey((light + 1) * 50), low, high) if whole else colours)
    image = torch.cat(bands, dim=1).reshape(3, *lightness.shape[1:]).permute(1, 2, 0)
    return to_type(image.contiguous().numpy(), dtype)


def _bands(image: Tensor) -> tuple[Tensor, ...]:
    """Return the pixels in pieces (C, M, 1)."""
    return torch.split(_plain(image).flatten(1).unsqueeze(-1), _BAND, dim=1)


def _plain(image: Tensor) -> Tensor:
    return image.detach().cpu().double().clamp(-1, 1)


def _rounded(colours: Tensor, grey: Tensor, low: float, high: float) -> Tensor:
    """Return the whole-numbered colours (3, M, 1), nearest to those given, that have the grey's level."""
    scale = high - low
    weights = torch.tensor(LUMINANCE, dtype=torch.float64).reshape(3, 1, 1)
    level = (grey * scale + low).round() - low
    margin = max(0.5 - _ROUND_OFF * scale, 0.25)
    darkest, lightest = (srgb_to_linear((level + step) / scale)[0, :, 0] for step in (-margin, margin))
    rounded = colours.round()
    light = (srgb_to_linear((rounded - low) / scale) * weights).sum(dim=0)[:, 0]
    missed = (light < darkest) | (light > lightest)
    darkest, lightest = darkest[missed], lightest[missed]
    # One of the 27 neighbours has the level, since a step of one in a single channel moves the grey by less than one.
    near = (rounded[:, missed] + torch.tensor([-1.0, 0.0, 1.0])).clamp(low, high)  # (channels, missed, steps)
    light = _sums(srgb_to_linear((near - low) / scale) * weights)
    excess = (darkest - light).clamp(min=0) + (light - lightest).clamp(min=0)
    best = (_sums((near - colours[:, missed]) ** 2) + 1e9 * excess).argmin(dim=0)
    steps = torch.stack([best // 9, best // 3 % 3, best % 3]).unsqueeze(-1)
    rounded[:, missed] = near.gather(2, steps)
    return rounded


def _sums(parts: Tensor) -> Tensor:
    """Return the sums over channels of (channels, M, steps) for each choice of three steps: (27, M)."""
    red, green, blue = parts.movedim(-1, 1)
    return torch.flatten(red[:, None, None] + green[None, :, None] + blue, 0, 2)
