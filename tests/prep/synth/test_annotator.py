from __future__ import annotations

import numpy as np
import pytest

from echo_common.geometry.contours import shoelace_area
from echo_common.measures.disks import DISKS, millilitres, trace_volume
from echo_prep.dataset.tracings import split_rows
from echo_prep.synth.annotator import Annotator, draw_contour, trace_rows
from echo_prep.synth.phantom.anatomy import WALL_POINTS, end_diastolic_shape
from echo_prep.synth.random_study import sample_study


def half_ellipsoid(length: float, width: float, apex: tuple[float, float]) -> np.ndarray:
    along = length * np.linspace(0, 1, WALL_POINTS) ** 2
    half = width / 2 * np.sqrt(1 - (1 - along / length) ** 2)
    left = np.stack([apex[0] - half, apex[1] + along], axis=1)
    right = np.stack([apex[0] + half, apex[1] + along], axis=1)
    return np.concatenate([left, right[::-1]])


def test_method_of_disks_gives_the_volume_of_an_ellipsoid() -> None:
    rows = trace_rows(half_ellipsoid(50.0, 30.0, (60.0, 15.0)))
    exact = 2 / 3 * np.pi * 15.0**2 * 50.0
    assert millilitres(trace_volume(*split_rows(rows)), 1.5) == pytest.approx(
        1.5**3 * exact / 1000, rel=0.005
    )


def test_rows_are_laid_out_as_in_echonet_dynamic() -> None:
    for number in range(20):
        shape = end_diastolic_shape(sample_study(np.random.default_rng([5, number]), 16).ventricle)
        contour = shape.contour()
        rows = trace_rows(contour)
        assert rows.shape == (21, 4)
        axis, outline = split_rows(rows)
        base = contour[WALL_POINTS - 1 : WALL_POINTS + 1].mean(axis=0)
        np.testing.assert_allclose(axis, [contour[0], base])
        down = (axis[1] - axis[0]) / np.linalg.norm(axis[1] - axis[0])
        chords = rows[1:].reshape(DISKS, 2, 2)
        # Perpendicular to the long axis, equally spaced, left wall first.
        np.testing.assert_allclose((chords[:, 1] - chords[:, 0]) @ down, 0, atol=1e-9)
        steps = np.diff((chords.mean(axis=1) - axis[0]) @ down)
        np.testing.assert_allclose(steps, np.linalg.norm(axis[1] - axis[0]) / DISKS)
        assert (chords[:, 0, 0] < chords[:, 1, 0]).all()
        # The chords leave out the tip of the apex and half a disk at the mitral plane.
        assert 0.9 < shoelace_area(outline) / shoelace_area(contour) < 1.01


def test_an_exact_annotator_draws_the_contour_itself() -> None:
    contour = half_ellipsoid(50.0, 30.0, (60.0, 15.0))
    exact = Annotator(bias=0.0, wobble=0.0, slip=0.0)
    drawn = draw_contour(contour, exact, np.random.default_rng(0))
    np.testing.assert_allclose(drawn, contour, atol=1e-12)


def test_wobble_is_the_standard_deviation_of_the_contour() -> None:
    contour = half_ellipsoid(50.0, 30.0, (60.0, 15.0))
    annotator = Annotator(bias=0.0, wobble=0.6, slip=0.0)
    rng = np.random.default_rng(1)
    middle = WALL_POINTS * 2 // 3
    deviations = [
        draw_contour(contour, annotator, rng)[middle, 0] - contour[middle, 0] for _ in range(600)
    ]
    assert np.std(deviations) == pytest.approx(0.6, rel=0.1)
    assert np.mean(deviations) == pytest.approx(0, abs=0.08)


def test_a_bias_enlarges_the_contour() -> None:
    contour = half_ellipsoid(50.0, 30.0, (60.0, 15.0))
    annotator = Annotator(bias=1.0, wobble=0.0, slip=0.0)
    drawn = draw_contour(contour, annotator, np.random.default_rng(2))
    # One pixel along both walls and the apex: about the length of the border without the plane.
    assert 90 < shoelace_area(drawn) - shoelace_area(contour) < 130
