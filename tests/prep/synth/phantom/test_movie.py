from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from echo_prep.synth.phantom.movie import make_film
from echo_prep.synth.phantom.random_study import draw_study
from echo_prep.synth.phantom.scanner import fan_mask
from echo_prep.synth.phantom.study import Probe

PROBE = Probe(x=61.0, y=7.0, tilt=0.0, half_angle=np.radians(46), radius=103.0)


def clear(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A film without haze, noise or dropout, in tissue as bright as muscle: frames, contours."""
    rng = np.random.default_rng([6, number])
    study = draw_study(rng, 24)
    look = dataclasses.replace(
        study.look, gray_wall=180.0, range_db=50.0, blood=0.005, outside=1.0, pericardium=1.0,
        valve=0.0, lateral_loss=0.0, anisotropy=0.0, patchiness=0.1, haze=0.0, side_lobes=0.0,
        noise=0.0, attenuation=0.0, gain_slope=0.0, shadows=(), edge_loss=0.0, gamma=1.0,
        persistence=0.0, papillary=0.0, trabeculae=0.0, axial=0.8, angular=1.0,
    )  # fmt: skip
    ventricle = dataclasses.replace(
        study.ventricle, ejection=0.6, weak_wall=(0.0, 0.5, 0.3, 0.5),
        septum=8.0, lateral=8.0, apical=8.0,
    )  # fmt: skip
    study = dataclasses.replace(study, probe=PROBE, look=look, ventricle=ventricle)
    film = make_film(study, rng)
    frames = film.frames[[film.motion.end_diastole, film.motion.end_systole]]
    return frames[0], frames[1], film.end_diastole, film.end_systole


def fill(contour: np.ndarray) -> np.ndarray:
    mask = np.zeros((112, 112), np.uint8)
    cv2.fillPoly(mask, [np.rint(contour * 16).astype(np.int32)], (1,), shift=4)
    return mask


def darkness(frame: np.ndarray, contour: np.ndarray) -> tuple[float, float]:
    """Shares of dark pixels just inside a contour, and just outside its walls and apex."""
    mask = fill(contour)
    half = len(contour) // 2
    open_wall = np.zeros_like(mask)
    # The band along walls and apex alone: beyond the mitral plane lies blood again.
    walls = np.concatenate([contour[half + 8 :], contour[: half - 8]])
    cv2.polylines(open_wall, [np.rint(walls).astype(np.int32)], False, (1,), 7)
    y, x = np.mgrid[:112, :112]
    depth = y - PROBE.y
    seen = (fan_mask() > 0) & (np.abs(x - PROBE.x) < 0.9 * depth) & (depth > 6) & (depth < 90)
    kernel = np.ones((3, 3), np.uint8)
    inside = (cv2.erode(mask, kernel) > 0) & (open_wall > 0) & seen
    outside = (cv2.dilate(mask, kernel) == 0) & (open_wall > 0) & seen
    dark = cv2.GaussianBlur(frame, (0, 0), 0.7) < 90
    return float(dark[inside].mean()), float(dark[outside].mean())


def test_contours_sit_on_the_endocardium_of_their_own_frame() -> None:
    for number in range(8):
        full, empty, full_contour, empty_contour = clear(number)
        for frame, contour in ((full, full_contour), (empty, empty_contour)):
            inside, outside = darkness(frame, contour)
            assert inside > 0.85, number
            assert outside < 0.1, number
        # In the other frame the same contour does not fit: the wall has moved.
        assert darkness(empty, full_contour)[0] < 0.6, number


def test_speckle_moves_with_tissue_and_changes() -> None:
    rng = np.random.default_rng([6, 3])
    film = make_film(draw_study(rng, 60), rng)
    frames = film.frames.astype(float)
    inside = fan_mask() > 0

    def likeness(first: int, second: int) -> float:
        return float(np.corrcoef(frames[first][inside], frames[second][inside])[0, 1])

    near = np.mean([likeness(k, k + 1) for k in range(59)])
    far = np.mean([likeness(k, (k + 17) % 60) for k in range(60)])
    assert 0.5 < near < 0.999
    assert near > far
