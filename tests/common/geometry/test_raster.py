"""Masks against the data set's own procedure, and against OpenCV's filled polygons."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import skimage.draw
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from echo_common.errors import SettingsError
from echo_common.geometry import raster
from echo_common.geometry.raster import PIXEL_LIMIT, mask_outlines, rasterise, rasterise_all
from echo_common.store.schema import METHODS
from echo_prep.dataset.tracings import split_rows
from support.datasets import half_ellipse_trace
from support.oracles import reference_mask
from support.strategies import scribbles, ventricles

PAPER_METHODS = ("convexhull", "centroid", "simplesort")


@settings(deadline=None, max_examples=150)
@given(
    rows=st.one_of(ventricles(), scribbles()),
    shape=st.tuples(st.integers(1, 130), st.integers(1, 130)),
)
@example(rows=half_ellipse_trace(), shape=(112, 112))
@example(rows=half_ellipse_trace(apex=(100.0, 50.0), base=(130.0, 118.0)), shape=(112, 112))
def test_chords_are_filled_as_the_data_sets_loader_fills_them(
    rows: np.ndarray, shape: tuple[int, int]
) -> None:
    _, contour = split_rows(rows)
    np.testing.assert_array_equal(rasterise(contour, shape, "chords"), reference_mask(rows, shape))


# From a grid so small that edges cross, touch, overlap and vanish, to far outside the image.
_polygons = st.sampled_from([1, 3, 8, 40, 1 << 20]).flatmap(
    lambda reach: st.lists(
        st.tuples(*[st.integers(-reach, reach + 30 * (reach > 3))] * 2), min_size=3, max_size=24
    )
)


@settings(deadline=None, max_examples=1500)
@given(
    points=_polygons, again=st.booleans(), shape=st.tuples(st.integers(1, 45), st.integers(1, 45))
)
@example(points=[(2, 2), (2, 2), (2, 2)], again=False, shape=(5, 5))
@example(points=[(0, 3), (9, 3), (4, 3)], again=False, shape=(6, 6))
@example(points=[(0, 0), (8, 8), (8, 0), (0, 8)], again=True, shape=(9, 9))
@example(points=[(5, 0)] + [(0, 9), (9, 9)] * 300, again=False, shape=(12, 12))
def test_any_polygon_is_filled_as_scikit_image_fills_it(
    points: list[tuple[int, int]], again: bool, shape: tuple[int, int]
) -> None:
    # Drawn there and back, every edge lies on another.
    contour = np.array(points + points[::-1] if again else points)
    contour = np.clip(contour, -PIXEL_LIMIT, PIXEL_LIMIT)
    expected = np.zeros(shape, np.uint8)
    expected[skimage.draw.polygon(contour[:, 1], contour[:, 0], shape)] = 1
    np.testing.assert_array_equal(rasterise(contour, shape, "chords"), expected)


@settings(deadline=None, max_examples=80)
@given(rows=scribbles(), method=st.sampled_from(PAPER_METHODS))
def test_the_papers_methods_are_filled_by_opencv(rows: np.ndarray, method: str) -> None:
    _, contour = split_rows(rows)
    expected = np.zeros((112, 100), np.uint8)
    cv2.fillPoly(expected, [np.rint(contour).astype(np.int32)], (1,))
    np.testing.assert_array_equal(rasterise(contour, (112, 100), method), expected)


def test_a_square_has_the_area_of_its_pixels() -> None:
    square = [[10, 20], [30, 20], [30, 50], [10, 50]]
    mask = rasterise(square, (112, 112), "centroid")
    assert mask.dtype == np.uint8
    assert mask[20:51, 10:31].all()
    assert mask.sum() == 31 * 21


@settings(deadline=None, max_examples=150)
@given(rows=st.one_of(ventricles(), scribbles()), shift=st.floats(0.01, 0.99))
def test_exact_masks_hold_the_pixels_whose_centres_scikit_image_finds_inside(
    rows: np.ndarray, shift: float
) -> None:
    _, contour = split_rows(rows)
    # So that no edge, a diagonal one neither, runs along centres.
    contour = contour + shift * np.array([1 / 7, np.sqrt(2) / 11])
    expected = np.zeros((112, 100), np.uint8)
    expected[skimage.draw.polygon(contour[:, 1], contour[:, 0], expected.shape)] = 1
    # Centres within rounding of an edge may be either.
    assert (rasterise(contour, expected.shape, "exact") != expected).sum() <= 2


def test_exact_masks_have_the_area_of_the_polygon_on_average() -> None:
    rng = np.random.default_rng(0)
    ratios = {"exact": [], "chords": []}  # type: dict[str, list[float]]
    for _ in range(200):
        rows = half_ellipse_trace(
            tuple(rng.normal([51, 15], 2)), tuple(rng.normal([64, 68], 2)), rng.uniform(14, 32)
        )
        _, contour = split_rows(rows)
        x, y = contour.T
        area = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
        for method, found in ratios.items():
            found.append(rasterise(contour, (112, 112), method).sum() / area)
    assert np.mean(ratios["exact"]) == pytest.approx(1, abs=0.003)
    assert np.std(ratios["exact"]) < 0.01
    # Rounded vertices and filled boundaries: the data set's own masks are too large.
    assert 1.03 < np.mean(ratios["chords"]) < 1.07


@settings(deadline=None, max_examples=100)
@given(
    outline=st.lists(st.tuples(*[st.floats(-5, 45)] * 2), min_size=3, max_size=12),
    middle=st.tuples(*[st.floats(-5, 45)] * 2),
)
def test_exact_masks_of_pieces_add_up(
    outline: list[tuple[float, float]], middle: tuple[float, float]
) -> None:
    pieces = [
        np.array([middle, first, second])
        for first, second in itertools.pairwise([*outline, outline[0]])
    ]
    total = rasterise_all(pieces, (40, 41), "exact").sum(axis=0)
    np.testing.assert_array_equal(rasterise(outline, (40, 41), "exact"), total % 2)


@pytest.mark.parametrize(
    ("corner", "pixels"), [((0.0, 0.0), 12), ((0.25, 0.5), 12), ((-0.5, -0.5), 12)]
)
def test_an_exact_rectangle_has_its_own_area(corner: tuple[float, float], pixels: int) -> None:
    rectangle = np.array([[3, 4], [6, 4], [6, 8], [3, 8]]) + corner
    assert rasterise(rectangle, (12, 12), "exact").sum() == pixels


@pytest.mark.parametrize("method", METHODS)
def test_padding_is_ignored(method: str) -> None:
    contour = half_ellipse_trace()[1:].reshape(-1, 2)
    padded = np.concatenate([contour[:11], np.full((3, 2), np.nan), contour[11:], [[np.nan, 5]]])
    np.testing.assert_array_equal(
        rasterise(padded, (112, 112), method), rasterise(contour, (112, 112), method)
    )


@pytest.mark.parametrize("points", [[], [[5, 5]], [[5, 5], [9, 9]], [[np.nan, 1]] * 5])
def test_fewer_than_three_points_are_no_mask(points: list[list[float]]) -> None:
    contour = np.array(points, float).reshape(-1, 2)
    for method in METHODS:
        assert not rasterise(contour, (20, 30), method).any()


@pytest.mark.parametrize("method", METHODS)
def test_many_contours_are_each_filled_as_alone(method: str) -> None:
    whole = half_ellipse_trace()[1:].reshape(-1, 2)
    padded = np.concatenate([whole[:7], np.full((2, 2), np.nan), whole[7:]])
    contours = [whole, np.empty((0, 2)), whole[:5], padded, whole[:2], whole + 9]
    masks = rasterise_all(contours, (80, 90), method)
    assert masks.shape == (6, 80, 90)
    for contour, mask in zip(contours, masks, strict=True):
        np.testing.assert_array_equal(mask, rasterise(contour, (80, 90), method))
    assert [bool(mask.any()) for mask in masks] == [True, False, True, True, False, True]


def test_masks_filled_in_several_groups_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    contour = half_ellipse_trace()[1:].reshape(-1, 2)
    contours = [contour, np.empty((0, 2)), contour - 5, contour[::2], contour + 300, contour + 9]
    together = rasterise_all(contours, (112, 100), "chords")
    monkeypatch.setattr(raster, "GROUP_PIXELS", 2 * 112 * 100)
    np.testing.assert_array_equal(rasterise_all(contours, (112, 100), "chords"), together)
    for contour, mask in zip(contours, together, strict=True):
        expected = np.zeros((112, 100), np.uint8)
        if len(contour):
            x, y = np.rint(contour).T
            expected[skimage.draw.polygon(y, x, expected.shape)] = 1
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("far", [1e9, 1e300, np.inf])
def test_points_beyond_any_image_are_clipped(far: float) -> None:
    mask = rasterise([[-far, -far], [far, -far], [far, far], [-far, far]], (30, 40), "centroid")
    assert mask.all()


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(SettingsError, match=r"no method 'hull'.*convexhull"):
        rasterise([[0, 0], [1, 0], [1, 1]], (5, 5), "hull")


@given(mask=hnp.arrays(np.uint8, (7, 9), elements=st.integers(0, 1)))
def test_a_pixel_is_in_the_mask_if_an_odd_number_of_outlines_encloses_it(mask: np.ndarray) -> None:
    outlines = [line.astype(np.float32)[:, None] for line in mask_outlines(mask)]
    for y, x in np.ndindex(mask.shape):
        around = sum(cv2.pointPolygonTest(line, (x, y), False) > 0 for line in outlines)
        assert around % 2 == mask[y, x]
