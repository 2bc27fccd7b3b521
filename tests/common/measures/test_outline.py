from __future__ import annotations

import numpy as np
import pytest

from echo_common.geometry.contours import shoelace_area
from echo_common.measures.outline import POINTS, soft_outline, soft_outlines


def disk(centre: tuple[float, float], radius: float, side: int = 112) -> np.ndarray:
    """Signed distance to a circle, positive inside: (y, x)."""
    y, x = np.mgrid[:side, :side]
    return np.asarray(radius - np.hypot(x - centre[0], y - centre[1]))


@pytest.mark.parametrize("radius", [8.0, 8.3, 8.7, 20.25])
def test_a_soft_outline_is_finer_than_pixels(radius: float) -> None:
    logits = disk((50.3, 61.9), radius)
    contour = soft_outline(logits, 0.0)
    assert np.hypot(*(contour - [50.3, 61.9]).T) == pytest.approx(radius, abs=0.02)
    assert shoelace_area(contour) == pytest.approx(np.pi * radius**2, rel=0.004)


def test_the_largest_piece_counts() -> None:
    contour = soft_outline(np.maximum(disk((30, 30), 9), disk((80, 80), 12)), 0.0)
    assert contour.mean(axis=0) == pytest.approx([80, 80], abs=0.1)


def test_a_ventricle_that_the_image_cuts_off_has_a_closed_contour() -> None:
    contour = soft_outline(np.ones((6, 9)), 0.5)
    assert contour.min(axis=0).tolist() == [-0.5, -0.5]
    assert contour.max(axis=0).tolist() == [8.5, 5.5]
    half = soft_outline(disk((50.0, 0.0), 20.0), 0.0)
    # Half of the circle, and half a pixel beyond the first row.
    assert shoelace_area(half) == pytest.approx(np.pi * 200 + 20, rel=0.01)


def test_nothing_above_the_level_gives_no_points() -> None:
    assert soft_outline(np.full((8, 8), -3.0), 0.0).shape == (0, 2)


def test_contours_of_a_clip_have_points_at_equal_steps() -> None:
    contours = soft_outlines(np.stack([disk((50.0, 60.0), 20.0), np.full((112, 112), -1.0)]), 0.0)
    steps = np.linalg.norm(contours[0] - np.roll(contours[0], 1, axis=0), axis=1)
    np.testing.assert_allclose(steps, 2 * np.pi * 20 / POINTS, rtol=0.02)
    assert shoelace_area(contours[0]) == pytest.approx(np.pi * 400, rel=0.004)
    assert np.isnan(contours[1]).all()
