"""Surface distances against MONAI, and the rules for empty masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy import ndimage

from echo_train.metrics.surface_distance import border, surface_distances
from support.masks import ellipse, mask_pairs


def one_hot(masks: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([~masks, masks], axis=1)).float()


@pytest.mark.parametrize("shape", [(48, 40), (112, 112)])
def test_distances_equal_those_of_monai(shape: tuple[int, int]) -> None:
    predicted, true = mask_pairs(12, shape)
    found = surface_distances(predicted.astype(np.uint8), true.astype(np.uint8))
    one, other = one_hot(predicted), one_hot(true)
    far = compute_hausdorff_distance(one, other, percentile=95)
    mean = compute_average_surface_distance(one, other, symmetric=True)
    np.testing.assert_allclose(found[:, 0], far[:, 0], atol=1e-4)
    np.testing.assert_allclose(found[:, 1], mean[:, 0], atol=1e-4)
    assert found[:, 0].max() > 3


def test_the_border_is_removed_by_an_erosion() -> None:
    for mask in mask_pairs(6)[0]:
        expected = mask & ~ndimage.binary_erosion(mask)
        np.testing.assert_array_equal(border(mask.astype(np.uint8)), expected)


def test_a_mask_shifted_by_three_pixels_is_three_pixels_off() -> None:
    square = np.zeros((40, 40), dtype=np.uint8)
    square[10:20, 5:30] = 1
    (found,) = surface_distances(np.roll(square, 3, axis=0)[None], square[None])
    assert found[0] == 3
    # Of the 66 border pixels, the outer row's 25 and the 2 x 2 beside it that the other square
    # does not reach are 3, 2 and 1 px off; of the inner row the two next to each end of the
    # other's sides are 1 and 2 px off, and the 19 between them 3 px.
    expected = (25 * 3 + 2 * (2 + 1) + 2 * (1 + 2) + 19 * 3) / 66
    assert found[1] == pytest.approx(expected, abs=1e-5)


def test_equal_masks_have_distance_0_and_the_order_does_not_matter() -> None:
    predicted, true = (masks.astype(np.uint8) for masks in mask_pairs(8))
    np.testing.assert_array_equal(surface_distances(true, true), 0)
    np.testing.assert_allclose(
        surface_distances(predicted, true), surface_distances(true, predicted)
    )


def test_empty_and_full_masks() -> None:
    shape = (30, 40)
    empty, full = np.zeros(shape, dtype=np.uint8), np.ones(shape, dtype=np.uint8)
    some = ellipse(shape, (20, 15), (8, 5)).astype(np.uint8)
    pairs = [(empty, empty), (empty, some), (some, empty), (full, full), (full, empty)]
    found = surface_distances(*(np.array(masks) for masks in zip(*pairs, strict=True)))
    assert math.hypot(*shape) == 50
    np.testing.assert_array_equal(found, [[0, 0], [50, 50], [50, 50], [0, 0], [50, 50]])
    (against_full,) = surface_distances(full[None], some[None])
    far = compute_hausdorff_distance(
        one_hot(full[None] > 0), one_hot(some[None] > 0), percentile=95
    )
    assert against_full[0] == pytest.approx(float(far[0, 0]), abs=1e-4)


def test_no_frames_have_no_distances() -> None:
    none = np.zeros((0, 8, 8), dtype=np.uint8)
    assert surface_distances(none, none).shape == (0, 2)
