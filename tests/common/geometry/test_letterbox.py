"""Points go where the image under them goes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_common.geometry.letterbox import Letterbox

SIZES = st.tuples(st.integers(1, 900), st.integers(1, 900))


@given(size=SIZES, target=SIZES, seed=st.integers(0, 99))
def test_points_there_and_back_are_the_same(
    size: tuple[int, int], target: tuple[int, int], seed: int
) -> None:
    letterbox = Letterbox.of(size, target)
    points = np.random.default_rng(seed).uniform(-5, 900, (3, 4, 2))
    back = letterbox.enlarge_points(letterbox.shrink_points(points))
    np.testing.assert_allclose(back, points, rtol=1e-5, atol=1e-3)
    # The corners of the frame are the corners of its box.
    corners = letterbox.shrink_points(np.array([[-0.5, -0.5], [size[1] - 0.5, size[0] - 0.5]]))
    rows, columns = letterbox.box
    assert corners.ravel() == pytest.approx(
        [columns.start - 0.5, rows.start - 0.5, columns.stop - 0.5, rows.stop - 0.5]
    )


@pytest.mark.parametrize("size", [(600, 800), (112, 112), (90, 61), (800, 600)])
@pytest.mark.parametrize("side", [112, 224, 64])
def test_a_disc_stays_under_its_centre(size: tuple[int, int], side: int) -> None:
    height, width = size
    centre, radius = np.array([0.6 * width, 0.4 * height]), height // 4
    y, x = np.mgrid[:height, :width]
    disc = 255 * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2).astype(np.uint8)
    letterbox = Letterbox.of(size, (side, side))
    image = letterbox.shrink(disc)
    moments = cv2.moments(image)
    found = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    np.testing.assert_allclose(letterbox.shrink_points(centre), found, atol=0.35)
    assert image.sum() / 255 == pytest.approx(np.pi * (radius * side / max(size)) ** 2, rel=0.03)
