"""How well predicted classes agree with true ones: accuracy by pixel, accuracy and intersection over union by class.

Long, Shelhamer, Darrell: Fully convolutional networks for semantic segmentation, 2015, section 5, as pix2pix (2017) has
it: the means go over all classes, and those that do not occur count as 0.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class SegmentationScores(NamedTuple):
    """Scores in [0, 1], float64, of confusion matrices (..., K, K + 1): (...), or (..., K) for each class."""

    pixel_accuracy: Tensor
    class_accuracy: Tensor
    class_iou: Tensor
    accuracies: Tensor  # of each class
    ious: Tensor  # of each class
    pixels: Tensor  # which each class truly has


def confusion(predicted: Tensor, truth: Tensor, count: int) -> Tensor:
    """Count the pixels by true class (rows) and predicted class (columns): (count, count + 1) int64.

    Both are integers of one shape. Pixels whose truth is not in 0..count - 1 are left out; predictions outside are
    wrong ones, in the last column.
    """
    counted = (truth >= 0) & (truth < count)
    true, said = truth[counted].long(), predicted[counted].long()
    said = torch.where((said >= 0) & (said < count), said, count)
    return torch.bincount(true * (count + 1) + said, minlength=count * (count + 1)).view(count, count + 1)


def scores(confusion: Tensor) -> SegmentationScores:
    """Return the scores of matrices (..., K, K + 1) as `confusion` counts them; sums of such are scored as one image.

    A class without true pixels has an accuracy of 0, and without predicted ones too an intersection over union of 0: a
    perfect prediction in which k of K classes occur has a pixel accuracy of 1 and class scores of k / K.
    """
    matrix = confusion.double()
    right = matrix.diagonal(dim1=-2, dim2=-1)
    true, said = matrix.sum(dim=-1), matrix[..., :-1].sum(dim=-2)
    # counts are whole, so the least denominator of 1 is what an epsilon is: it only makes 0 of 0 / 0
    accuracies = right / true.clamp(min=1)
    ious = right / (true + said - right).clamp(min=1)
    pixel_accuracy = right.sum(dim=-1) / true.sum(dim=-1).clamp(min=1)
    return SegmentationScores(
        pixel_accuracy, accuracies.mean(dim=-1), ious.mean(dim=-1), accuracies, ious, confusion.sum(dim=-1)
    )
