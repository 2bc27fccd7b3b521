from __future__ import annotations

import numpy as np
import pytest

from echo_common.measures.long_axis import axis_points, axis_points_of_landmarks
from support.ventricles import half_ellipse, turn


@pytest.mark.parametrize("degrees", [-40.0, -10.0, 0.0, 25.0, 40.0, 160.0, 180.0])
@pytest.mark.parametrize("width", [25.0, 45.0])
def test_apex_and_corners_of_half_an_ellipse(degrees: float, width: float) -> None:
    contour = turn(half_ellipse(60, width), degrees)
    expected = turn(
        np.array([[60.0, 10.0], [60 - width / 2, 70.0], [60 + width / 2, 70.0]]), degrees
    )
    np.testing.assert_allclose(axis_points([contour])[0], expected, atol=1.0)
    np.testing.assert_allclose(axis_points([contour[::-1]])[0], expected, atol=1.0)


def test_a_tilted_mitral_plane_is_found() -> None:
    # The base of a narrowing ventricle, cut obliquely: its ends are 8 px apart in height.
    angle = np.linspace(0, np.pi, 301)
    wall = np.stack([60 - 18 * np.cos(angle), 45 - 35 * np.sin(angle)], axis=1)
    contour = np.concatenate([wall, [[74.0, 66.0], [46.0, 58.0]]])
    apex, left, right = axis_points([contour])[0]
    np.testing.assert_allclose([left, right], [[46.0, 58.0], [74.0, 66.0]])
    np.testing.assert_allclose(apex, [60.0, 10.0], atol=2.0)


def test_a_frame_whose_ends_look_alike_follows_the_others() -> None:
    bullet = turn(half_ellipse(60, 30), 180.0)
    capsule = np.array([[60.0, 85], [45, 80], [45, 35], [60, 30], [75, 35], [75, 80]])
    apex = axis_points([bullet, capsule, bullet])[:, 0]
    assert (apex[:, 1] > 80).all()


def test_a_contour_without_area_has_no_axis() -> None:
    line = np.array([[1.0, 1], [2, 2], [3, 3]])
    points = axis_points([np.empty((0, 2)), line, half_ellipse(60, 30)])
    assert np.isnan(points[:2]).all()
    assert not np.isnan(points[2]).any()
    assert axis_points([line]).shape == (1, 3, 2)


@pytest.mark.parametrize(("count", "apex"), [(3, 1), (7, 3), (8, 4), (11, 5)])
def test_anatomical_landmarks_hold_apex_and_plane(count: int, apex: int) -> None:
    landmarks = np.arange(2 * count, dtype=np.float32).reshape(1, count, 2)
    points = axis_points_of_landmarks(landmarks)[0]
    np.testing.assert_array_equal(points, landmarks[0][[apex, 0, count - 1]])
