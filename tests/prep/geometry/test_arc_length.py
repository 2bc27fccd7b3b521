"""Paths around polygons, against closed forms; many at once against one by one."""

from __future__ import annotations

import numpy as np
import pytest

from echo_prep.geometry.arc_length import ClosedPaths
from support.oracles import along

SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10.0]])
TRIANGLE = np.array([[0, 0], [3, 0], [0, 4.0]])


def paths(
    polygons: list[np.ndarray], start: list[float], first: list[float], then: list[float]
) -> ClosedPaths:
    count = len(polygons)
    return ClosedPaths(
        polygons, *(np.array([one] * count, dtype=float) for one in (start, first, then))
    )


def test_the_two_points_determine_the_direction() -> None:
    # From the middle of the upper side: to the right first, or to the left first.
    right = paths([SQUARE], [5, -3], [14, 5], [-4, 5])
    left = paths([SQUARE], [5, -3], [-4, 5], [14, 5])
    for path in (right, left):
        assert path.length.tolist() == [40]
        assert path.positions.tolist() == [[0, 10, 30]]
        assert path.nearest[0, 0].tolist() == [5, 0]
    at = np.array([[0, 5, 10, 20, 40.0]])
    assert right.at(at)[0].tolist() == [[5, 0], [10, 0], [10, 5], [5, 10], [5, 0]]
    assert left.at(at)[0].tolist() == [[5, 0], [0, 0], [0, 5], [5, 10], [5, 0]]
    assert right.vertices()[0].tolist() == [[5, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
    assert left.vertices()[0].tolist() == [[5, 0], [0, 0], [0, 10], [10, 10], [10, 0]]


def test_duplicate_vertices_are_dropped() -> None:
    doubled = np.repeat(TRIANGLE, 2, axis=0)
    path = paths([doubled], [-1, -1], [3, 0], [0, 4])
    assert path.length.tolist() == [12]
    assert path.positions.tolist() == [[0, 3, 8]]
    assert path.vertices()[0].tolist() == TRIANGLE.tolist()


def test_many_are_the_same_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    polygons = [rng.uniform(0, 100, (count, 2)) for count in (3, 7, 40, 12)]
    points = rng.uniform(0, 100, (3, len(polygons), 2))
    at = rng.uniform(0, 50, (len(polygons), 9))
    together = ClosedPaths(polygons, *points)
    for number, polygon in enumerate(polygons):
        alone = ClosedPaths([polygon], *points[:, number : number + 1])
        np.testing.assert_allclose(
            together.at(at)[number], alone.at(at[number : number + 1])[0], atol=1e-9
        )
        np.testing.assert_array_equal(together.vertices()[number], alone.vertices()[0])
        # Step by step along the path.
        ring = together.vertices()[number]
        for position, found in zip(at[number], together.at(at)[number], strict=True):
            np.testing.assert_allclose(found, along(ring, position / alone.length[0]), atol=1e-9)


@pytest.mark.parametrize("polygon", [np.full((5, 2), 7.0), np.array([[1.0, 2.0]])])
def test_a_point_is_a_path_of_length_0(polygon: np.ndarray) -> None:
    path = paths([polygon], [0, 0], [5, 5], [9, 9])
    assert path.length.tolist() == [0]
    assert path.at(np.array([[0.0, 3.0]]))[0].tolist() == [polygon[0].tolist()] * 2
    assert path.vertices()[0].tolist() == [polygon[0].tolist()]
