"""The heart at end-diastole, painted as a map of echo amplitudes.

Muscle has an amplitude of 1, in some looks much less, and blood of a few
hundredths. The pericardium, and borders perpendicular to the beam, are brighter
than muscle.
"""

from __future__ import annotations

import cv2
import numpy as np

from echo_prep.synth.phantom.anatomy import WALL_POINTS
from echo_prep.synth.phantom.canvas import (
    CANVAS,
    SCALE,
    SHIFT,
    broken_line,
    dot,
    fill,
    fixed_point,
    patches,
    ripple_shifts,
    stroke,
    to_canvas,
    waves,
)
from echo_prep.synth.phantom.chambers import Heart
from echo_prep.synth.phantom.study import Appearance, Probe, Ventricle


def paint(
    heart: Heart,
    ventricle: Ventricle,
    probe: Probe,
    appearance: Appearance,
    rng: np.random.Generator,
) -> np.ndarray:
    """Paint the echo amplitudes at end-diastole.

    Returns
    -------
    amplitude : ndarray, (CANVAS, CANVAS) float32
        `Appearance.muscle` in myocardium; `to_canvas` converts positions to its pixels.
    """
    # As in `sample_study`: for what EchoNet-Dynamic's look does not need.
    extra = rng.spawn(1)[0]
    hull = cv2.convexHull(
        np.concatenate(
            [heart.muscle, heart.right_ventricle, heart.right_atrium, heart.left_atrium]
        ).astype(np.float32)
    )[:, 0]
    canvas = _surroundings(hull, appearance, rng)
    stroke(canvas, hull, appearance.pericardium * rng.uniform(0.2, 0.7), rng.uniform(1.0, 3.5))
    thin = float(rng.uniform(1.0, 2.4))
    free_wall = rng.uniform(0.3, 0.9)
    stroke(canvas, heart.right_ventricle, free_wall, 2 * rng.uniform(1.2, 3.0))
    for atrium in (heart.right_atrium, heart.left_atrium):
        stroke(canvas, atrium, rng.uniform(0.35, 0.9), 2 * thin)
    lateral = heart.muscle[WALL_POINTS:]
    stroke(canvas, lateral, appearance.pericardium * 0.6, rng.uniform(1.5, 4.0), closed=False)
    fill(canvas, heart.muscle, appearance.muscle)
    blood = appearance.blood
    darker = blood * appearance.chamber_blood ** extra.uniform(0, 1, 3)
    fill(canvas, heart.right_ventricle, darker[0] * rng.uniform(1.0, 3.5))
    fill(canvas, heart.right_atrium, darker[1] * rng.uniform(0.8, 2.0))
    fill(canvas, heart.left_atrium, darker[2] * rng.uniform(0.7, 1.5))
    _moderator_band(canvas, heart, rng)
    _aorta(canvas, heart, blood, rng)
    # The hinges, and the fibrous body between the two valves, are among the brightest structures.
    for hinge in (*heart.mitral, heart.tricuspid[0]):
        dot(canvas, hinge, rng.uniform(0.9, 1.8), rng.uniform(0.8, 2.2))
    canvas *= _direction_loss(heart, probe, appearance)
    canvas *= _lateral_loss(heart, appearance, rng)
    _glints(canvas, heart, probe, appearance, rng)
    _bright_lines(canvas, heart, appearance, extra)
    for cells, weight in ((6, 0.8), (16, 1.0), (40, 0.6)):
        canvas *= patches(rng, weight * appearance.patchiness, cells)
    _cavity(canvas, heart, ventricle, appearance, rng)
    if appearance.apex_fade:
        _fade_apex(canvas, heart, probe, appearance, extra)
    rough = _roughen(canvas, ventricle, appearance, rng)
    return cv2.GaussianBlur(rough, (0, 0), 0.5 * SCALE)


def _surroundings(hull: np.ndarray, appearance: Appearance, rng: np.random.Generator) -> np.ndarray:
    """Fat and lung around the heart, whose echoes fade behind the pericardium."""
    outside = np.full((CANVAS // 2, CANVAS // 2), 255, np.uint8)
    cv2.fillPoly(outside, [fixed_point(hull, 0.5)], (0,), shift=SHIFT)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, 3) * np.float32(2 / SCALE)
    floor, reach = rng.uniform(0.05, 0.65), rng.uniform(3, 30)
    level = appearance.outside * (floor + (1 - floor) * np.exp(distance / np.float32(-reach)))
    large = cv2.resize(level, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large) * patches(rng, 0.5, 5)


def _roughen(
    canvas: np.ndarray, ventricle: Ventricle, appearance: Appearance, rng: np.random.Generator
) -> np.ndarray:
    """Displace tissue slightly at random, since no border in a body is a smooth curve."""
    rows = np.arange(CANVAS, dtype=np.float32)
    shifts = [
        waves(rng, appearance.roughness * SCALE, 16)
        + waves(rng, (0.3 + appearance.trabeculae) * SCALE, 48)
        for _ in range(2)
    ]
    if ventricle.ripples is not None:
        shifts = [s + r for s, r in zip(shifts, ripple_shifts(ventricle.ripples), strict=True)]
    return cv2.remap(
        canvas,
        shifts[0] + rows,
        shifts[1] + rows[:, None],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _cavity(
    canvas: np.ndarray,
    heart: Heart,
    ventricle: Ventricle,
    appearance: Appearance,
    rng: np.random.Generator,
) -> None:
    fill(canvas, heart.cavity, appearance.blood)
    inner = heart.cavity.mean(axis=0)
    if appearance.trabeculae > 0.2:
        for _ in range(int(14 * appearance.trabeculae)):
            border = heart.cavity[int(rng.integers(4, 2 * WALL_POINTS - 4))]
            inward = border + (inner - border) * rng.uniform(0.0, 0.12)
            level = appearance.muscle * rng.uniform(0.1, 0.6)
            dot(canvas, inward, level, rng.uniform(0.5, 1.2))
    if appearance.papillary:
        for wall in rng.choice([-1, 1], 1 + int(rng.random() < 0.3), replace=False):
            number = int(WALL_POINTS * rng.uniform(0.45, 0.72))
            border = heart.cavity[number if wall < 0 else -1 - number]
            along = heart.cavity[number + 6 if wall < 0 else -7 - number] - border
            root = border + (inner - border) * rng.uniform(0.08, 0.2)
            stroke(
                canvas,
                np.stack([root, root + along * rng.uniform(0.5, 1.1)]),
                appearance.muscle * appearance.papillary,
                0.12 * ventricle.width * rng.uniform(0.7, 1.3),
                closed=False,
            )


def _moderator_band(canvas: np.ndarray, heart: Heart, rng: np.random.Generator) -> None:
    if rng.random() < 0.4:
        ends = heart.right_ventricle[[int(rng.integers(6, 14)), int(rng.integers(-12, -6))]]
        stroke(canvas, ends, rng.uniform(0.4, 1.0), rng.uniform(1.0, 3.0), closed=False)


def _aorta(canvas: np.ndarray, heart: Heart, blood: float, rng: np.random.Generator) -> None:
    """In some planes, a cross-section of the descending aorta behind the left atrium."""
    if rng.random() < 0.35:
        deepest = heart.left_atrium[np.argmax(heart.left_atrium[:, 1])]
        centre = deepest + np.array([rng.uniform(-4, 10), rng.uniform(5, 9)])
        radius = rng.uniform(3.5, 6.5)
        dot(canvas, centre, 0.9, radius + 1.2)
        dot(canvas, centre, blood, radius)


def _glints(
    canvas: np.ndarray, heart: Heart, probe: Probe, appearance: Appearance, rng: np.random.Generator
) -> None:
    """Brighten borders where the beam meets them at a right angle."""
    for outline, strength, width in (
        (_open_at_plane(heart.cavity), 0.9, 1.2),
        (_open_at_plane(heart.right_ventricle), 0.8, 1.2),
        (heart.left_atrium, appearance.pericardium, 2.2),
        (heart.right_atrium, appearance.pericardium * 0.8, 2.0),
        (_open_at_plane(heart.muscle), 0.7 * appearance.pericardium, 1.8),
    ):
        steps = np.diff(outline, axis=0)
        beams = 0.5 * (outline[1:] + outline[:-1]) - np.array([probe.x, probe.y])
        cross = steps[:, 0] * beams[:, 1] - steps[:, 1] * beams[:, 0]
        scale = np.linalg.norm(steps, axis=1) * np.linalg.norm(beams, axis=1)
        facing = np.abs(cross) / np.maximum(scale, 1e-9)
        patchy = np.interp(
            np.arange(len(steps)), np.linspace(0, len(steps), 9), rng.uniform(0, 1, 9)
        )
        broken_line(canvas, outline, strength * facing**3 * patchy, width)


def _bright_lines(
    canvas: np.ndarray, heart: Heart, appearance: Appearance, rng: np.random.Generator
) -> None:
    """A line inside the septum, where its layers meet, and one along the endocardium."""
    depth = rng.uniform(0.3, 0.65)
    middle = heart.cavity + depth * (heart.muscle - heart.cavity)
    septum, border = middle[3:WALL_POINTS], _open_at_plane(heart.cavity)
    for line, level in ((septum, appearance.septal_line), (border, appearance.endocardial_line)):
        if level:
            patchy = np.interp(
                np.arange(len(line) - 1), np.linspace(0, len(line), 7), rng.uniform(0, 1, 7)
            )
            broken_line(canvas, line, level * patchy, rng.uniform(0.8, 2.2))


def _fade_apex(
    canvas: np.ndarray,
    heart: Heart,
    probe: Probe,
    appearance: Appearance,
    rng: np.random.Generator,
) -> None:
    """Blend what is nearer to the probe than the apex into an even near field."""
    reach = np.arange(0, CANVAS, 2, dtype=np.float32)
    probe_x, probe_y = to_canvas(np.array([probe.x, probe.y]))
    x, y = np.meshgrid(reach - np.float32(probe_x), reach - np.float32(probe_y))
    apex = np.hypot(*(heart.cavity[0] - [probe.x, probe.y])) + rng.uniform(-2, 3)
    softness = rng.uniform(1.0, 4.0)
    behind = (cv2.magnitude(x, y) / SCALE - apex) / softness
    weight = appearance.apex_fade / (1 + np.exp(np.clip(behind, -20, 20)))
    weight = cv2.resize(weight.astype(np.float32), (CANVAS, CANVAS))
    near = np.float32(np.exp(rng.uniform(np.log(0.03), np.log(0.6)))) * patches(rng, 0.4, 10)
    canvas += weight * (near - canvas)


def _open_at_plane(ventricle: np.ndarray) -> np.ndarray:
    """A ventricle's outline from base to apex to base, open at the valve plane."""
    return np.roll(ventricle, len(ventricle) // 2, axis=0)


def _direction_loss(heart: Heart, probe: Probe, appearance: Appearance) -> np.ndarray:
    """Attenuate muscle whose layers run along the beam."""
    solid = np.zeros((CANVAS // 2, CANVAS // 2), np.float32)
    cv2.fillPoly(solid, [fixed_point(heart.cavity, 0.5)], (1.0,), shift=SHIFT)
    around = cv2.GaussianBlur(solid, (0, 0), 4 * SCALE)
    slope_x = cv2.Sobel(around, cv2.CV_32F, 1, 0)
    slope_y = cv2.Sobel(around, cv2.CV_32F, 0, 1)
    probe_x, probe_y = to_canvas(np.array([probe.x, probe.y])) / 2
    reach = np.arange(CANVAS // 2, dtype=np.float32)
    beam_x, beam_y = np.meshgrid(reach - np.float32(probe_x), reach - np.float32(probe_y))
    cross = np.abs(slope_x * beam_x + slope_y * beam_y)
    size = cv2.magnitude(slope_x, slope_y) * cv2.magnitude(beam_x, beam_y)
    facing = cross / (size + np.float32(1e-4))
    loss = 1 - np.float32(appearance.anisotropy) * (1 - facing)
    return cv2.resize(loss, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)


def _lateral_loss(heart: Heart, appearance: Appearance, rng: np.random.Generator) -> np.ndarray:
    """Attenuate part of the lateral wall, which is faint in most studies."""
    fade = np.zeros((CANVAS // 2, CANVAS // 2), np.float32)
    first, last = sorted(rng.uniform(0, 1, 2))
    last = max(last, first + 0.35)
    wall = heart.cavity[WALL_POINTS:][::-1]
    part = wall[int(first * (WALL_POINTS - 8)) : int(min(last, 1) * WALL_POINTS)]
    cv2.polylines(
        fade,
        [fixed_point(part + np.array([4.0, 0.0]), 0.5)],
        False,
        (1.0,),
        int(8 * SCALE),
        shift=SHIFT,
    )
    soft = np.asarray(cv2.GaussianBlur(fade, (0, 0), 2 * SCALE))
    loss = 1 - np.float32(appearance.lateral_loss) * np.minimum(soft * 1.3, 1)
    return cv2.resize(loss, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)
