"""Pieces and holes against SciPy, crossings against exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from echo_train.metrics.plausibility import count_pieces_and_holes, crosses_itself
from support.masks import ellipse

MASKS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)
)


@given(mask=MASKS)
def test_pixels_that_touch_at_corners_are_one_piece(mask: np.ndarray) -> None:
    assert count_pieces_and_holes(mask)[0] == ndimage.label(mask, np.ones((3, 3)))[1]


@given(mask=MASKS)
def test_holes_are_the_pieces_that_filling_adds(mask: np.ndarray) -> None:
    filled = ndimage.binary_fill_holes(mask) & (mask == 0)
    assert count_pieces_and_holes(mask)[1] == ndimage.label(filled)[1]


def test_a_ring_has_a_hole_and_two_discs_are_two_pieces() -> None:
    disc = ellipse((60, 60), (20, 20), (10, 10)).astype(np.uint8)
    ring = disc - ellipse((60, 60), (20, 20), (4, 4)).astype(np.uint8)
    both = disc | ellipse((60, 60), (45, 45), (6, 6)).astype(np.uint8)
    assert [count_pieces_and_holes(mask) for mask in (disc, ring, both)] == [
        (1, 0),
        (1, 1),
        (2, 0),
    ]


@pytest.mark.parametrize(("value", "pieces"), [(0, 0), (1, 1)])
def test_empty_and_full_masks(value: int, pieces: int) -> None:
    mask = np.full((8, 8), value, dtype=np.uint8)
    assert count_pieces_and_holes(mask) == (pieces, 0)


@pytest.mark.parametrize(
    ("contour", "crosses"),
    [
        ([[0, 0], [4, 0], [4, 4], [0, 4]], False),
        ([[0, 0], [4, 4], [4, 0], [0, 4]], True),
        ([[0, 0], [4, 0], [4, 0], [4, 4]], False),
        ([[0, 0], [8, 0], [4, 0], [4, 4]], False),
        ([[0, 0], [4, 0], [2, 3]], False),
        ([[1, 1]], False),
        (np.empty((0, 2)), False),
    ],
)
def test_crossings_of_known_polygons(contour: list[list[float]], crosses: bool) -> None:
    assert crosses_itself(np.asarray(contour, dtype=np.float64)) == crosses


Point = tuple[int, int]


def crosses_exactly(points: list[Point]) -> bool:
    """Whether two sides intersect strictly inside both, in exact fractions."""
    sides = list(zip(points, [*points[1:], points[0]], strict=True))
    for (a, b), (c, d) in combinations(sides, 2):
        ux, uy, vx, vy = b[0] - a[0], b[1] - a[1], d[0] - c[0], d[1] - c[1]
        determinant = ux * vy - uy * vx
        if determinant == 0:
            continue
        wx, wy = c[0] - a[0], c[1] - a[1]
        along = Fraction(wx * vy - wy * vx, determinant)
        other = Fraction(wx * uy - wy * ux, determinant)
        if 0 < along < 1 and 0 < other < 1:
            return True
    return False


@given(points=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=9))
def test_crossings_agree_with_exact_arithmetic(points: list[Point]) -> None:
    assert crosses_itself(np.array(points, dtype=np.float64)) == crosses_exactly(points)
