import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_jaccard_index,
)

from pix2pix.evaluation.segmentation import count_confusion, score_confusion


def maps(count=19, shape=(3, 24, 40), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(count, shape, generator=generator) for _ in range(2)]


def test_equal_maps_are_perfect():
    truth, _ = maps()
    assert [score.item() for score in score_confusion(count_confusion(truth, truth, 19))[:3]] == [1, 1, 1]


@pytest.mark.parametrize("present", [1, 7, 18, 19])
def test_a_perfect_prediction_with_k_of_19_classes_has_k_19ths(present):
    truth = torch.arange(present * 4).remainder(present)
    result = score_confusion(count_confusion(truth, truth, 19))
    assert result.pixel_accuracy == 1
    assert [result.class_accuracy.item(), result.class_iou.item()] == pytest.approx([present / 19] * 2)
    assert result.pixels.tolist() == [4] * present + [0] * (19 - present)


def test_two_classes_by_hand():
    truth, predicted = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1])
    matrix = count_confusion(predicted, truth, 2)
    assert matrix.tolist() == [[2, 1, 0], [0, 1, 0]]
    result = score_confusion(matrix)
    assert result.pixel_accuracy == 0.75
    assert result.accuracies.tolist() == pytest.approx([2 / 3, 1])
    assert result.ious.tolist() == pytest.approx([2 / 3, 1 / 2])
    assert result.class_accuracy.item() == pytest.approx(5 / 6)
    assert result.class_iou.item() == pytest.approx(7 / 12)


def test_random_maps_agree_with_torchmetrics():
    predicted, truth = maps()
    matrix = count_confusion(predicted, truth, 19)
    assert torch.equal(matrix[:, :-1], multiclass_confusion_matrix(predicted, truth, 19))
    result = score_confusion(matrix)
    for mine, measure, average in (
        (result.pixel_accuracy, multiclass_accuracy, "micro"),
        (result.accuracies, multiclass_accuracy, "none"),
        (result.class_accuracy, multiclass_accuracy, "macro"),
        (result.ious, multiclass_jaccard_index, "none"),
        (result.class_iou, multiclass_jaccard_index, "macro"),
    ):
        expected = measure(predicted, truth, num_classes=19, average=average)
        assert mine.flatten().tolist() == pytest.approx(expected.flatten().tolist(), abs=1e-6)


def test_pixels_of_no_class_are_left_out():
    predicted, truth = maps()
    without = truth.clone()
    without[0], without[1, 0] = 255, -1
    counted = (without >= 0) & (without < 19)
    assert torch.equal(count_confusion(predicted, without, 19), count_confusion(predicted[counted], truth[counted], 19))


def test_a_prediction_of_no_class_is_wrong():
    truth = torch.tensor([0, 0, 1, 1])
    matrix = count_confusion(torch.tensor([0, -1, 1, 9]), truth, 2)
    assert matrix.tolist() == [[1, 0, 1], [0, 1, 1]]
    result = score_confusion(matrix)
    assert [result.pixel_accuracy.item(), *result.accuracies.tolist(), *result.ious.tolist()] == [0.5] * 5
    assert result.pixels.tolist() == [2, 2]


def test_several_matrices_are_scored_as_each_alone():
    matrices = torch.stack([count_confusion(*maps(5, seed=seed), 5) for seed in range(4)]).view(2, 2, 5, 6)
    together = score_confusion(matrices)
    for of_all, of_one in zip(together, score_confusion(matrices[1, 0]), strict=True):
        assert torch.equal(of_all[1, 0], of_one)


def test_no_pixel_at_all_has_scores_of_0():
    result = score_confusion(count_confusion(torch.tensor([1]), torch.tensor([255]), 2))
    assert [score.item() for score in result[:3]] == [0, 0, 0]


def test_maps_of_bytes_count_as_any_integers():
    predicted, truth = maps()
    assert torch.equal(count_confusion(predicted.byte(), truth.byte(), 19), count_confusion(predicted, truth, 19))
