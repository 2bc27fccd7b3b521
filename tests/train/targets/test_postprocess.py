"""Second pieces and holes of masks, against SciPy's labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from echo_train.losses.settings import LossSettings
from echo_train.metrics.plausibility import count_pieces_and_holes
from echo_train.runs.settings import POSTPROCESSING
from echo_train.targets.mask import MaskTarget
from echo_train.targets.postprocess import clean_map, clean_mask

CORNERS = np.ones((3, 3))

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(mask=MASKS)
def test_holes_are_filled_and_the_largest_piece_is_kept_as_by_scipy(mask: np.ndarray) -> None:
    filled = ndimage.binary_fill_holes(mask)
    np.testing.assert_array_equal(clean_mask(mask, "holes"), filled)
    np.testing.assert_array_equal(clean_mask(mask, "none"), mask)
    for steps, before in (("pieces", mask), ("both", filled)):
        pieces, count = ndimage.label(before, CORNERS)
        sizes = ndimage.sum_labels(before, pieces, range(1, count + 1))
        found = clean_mask(mask, steps)
        # Of equally large pieces, any may be kept.
        assert found.sum() == max(sizes, default=0)
        assert not (found & ~before).any()
        assert count_pieces_and_holes(found.astype(np.uint8))[0] == bool(count)
    assert count_pieces_and_holes(clean_mask(mask, "both").astype(np.uint8)) == (mask.any(), 0)


@given(mask=MASKS)
def test_a_map_above_zero_is_the_cleaned_mask(mask: np.ndarray) -> None:
    values = np.random.default_rng(0).uniform(0, 3, mask.shape).astype(np.float32)
    values = np.where(mask, values + 0.1, -values)
    values.flat[0] = 0
    for steps in POSTPROCESSING:
        found = clean_map(values, steps)
        np.testing.assert_array_equal(found > 0, clean_mask(values > 0, steps))
        unchanged = (found > 0) == (values > 0)
        np.testing.assert_array_equal(found[unchanged], values[unchanged])


def test_mask_and_contour_are_those_of_the_kept_piece() -> None:
    """The largest outline is around a thin ring, the largest piece is a square."""
    logits = torch.full((1, 1, 60, 60), -5.0)
    logits[..., 2:42, 2:4] = logits[..., 2:42, 40:42] = 5
    logits[..., 2:4, 2:42] = logits[..., 40:42, 2:42] = 5
    logits[..., 10:30, 10:30] = 5
    predict = MaskTarget(LossSettings(loss="bce"), None).predict
    areas = {steps: predict(logits, postprocess=steps) for steps in POSTPROCESSING}
    assert {steps: int(found.masks.sum()) for steps, found in areas.items()} == {
        "none": 304 + 400, "pieces": 400, "holes": 1600, "both": 1600,
    }  # fmt: skip
    for steps, area in (("none", 1600), ("pieces", 400), ("holes", 1600), ("both", 1600)):
        # A corner of the contour is cut by an eighth of a pixel.
        assert areas[steps].measures().area == pytest.approx(area - 0.5, rel=0.01)
