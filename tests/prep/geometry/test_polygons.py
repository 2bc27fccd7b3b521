"""The methods: which points, in which order, and what mask comes of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from echo_common.errors import SettingsError
from echo_common.geometry.raster import rasterise
from echo_common.store.schema import METHODS
from echo_prep.dataset.tracings import split_rows
from echo_prep.geometry.polygons import polygons, same_sizes, to_float32
from support.datasets import half_ellipse_trace
from support.oracles import all_points, dice, paper_points, reference_mask
from support.strategies import scribbles, ventricles


def polygon(axis: np.ndarray, contour: np.ndarray, method: str) -> np.ndarray:
    """The polygon of one trace."""
    (found,) = polygons(axis[None], contour[None], method)
    return found


@given(rows=ventricles())
def test_chords_are_the_contour_unchanged(rows: np.ndarray) -> None:
    axis, contour = split_rows(rows)
    np.testing.assert_array_equal(polygon(axis, contour, "chords"), contour)


@settings(deadline=None)
@given(rows=scribbles())
def test_the_hull_equals_qhulls(rows: np.ndarray) -> None:
    points = all_points(rows)
    found = polygon(*split_rows(rows), "convexhull")
    hull = ConvexHull(points)
    corners = {tuple(point) for point in points[hull.vertices]}
    # float32 may add a vertex that is on an edge, or miss one that is as close to it.
    assert ConvexHull(found).volume == pytest.approx(hull.volume, rel=1e-6)
    assert {tuple(point) for point in found} <= {tuple(point) for point in points}
    assert len({tuple(point) for point in found} ^ corners) <= 2
    turns = np.diff(np.unwrap(np.arctan2(*(np.roll(found, -1, 0) - found).T[::-1])))
    assert (turns > -1e-6).all() or (turns < 1e-6).all()


@given(rows=scribbles())
def test_centroid_turns_once_around_the_mean_of_all_points(rows: np.ndarray) -> None:
    points = all_points(rows)
    found = polygon(*split_rows(rows), "centroid")
    angles = np.arctan2(*(found - points.mean(axis=0)).T[::-1])
    assert (np.diff(angles) >= 0).all()
    assert sorted(map(tuple, found)) == sorted(map(tuple, points))


@given(rows=scribbles())
def test_simplesort_equals_pythons_sorted_by_y(rows: np.ndarray) -> None:
    for traced in (rows, np.trunc(rows)):
        found = polygon(*split_rows(traced), "simplesort")
        file_order = [*traced[:, :2], *traced[:, 2:]]
        expected = sorted(map(tuple, file_order), key=lambda point: point[1])
        assert list(map(tuple, found)) == expected


@pytest.mark.parametrize("method", METHODS)
def test_padding_is_ignored(method: str) -> None:
    axis, contour = split_rows(half_ellipse_trace())
    padded = np.concatenate([contour, np.full((5, 2), np.nan)])
    np.testing.assert_array_equal(polygon(axis, padded, method), polygon(axis, contour, method))


def test_distance_of_each_methods_masks_from_the_reference() -> None:
    rows = half_ellipse_trace()
    axis, contour = split_rows(rows)
    reference = reference_mask(rows, (112, 112))
    found = {
        method: dice(rasterise(polygon(axis, contour, method), (112, 112), method), reference)
        for method in METHODS
    }
    assert found["chords"] == 1
    # The same outline but for its boundary, which fillPoly paints, and the piece of apex and
    # base that the chords leave out.
    assert 0.94 < found["convexhull"] < 0.99
    assert found["centroid"] == pytest.approx(found["convexhull"], abs=0.01)
    # Sorted by y, the polygon zigzags between the walls.
    assert found["simplesort"] < 0.9


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(SettingsError, match="no method 'hull'"):
        polygon(*split_rows(half_ellipse_trace()), "hull")


@pytest.mark.parametrize("method", METHODS)
def test_traces_of_several_sizes_together_equal_each_alone(method: str) -> None:
    rng = np.random.default_rng(5)
    contours = rng.uniform(0, 112, (9, 12, 2))
    axes = rng.uniform(0, 112, (9, 2, 2))
    for row, size in enumerate((12, 8, 12, 6, 8, 12, 4, 12, 8)):
        contours[row, size:] = np.nan
    found = polygons(axes, contours, method)
    assert len(found) == 9
    for axis, contour, one in zip(axes, contours, found, strict=True):
        np.testing.assert_array_equal(one, polygon(axis, contour, method))


def test_contours_are_grouped_by_their_number_of_points() -> None:
    contours = np.arange(24.0).reshape(3, 4, 2)
    contours[1, 2:] = np.nan
    found = {len(traced[0]): (rows.tolist(), traced) for rows, traced in same_sizes(contours)}
    assert {size: rows for size, (rows, _) in found.items()} == {2: [1], 4: [0, 2]}
    np.testing.assert_array_equal(found[2][1], contours[1:2, :2])
    np.testing.assert_array_equal(found[4][1], contours[[0, 2]])


coordinates = st.one_of(
    st.floats(-1024, 1024),
    # Next to halves and whole numbers, where rounding decides.
    st.builds(
        lambda whole, half, steps: float(
            whole / 2 + (half and steps * np.spacing(max(abs(whole / 2), 1e-3)))
        ),
        st.integers(-2048, 2048),
        st.booleans(),
        st.integers(-(2**28), 2**28),
    ),
)


@settings(max_examples=500)
@given(value=coordinates)
def test_no_coordinate_moves_to_another_pixel(value: float) -> None:
    (found,) = to_float32(np.array([value]))
    assert found.dtype == np.float32
    assert np.rint(found) == np.rint(value)
    assert np.trunc(found) == np.trunc(value)
    assert abs(float(found) - value) <= np.spacing(np.float32(abs(value)))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), step=st.sampled_from([0.5, 1.0]))
def test_masks_from_the_store_equal_those_from_the_csv(seed: int, step: float) -> None:
    rng = np.random.default_rng(seed)
    rows = np.round(rng.uniform(0, 112, (21, 4)) / step) * step
    rows += rng.choice([-1e-9, 1e-9, 0], rows.shape)
    contour = np.concatenate([rows[1:, :2], rows[:0:-1, 2:]])
    np.testing.assert_array_equal(
        rasterise(to_float32(contour), (112, 112), "chords"), reference_mask(rows, (112, 112))
    )
    kept = np.trunc(to_float32(contour)).astype(int)
    assert [tuple(point) for point in kept.tolist()] == paper_points(rows)[2:]
