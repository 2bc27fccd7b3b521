"""Heatmaps against the paper's procedure on whole images."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import skimage.filters
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from echo_common.errors import SettingsError
from echo_common.geometry.raster import rasterise
from echo_common.store.schema import GAUSSIANS, gaussian_reach
from echo_prep.dataset.tracings import split_rows
from echo_prep.geometry.heatmaps import border_band, draw_heatmaps
from echo_prep.geometry.settings import HeatmapSettings
from support.datasets import half_ellipse_trace
from support.oracles import paper_band, paper_heatmap

DEFAULTS = HeatmapSettings()
ROUNDING = 0.5 / 255 + 1e-9


def ventricle_mask() -> np.ndarray:
    return rasterise(split_rows(half_ellipse_trace())[1], (112, 112), "chords")


@pytest.mark.parametrize("seed", range(6))
def test_the_band_is_the_papers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = (ndimage.gaussian_filter(rng.normal(size=(112, 96)), 6) > 0).astype(np.uint8)
    np.testing.assert_array_equal(border_band(mask, DEFAULTS), paper_band(mask))


@pytest.mark.parametrize("kernel, iterations", [(1, 3), (3, 1), (5, 1), (5, 3), (4, 2)])
def test_the_band_follows_its_options(kernel: int, iterations: int) -> None:
    mask = ventricle_mask()
    found = border_band(mask, HeatmapSettings(band_kernel=kernel, band_iterations=iterations))
    square = np.ones((kernel, kernel), bool)
    wide = ndimage.binary_dilation(mask, square, iterations=iterations)
    narrow = ndimage.binary_erosion(mask, square, iterations=iterations)
    # The union is the same wherever an even kernel has its middle.
    assert found.sum() == (wide ^ narrow).sum()
    if kernel % 2:
        np.testing.assert_array_equal(found, wide ^ narrow)


def test_no_iterations_give_no_band() -> None:
    assert border_band(ventricle_mask(), HeatmapSettings(band_iterations=0)).all()


@settings(deadline=None, max_examples=60)
@given(
    point=st.tuples(st.integers(1, 110), st.integers(1, 110)),
    falloff=st.sampled_from(["gaussian", "euclidean"]),
)
def test_heatmaps_are_the_papers(point: tuple[int, int], falloff: str) -> None:
    band = paper_band(ventricle_mask()).astype(np.uint8)
    for limits, gaussian in itertools.product((band, np.ones_like(band)), GAUSSIANS):
        shape = HeatmapSettings(gaussian=gaussian)
        (found,) = draw_heatmaps(np.array([point]), limits, falloff, shape)
        assert found.dtype == np.uint8
        expected = paper_heatmap(point, limits, falloff, gaussian=gaussian)
        np.testing.assert_allclose(found / 255, expected, atol=ROUNDING)


@pytest.mark.parametrize("sigma", [0.1, 0.6, 1.0, 2.5, 7.0])
def test_a_whole_gaussian_ends_where_scikit_images_ends(sigma: float) -> None:
    shape = HeatmapSettings(gaussian="whole", sigma=sigma)
    pixel = np.zeros((64, 96))
    pixel[20, 43] = 1
    expected = skimage.filters.gaussian(pixel, sigma=sigma)
    (found,) = draw_heatmaps(np.array([[43, 20]]), np.ones_like(pixel, np.uint8), "gaussian", shape)
    np.testing.assert_allclose(found / 255, expected / expected.max(), atol=ROUNDING + 1e-3)
    inside = np.flatnonzero(expected[20])
    assert inside[-1] - 43 == int(4 * sigma + 0.5)
    assert gaussian_reach(sigma) == max(1, inside[-1] - 43)


@settings(deadline=None, max_examples=60)
@given(
    x=st.floats(-30, 140),
    y=st.floats(-30, 140),
    radius=st.floats(1, 40),
    sigma=st.floats(0.1, 20),
    falloff=st.sampled_from(["gaussian", "euclidean"]),
    gaussian=st.sampled_from(GAUSSIANS),
)
def test_landmarks_between_pixels_and_outside_the_image(
    x: float, y: float, radius: float, sigma: float, falloff: str, gaussian: str
) -> None:
    shape = HeatmapSettings(radius=radius, sigma=sigma, gaussian=gaussian)
    everywhere = np.ones((90, 112), np.uint8)
    (found,) = draw_heatmaps(np.array([[x, y]]), everywhere, falloff, shape)
    rows, columns = np.mgrid[:90, :112]
    distance = extent = np.hypot(rows - y, columns - x)
    if falloff == "gaussian" and gaussian == "whole":
        extent, radius = np.maximum(abs(rows - y), abs(columns - x)), max(1, int(4 * sigma + 0.5))
    near = extent <= radius
    if not near.any():
        assert not found.any()
        return
    if falloff == "gaussian":
        # Factors go out with the scaling: measured from the nearest pixel nothing underflows.
        nearest = distance.min()
        values = np.exp((nearest**2 - distance**2) / (2 * sigma**2))
    else:
        values = -distance
    low, high = values[near].min(), values[near].max()
    # A radius that just reaches a pixel: rounding decides whether it is one of them.
    if high - low < 1e-9 or np.abs(extent - radius).min() < 1e-9:
        return
    expected = np.where(near, (values - low) / (high - low), 0)
    np.testing.assert_allclose(found / 255, expected, atol=ROUNDING + 1e-6)
    assert found.max() == 255


def test_a_landmark_far_outside_has_its_peak_at_the_nearest_pixel() -> None:
    # exp(-90 squared / 2) is zero in any floating-point format.
    shape = HeatmapSettings(radius=100, sigma=1)
    (found,) = draw_heatmaps(
        np.array([[50.0, -90.0]]), np.ones((112, 112), np.uint8), "gaussian", shape
    )
    assert found[0, 49:52].tolist() == [155, 255, 155]
    assert not found[1:].any()


def test_a_single_pixel_is_the_peak() -> None:
    (found,) = draw_heatmaps(
        np.array([[-9.5, 20.0]]), np.ones((40, 40), np.uint8), "euclidean",
        HeatmapSettings(radius=9.6),
    )  # fmt: skip
    assert found[20, 0] == 255
    assert found.sum() == 255


def test_one_channel_per_landmark_in_order() -> None:
    points = np.array([[20, 30], [60, 70], [500, 500], [20, 30]])
    found = draw_heatmaps(points, np.ones((112, 112), np.uint8), "gaussian", DEFAULTS)
    assert found.shape == (4, 112, 112)
    assert [np.unravel_index(channel.argmax(), channel.shape) for channel in found[:2]] == [
        (30, 20),
        (70, 60),
    ]
    assert not found[2].any()
    np.testing.assert_array_equal(found[3], found[0])


def test_an_unknown_falloff_is_named() -> None:
    with pytest.raises(SettingsError, match="no falloff 'linear'"):
        draw_heatmaps(np.zeros((1, 2)), np.ones((9, 9), np.uint8), "linear", DEFAULTS)
