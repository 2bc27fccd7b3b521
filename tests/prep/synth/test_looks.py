from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from echo_prep.synth.looks import LOOKS, Look
from echo_prep.synth.phantom.anatomy import WALL_POINTS, end_diastolic_shape
from echo_prep.synth.phantom.canvas import ripple_points
from echo_prep.synth.phantom.movie import make_movie
from echo_prep.synth.random_study import sample_study
from echo_prep.synth.videos import draw_study


def test_the_default_look_makes_the_studies_that_it_always_made() -> None:
    # Printed by the version before there were other looks.
    rng = np.random.default_rng([0, 1])
    study, motion = draw_study(rng, 8)
    movie = make_movie(study, motion, rng)
    assert study.ventricle.apex == pytest.approx((48.6519837269416, 26.83120260675613))
    assert study.ventricle.length == pytest.approx(38.003662617636536)
    assert study.appearance.gray_wall == pytest.approx(161.37549516599236)
    assert study.appearance.trabeculae == pytest.approx(0.5675047905273084)
    assert movie.frames.mean() == pytest.approx(59.938068000637756, abs=0.01)
    assert movie.ed_contour[20] == pytest.approx([40.35047671, 37.65033307])
    assert movie.es_contour[70] == pytest.approx([58.06349513, 38.08225042])
    assert rng.random() == pytest.approx(0.1512949104852921)


def test_the_two_families_share_no_appearance() -> None:
    first, second = LOOKS["harmonic"], LOOKS["fundamental"]
    for name in (
        "half_angle", "radius", "muscle", "blood", "pericardium", "gray_wall", "range_db", "axial",
        "angular", "haze", "gamma",
    ):  # fmt: skip
        (_, below), (above, _) = sorted(
            (getattr(look, name).low, getattr(look, name).high) for look in (first, second)
        )
        assert below < above, name
    for name in ("cropped", "septal_line", "overlays", "apex_fade"):
        assert {getattr(first, name), getattr(second, name)} == {0.0, 1.0}, name


@pytest.mark.parametrize("name", LOOKS)
def test_studies_are_drawn_from_the_look(name: str) -> None:
    look = LOOKS[name]
    studies = [sample_study(np.random.default_rng([2, k]), 16, look) for k in range(400)]
    for part in ("probe", "ventricle", "appearance"):
        for field in dataclasses.fields(Look):
            values = [getattr(getattr(study, part), field.name, None) for study in studies]
            distribution = getattr(look, field.name)
            if hasattr(distribution, "low") and isinstance(values[0], float):
                if field.name == "half_angle":
                    values = np.degrees(values).tolist()
                if field.name == "ejection":  # that of failing hearts has another distribution
                    continue
                assert distribution.low <= min(values) + 1e-9, field.name
                assert max(values) <= distribution.high + 1e-9, field.name
    cropped = np.mean([study.appearance.cropped for study in studies])
    assert cropped == pytest.approx(look.cropped, abs=0.08)
    lines = np.mean([study.appearance.septal_line > 0 for study in studies])
    assert lines == pytest.approx(look.septal_line, abs=0.08)
    opened = np.mean([study.rhythm.open_at_ed > 0 for study in studies])
    assert opened == pytest.approx(look.open_valves, abs=0.08)


def test_ripples_spare_the_apex() -> None:
    studies = [sample_study(np.random.default_rng([2, k]), 16, LOOKS["varied"]) for k in range(60)]
    apex, wall = [], []
    for study in studies:
        contour = end_diastolic_shape(study.ventricle).contour()
        assert study.ventricle.ripples is not None
        moved = np.linalg.norm(ripple_points(contour, study.ventricle.ripples) - contour, axis=1)
        apex.append(moved[0])
        wall.append(moved[WALL_POINTS - 8])
    assert np.max(apex) < 1
    # Of two independent displacements of 0.9 px, interpolated between cells.
    assert 0.6 < np.mean(wall) < 1.2


def test_muscle_of_the_varied_look_is_darker() -> None:
    studies = [sample_study(np.random.default_rng([2, k]), 16, LOOKS["varied"]) for k in range(800)]
    levels = np.log([study.appearance.muscle for study in studies])
    assert np.exp(np.median(levels)) == pytest.approx(0.4, rel=0.08)
    assert levels.std() == pytest.approx(0.65, rel=0.1)
