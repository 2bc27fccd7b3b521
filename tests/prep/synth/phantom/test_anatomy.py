from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from echo_common.geometry.contours import shoelace_area
from echo_prep.synth.phantom.anatomy import (
    FRACTIONS,
    WALL_POINTS,
    Shape,
    end_diastolic_shape,
    end_systolic_shape,
    map_to_diastole,
    map_to_systole,
)
from echo_prep.synth.random_study import sample_study


def sample_shapes(number: int) -> tuple[Shape, Shape]:
    ventricle = sample_study(np.random.default_rng([3, number]), 32).ventricle
    diastole = end_diastolic_shape(ventricle)
    return diastole, end_systolic_shape(ventricle, diastole)


@pytest.mark.parametrize("number", range(6))
def test_systolic_contour_maps_to_the_diastolic_one(number: int) -> None:
    diastole, systole = sample_shapes(number)
    np.testing.assert_allclose(
        map_to_diastole(systole.contour(), diastole, systole), diastole.contour(), atol=1e-9
    )


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("thickening", [0.0, 1.2])
def test_maps_between_systole_and_diastole_are_inverse(number: int, thickening: float) -> None:
    diastole, systole = sample_shapes(number)
    systole = dataclasses.replace(systole, thickening=thickening)
    fraction, offset = np.meshgrid(np.linspace(0.05, 1, 12), np.linspace(-1.2, 1.2, 13))
    at = diastole.to_frame(fraction, offset * diastole.half_width(fraction, offset))
    back = map_to_diastole(map_to_systole(at, diastole, systole), diastole, systole)
    # Deep in muscle the map to diastole is not onto: tissue there has no place at end-systole.
    np.testing.assert_allclose(back[np.abs(offset) < 1.15], at[np.abs(offset) < 1.15], atol=1e-6)


def test_the_layer_next_to_the_endocardium_thickens() -> None:
    # The outer fifth of the cavity at end-diastole, and what it takes of it at end-systole.
    diastole, systole = sample_shapes(2)
    fraction = np.full(1, 0.5)
    wide = diastole.half_width(fraction, np.array(1))
    narrow = systole.half_width(fraction, np.array(1))
    at = diastole.to_frame(fraction, 0.8 * wide)
    for thickening, expected in ((0.0, 0.2), (1.0, 1 - 0.8 ** (wide / narrow))):
        changed = dataclasses.replace(systole, thickening=thickening)
        border = changed.to_frame(fraction, narrow)
        layer = np.linalg.norm(border - map_to_systole(at, diastole, changed), axis=-1)
        assert layer / narrow == pytest.approx(expected)


def test_papillary_muscles_narrow_the_cavity_in_systole_alone() -> None:
    ventricle = sample_study(np.random.default_rng([3, 0]), 32).ventricle
    merging = ((0.5, 0.2, 0.0), (0.4, 0.2, 0.3))
    diastole = end_diastolic_shape(dataclasses.replace(ventricle, merging=merging))
    np.testing.assert_array_equal(diastole.contour(), end_diastolic_shape(ventricle).contour())
    systole = end_systolic_shape(dataclasses.replace(ventricle, merging=merging), diastole)
    without = end_systolic_shape(ventricle, diastole)
    np.testing.assert_allclose(systole.left, without.left)
    kept = np.interp([0.4, 0.6, 1.0], FRACTIONS, systole.right / without.right.clip(1e-9))
    assert kept == pytest.approx([0.7, 1 - 0.3 / np.e, 1.0], abs=2e-3)
    # The wall takes what the cavity loses, so the tissue of the border is the same.
    np.testing.assert_allclose(
        map_to_diastole(systole.contour(), diastole, systole), diastole.contour(), atol=1e-9
    )


def test_points_of_the_cavity_map_to_points_of_the_cavity() -> None:
    diastole, systole = sample_shapes(0)
    fraction = np.full(9, 0.5)
    part = np.linspace(-0.9, 0.9, 9)
    side = np.sign(part)
    at_systole = systole.to_frame(fraction, part * systole.half_width(fraction, side))
    at_diastole = diastole.to_frame(fraction, part * diastole.half_width(fraction, side))
    np.testing.assert_allclose(
        map_to_diastole(at_systole, diastole, systole), at_diastole, atol=1e-9
    )


def test_wall_keeps_its_area_and_becomes_thicker() -> None:
    # In a straight, symmetric ventricle with a level plane, the half-width is a cylinder's radius.
    diastole = Shape(
        apex=np.array([50.0, 10.0]),
        tilt=0.0,
        length=50.0,
        left=np.full(129, 15.0),
        right=np.full(129, 15.0),
        bend=0.0,
        plane_tilt=0.0,
    )
    systole = Shape(**{**vars(diastole), "left": np.full(129, 9.0), "right": np.full(129, 9.0)})
    outer = map_to_diastole(np.array([[50 + 13.0, 35.0]]), diastole, systole)[0]
    radius = outer[0] - 50
    assert radius**2 - 15**2 == pytest.approx(13**2 - 9**2)
    assert radius - 15 < 13 - 9


def test_distant_tissue_does_not_move() -> None:
    diastole, systole = sample_shapes(1)
    far = diastole.apex - 40 * diastole.down
    np.testing.assert_allclose(map_to_diastole(far, diastole, systole), far, atol=1e-9)


def test_ejection_fraction_is_the_requested_one() -> None:
    for number in range(40):
        ventricle = sample_study(np.random.default_rng([4, number]), 32).ventricle
        if ventricle.weak_wall[0] != 0:
            continue
        diastole = end_diastolic_shape(ventricle)
        systole = end_systolic_shape(ventricle, diastole)
        fraction = np.linspace(0, 1, 400)
        volumes = [
            shape.length
            * np.mean(
                (shape.half_width(fraction, np.array(-1)) + shape.half_width(fraction, np.array(1)))
                ** 2
            )
            for shape in (diastole, systole)
        ]
        # The middle contracts slightly more than the rest, which adds a few per cent.
        assert 1 - volumes[1] / volumes[0] == pytest.approx(ventricle.ejection, abs=0.06)


def test_septum_is_on_the_left_and_the_apex_on_top() -> None:
    for number in range(30):
        diastole, _ = sample_shapes(number)
        contour = diastole.contour()
        left, right = contour[WALL_POINTS // 2], contour[-WALL_POINTS // 2]
        assert left[0] < right[0]
        assert contour[0, 1] < contour[WALL_POINTS - 1 : WALL_POINTS + 1, 1].min()
        assert shoelace_area(contour) > 0
