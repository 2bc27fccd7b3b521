"""What the beams meet: the heart at end-diastole, painted as amplitudes of echo.

The ventricle's cavity is the traced one; the chambers around it are placed
against it as anatomy places them: the right ventricle beyond the septum, the
atria beyond the two valve planes, the pericardium around all.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from echo_prep.synth.anatomy import WALL_POINTS, Shape
from echo_prep.synth.study import SIZE, Look, Probe, Ventricle

MARGIN = 24
"""Pixels painted around the frame, so that tissue can move in from outside."""

SCALE = 1.5
"""Painted pixels to a pixel of the frame."""

_CANVAS = int((SIZE + 2 * MARGIN) * SCALE)
_SHIFT = 4
"""Bits below the pixel that OpenCV's drawing takes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heart:
    """Outlines at end-diastole, each (point, 2) float64 in pixels of the frame.

    Attributes
    ----------
    cavity, muscle : ndarray
        Of the left ventricle: within the endocardium, and within the epicardium.
    right_ventricle, left_atrium, right_atrium : ndarray
        The cavities of the other chambers.
    mitral, tricuspid : ndarray, (2, 2)
        Where the leaflets hang, the image's left first.
    """

    cavity: np.ndarray
    muscle: np.ndarray
    right_ventricle: np.ndarray
    left_atrium: np.ndarray
    right_atrium: np.ndarray
    mitral: np.ndarray
    tricuspid: np.ndarray


def build_heart(ventricle: Ventricle, shape: Shape, rng: np.random.Generator) -> Heart:
    """Put the other chambers around a left ventricle."""
    cavity = shape.contour()
    mitral = cavity[WALL_POINTS - 1 : WALL_POINTS + 1]
    base_left, base_right = float(shape.left[-1]), float(shape.right[-1])
    length, septum = shape.length, ventricle.septum
    # The right ventricle is a crescent on the septum, its own apex short of the left's.
    top = rng.uniform(0.12, 0.40)
    share = np.linspace(top, rng.uniform(0.94, 1.06), 24)
    rise = (share - share[0]) / (share[-1] - share[0])
    breadth = ventricle.width * np.clip(rng.normal(0.72, 0.2), 0.35, 1.5)
    bulge = rng.uniform(0.5, 0.9)
    near = -(shape.half_width(share, np.array(-1)) + septum)
    far = near - breadth * rise**bulge * (1 - 0.18 * rise**4) - 0.5
    right_ventricle = np.concatenate([shape.place(share, near), shape.place(share, far)[::-1]])
    tricuspid = shape.place(share[[-1, -1]], np.array([far[-1], near[-1]]))
    middle = 0.5 * (base_right - base_left)
    left_atrium = _atrium(
        shape,
        top=1.0,
        middle=middle + rng.normal(0, 0.06) * length,
        reach=0.5 * (base_left + base_right) * rng.uniform(0.95, 1.35),
        depth=rng.uniform(0.42, 0.85),
    )
    half = 0.5 * (near[-1] - far[-1])
    wall = rng.uniform(1.5, 3.5)
    right_atrium = _atrium(
        shape,
        top=float(share[-1]),
        middle=-base_left - wall - half - rng.uniform(0, 0.06) * length,
        reach=half * rng.uniform(0.95, 1.3),
        depth=rng.uniform(0.40, 0.75),
    )
    return Heart(
        cavity=cavity,
        muscle=_muscle(cavity, ventricle),
        right_ventricle=right_ventricle,
        left_atrium=left_atrium,
        right_atrium=right_atrium,
        mitral=mitral,
        tricuspid=tricuspid,
    )


def _atrium(shape: Shape, top: float, middle: float, reach: float, depth: float) -> np.ndarray:
    along = np.concatenate([1 - np.cos(np.linspace(0, np.pi / 2, 20))])
    half = reach * np.sqrt(np.clip(1 - ((along - 0.36) / 0.64) ** 2, 0, 1))
    share = top + along[::1] * depth
    # Beyond the plane the ventricle's own bow has ended; place() takes offsets as they are.
    left, right = shape.place(share, middle - half), shape.place(share, middle + half)
    return np.concatenate([left, right[::-1]])


def _muscle(cavity: np.ndarray, ventricle: Ventricle) -> np.ndarray:
    """The outline at the walls' thickness outside the cavity: septum, apex, lateral wall."""
    along = np.concatenate([np.linspace(0, 1, WALL_POINTS) ** 1.6] * 2)
    along[WALL_POINTS:] = along[WALL_POINTS:][::-1]
    wall = np.where(np.arange(len(cavity)) < WALL_POINTS, ventricle.septum, ventricle.lateral)
    blend = np.clip(along / 0.3, 0, 1)
    thickness = ventricle.apical + (wall - ventricle.apical) * blend
    # The apex is the first point and the last: the doubled one has no direction of its own.
    steps = np.roll(cavity, -1, axis=0) - np.roll(cavity, 1, axis=0)
    steps[0] = steps[-1] = cavity[1] - cavity[-2]
    steps[WALL_POINTS - 1] = cavity[WALL_POINTS - 1] - cavity[WALL_POINTS - 2]
    steps[WALL_POINTS] = cavity[WALL_POINTS + 1] - cavity[WALL_POINTS]
    normal = np.stack([-steps[:, 1], steps[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    return cavity + normal * thickness[:, None]


def paint(
    heart: Heart, ventricle: Ventricle, probe: Probe, look: Look, rng: np.random.Generator
) -> np.ndarray:
    """Amplitudes of echo at end-diastole.

    Returns
    -------
    amplitude : ndarray, (_CANVAS, _CANVAS) float32
        1 in myocardium; `to_canvas` says which pixel is where.
    """
    canvas = np.full((_CANVAS, _CANVAS), look.outside, dtype=np.float32)
    canvas *= _patches(rng, 0.5, (5, 5))
    all_around = cv2.convexHull(
        np.concatenate(
            [heart.muscle, heart.right_ventricle, heart.right_atrium, heart.left_atrium]
        ).astype(np.float32)
    )[:, 0]
    thin = float(rng.uniform(1.2, 2.6))
    _fill(canvas, all_around, look.outside * rng.uniform(0.7, 1.5))
    _stroke(canvas, heart.right_ventricle, 0.8, 2 * rng.uniform(1.2, 3.0))
    for atrium in (heart.right_atrium, heart.left_atrium):
        _stroke(canvas, atrium, 0.75, 2 * thin)
    lateral = heart.muscle[WALL_POINTS:]
    _stroke(canvas, lateral, look.pericardium * 0.6, rng.uniform(1.5, 4.0), closed=False)
    _fill(canvas, heart.muscle, 1.0)
    blood = look.blood
    _fill(canvas, heart.right_ventricle, blood * rng.uniform(1.0, 1.8))
    _fill(canvas, heart.right_atrium, blood * rng.uniform(0.8, 1.4))
    _fill(canvas, heart.left_atrium, blood * rng.uniform(0.7, 1.3))
    _moderator_band(canvas, heart, rng)
    _aorta(canvas, heart, blood, rng)
    # The hinges and the fibrous body between the two valves are among the brightest.
    for hinge in (*heart.mitral, heart.tricuspid[0]):
        _dot(canvas, hinge, rng.uniform(1.2, 2.2), rng.uniform(1.0, 2.2))
    canvas *= _patches(rng, look.patchiness, (9, 9))
    canvas *= _patches(rng, 0.6 * look.patchiness, (28, 28))
    canvas *= _direction_loss(heart, probe, look)
    canvas *= _lateral_loss(heart, look, rng)
    _glints(canvas, heart, probe, look, rng)
    _cavity(canvas, heart, ventricle, look, rng)
    return cv2.GaussianBlur(canvas, (0, 0), 0.55 * SCALE)


def to_canvas(points: np.ndarray) -> np.ndarray:
    """From pixels of the frame to pixels of the painting; centres at integers in both."""
    return (points + MARGIN + 0.5) * SCALE - 0.5


def _cavity(
    canvas: np.ndarray, heart: Heart, ventricle: Ventricle, look: Look, rng: np.random.Generator
) -> None:
    _fill(canvas, heart.cavity, look.blood)
    inner = heart.cavity.mean(axis=0)
    if look.trabeculae > 0.2:
        for _ in range(int(14 * look.trabeculae)):
            place = heart.cavity[int(rng.integers(4, 2 * WALL_POINTS - 4))]
            inward = place + (inner - place) * rng.uniform(0.0, 0.12)
            _dot(canvas, inward, rng.uniform(0.2, 0.8), rng.uniform(0.5, 1.4))
    if look.papillary:
        for wall in rng.choice([-1, 1], 1 + int(rng.random() < 0.3), replace=False):
            at = int(WALL_POINTS * rng.uniform(0.45, 0.72))
            place = heart.cavity[at if wall < 0 else -1 - at]
            along = heart.cavity[at + 6 if wall < 0 else -7 - at] - place
            root = place + (inner - place) * rng.uniform(0.08, 0.2)
            _stroke(
                canvas,
                np.stack([root, root + along * rng.uniform(0.5, 1.1)]),
                look.papillary,
                0.12 * ventricle.width * rng.uniform(0.7, 1.3),
                closed=False,
            )


def _moderator_band(canvas: np.ndarray, heart: Heart, rng: np.random.Generator) -> None:
    if rng.random() < 0.4:
        ends = heart.right_ventricle[[int(rng.integers(6, 14)), int(rng.integers(-12, -6))]]
        _stroke(canvas, ends, rng.uniform(0.4, 1.0), rng.uniform(1.0, 3.0), closed=False)


def _aorta(canvas: np.ndarray, heart: Heart, blood: float, rng: np.random.Generator) -> None:
    """The descending aorta, cut across behind the left atrium, in some planes."""
    if rng.random() < 0.35:
        deepest = heart.left_atrium[np.argmax(heart.left_atrium[:, 1])]
        place = deepest + np.array([rng.uniform(-4, 10), rng.uniform(5, 9)])
        radius = rng.uniform(3.5, 6.5)
        _dot(canvas, place, 0.9, radius + 1.2)
        _dot(canvas, place, blood, radius)


def _glints(
    canvas: np.ndarray, heart: Heart, probe: Probe, look: Look, rng: np.random.Generator
) -> None:
    """Borders shine where the beam meets them at a right angle."""
    for outline, strength, width in (
        (heart.cavity[: 2 * WALL_POINTS], 0.9, 1.2),
        (heart.right_ventricle, 0.8, 1.2),
        (heart.left_atrium, look.pericardium, 2.2),
        (heart.right_atrium, look.pericardium * 0.8, 2.0),
        (heart.muscle, 0.7 * look.pericardium, 1.8),
    ):
        steps = np.diff(outline, axis=0)
        beams = 0.5 * (outline[1:] + outline[:-1]) - np.array([probe.x, probe.y])
        cross = steps[:, 0] * beams[:, 1] - steps[:, 1] * beams[:, 0]
        scale = np.linalg.norm(steps, axis=1) * np.linalg.norm(beams, axis=1)
        facing = np.abs(cross) / np.maximum(scale, 1e-9)
        patchy = np.interp(
            np.arange(len(steps)), np.linspace(0, len(steps), 9), rng.uniform(0, 1, 9)
        )
        level = strength * facing**3 * patchy
        pixels = _fixed(outline)
        for number in np.flatnonzero(level > 0.25):
            cv2.line(
                canvas,
                tuple(map(int, pixels[number])),
                tuple(map(int, pixels[number + 1])),
                float(level[number] + 0.4),
                max(1, round(width * SCALE * 0.6)),
                shift=_SHIFT,
            )


def _direction_loss(heart: Heart, probe: Probe, look: Look) -> np.ndarray:
    """Muscle echoes less where its layers run along the beam."""
    solid = np.zeros((_CANVAS // 2, _CANVAS // 2), np.float32)
    cv2.fillPoly(solid, [_fixed(heart.cavity, 0.5)], (1.0,), shift=_SHIFT)
    around = cv2.GaussianBlur(solid, (0, 0), 4 * SCALE)
    slope_x = cv2.Sobel(around, cv2.CV_32F, 1, 0)
    slope_y = cv2.Sobel(around, cv2.CV_32F, 0, 1)
    center = to_canvas(np.array([probe.x, probe.y])) / 2
    reach = np.arange(_CANVAS // 2, dtype=np.float32)
    beam_x, beam_y = np.meshgrid(reach - np.float32(center[0]), reach - np.float32(center[1]))
    cross = np.abs(slope_x * beam_x + slope_y * beam_y)
    size = cv2.magnitude(slope_x, slope_y) * cv2.magnitude(beam_x, beam_y)
    facing = cross / (size + np.float32(1e-4))
    loss = 1 - np.float32(look.anisotropy) * (1 - facing)
    return cv2.resize(loss, (_CANVAS, _CANVAS), interpolation=cv2.INTER_LINEAR)


def _lateral_loss(heart: Heart, look: Look, rng: np.random.Generator) -> np.ndarray:
    """The lateral wall fades out along part of its length, as it does in most studies."""
    fade = np.zeros((_CANVAS // 2, _CANVAS // 2), np.float32)
    first, last = sorted(rng.uniform(0, 1, 2))
    last = max(last, first + 0.35)
    wall = heart.cavity[WALL_POINTS:][::-1]
    part = wall[int(first * (WALL_POINTS - 8)) : int(min(last, 1) * WALL_POINTS)]
    cv2.polylines(
        fade,
        [_fixed(part + np.array([4.0, 0.0]), 0.5)],
        False,
        (1.0,),
        int(8 * SCALE),
        shift=_SHIFT,
    )
    soft = np.asarray(cv2.GaussianBlur(fade, (0, 0), 2 * SCALE))
    loss = 1 - np.float32(look.lateral_loss) * np.minimum(soft * 1.3, 1)
    return cv2.resize(loss, (_CANVAS, _CANVAS), interpolation=cv2.INTER_LINEAR)


def _patches(rng: np.random.Generator, sigma: float, grid: tuple[int, int]) -> np.ndarray:
    coarse = rng.standard_normal(grid, dtype=np.float32) * np.float32(sigma)
    return cv2.exp(cv2.resize(coarse, (_CANVAS, _CANVAS), interpolation=cv2.INTER_CUBIC))


def _fixed(points: np.ndarray, scale: float = 1.0) -> np.ndarray:
    return np.rint(to_canvas(points) * scale * (1 << _SHIFT)).astype(np.int32)


def _fill(canvas: np.ndarray, outline: np.ndarray, level: float) -> None:
    cv2.fillPoly(canvas, [_fixed(outline)], (float(level),), shift=_SHIFT)


def _stroke(
    canvas: np.ndarray, line: np.ndarray, level: float, width: float, closed: bool = True
) -> None:
    thickness = max(1, round(width * SCALE))
    cv2.polylines(canvas, [_fixed(line)], closed, (float(level),), thickness, shift=_SHIFT)


def _dot(canvas: np.ndarray, place: np.ndarray, level: float, radius: float) -> None:
    center = _fixed(place)
    size = round(radius * SCALE * (1 << _SHIFT))
    cv2.circle(canvas, (int(center[0]), int(center[1])), size, (float(level),), -1, shift=_SHIFT)
