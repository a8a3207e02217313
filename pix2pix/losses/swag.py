"""Activation smoothing of SWAG.

Wang, Li, Vasconcelos: *Rethinking and Improving the Robustness of Image Style Transfer*, CVPR 2021.
"""

from torch import Tensor

from pix2pix.losses.precision import to_float32


def softmax_smoothing(features: Tensor, temperature: float = 1.0) -> Tensor:
    """Return C H W softmax(features / temperature), over all channels and positions of each image (N, C, H, W).

    The paper's softmax sums to 1, so that its entries are near 1e-6 and a Gram matrix of them near 1e-12, whose squares
    are lost in float32. Here their mean is 1: the same losses but for a constant factor.
    """
    flat = to_float32(features).flatten(1) / temperature
    return (flat.softmax(dim=1) * flat.shape[1]).reshape(features.shape)
