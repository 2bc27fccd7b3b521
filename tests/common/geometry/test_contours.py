"""Measures of contours against closed forms, and contours rebuilt from landmarks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.spatial import ConvexHull

from echo_common.geometry.contours import (
    SPLINE_POINTS,
    angular_order,
    contour_from_landmarks,
    contours_from_landmarks,
    shoelace_area,
    shoelace_areas,
)


def ellipse(count: int, a: float, b: float) -> np.ndarray:
    turn = 2 * np.pi * np.arange(count) / count
    return np.stack([50 + a * np.cos(turn), 60 + b * np.sin(turn)], axis=1)


@given(count=st.integers(3, 60), a=st.floats(0.5, 50), b=st.floats(0.5, 50))
def test_area_of_a_regular_polygon(count: int, a: float, b: float) -> None:
    expected = 0.5 * count * a * b * math.sin(2 * math.pi / count)
    assert shoelace_area(ellipse(count, a, b)) == pytest.approx(expected)
    assert shoelace_area(ellipse(count, a, b)[::-1]) == pytest.approx(expected)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), count=st.integers(3, 40))
def test_area_of_a_hull_is_qhulls(seed: int, count: int) -> None:
    points = np.random.default_rng(seed).uniform(0, 112, (count, 2))
    hull = ConvexHull(points)
    assert shoelace_area(points[hull.vertices]) == pytest.approx(hull.volume)


@given(seed=st.integers(0, 2**32), count=st.integers(3, 30))
def test_angular_order_restores_a_convex_polygon(seed: int, count: int) -> None:
    polygon = ellipse(count, 30, 20)
    shuffled = np.random.default_rng(seed).permutation(count)
    order = shuffled[angular_order(polygon[shuffled])]
    # In order around, whatever vertex comes first.
    np.testing.assert_array_equal(np.diff(order) % count, np.ones(count - 1))


def test_points_of_one_angle_keep_their_order() -> None:
    points = [[0, 0], [3, 0], [1, 0], [-2, 0], [-2, 0]]
    assert angular_order(points).tolist() == [0, 1, 2, 3, 4]


def test_anatomical_landmarks_are_vertices_of_an_open_curve() -> None:
    # Half an ellipse, open below: the mitral plane is the straight line that closes it.
    turn = np.linspace(np.pi, 2 * np.pi, 7)
    landmarks = np.stack([56 + 20 * np.cos(turn), 80 + 60 * np.sin(turn)], axis=1)
    contour = contour_from_landmarks(landmarks, "anatomical")
    assert contour[0] == pytest.approx(landmarks[0])
    assert contour[-1] == pytest.approx(landmarks[-1])
    for landmark in landmarks:
        assert np.abs(contour - landmark).sum(axis=1).min() < 1e-9
    # Half of an ellipse's area, of which straight lines between the same seven reach 95.5 %.
    half = np.pi * 20 * 60 / 2
    assert shoelace_area(contour) == pytest.approx(half, rel=0.01)
    assert shoelace_area(landmarks) == pytest.approx(half * 3 / np.pi, rel=1e-6)


def test_a_parabola_is_rebuilt_exactly() -> None:
    # Equal steps along x make equal centripetal steps only where the curve is symmetric, so
    # three points of one are enough: the cubic through them is the parabola itself.
    contour = contour_from_landmarks([[-10, 0], [0, -50], [10, 0]], "anatomical")
    np.testing.assert_allclose(contour[:, 1], contour[:, 0] ** 2 / 2 - 50, atol=1e-9)


@pytest.mark.parametrize("identity", ["uniform", "optimal"])
def test_landmarks_in_order_around_are_the_polygon(identity: str) -> None:
    landmarks = ellipse(9, 20, 30)
    np.testing.assert_array_equal(contour_from_landmarks(landmarks, identity), landmarks)


def test_areas_of_many_polygons_at_once() -> None:
    polygons = np.stack([[ellipse(7, a, b) for a in (1, 2, 3)] for b in (4, 5)])
    expected = [[shoelace_area(polygon) for polygon in row] for row in polygons]
    np.testing.assert_allclose(shoelace_areas(polygons), expected)


@given(seed=st.integers(0, 2**32))
def test_angle_landmarks_may_come_in_any_order(seed: int) -> None:
    landmarks = ellipse(8, 20, 30)
    shuffled = np.random.default_rng(seed).permutation(landmarks)
    contour = contour_from_landmarks(shuffled, "angle")
    assert shoelace_area(contour) == pytest.approx(shoelace_area(landmarks))


@pytest.mark.parametrize("identity", ["anatomical", "uniform", "angle", "optimal"])
def test_lost_landmarks_are_left_out(identity: str) -> None:
    landmarks = ellipse(8, 20, 30)
    landmarks[[2, 5], [0, 1]] = np.nan
    sound = landmarks[~np.isnan(landmarks).any(axis=1)]
    np.testing.assert_array_equal(
        contour_from_landmarks(landmarks, identity), contour_from_landmarks(sound, identity)
    )
    for count in range(3):
        few = np.full((5, 2), np.nan)
        few[:count] = ellipse(5, 3, 4)[:count]
        assert contour_from_landmarks(few, identity).shape == (count, 2)


def test_doubled_landmarks_are_one() -> None:
    turn = np.linspace(np.pi, 2 * np.pi, 5)
    landmarks = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    doubled = landmarks[[0, 0, 1, 2, 2, 2, 3, 4]]
    np.testing.assert_allclose(
        contour_from_landmarks(doubled, "anatomical"),
        contour_from_landmarks(landmarks, "anatomical"),
    )
    np.testing.assert_array_equal(
        contour_from_landmarks([[3, 4]] * 4, "anatomical"), np.array([[3.0, 4.0]])
    )


def test_a_spline_of_landmarks_that_name_no_plane_opens_at_their_longest_edge() -> None:
    landmarks = np.array([[0, -28], [9, -15], [14, 5], [13, 25], [-13, 25], [-14, 5], [-9, -15.0]])
    # Uniform landmarks run from the apex around; the plane is between the fourth and the fifth.
    spline = contour_from_landmarks(landmarks, "uniform", "open-spline")
    in_order = np.concatenate([landmarks[4:], landmarks[:4]])
    np.testing.assert_array_equal(spline, contour_from_landmarks(in_order, "anatomical"))
    np.testing.assert_allclose(spline[[0, -1]], landmarks[[4, 3]])


@pytest.mark.parametrize("identity", ["anatomical", "uniform", "angle", "optimal"])
def test_a_polygon_is_the_landmarks_themselves(identity: str) -> None:
    landmarks = np.array([[-5.0, 4], [-4, -3], [0, -8], [4, -3], [5, 4]])
    contour = contour_from_landmarks(landmarks, identity, "polygon")
    assert sorted(contour.tolist()) == sorted(landmarks.tolist())
    assert shoelace_area(contour) == pytest.approx(shoelace_area(landmarks))


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 12))
def test_splines_are_those_of_scipy(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    landmarks = rng.normal(50, 20, (6, count, 2))
    landmarks[rng.random((6, count)) < 0.2] = np.nan
    doubled = rng.random(6) < 0.4
    landmarks[doubled, -1] = landmarks[doubled, count // 2]
    contours = contours_from_landmarks(landmarks, "anatomical")
    assert contours.shape == (6, count + SPLINE_POINTS, 2)
    for points, contour in zip(landmarks, contours, strict=True):
        known = points[~np.isnan(points).any(axis=1)]
        known = known[[i == 0 or (known[i] != known[i - 1]).any() for i in range(len(known))]]
        contour = contour[~np.isnan(contour).any(axis=1)]
        if len(known) < 3:
            np.testing.assert_array_equal(contour, known)
            continue
        along = np.r_[0, np.cumsum(np.sqrt(np.hypot(*np.diff(known, axis=0).T)))]
        dense = np.union1d(along, np.linspace(0, along[-1], SPLINE_POINTS))
        expected = CubicSpline(along, known, bc_type="not-a-knot")(dense)
        np.testing.assert_allclose(contour, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("identity", ["anatomical", "uniform", "angle", "optimal"])
@pytest.mark.parametrize("curve", ["polygon", "open-spline"])
def test_contours_are_rebuilt_together_as_each_alone(identity: str, curve: str) -> None:
    rng = np.random.default_rng(5)
    landmarks = rng.normal(50, 20, (40, 7, 2))
    landmarks[rng.random((40, 7)) < 0.2] = np.nan
    landmarks[3] = np.nan
    for points, contour in zip(
        landmarks, contours_from_landmarks(landmarks, identity, curve), strict=True
    ):
        np.testing.assert_allclose(
            contour[~np.isnan(contour).any(axis=1)],
            contour_from_landmarks(points, identity, curve),
            atol=1e-9,
        )
    assert contours_from_landmarks(np.empty((0, 7, 2)), identity, curve).shape[0] == 0
