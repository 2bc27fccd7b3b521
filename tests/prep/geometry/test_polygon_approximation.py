"""The optimal polygon against trying every one there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_common.geometry.contours import shoelace_area
from echo_prep.geometry.polygon_approximation import best_corners


def convex_ring(size: int, seed: int) -> np.ndarray:
    """Points of a tilted ellipse at random angles, in order."""
    rng = np.random.default_rng(seed)
    turn = np.sort(rng.uniform(0, 2 * np.pi, size))
    circle = np.stack([30 * np.cos(turn), 12 * np.sin(turn)], axis=1)
    return circle @ np.array([[0.8, 0.6], [-0.6, 0.8]]) + 50


def wavy_ring(size: int, seed: int) -> np.ndarray:
    """The same, jittered enough to be dented."""
    return convex_ring(size, seed) + np.random.default_rng(seed + 1).normal(0, 1.5, (size, 2))


def area_between(curve: np.ndarray) -> float:
    """Area between a curve and the straight line from its first point to its last, by summing.

    What the curve has above the line, and what it has below it, each with what runs back taken
    away again.
    """
    edge = curve[-1] - curve[0]
    unit = edge / np.linalg.norm(edge)
    above = below = 0.0
    for start, stop in itertools.pairwise(curve):
        share = (np.arange(4000) + 0.5)[:, None] / 4000
        points = start + share * (stop - start) - curve[0]
        height = unit[0] * points[:, 1] - unit[1] * points[:, 0]
        above += float(np.maximum(height, 0).mean() * ((stop - start) @ unit))
        below += float(np.maximum(-height, 0).mean() * ((stop - start) @ unit))
    return abs(above) + abs(below)


def cost(ring: np.ndarray, corners: tuple[int, ...]) -> float:
    total = 0.0
    for start, stop in itertools.pairwise([*corners, corners[0] + len(ring)]):
        way = ring[np.arange(start, stop + 1) % len(ring)]
        total += area_between(way)
    return total


@settings(deadline=None, max_examples=60)
@given(size=st.integers(5, 11), seed=st.integers(0, 2**20), data=st.data())
def test_the_largest_polygon_inside_a_convex_one(size: int, seed: int, data: st.DataObject) -> None:
    ring = convex_ring(size, seed)
    count = data.draw(st.integers(3, size))
    found = best_corners(ring, count)
    largest = max(
        shoelace_area(ring[list(corners)]) for corners in itertools.combinations(range(size), count)
    )
    assert shoelace_area(ring[found]) == pytest.approx(largest)
    assert (np.diff(found) > 0).all()
    assert len(found) == count


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [3, 4, 6])
def test_the_closest_polygon_to_a_dented_one(seed: int, count: int) -> None:
    ring = wavy_ring(8, 10 * seed)
    by_cost = {corners: cost(ring, corners) for corners in itertools.combinations(range(8), count)}
    found = tuple(best_corners(ring, count).tolist())
    assert by_cost[found] == pytest.approx(min(by_cost.values()), rel=1e-4)


def test_more_corners_never_fit_worse() -> None:
    ring = wavy_ring(40, 3)
    costs = [cost(ring, tuple(best_corners(ring, count).tolist())) for count in range(3, 41)]
    assert (np.diff(costs) <= 1e-6).all()
    assert costs[-1] == pytest.approx(0, abs=1e-9)


def test_all_vertices_are_the_polygon_itself() -> None:
    assert best_corners(wavy_ring(12, 4), 12).tolist() == list(range(12))


def test_equal_vertices_are_not_an_edge() -> None:
    # A figure of eight that comes back to its waist.
    ring = np.array([[0, 0], [2, 2], [4, 0], [4, 4], [2, 2], [0, 4]], float)
    found = ring[best_corners(ring, 4)]
    assert shoelace_area(found) > 0
