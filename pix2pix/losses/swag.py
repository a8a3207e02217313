"""Activation smoothing of SWAG.

Wang, Li, Vasconcelos: *Rethinking and Improving the Robustness of Image Style Transfer*, CVPR 2021.
"""

from torch import Tensor

from pix2pix.losses.precision import to_float32


def softmax_smoothing(features: Tensor, temperature: float = 1.0) -> Tensor:
    """Return C H W softmax(features / temperature), over all channels and positions of each image (N, C, H, W).

    The paper's softmax sums to 1: entries near 1e-6, Gram matrices near 1e-12, whose squares underflow in float32. Here
    the mean is 1, which changes the losses by a constant factor.
    """
    flat = to_float32(features).flatten(1) / temperature
    return (flat.softmax(dim=1) * flat.shape[1]).reshape(features.shape)
