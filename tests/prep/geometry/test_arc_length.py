"""Walks around polygons, against closed forms; many at once against one by one."""

from __future__ import annotations

import numpy as np
import pytest

from echo_prep.geometry.arc_length import Walks
from support.oracles import along

SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10.0]])
TRIANGLE = np.array([[0, 0], [3, 0], [0, 4.0]])


def walks(
    borders: list[np.ndarray], start: list[float], first: list[float], then: list[float]
) -> Walks:
    count = len(borders)
    return Walks(borders, *(np.array([one] * count, dtype=float) for one in (start, first, then)))


def test_the_two_places_decide_the_direction() -> None:
    # From the middle of the upper side: to the right first, or to the left first.
    right = walks([SQUARE], [5, -3], [14, 5], [-4, 5])
    left = walks([SQUARE], [5, -3], [-4, 5], [14, 5])
    for one in (right, left):
        assert one.length.tolist() == [40]
        assert one.positions.tolist() == [[0, 10, 30]]
        assert one.feet[0, 0].tolist() == [5, 0]
    at = np.array([[0, 5, 10, 20, 40.0]])
    assert right.at(at)[0].tolist() == [[5, 0], [10, 0], [10, 5], [5, 10], [5, 0]]
    assert left.at(at)[0].tolist() == [[5, 0], [0, 0], [0, 5], [5, 10], [5, 0]]
    assert right.rings()[0].tolist() == [[5, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
    assert left.rings()[0].tolist() == [[5, 0], [0, 0], [0, 10], [10, 10], [10, 0]]


def test_a_vertex_is_itself_and_stands_once() -> None:
    doubled = np.repeat(TRIANGLE, 2, axis=0)
    one = walks([doubled], [-1, -1], [3, 0], [0, 4])
    assert one.length.tolist() == [12]
    assert one.positions.tolist() == [[0, 3, 8]]
    assert one.rings()[0].tolist() == TRIANGLE.tolist()


def test_many_are_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    borders = [rng.uniform(0, 100, (count, 2)) for count in (3, 7, 40, 12)]
    places = rng.uniform(0, 100, (3, len(borders), 2))
    at = rng.uniform(0, 50, (len(borders), 9))
    together = Walks(borders, *places)
    for number, border in enumerate(borders):
        alone = Walks([border], *places[:, number : number + 1])
        np.testing.assert_allclose(
            together.at(at)[number], alone.at(at[number : number + 1])[0], atol=1e-9
        )
        np.testing.assert_array_equal(together.rings()[number], alone.rings()[0])
        # Walked step by step.
        ring = together.rings()[number]
        for place, found in zip(at[number], together.at(at)[number], strict=True):
            np.testing.assert_allclose(found, along(ring, place / alone.length[0]), atol=1e-9)


@pytest.mark.parametrize("border", [np.full((5, 2), 7.0), np.array([[1.0, 2.0]])])
def test_a_point_is_a_walk_of_no_length(border: np.ndarray) -> None:
    one = walks([border], [0, 0], [5, 5], [9, 9])
    assert one.length.tolist() == [0]
    assert one.at(np.array([[0.0, 3.0]]))[0].tolist() == [border[0].tolist()] * 2
    assert one.rings()[0].tolist() == [border[0].tolist()]
