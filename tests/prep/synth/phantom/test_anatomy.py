from __future__ import annotations

import numpy as np
import pytest

from echo_common.geometry.contours import shoelace_area
from echo_prep.synth.phantom.anatomy import WALL_POINTS, Shape, diastole, follow_back, systole
from echo_prep.synth.phantom.random_study import draw_study


def draw_shapes(number: int) -> tuple[Shape, Shape]:
    ventricle = draw_study(np.random.default_rng([3, number]), 32).ventricle
    start = diastole(ventricle)
    return start, systole(ventricle, start)


@pytest.mark.parametrize("number", range(6))
def test_contour_follows_tissue(number: int) -> None:
    start, end = draw_shapes(number)
    np.testing.assert_allclose(follow_back(end.contour(), start, end), start.contour(), atol=1e-9)


def test_cavity_follows_into_cavity() -> None:
    start, end = draw_shapes(0)
    share = np.full(9, 0.5)
    part = np.linspace(-0.9, 0.9, 9)
    side = np.sign(part)
    now = end.place(share, part * end.half_width(share, side))
    then = start.place(share, part * start.half_width(share, side))
    np.testing.assert_allclose(follow_back(now, start, end), then, atol=1e-9)


def test_wall_keeps_its_area_and_thickens() -> None:
    # Straight, symmetric and level, a half-width is the radius of a cylinder.
    shape = Shape(
        apex=np.array([50.0, 10.0]),
        tilt=0.0,
        length=50.0,
        left=np.full(129, 15.0),
        right=np.full(129, 15.0),
        bend=0.0,
        plane_tilt=0.0,
    )
    end = Shape(**{**vars(shape), "left": np.full(129, 9.0), "right": np.full(129, 9.0)})
    outer = follow_back(np.array([[50 + 13.0, 35.0]]), shape, end)[0]
    radius = outer[0] - 50
    assert radius**2 - 15**2 == pytest.approx(13**2 - 9**2)
    assert radius - 15 < 13 - 9


def test_far_tissue_stays() -> None:
    start, end = draw_shapes(1)
    far = start.apex - 40 * start.down
    np.testing.assert_allclose(follow_back(far, start, end), far, atol=1e-9)


def test_ejection_is_what_was_drawn() -> None:
    for number in range(40):
        ventricle = draw_study(np.random.default_rng([4, number]), 32).ventricle
        if ventricle.weak_wall[0] != 0:
            continue
        start = diastole(ventricle)
        end = systole(ventricle, start)
        share = np.linspace(0, 1, 400)
        volumes = [
            shape.length
            * np.mean(
                (shape.half_width(share, np.array(-1)) + shape.half_width(share, np.array(1))) ** 2
            )
            for shape in (start, end)
        ]
        # The middle closes a little more than the rest, so that a few per cent are added.
        assert 1 - volumes[1] / volumes[0] == pytest.approx(ventricle.ejection, abs=0.06)


def test_septum_is_on_the_left_and_apex_above() -> None:
    for number in range(30):
        start, _ = draw_shapes(number)
        contour = start.contour()
        left, right = contour[WALL_POINTS // 2], contour[-WALL_POINTS // 2]
        assert left[0] < right[0]
        assert contour[0, 1] < contour[WALL_POINTS - 1 : WALL_POINTS + 1, 1].min()
        assert shoelace_area(contour) > 0
