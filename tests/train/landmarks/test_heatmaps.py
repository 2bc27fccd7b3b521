"""Heatmaps drawn on the device against those that preparation draws with OpenCV and NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_prep.geometry.heatmaps import border_band, draw_heatmaps
from echo_prep.geometry.settings import HeatmapSettings
from echo_train.landmarks import heatmaps
from echo_train.landmarks.heatmaps import HeatmapShape, render_heatmaps

ROUNDING = 0.5 / 255 + 1e-5
"""A stored heatmap is rounded to 255 steps."""


def ellipse(shape: tuple[int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    cy, cx = rng.uniform(0.2, 0.8, 2) * shape
    ry, rx = rng.uniform(0.1, 0.6, 2) * shape
    return (((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1).astype(np.uint8)


def shape_of(falloff: str, prepared: HeatmapSettings) -> HeatmapShape:
    return HeatmapShape(
        falloff=falloff,
        radius=prepared.radius,
        sigma=prepared.sigma,
        gaussian=prepared.gaussian,
        band_kernel=prepared.band_kernel,
        band_iterations=prepared.band_iterations,
    )


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("iterations", [0, 1, 2, 30])
def test_the_band_is_opencvs(kernel: int, iterations: int) -> None:
    masks = np.stack([ellipse((40, 56), seed) for seed in range(6)])
    masks[4], masks[5] = 0, 1
    prepared = HeatmapSettings(band_kernel=kernel, band_iterations=iterations)
    expected = np.stack([border_band(mask, prepared) for mask in masks])
    found = heatmaps.border_band(torch.from_numpy(masks).float(), kernel, iterations)
    np.testing.assert_array_equal(found.numpy(), expected)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**20),
    falloff=st.sampled_from(schema.FALLOFFS),
    # A radius below a whole number by less than float32 resolves would leave out other pixels.
    radius=st.floats(1, 14, width=32),
    sigma=st.floats(0.5, 9),
    iterations=st.integers(0, 3),
    gaussian=st.sampled_from(schema.GAUSSIANS),
)
def test_heatmaps_are_those_that_preparation_draws(
    seed: int, falloff: str, radius: float, sigma: float, iterations: int, gaussian: str
) -> None:
    rng = np.random.default_rng(seed)
    masks = np.stack([ellipse((48, 64), seed + frame) for frame in range(3)])
    # Some lie outside the image, near enough to reach into it or far away.
    points = rng.uniform([-30, -30], [94, 78], (3, 5, 2)).astype(np.float32)
    points[0, 0], points[1, 1] = (7, 9), (-1e7, 4)
    prepared = HeatmapSettings(
        radius=radius, sigma=sigma, band_iterations=iterations, gaussian=gaussian
    )
    expected = np.stack(
        [
            draw_heatmaps(some, border_band(mask, prepared), falloff, prepared)
            for some, mask in zip(points, masks, strict=True)
        ]
    )
    found = render_heatmaps(
        torch.from_numpy(points), torch.from_numpy(masks).float(), shape_of(falloff, prepared)
    )
    np.testing.assert_allclose(found.numpy(), expected / 255, atol=ROUNDING)


def test_a_single_pixel_in_reach_is_the_peak() -> None:
    shape = HeatmapShape(falloff="gaussian", radius=1, sigma=5, band_kernel=3, band_iterations=0)
    heatmaps = render_heatmaps(torch.tensor([[[-1.0, 3.0]]]), torch.zeros(1, 8, 8), shape)
    expected = torch.zeros(8, 8)
    expected[3, 0] = 1
    assert torch.equal(heatmaps[0, 0], expected)


def test_a_store_s_heatmaps_come_back_from_its_points_and_masks(small_store: Path) -> None:
    store = EchoStore(small_store)
    (landmarks,) = store.landmark_sets()
    path = landmarks.heatmap("gaussian")
    found = render_heatmaps(
        torch.from_numpy(store.read(landmarks.points)),
        torch.from_numpy(store.read(schema.mask_path(landmarks.method))).float(),
        HeatmapShape.of(store.manifests[path].parameters),
    )
    expected = store.read(path)
    assert expected.max() == 255
    np.testing.assert_allclose(found.numpy(), expected / 255, atol=ROUNDING)
    # Rounded as the store rounds them, they are the store's but for a rare tie.
    assert (np.rint(255 * found.numpy()) != expected).mean() < 1e-5
