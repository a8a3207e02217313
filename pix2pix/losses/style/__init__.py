"""Style losses on the features of a layer: which statistics are compared, and how."""

from pix2pix.losses.style.histogram import HISTOGRAM
from pix2pix.losses.style.mmd import MMD
from pix2pix.losses.style.moments import COVARIANCE, GRAM, MEAN_STD
from pix2pix.losses.style.mrf import MRF
from pix2pix.losses.style.records import Statistics, StyleLoss

__all__ = ["STYLE_LOSSES", "Statistics", "StyleLoss", "style_loss"]

STYLE_LOSSES = {
    "gram": GRAM,
    "mean_std": MEAN_STD,
    "covariance": COVARIANCE,
    "mmd": MMD["polynomial"],
    "histogram": HISTOGRAM,
    "mrf": MRF,
}


def style_loss(name: str, kernel: str = "polynomial") -> StyleLoss:
    """Return the loss of that name; the kernel is that of mmd."""
    return MMD[kernel] if name == "mmd" else STYLE_LOSSES[name]
