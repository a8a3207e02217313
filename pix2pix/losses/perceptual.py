"""The feature reconstruction loss of Johnson, Alahi, Fei-Fei 2016 (equation 2), which is Gatys' content loss too."""

from torch import Tensor

from pix2pix.losses.precision import to_float32


def feature_reconstruction(features: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of features (N, C, H, W).

    Source: Johnson et al., equation 2. Gatys et al., equation 1, is half the sum: C H W / 2 times this, for one image.
    """
    return (to_float32(features) - to_float32(target)).square().mean()
