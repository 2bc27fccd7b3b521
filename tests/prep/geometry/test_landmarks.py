"""How landmarks are chosen, against closed forms and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_common.errors import SettingsError
from echo_common.geometry.contours import angular_order, contour_from_landmarks
from echo_common.geometry.raster import rasterise
from echo_prep.dataset.tracings import split_rows
from echo_prep.geometry.landmarks import choose_landmarks
from echo_prep.geometry.polygons import polygons
from support.datasets import half_ellipse_trace
from support.oracles import all_points, along, angles, dice, reference_mask
from support.strategies import jittered, scribbles, ventricles

COUNTS = (3, 4, 5, 7, 11, 21, 40, 42)

IDENTITIES = ("anatomical", "angle", "uniform", "optimal")


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
def test_anatomical_landmarks_include_both_ends_of_the_mitral_plane_and_the_apex(
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


def test_a_wall_longer_than_half_the_contour_keeps_its_direction() -> None:
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
    (points,) = polygons(axis[None], contour[None], "convexhull")
    assert (found >= points.min(axis=0) - 1e-9).all()
    assert (found <= points.max(axis=0) + 1e-9).all()


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("count", [-1, 0, 2, 43, 1000])
def test_other_numbers_are_refused(identity: str, count: int) -> None:
    axis, contour = split_rows(half_ellipse_trace())
    with pytest.raises(SettingsError, match=f"{count} landmarks requested"):
        choose_landmarks(axis, contour, "chords", identity, count)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.one_of(scribbles(), st.just(np.full((21, 4), 7.0)), ventricles().map(np.trunc)),
    identity=st.sampled_from(IDENTITIES),
    method=st.sampled_from(["chords", "convexhull", "centroid", "simplesort"]),
    count=st.integers(3, 42),
)
def test_any_scribble_has_landmarks_inside_its_hull(
    rows: np.ndarray, identity: str, method: str, count: int
) -> None:
    found = choose_landmarks(*split_rows(rows), method, identity, count)
    points = all_points(rows)
    assert found.shape == (count, 2)
    assert (found >= points.min(axis=0) - 1e-9).all()
    assert (found <= points.max(axis=0) + 1e-9).all()


def test_an_unknown_identity_is_named() -> None:
    with pytest.raises(SettingsError, match="no landmark identity 'best'"):
        choose_landmarks(*split_rows(half_ellipse_trace()), "chords", "best", 7)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_padding_is_ignored(identity: str) -> None:
    axis, contour = split_rows(half_ellipse_trace())
    padded = np.concatenate([contour, np.full((6, 2), np.nan)])
    np.testing.assert_array_equal(
        choose_landmarks(axis, padded, "centroid", identity, 9),
        choose_landmarks(axis, contour, "centroid", identity, 9),
    )


@settings(deadline=None, max_examples=40)
@given(rows=ventricles(noise=1.0), count=st.sampled_from([5, 7, 11]))
@pytest.mark.parametrize("identity", ["anatomical", "uniform", "optimal"])
def test_landmarks_of_the_mirror_image_are_the_mirrored_landmarks(
    identity: str, rows: np.ndarray, count: int
) -> None:
    # The two walls of a perfect half ellipse are equally good: make them differ.
    rows = jittered(rows, 0.3, 5)
    mirror = rows.copy()
    mirror[:, [0, 2]] = 111 - mirror[:, [0, 2]]
    found = choose_landmarks(*split_rows(rows), "chords", identity, count)
    other = choose_landmarks(*split_rows(mirror), "chords", identity, count)
    other[:, 0] = 111 - other[:, 0]
    order = [0, *range(count)[:0:-1]] if identity == "uniform" else range(count)[::-1]
    np.testing.assert_allclose(other[list(order)], found, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(rows=ventricles(noise=1.0), count=st.integers(3, 40))
def test_optimal_landmarks_are_traced_points_in_order_from_the_left_end_of_the_mitral_plane(
    rows: np.ndarray, count: int
) -> None:
    axis, contour = split_rows(rows)
    found = choose_landmarks(axis, contour, "chords", "optimal", count)
    left_is_first = tuple(choose_landmarks(axis, contour, "chords", "anatomical", 3)[0]) == tuple(
        contour[19]
    )
    # Up the left wall, and down the right one.
    walk = np.roll(contour, -20, axis=0)[::-1] if left_is_first else np.roll(contour, -20, axis=0)
    places = [int(np.flatnonzero((walk == point).all(axis=1))[0]) for point in found]
    assert places == sorted(set(places))


def test_optimal_landmarks_of_a_box_are_its_corners() -> None:
    axis, contour = split_rows(box_trace())
    found = choose_landmarks(axis, contour, "chords", "optimal", 4)
    assert found.tolist() == [[40, 100], [40, 5], [60, 5], [60, 100]]


JITTER = {"angle": (12.0, 32.0), "uniform": (0.6, 1.6), "anatomical": (0.4, 1.0)}
"""Smallest and largest mean movement, px, of 7 landmarks under 0.5 px of jitter."""


def test_how_far_landmarks_move_when_the_tracing_jitters() -> None:
    moved: dict[str, list[float]] = {identity: [] for identity in IDENTITIES}
    rng = np.random.default_rng(1)
    for number in range(60):
        apex, base = rng.normal([51, 15], 4), rng.normal([64, 75], 4)
        rows = half_ellipse_trace(tuple(apex), tuple(base), rng.uniform(20, 36))
        rows = jittered(rows, 0.5, 2 * number)
        again = jittered(rows, 0.5, 2 * number + 1)
        for identity in IDENTITIES:
            one, other = (
                choose_landmarks(*split_rows(drawn), "chords", identity, 7)
                for drawn in (rows, again)
            )
            moved[identity].append(float(np.linalg.norm(one - other, axis=1).mean()))
    found = {identity: float(np.mean(values)) for identity, values in moved.items()}
    for identity, (low, high) in JITTER.items():
        assert low < found[identity] < high, found
    # Another point in each frame, and no better than the anatomical ones at that.
    assert found["angle"] > 15 * found["anatomical"]
    assert found["anatomical"] < found["uniform"] < found["optimal"] < found["angle"]


CEILINGS = {"angle": (0.87, 0.945), "anatomical": (0.96, 0.985), "optimal": (0.965, 0.985)}
"""Smallest and largest mean Dice of the mask that 7 true landmarks give back."""


def test_dice_of_the_mask_rebuilt_from_seven_true_landmarks() -> None:
    rng = np.random.default_rng(2)
    scores: dict[str, list[float]] = {identity: [] for identity in CEILINGS}
    for number in range(40):
        rows = half_ellipse_trace(
            tuple(rng.normal([51, 15], 4)), tuple(rng.normal([64, 75], 4)), rng.uniform(22, 36)
        )
        rows = jittered(rows, 0.4, number)
        mask = reference_mask(rows, (112, 112))
        for identity, found in scores.items():
            points = choose_landmarks(*split_rows(rows), "chords", identity, 7)
            contour = contour_from_landmarks(points, identity)
            found.append(dice(rasterise(contour, (112, 112), "chords"), mask))
    means = {identity: float(np.mean(found)) for identity, found in scores.items()}
    for identity, (low, high) in CEILINGS.items():
        assert low < means[identity] < high, means


def _edges(contour: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(itertools.pairwise([*contour, contour[0]]))


def _off(point: np.ndarray, start: np.ndarray, stop: np.ndarray) -> float:
    """Distance of a point from a line segment."""
    edge = stop - start
    share = np.clip((point - start) @ edge / max(edge @ edge, 1e-300), 0, 1)
    return math.dist(point, start + share * edge)
