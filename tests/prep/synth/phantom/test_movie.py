from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from echo_prep.synth.phantom.canvas import RIPPLES
from echo_prep.synth.phantom.motion import simulate_motion
from echo_prep.synth.phantom.movie import make_movie
from echo_prep.synth.phantom.scanner import fan_mask
from echo_prep.synth.phantom.study import Probe
from echo_prep.synth.random_study import sample_study

PROBE = Probe(x=61.0, y=7.0, tilt=0.0, half_angle=np.radians(46), radius=103.0)


def clear_study(
    number: int, probe: Probe = PROBE, **changes: object
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Traced frames and contours of a study without haze, noise and dropout.

    All tissue is as bright as muscle. `changes` are those of the ventricle.
    """
    rng = np.random.default_rng([6, number])
    study = sample_study(rng, 24)
    appearance = dataclasses.replace(
        study.appearance, gray_wall=180.0, range_db=50.0, blood=0.005, outside=1.0, pericardium=1.0,
        valve=0.0, lateral_loss=0.0, anisotropy=0.0, patchiness=0.1, haze=0.0, side_lobes=0.0,
        noise=0.0, attenuation=0.0, gain_slope=0.0, shadows=(), edge_loss=0.0, gamma=1.0,
        persistence=0.0, papillary=0.0, trabeculae=0.0, axial=0.8, angular=1.0,
        roughness=0.0 if "ripples" in changes else 0.9,
    )  # fmt: skip
    ventricle = dataclasses.replace(
        study.ventricle, ejection=0.6, weak_wall=(0.0, 0.5, 0.3, 0.5),
        septum=8.0, lateral=8.0, apical=8.0, **changes,
    )  # type: ignore[arg-type] # fmt: skip
    study = dataclasses.replace(study, probe=probe, appearance=appearance, ventricle=ventricle)
    movie = make_movie(study, simulate_motion(study.rhythm, rng), rng)
    frames = movie.frames[[movie.motion.ed_frame, movie.motion.es_frame]]
    return frames[0], frames[1], movie.ed_contour, movie.es_contour


def fill(contour: np.ndarray) -> np.ndarray:
    mask = np.zeros((112, 112), np.uint8)
    cv2.fillPoly(mask, [np.rint(contour * 16).astype(np.int32)], (1,), shift=4)
    return mask


def darkness(frame: np.ndarray, contour: np.ndarray) -> tuple[float, float]:
    """Fractions of dark pixels just inside a contour, and just outside its walls and apex."""
    mask = fill(contour)
    half = len(contour) // 2
    open_wall = np.zeros_like(mask)
    # Only the band along the walls and the apex: there is blood beyond the mitral plane.
    walls = np.concatenate([contour[half + 8 :], contour[: half - 8]])
    cv2.polylines(open_wall, [np.rint(walls).astype(np.int32)], False, (1,), 7)
    y, x = np.mgrid[:112, :112]
    depth = y - PROBE.y
    visible = (fan_mask() > 0) & (np.abs(x - PROBE.x) < 0.9 * depth) & (depth > 6) & (depth < 90)
    kernel = np.ones((3, 3), np.uint8)
    inside = (cv2.erode(mask, kernel) > 0) & (open_wall > 0) & visible
    outside = (cv2.dilate(mask, kernel) == 0) & (open_wall > 0) & visible
    dark = cv2.GaussianBlur(frame, (0, 0), 0.7) < 90
    return float(dark[inside].mean()), float(dark[outside].mean())


def test_contours_lie_on_the_endocardium_of_their_own_frame() -> None:
    for number in range(8):
        ed_frame, es_frame, ed_contour, es_contour = clear_study(number)
        for frame, contour in ((ed_frame, ed_contour), (es_frame, es_contour)):
            inside, outside = darkness(frame, contour)
            assert inside > 0.85, number
            assert outside < 0.1, number
        # The wall has moved, so the contour does not match the other frame.
        assert darkness(es_frame, ed_contour)[0] < 0.6, number


def test_contours_follow_ripples_of_the_border() -> None:
    wrong, smooth_wrong = 0.0, 0.0
    for number in range(8):
        ripples = np.random.default_rng(number).normal(0, 1.5, (2, RIPPLES, RIPPLES))
        *frames, ed_contour, es_contour = clear_study(number, ripples=ripples)
        *_, smooth_ed, smooth_es = clear_study(number)
        for frame, contour, smooth in zip(
            frames, (ed_contour, es_contour), (smooth_ed, smooth_es), strict=True
        ):
            inside, outside = darkness(frame, contour)
            assert inside > 0.95, number
            assert outside < 0.15, number
            wrong += 1 - inside + outside
            inside, outside = darkness(frame, smooth)
            smooth_wrong += 1 - inside + outside
    # Without the ripples, the contour is wrong over several times as much of the border.
    assert smooth_wrong > 3 * wrong


def test_contours_lie_in_the_displayed_frame() -> None:
    wide = dataclasses.replace(PROBE, stretch=1.2)
    for number in range(4):
        ed_frame, es_frame, ed_contour, es_contour = clear_study(number, wide)
        _, _, scanned, _ = clear_study(number)
        np.testing.assert_allclose(ed_contour[:, 0] - 55.5, 1.2 * (scanned[:, 0] - 55.5))
        for frame, contour in ((ed_frame, ed_contour), (es_frame, es_contour)):
            inside, outside = darkness(frame, contour)
            assert inside > 0.85, number
            assert outside < 0.1, number


def test_speckle_moves_with_tissue_and_decorrelates() -> None:
    rng = np.random.default_rng([6, 3])
    study = sample_study(rng, 60)
    movie = make_movie(study, simulate_motion(study.rhythm, rng), rng)
    frames = movie.frames.astype(float)
    inside = fan_mask() > 0

    def correlation(first: int, second: int) -> float:
        return float(np.corrcoef(frames[first][inside], frames[second][inside])[0, 1])

    near = np.mean([correlation(k, k + 1) for k in range(59)])
    far = np.mean([correlation(k, (k + 17) % 60) for k in range(60)])
    assert 0.5 < near < 0.999
    assert near > far
