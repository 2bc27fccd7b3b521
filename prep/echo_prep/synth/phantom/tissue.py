"""The heart at end-diastole, painted as a map of echo amplitudes.

Muscle has an amplitude of 1, in some looks much less, and blood of a few
hundredths. The pericardium, and borders perpendicular to the beam, are brighter
than muscle.
"""

from __future__ import annotations

import cv2
import numpy as np

from echo_prep.synth.phantom.anatomy import WALL_POINTS
from echo_prep.synth.phantom.chambers import Heart
from echo_prep.synth.phantom.study import SIZE, Appearance, Probe, Ventricle

MARGIN = 24
"""Margin painted around the frame, in pixels, so that tissue can move in from outside."""

SCALE = 1.5
"""Pixels of the painting per pixel of the frame."""

_CANVAS = int((SIZE + 2 * MARGIN) * SCALE)
_SHIFT = 4
"""Fractional bits of the coordinates in OpenCV's drawing functions."""


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
    amplitude : ndarray, (_CANVAS, _CANVAS) float32
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
    _stroke(canvas, hull, appearance.pericardium * rng.uniform(0.2, 0.7), rng.uniform(1.0, 3.5))
    thin = float(rng.uniform(1.0, 2.4))
    free_wall = rng.uniform(0.3, 0.9)
    _stroke(canvas, heart.right_ventricle, free_wall, 2 * rng.uniform(1.2, 3.0))
    for atrium in (heart.right_atrium, heart.left_atrium):
        _stroke(canvas, atrium, rng.uniform(0.35, 0.9), 2 * thin)
    lateral = heart.muscle[WALL_POINTS:]
    _stroke(canvas, lateral, appearance.pericardium * 0.6, rng.uniform(1.5, 4.0), closed=False)
    _fill(canvas, heart.muscle, appearance.muscle)
    blood = appearance.blood
    darker = blood * appearance.chamber_blood ** extra.uniform(0, 1, 3)
    _fill(canvas, heart.right_ventricle, darker[0] * rng.uniform(1.0, 3.5))
    _fill(canvas, heart.right_atrium, darker[1] * rng.uniform(0.8, 2.0))
    _fill(canvas, heart.left_atrium, darker[2] * rng.uniform(0.7, 1.5))
    _moderator_band(canvas, heart, rng)
    _aorta(canvas, heart, blood, rng)
    # The hinges, and the fibrous body between the two valves, are among the brightest structures.
    for hinge in (*heart.mitral, heart.tricuspid[0]):
        _dot(canvas, hinge, rng.uniform(0.9, 1.8), rng.uniform(0.8, 2.2))
    canvas *= _direction_loss(heart, probe, appearance)
    canvas *= _lateral_loss(heart, appearance, rng)
    _glints(canvas, heart, probe, appearance, rng)
    _bright_lines(canvas, heart, appearance, extra)
    for cells, weight in ((6, 0.8), (16, 1.0), (40, 0.6)):
        canvas *= _patches(rng, weight * appearance.patchiness, cells)
    _cavity(canvas, heart, ventricle, appearance, rng)
    if appearance.apex_fade:
        _fade_apex(canvas, heart, probe, appearance, extra)
    rough = _roughen(canvas, ventricle, appearance, rng)
    return cv2.GaussianBlur(rough, (0, 0), 0.5 * SCALE)


def _surroundings(hull: np.ndarray, appearance: Appearance, rng: np.random.Generator) -> np.ndarray:
    """Fat and lung around the heart, whose echoes fade behind the pericardium."""
    outside = np.full((_CANVAS // 2, _CANVAS // 2), 255, np.uint8)
    cv2.fillPoly(outside, [_fixed_point(hull, 0.5)], (0,), shift=_SHIFT)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, 3) * np.float32(2 / SCALE)
    floor, reach = rng.uniform(0.05, 0.65), rng.uniform(3, 30)
    level = appearance.outside * (floor + (1 - floor) * np.exp(distance / np.float32(-reach)))
    large = cv2.resize(level, (_CANVAS, _CANVAS), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large) * _patches(rng, 0.5, 5)


def _roughen(
    canvas: np.ndarray, ventricle: Ventricle, appearance: Appearance, rng: np.random.Generator
) -> np.ndarray:
    """Displace tissue slightly at random, since no border in a body is a smooth curve."""
    rows = np.arange(_CANVAS, dtype=np.float32)
    shifts = [
        _waves(rng, appearance.roughness * SCALE, 16)
        + _waves(rng, (0.3 + appearance.trabeculae) * SCALE, 48)
        for _ in range(2)
    ]
    if ventricle.ripples is not None:
        shifts = [s + r for s, r in zip(shifts, _ripple_shifts(ventricle.ripples), strict=True)]
    return cv2.remap(
        canvas,
        shifts[0] + rows,
        shifts[1] + rows[:, None],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _ripple_shifts(ripples: np.ndarray) -> list[np.ndarray]:
    """For each pixel of the painting, how far away its tissue was before, along x and y."""
    return [_enlarge((axis * SCALE).astype(np.float32)) for axis in ripples]


def ripple_points(points: np.ndarray, ripples: np.ndarray) -> np.ndarray:
    """Find where `Ventricle.ripples` move points of the tissue at end-diastole, (point, 2)."""
    shifts, moved = _ripple_shifts(ripples), points
    # The shift is known at the new position, so it is found by iteration.
    for _ in range(4):
        x, y = to_canvas(moved).astype(np.float32).T[:, None]
        at = [cv2.remap(s, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for s in shifts]
        moved = points - np.concatenate(at).T / SCALE
    return moved


def to_canvas(points: np.ndarray) -> np.ndarray:
    """Convert pixels of the frame to pixels of the painting; centres are at integers in both."""
    return (points + MARGIN + 0.5) * SCALE - 0.5


def _cavity(
    canvas: np.ndarray,
    heart: Heart,
    ventricle: Ventricle,
    appearance: Appearance,
    rng: np.random.Generator,
) -> None:
    _fill(canvas, heart.cavity, appearance.blood)
    inner = heart.cavity.mean(axis=0)
    if appearance.trabeculae > 0.2:
        for _ in range(int(14 * appearance.trabeculae)):
            border = heart.cavity[int(rng.integers(4, 2 * WALL_POINTS - 4))]
            inward = border + (inner - border) * rng.uniform(0.0, 0.12)
            level = appearance.muscle * rng.uniform(0.1, 0.6)
            _dot(canvas, inward, level, rng.uniform(0.5, 1.2))
    if appearance.papillary:
        for wall in rng.choice([-1, 1], 1 + int(rng.random() < 0.3), replace=False):
            number = int(WALL_POINTS * rng.uniform(0.45, 0.72))
            border = heart.cavity[number if wall < 0 else -1 - number]
            along = heart.cavity[number + 6 if wall < 0 else -7 - number] - border
            apart = rng.uniform(0.08, 0.2) * (0.3 if appearance.merged else 1.0)
            root = border + (inner - border) * apart
            _stroke(
                canvas,
                np.stack([root, root + along * rng.uniform(0.5, 1.1)]),
                appearance.muscle * appearance.papillary,
                (0.2 if appearance.merged else 0.12) * ventricle.width * rng.uniform(0.7, 1.3),
                closed=False,
            )


def _moderator_band(canvas: np.ndarray, heart: Heart, rng: np.random.Generator) -> None:
    if rng.random() < 0.4:
        ends = heart.right_ventricle[[int(rng.integers(6, 14)), int(rng.integers(-12, -6))]]
        _stroke(canvas, ends, rng.uniform(0.4, 1.0), rng.uniform(1.0, 3.0), closed=False)


def _aorta(canvas: np.ndarray, heart: Heart, blood: float, rng: np.random.Generator) -> None:
    """In some planes, a cross-section of the descending aorta behind the left atrium."""
    if rng.random() < 0.35:
        deepest = heart.left_atrium[np.argmax(heart.left_atrium[:, 1])]
        centre = deepest + np.array([rng.uniform(-4, 10), rng.uniform(5, 9)])
        radius = rng.uniform(3.5, 6.5)
        _dot(canvas, centre, 0.9, radius + 1.2)
        _dot(canvas, centre, blood, radius)


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
        _broken_line(canvas, outline, strength * facing**3 * patchy, width)


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
            _broken_line(canvas, line, level * patchy, rng.uniform(0.8, 2.2))


def _broken_line(canvas: np.ndarray, line: np.ndarray, level: np.ndarray, width: float) -> None:
    """Draw the parts of a line whose level is high enough; `level` is that of each segment."""
    pixels = _fixed_point(line)
    for number in np.flatnonzero(level > 0.25):
        cv2.line(
            canvas,
            tuple(map(int, pixels[number])),
            tuple(map(int, pixels[number + 1])),
            float(level[number] + 0.4),
            max(1, round(width * SCALE * 0.6)),
            shift=_SHIFT,
        )


def _fade_apex(
    canvas: np.ndarray,
    heart: Heart,
    probe: Probe,
    appearance: Appearance,
    rng: np.random.Generator,
) -> None:
    """Blend what is nearer to the probe than the apex into an even near field."""
    reach = np.arange(0, _CANVAS, 2, dtype=np.float32)
    probe_x, probe_y = to_canvas(np.array([probe.x, probe.y]))
    x, y = np.meshgrid(reach - np.float32(probe_x), reach - np.float32(probe_y))
    apex = np.hypot(*(heart.cavity[0] - [probe.x, probe.y])) + rng.uniform(-2, 3)
    softness = rng.uniform(1.0, 4.0)
    behind = (cv2.magnitude(x, y) / SCALE - apex) / softness
    weight = appearance.apex_fade / (1 + np.exp(np.clip(behind, -20, 20)))
    weight = cv2.resize(weight.astype(np.float32), (_CANVAS, _CANVAS))
    near = np.float32(np.exp(rng.uniform(np.log(0.03), np.log(0.6)))) * _patches(rng, 0.4, 10)
    canvas += weight * (near - canvas)


def _open_at_plane(ventricle: np.ndarray) -> np.ndarray:
    """A ventricle's outline from base to apex to base, open at the valve plane."""
    return np.roll(ventricle, len(ventricle) // 2, axis=0)


def _direction_loss(heart: Heart, probe: Probe, appearance: Appearance) -> np.ndarray:
    """Attenuate muscle whose layers run along the beam."""
    solid = np.zeros((_CANVAS // 2, _CANVAS // 2), np.float32)
    cv2.fillPoly(solid, [_fixed_point(heart.cavity, 0.5)], (1.0,), shift=_SHIFT)
    around = cv2.GaussianBlur(solid, (0, 0), 4 * SCALE)
    slope_x = cv2.Sobel(around, cv2.CV_32F, 1, 0)
    slope_y = cv2.Sobel(around, cv2.CV_32F, 0, 1)
    probe_x, probe_y = to_canvas(np.array([probe.x, probe.y])) / 2
    reach = np.arange(_CANVAS // 2, dtype=np.float32)
    beam_x, beam_y = np.meshgrid(reach - np.float32(probe_x), reach - np.float32(probe_y))
    cross = np.abs(slope_x * beam_x + slope_y * beam_y)
    size = cv2.magnitude(slope_x, slope_y) * cv2.magnitude(beam_x, beam_y)
    facing = cross / (size + np.float32(1e-4))
    loss = 1 - np.float32(appearance.anisotropy) * (1 - facing)
    return cv2.resize(loss, (_CANVAS, _CANVAS), interpolation=cv2.INTER_LINEAR)


def _lateral_loss(heart: Heart, appearance: Appearance, rng: np.random.Generator) -> np.ndarray:
    """Attenuate part of the lateral wall, which is faint in most studies."""
    fade = np.zeros((_CANVAS // 2, _CANVAS // 2), np.float32)
    first, last = sorted(rng.uniform(0, 1, 2))
    last = max(last, first + 0.35)
    wall = heart.cavity[WALL_POINTS:][::-1]
    part = wall[int(first * (WALL_POINTS - 8)) : int(min(last, 1) * WALL_POINTS)]
    cv2.polylines(
        fade,
        [_fixed_point(part + np.array([4.0, 0.0]), 0.5)],
        False,
        (1.0,),
        int(8 * SCALE),
        shift=_SHIFT,
    )
    soft = np.asarray(cv2.GaussianBlur(fade, (0, 0), 2 * SCALE))
    loss = 1 - np.float32(appearance.lateral_loss) * np.minimum(soft * 1.3, 1)
    return cv2.resize(loss, (_CANVAS, _CANVAS), interpolation=cv2.INTER_LINEAR)


def _waves(rng: np.random.Generator, sigma: float, cells: int) -> np.ndarray:
    return _enlarge(rng.standard_normal((cells, cells), dtype=np.float32) * np.float32(sigma))


def _enlarge(coarse: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(coarse, (_CANVAS, _CANVAS), interpolation=cv2.INTER_CUBIC))


def _patches(rng: np.random.Generator, sigma: float, cells: int) -> np.ndarray:
    return np.asarray(cv2.exp(_waves(rng, sigma, cells)))


def _fixed_point(points: np.ndarray, scale: float = 1.0) -> np.ndarray:
    return np.rint(to_canvas(points) * scale * (1 << _SHIFT)).astype(np.int32)


def _fill(canvas: np.ndarray, outline: np.ndarray, level: float) -> None:
    cv2.fillPoly(canvas, [_fixed_point(outline)], (float(level),), shift=_SHIFT)


def _stroke(
    canvas: np.ndarray, line: np.ndarray, level: float, width: float, closed: bool = True
) -> None:
    thickness = max(1, round(width * SCALE))
    cv2.polylines(canvas, [_fixed_point(line)], closed, (float(level),), thickness, shift=_SHIFT)


def _dot(canvas: np.ndarray, centre: np.ndarray, level: float, radius: float) -> None:
    x, y = _fixed_point(centre)
    size = round(radius * SCALE * (1 << _SHIFT))
    cv2.circle(canvas, (int(x), int(y)), size, (float(level),), -1, shift=_SHIFT)
