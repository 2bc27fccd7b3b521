"""How landmarks are chosen, against closed forms and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from echo_common.curves import angular_order
from echo_common.errors import SettingsError
from echo_prep.landmarks import choose_landmarks
from echo_prep.polygons import polygon
from echo_prep.traces import split_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from support.datasets import half_ellipse_trace
from support.oracles import all_points, along, angles
from support.strategies import jittered, ventricles

COUNTS = (3, 4, 5, 7, 11, 21, 40, 42)

IDENTITIES = ("anatomical", "angle", "uniform")


def box_trace(mirrored: bool = False) -> np.ndarray:
    """A box of 20 x 95: apex in the middle of its upper side, five rows of chords a rib, (21, 4).

    The chords' ends are on the walls x = 40 and x = 60, from y = 5 to y = 100.
    """
    rows = np.zeros((21, 4))
    rows[0] = [50, 5, 50, 100]
    rows[1:, 1] = rows[1:, 3] = np.linspace(5, 100, 20)
    rows[1:, 0], rows[1:, 2] = (60, 40) if mirrored else (40, 60)
    return rows


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("method", ["chords", "convexhull", "simplesort"])
def test_anatomical_landmarks_of_a_box(mirrored: bool, method: str) -> None:
    axis, contour = split_rows(box_trace(mirrored))
    # A wall from corner over corner to the apex is 95 + 10 px long.
    found = choose_landmarks(axis, contour, method, "anatomical", 7)
    np.testing.assert_allclose(
        found, [[40, 100], [40, 65], [40, 30], [50, 5], [60, 30], [60, 65], [60, 100]], atol=1e-9
    )
    found = choose_landmarks(axis, contour, method, "anatomical", 3)
    np.testing.assert_allclose(found, [[40, 100], [50, 5], [60, 100]], atol=1e-9)
    # The odd one is on the left wall.
    found = choose_landmarks(axis, contour, method, "anatomical", 4)
    np.testing.assert_allclose(found, [[40, 100], [40, 47.5], [50, 5], [60, 100]], atol=1e-9)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("method", ["chords", "convexhull", "centroid", "simplesort"])
def test_uniform_landmarks_of_a_box(mirrored: bool, method: str) -> None:
    axis, contour = split_rows(box_trace(mirrored))
    # Around it are 230 px: from the apex to the left, every 46 px.
    found = choose_landmarks(axis, contour, method, "uniform", 5)
    np.testing.assert_allclose(found, [[50, 5], [40, 41], [40, 87], [60, 87], [60, 41]], atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(rows=ventricles(noise=2.0), count=st.integers(3, 42))
def test_uniform_landmarks_are_equally_far_along_the_contour(rows: np.ndarray, count: int) -> None:
    axis, contour = split_rows(rows)
    found = choose_landmarks(axis, contour, "chords", "uniform", count)
    # Beginning at the first landmark, walked step by step, one way round or the other.
    edge = int(np.argmin([_off(found[0], a, b) for a, b in _edges(contour)]))
    onward = np.concatenate([found[:1], np.roll(contour, -(edge + 1), axis=0)])
    backward = np.concatenate([onward[:1], onward[:0:-1]])
    errors = [
        max(float(np.abs(along(ring, k / count) - found[k]).max()) for k in range(count))
        for ring in (onward, backward)
    ]
    assert min(errors) < 1e-6


@settings(deadline=None, max_examples=60)
@given(rows=ventricles(noise=2.0), count=st.integers(3, 42))
def test_anatomical_landmarks_hold_both_ends_of_the_mitral_plane_and_the_apex(
    rows: np.ndarray, count: int
) -> None:
    axis, contour = split_rows(rows)
    found = choose_landmarks(axis, contour, "chords", "anatomical", count)
    ends = {tuple(contour[19]), tuple(contour[20])}
    assert {tuple(np.round(point, 9)) for point in found[[0, -1]]} == {
        tuple(np.round(point, 9)) for point in ends
    }
    # The apex is the contour's nearest point to the long axis' upper end.
    apex = found[1 + (count - 2) // 2]
    nearest = min(_off(axis[0], a, b) for a, b in _edges(contour))
    assert math.dist(apex, axis[0]) == pytest.approx(nearest, abs=1e-9)
    # Left is left of the long axis, looking from the apex down on the screen.
    down, across = axis[1] - axis[0], found[-1] - found[0]
    assert down[0] * across[1] - down[1] * across[0] < 0
    assert all(min(_off(point, a, b) for a, b in _edges(contour)) < 1e-6 for point in found)


def test_a_wall_longer_than_half_the_contour_is_still_walked_the_right_way() -> None:
    rows = half_ellipse_trace()
    # The left wall zigzags, so that it is far longer than the right one and the base.
    left = 0 if rows[10, 0] < rows[10, 2] else 2
    rows[1:20:2, left] -= 12
    axis, contour = split_rows(rows)
    found = choose_landmarks(axis, contour, "chords", "anatomical", 9)
    middle = (axis[0] + axis[1]) / 2
    assert (found[:4, 0] < middle[0]).all() and (found[5:, 0] > middle[0]).all()
    assert (np.diff(found[4:, 1]) > 0).all()


@settings(deadline=None, max_examples=80)
@given(rows=ventricles(noise=1.5), count=st.integers(3, 42))
def test_the_smallest_angles_come_first(rows: np.ndarray, count: int) -> None:
    axis, contour = split_rows(rows)
    found = choose_landmarks(axis, contour, "chords", "angle", count)
    points = all_points(rows)
    around = [tuple(point) for point in points[angular_order(points)]]
    by_point = dict(zip(around, angles(around), strict=True))
    ranked = [by_point[tuple(point)] for point in found]
    # arccos is steep near 0 and 180 degrees.
    np.testing.assert_allclose(ranked, sorted(by_point.values())[:count], atol=1e-5)
    assert len({tuple(point) for point in found}) == count


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("method", ["chords", "convexhull", "centroid", "simplesort"])
@pytest.mark.parametrize("count", COUNTS)
def test_any_number_from_three_to_all_points(identity: str, method: str, count: int) -> None:
    axis, contour = split_rows(jittered(half_ellipse_trace(), 0.5, 3))
    found = choose_landmarks(axis, contour, method, identity, count)
    assert found.shape == (count, 2)
    assert len(np.unique(found.round(9), axis=0)) == count
    # In any polygon's bounding box.
    points = polygon(axis, contour, "convexhull")
    assert (found >= points.min(axis=0) - 1e-9).all()
    assert (found <= points.max(axis=0) + 1e-9).all()


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("count", [-1, 0, 2, 43, 1000])
def test_other_numbers_are_refused(identity: str, count: int) -> None:
    axis, contour = split_rows(half_ellipse_trace())
    with pytest.raises(SettingsError, match=f"{count} landmarks asked for"):
        choose_landmarks(axis, contour, "chords", identity, count)


def test_an_unknown_identity_is_named() -> None:
    with pytest.raises(SettingsError, match="no landmark identity 'best'"):
        choose_landmarks(*split_rows(half_ellipse_trace()), "chords", "best", 7)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_padding_is_passed_over(identity: str) -> None:
    axis, contour = split_rows(half_ellipse_trace())
    padded = np.concatenate([contour, np.full((6, 2), np.nan)])
    np.testing.assert_array_equal(
        choose_landmarks(axis, padded, "centroid", identity, 9),
        choose_landmarks(axis, contour, "centroid", identity, 9),
    )


@settings(deadline=None, max_examples=40)
@given(rows=ventricles(noise=1.0), count=st.sampled_from([5, 7, 11]))
@pytest.mark.parametrize("identity", ["anatomical", "uniform"])
def test_landmarks_of_the_mirror_image_are_the_mirrored_landmarks(
    identity: str, rows: np.ndarray, count: int
) -> None:
    mirror = rows.copy()
    mirror[:, [0, 2]] = 111 - mirror[:, [0, 2]]
    found = choose_landmarks(*split_rows(rows), "chords", identity, count)
    other = choose_landmarks(*split_rows(mirror), "chords", identity, count)
    other[:, 0] = 111 - other[:, 0]
    order = range(count)[::-1] if identity == "anatomical" else [0, *range(count)[:0:-1]]
    np.testing.assert_allclose(other[list(order)], found, atol=1e-6)


def _edges(contour: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(itertools.pairwise([*contour, contour[0]]))


def _off(point: np.ndarray, start: np.ndarray, stop: np.ndarray) -> float:
    """Distance of a point from a line segment."""
    edge = stop - start
    share = np.clip((point - start) @ edge / max(edge @ edge, 1e-300), 0, 1)
    return math.dist(point, start + share * edge)
