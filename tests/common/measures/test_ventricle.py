from __future__ import annotations

import numpy as np
import pytest

from echo_common.measures.outline import soft_outline
from echo_common.measures.ventricle import (
    ejection_fraction,
    fractional_area_change,
    longitudinal_strain,
    measure_contours,
)
from support.ventricles import half_ellipse, turn


def test_half_an_ellipse_has_its_measures_in_closed_form() -> None:
    contour = half_ellipse(60, 60)
    measures = measure_contours(np.stack([contour, np.full_like(contour, np.nan)]))
    assert measures.area[0] == pytest.approx(np.pi / 2 * 30 * 60, rel=1e-4)
    assert measures.length[0] == pytest.approx(60)
    assert measures.volume[0] == pytest.approx(2 / 3 * np.pi * 30**2 * 60, rel=2e-3)
    assert measures.area_length[0] == pytest.approx(2 / 3 * np.pi * 30**2 * 60, rel=1e-4)
    for values in (measures.area, measures.length, measures.volume, measures.wall):
        assert np.isnan(values[1])


@pytest.mark.parametrize("degrees", [0.0, 25.0, 180.0])
def test_the_wall_is_the_contour_without_the_mitral_plane(degrees: float) -> None:
    contour = turn(half_ellipse(30, 60), degrees)
    for line in (contour, contour[::-1], np.roll(contour, 400, axis=0)):
        points = turn(np.array([[60.0, 10], [30, 40], [90, 40]]), degrees)
        measures = measure_contours(line[None], points[None])
        assert measures.wall[0] == pytest.approx(np.pi * 30, rel=1e-4)


def test_a_contraction_that_is_known_is_measured() -> None:
    before, after = (measure_contours(half_ellipse(*size)[None]) for size in ((60, 40), (51, 28)))
    assert ejection_fraction(before.volume, after.volume) == pytest.approx(
        100 * (1 - 0.85 * 0.7**2), abs=0.05
    )
    assert fractional_area_change(before.area, after.area) == pytest.approx(100 * (1 - 0.85 * 0.7))
    assert longitudinal_strain(np.array([100.0]), np.array([80.0])) == pytest.approx(-20)


def test_a_fraction_of_nothing_is_unknown() -> None:
    assert np.isnan(ejection_fraction(np.array([0.0, np.nan]), np.array([0.0, 3.0]))).all()


def test_soft_masks_cost_less_than_counted_pixels() -> None:
    rng = np.random.default_rng(0)
    fine, errors = 8, []
    y, x = (np.mgrid[: 112 * fine, : 112 * fine] + 0.5) / fine - 0.5
    for _ in range(30):
        length, width, tilt = rng.uniform(32, 45), rng.uniform(18, 28), rng.uniform(-0.4, 0.4)
        offset = x - rng.uniform(50, 60) + 1j * (rng.uniform(65, 70) - y)
        right, up = (offset * np.exp(1j * tilt)).real, (offset * np.exp(1j * tilt)).imag
        inside = (up > 0) & (np.hypot(right / (width / 2), up / length) < 1)
        soft = inside.reshape(112, fine, 112, fine).mean(axis=(1, 3))
        exact = 2 / 3 * np.pi * (width / 2) ** 2 * length
        errors.append(
            [
                measure_contours(soft_outline(image, 0.5)[None]).volume[0] / exact - 1
                for image in (soft, soft > 0.5)
            ]
        )
    soft_spread, counted_spread = np.std(errors, axis=0)
    assert soft_spread < counted_spread / 2
