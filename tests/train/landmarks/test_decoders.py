"""Decoders on maps whose landmark is known below the pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import center_of_mass, gaussian_filter

from echo_train.landmarks.decoders import DECODERS, argmax, centroid, confidence, dark, soft_argmax


def gaussian_maps(points: torch.Tensor, sigma: float, side: int = 112) -> torch.Tensor:
    axis = torch.arange(side, dtype=points.dtype)
    squared = (axis - points[..., 1:]).square()[..., None] + (axis - points[..., :1]).square()[
        ..., None, :
    ]
    return torch.exp(-squared / (2 * sigma**2))


@pytest.fixture
def points() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(8, 7, 2, generator=generator, dtype=torch.float64) * 80 + 16


def mean_error(found: torch.Tensor, points: torch.Tensor) -> float:
    return float((found - points).norm(dim=2).mean())


def test_argmax_is_the_nearest_pixel(points: torch.Tensor) -> None:
    assert torch.equal(argmax(gaussian_maps(points, 2.0)), points.round())


def test_sub_pixel_decoders_are_exact_on_a_clean_gaussian(points: torch.Tensor) -> None:
    assert mean_error(dark(gaussian_maps(points, 2.0)), points) < 1e-3
    assert mean_error(soft_argmax(gaussian_maps(points, 2.0)), points) < 1e-6
    # The 9x9 window cuts the tails off: not exact, and much better than the pixel.
    assert mean_error(centroid(gaussian_maps(points, 1.5)), points) < 0.02


def test_errors_on_the_way_down_are_ordered_as_known(points: torch.Tensor) -> None:
    """Stride 1, sigma 2: the pixel .41 px off, its window's centroid far less, DARK least."""
    maps = gaussian_maps(points, 2.0)
    errors = {name: mean_error(decode(maps), points) for name, decode in DECODERS.items()}
    assert errors["argmax"] == pytest.approx(0.38, abs=0.05)
    assert errors["dark"] < errors["centroid"] < 0.5 * errors["argmax"]


def test_whole_map_mean_is_far_off_on_a_noisy_map_and_the_others_are_not(
    points: torch.Tensor,
) -> None:
    generator = torch.Generator().manual_seed(4)
    maps = gaussian_maps(points, 2.0)
    noisy = maps + 0.03 * torch.rand(maps.shape, generator=generator, dtype=maps.dtype)
    assert mean_error(soft_argmax(noisy), points) > 5
    assert mean_error(centroid(noisy), points) < 0.5
    assert mean_error(dark(noisy), points) < 0.5


def test_centroid_is_the_centre_of_mass_of_the_window() -> None:
    generator = torch.Generator().manual_seed(6)
    maps = torch.rand(1, 1, 30, 40, generator=generator, dtype=torch.float64)
    maps[0, 0, 12, 17] = 40.0
    window = maps[0, 0, 8:17, 13:22].numpy()
    y, x = center_of_mass(window)
    np.testing.assert_allclose(centroid(maps)[0, 0].numpy(), [13 + x, 8 + y], atol=1e-12)


def test_centroid_looks_about_the_highest_hill_and_not_the_highest_pixel() -> None:
    generator = torch.Generator().manual_seed(3)
    maps = torch.rand(1, 1, 60, 70, generator=generator, dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(70.0), indexing="ij")
    maps[0, 0] += torch.exp(-((x - 40) ** 2 + (y - 25) ** 2) / 18)
    maps[0, 0, 8, 5] = 2.5
    smooth = gaussian_filter(maps[0, 0].numpy(), 2, mode="constant", truncate=3)
    top, left = np.unravel_index(smooth.argmax(), smooth.shape)
    assert abs(top - 25) <= 2 and abs(left - 40) <= 2
    window = maps[0, 0, top - 4 : top + 5, left - 4 : left + 5].numpy()
    dy, dx = center_of_mass(window)
    wanted = [left - 4 + dx, top - 4 + dy]
    np.testing.assert_allclose(centroid(maps)[0, 0].numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("name", list(DECODERS))
@pytest.mark.parametrize("corner", [(0, 0), (0, 29), (19, 0), (19, 29)])
def test_a_peak_on_the_edge_stays_near_the_edge(name: str, corner: tuple[int, int]) -> None:
    maps = torch.zeros(1, 1, 20, 30)
    maps[0, 0, *corner] = 1.0
    x, y = DECODERS[name](maps)[0, 0].tolist()
    assert abs(x - corner[1]) <= 1 and abs(y - corner[0]) <= 1


@pytest.mark.parametrize("name", list(DECODERS))
def test_a_map_of_zeros_gives_numbers(name: str) -> None:
    assert torch.isfinite(DECODERS[name](torch.zeros(2, 3, 16, 16))).all()


def test_confidence_of_a_distribution_is_its_share_near_the_peak() -> None:
    maps = torch.zeros(1, 2, 40, 40)
    maps[0, 0, 20, 20], maps[0, 0, 20, 29], maps[0, 0, 2, 2] = 0.5, 0.2, 0.3
    maps[0, 1] = 1 / 1600
    found = confidence(maps, spatial=True)[0]
    assert float(found[0]) == pytest.approx(0.7)
    # A uniform map's "maximum" is its first pixel: a corner, with a quarter of the square inside.
    assert float(found[1]) == pytest.approx(121 / 1600)


def test_confidence_of_a_heatmap_is_its_height() -> None:
    maps = torch.zeros(1, 1, 8, 8)
    maps[0, 0, 3, 3] = 0.4
    assert float(confidence(maps, spatial=False)) == pytest.approx(0.4)
