from __future__ import annotations

import numpy as np
import pytest

from echo_common.measures.disks import (
    DISKS,
    area_length_volume,
    disk_volume,
    disk_widths,
    millilitres,
    trace_volume,
)
from support.ventricles import half_ellipse, turn

AXIS = np.array([[60.0, 10.0], [60.0, 70.0]])


def cylinder(length: float, width: float) -> np.ndarray:
    x, y = 60 + np.array([-1, 1, 1, -1]) * width / 2, 10 + np.array([0, 0, 1, 1]) * length
    return np.stack([x, y], axis=1)


@pytest.mark.parametrize("degrees", [0.0, 30.0, 180.0])
def test_widths_and_volume_of_a_cylinder_are_exact(degrees: float) -> None:
    widths = disk_widths(turn(cylinder(60, 30), degrees), turn(AXIS, degrees))
    np.testing.assert_allclose(widths, np.full(DISKS, 30.0))
    assert disk_volume(widths, 60.0) == pytest.approx(np.pi * 15**2 * 60)


def test_half_an_ellipsoid_has_its_volume_by_both_methods() -> None:
    exact = 2 / 3 * np.pi * 15**2 * 60
    widths = disk_widths(half_ellipse(60, 30), AXIS)
    # Twenty disks are an approximation, the midpoint rule; area-length is exact here.
    assert disk_volume(widths, 60.0) == pytest.approx(exact, rel=1e-3)
    assert area_length_volume(np.pi / 4 * 30 * 60, 60.0) == pytest.approx(exact)


def test_an_ellipsoid_has_its_volume_by_both_methods() -> None:
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    ellipse = np.stack([60 + 15 * np.cos(angle), 40 + 30 * np.sin(angle)], axis=1)
    exact = 4 / 3 * np.pi * 15**2 * 30
    assert disk_volume(disk_widths(ellipse, AXIS), 60.0) == pytest.approx(exact, rel=2e-3)
    assert area_length_volume(np.pi * 15 * 30, 60.0) == pytest.approx(exact)


def test_a_notch_in_the_wall_is_not_counted() -> None:
    notched = np.array(
        [[45, 10], [75, 10], [75, 70], [55, 70], [55, 40], [50, 40], [50, 70], [45, 70]]
    )
    widths = disk_widths(notched.astype(float), AXIS)
    np.testing.assert_allclose(widths, [30.0] * 10 + [25.0] * 10)


def test_vertices_on_the_lines_do_not_disturb_the_widths() -> None:
    heights = 10 + 60 * (np.arange(DISKS) + 0.5) / DISKS
    left = np.stack([np.full(DISKS, 45.0), heights], axis=1)
    outline = np.concatenate([[[45.0, 10.0]], left, [[45.0, 70.0], [75.0, 70.0], [75.0, 10.0]]])
    np.testing.assert_allclose(disk_widths(outline, AXIS), np.full(DISKS, 30.0))


def test_a_trace_is_measured_by_its_chords() -> None:
    heights = 10 + 60 * (np.arange(DISKS) + 0.5) / DISKS
    half = np.linspace(2, 15, DISKS)
    left, right = np.stack([60 - half, heights], 1), np.stack([60 + half, heights], 1)
    contour = np.concatenate([left, right[::-1]])
    exact = np.pi * (half**2).sum() * 60 / DISKS
    padded = np.concatenate([contour, np.full((4, 2), np.nan)])
    np.testing.assert_allclose(trace_volume(np.stack([AXIS, AXIS]), np.stack([padded] * 2)), exact)
    assert np.isnan(trace_volume(AXIS, padded[2:]))
    assert np.isnan(trace_volume(AXIS, contour[:30]))


def test_an_axis_or_a_length_of_zero_has_no_volume() -> None:
    assert disk_widths(cylinder(60, 30), AXIS[[0, 0]]).sum() == 0
    assert np.isnan(area_length_volume(10.0, 0.0))


def test_a_thousand_cubic_millimetres_are_a_millilitre() -> None:
    assert millilitres(1000.0, 2.0) == pytest.approx(8.0)
