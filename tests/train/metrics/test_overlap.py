"""Overlap against torchmetrics and closed forms, including empty and full masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_jaccard_index,
)
from torchmetrics.segmentation import DiceScore

from echo_train.metrics.landmark_errors import radial_errors, success_rates
from echo_train.metrics.overlap import (
    dice,
    iou,
    missed,
    packed_counts,
    pixel_accuracy,
    pixel_counts,
    pooled_dice,
)
from support.masks import mask_pairs


def counted(predicted: Tensor, true: Tensor) -> np.ndarray:
    return pixel_counts(predicted, true).numpy()


@pytest.mark.parametrize("width", [40, 37])
def test_packed_masks_have_the_same_counts(width: int) -> None:
    predicted, true = (masks[:, :, :width] for masks in mask_pairs(6))
    expected = counted(torch.from_numpy(predicted), torch.from_numpy(true))
    packed = np.packbits(true.reshape(6, -1), axis=1)
    np.testing.assert_array_equal(packed_counts(predicted.astype(np.uint8), packed), expected)
    assert packed_counts(np.zeros((0, 5, 5), np.uint8), packed[:0, :4]).shape == (0, 4)


def test_dice_equals_that_of_torchmetrics() -> None:
    predicted, true = (torch.from_numpy(masks) for masks in mask_pairs(20))
    scores = dice(counted(predicted, true))
    metric = DiceScore(
        num_classes=2,
        include_background=False,
        input_format="index",
        aggregation_level="samplewise",
    )
    metric.update(predicted.long(), true.long())
    assert float(metric.compute()) == pytest.approx(scores.mean(), abs=1e-6)
    for found, target, value in zip(predicted, true, scores, strict=True):
        alone = DiceScore(num_classes=2, include_background=False, input_format="index")
        alone.update(found.long()[None], target.long()[None])
        assert float(alone.compute()) == pytest.approx(value, abs=1e-6)


def test_pooled_dice_treats_all_frames_as_one() -> None:
    predicted, true = (torch.from_numpy(masks) for masks in mask_pairs(20))
    metric = DiceScore(num_classes=2, include_background=False, input_format="index")
    metric.update(predicted.flatten()[None, None].long(), true.flatten()[None, None].long())
    counts = counted(predicted, true)
    assert pooled_dice(counts) == pytest.approx(float(metric.compute()), abs=1e-6)
    assert pooled_dice(counts) != pytest.approx(dice(counts).mean(), abs=1e-3)


def test_iou_equals_that_of_torchmetrics_and_follows_from_the_dice() -> None:
    predicted, true = (torch.from_numpy(masks) for masks in mask_pairs(20))
    counts = counted(predicted, true)
    for found, target, value in zip(predicted, true, iou(counts), strict=True):
        both = multiclass_jaccard_index(found.long(), target.long(), num_classes=2, average="none")
        assert value == pytest.approx(float(both[1]), abs=1e-6)
    scores = dice(counts)
    np.testing.assert_allclose(iou(counts), scores / (2 - scores))


def test_pixel_accuracy_is_the_micro_average_over_both_classes() -> None:
    predicted, true = (torch.from_numpy(masks) for masks in mask_pairs(20))
    scores = pixel_accuracy(counted(predicted, true), true[0].numel())
    for found, target, value in zip(predicted, true, scores, strict=True):
        micro = multiclass_accuracy(found.long(), target.long(), num_classes=2, average="micro")
        assert value == pytest.approx(float(micro), abs=1e-6)


def test_an_all_black_mask_has_a_high_accuracy_and_a_dice_of_0() -> None:
    """The paper's metric scores it 1 minus the ventricle's share of the image."""
    true = torch.zeros(1, 10, 10, dtype=torch.bool)
    true[0, :3, :4] = True
    counts = counted(torch.zeros_like(true), true)
    assert pixel_accuracy(counts, 100)[0] == pytest.approx(0.88)
    assert dice(counts)[0] == 0


@pytest.mark.parametrize(
    ("predicted", "true", "score", "gone"),
    [(0, 0, 1.0, False), (1, 1, 1.0, False), (0, 1, 0.0, True), (1, 0, 0.0, False)],
)
def test_empty_and_full_masks(predicted: int, true: int, score: float, gone: bool) -> None:
    counts = counted(*(torch.full((1, 8, 8), bool(value)) for value in (predicted, true)))
    assert dice(counts)[0] == iou(counts)[0] == pooled_dice(counts) == score
    assert pixel_accuracy(counts, 64)[0] == (predicted == true)
    assert missed(counts)[0] == gone


def test_without_frames_there_is_no_pooled_dice() -> None:
    assert np.isnan(pooled_dice(np.zeros((0, 4), dtype=np.int64)))


def test_radial_errors_are_distances_and_a_missed_landmark_has_none() -> None:
    true = np.array([[[0, 0], [10, 20]], [[5, 5], [7, 7]]], dtype=np.float32)
    predicted = true + np.array([[[3, 4], [0, -2]], [[np.nan, np.nan], [1, 1]]], dtype=np.float32)
    errors = radial_errors(predicted, true)
    np.testing.assert_allclose(errors, [[5, 2], [np.nan, 2**0.5]])


def test_a_missed_landmark_is_not_a_success() -> None:
    errors = np.array([[0.5, 1.0, 2.5, np.nan], [4.0, 4.1, 3.0, 2.0]])
    np.testing.assert_allclose(
        success_rates(errors), [[0.5, 0], [0.5, 0.25], [0.75, 0.5], [0.75, 0.75]]
    )
