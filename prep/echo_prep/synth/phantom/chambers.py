"""The other chambers of the heart, arranged around a left ventricle at end-diastole.

The right ventricle lies beyond the septum, and each atrium behind its valve.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_prep.synth.phantom.anatomy import WALL_POINTS, Shape
from echo_prep.synth.phantom.study import Ventricle


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heart:
    """Outlines at end-diastole, each (point, 2) float64 in pixels.

    Attributes
    ----------
    cavity, muscle : ndarray
        Endocardium and epicardium of the left ventricle.
    right_ventricle, left_atrium, right_atrium : ndarray
        Cavities of the other chambers.
    mitral, tricuspid : ndarray, (2, 2)
        Hinge points of the valve leaflets, the left one in the image first.
    """

    cavity: np.ndarray
    muscle: np.ndarray
    right_ventricle: np.ndarray
    left_atrium: np.ndarray
    right_atrium: np.ndarray
    mitral: np.ndarray
    tricuspid: np.ndarray


def build_heart(ventricle: Ventricle, shape: Shape, rng: np.random.Generator) -> Heart:
    """Arrange the other chambers around a left ventricle."""
    cavity = shape.contour()
    mitral = cavity[WALL_POINTS - 1 : WALL_POINTS + 1]
    base_left, base_right = float(shape.left[-1]), float(shape.right[-1])
    length, septum = shape.length, ventricle.septum
    # The right ventricle is a crescent on the septum; its apex does not reach as far as the left's.
    top = rng.uniform(0.12, 0.40)
    fraction = np.linspace(top, rng.uniform(0.94, 1.06), 24)
    rise = (fraction - fraction[0]) / (fraction[-1] - fraction[0])
    breadth = ventricle.width * np.clip(rng.normal(0.72, 0.2), 0.35, 1.5)
    breadth *= ventricle.chambers[0]
    bulge = rng.uniform(0.5, 0.9)
    near = -(shape.half_width(fraction, np.array(-1)) + septum)
    waves = rng.normal(0, 0.07) * np.sin(2 * np.pi * rise) + rng.normal(0, 0.05) * np.sin(
        3 * np.pi * rise
    )
    far = near - breadth * (rise**bulge * (1 - 0.18 * rise**4) + waves) - 0.5
    right_ventricle = np.concatenate(
        [shape.to_frame(fraction, near), shape.to_frame(fraction, far)[::-1]]
    )
    tricuspid = shape.to_frame(fraction[[-1, -1]], np.array([far[-1], near[-1]]))
    middle = 0.5 * (base_right - base_left)
    left_atrium = _atrium(
        shape,
        top=1.0,
        middle=middle + rng.normal(0, 0.06) * length,
        reach=0.5 * (base_left + base_right) * rng.uniform(0.95, 1.35) * ventricle.chambers[1],
        depth=rng.uniform(0.42, 0.85) * ventricle.chambers[2],
        rng=rng,
    )
    half = 0.5 * (near[-1] - far[-1])
    wall = rng.uniform(1.5, 3.5)
    right_atrium = _atrium(
        shape,
        top=float(fraction[-1]),
        middle=-base_left - wall - half - rng.uniform(0, 0.06) * length,
        reach=half * rng.uniform(0.95, 1.3),
        depth=rng.uniform(0.40, 0.75) * ventricle.chambers[3],
        rng=rng,
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


def _atrium(
    shape: Shape, top: float, middle: float, reach: float, depth: float, rng: np.random.Generator
) -> np.ndarray:
    """A pouch below a valve plane; `top` and `depth` are fractions of the ventricle's length."""
    along = 1 - np.cos(np.linspace(0, np.pi / 2, 20))
    half = reach * np.sqrt(np.clip(1 - ((along - 0.36) / 0.64) ** 2, 0, 1))
    lean = rng.normal(0, 0.25) * reach * along
    walls = []
    for side in (-1, 1):
        bumps = rng.normal(0, 0.08, 3)
        waves = sum(bump * np.sin(np.pi * (k + 1) * along) for k, bump in enumerate(bumps))
        walls.append(shape.to_frame(top + along * depth, middle + lean + side * half * (1 + waves)))
    return np.concatenate([walls[0], walls[1][::-1]])


def _muscle(cavity: np.ndarray, ventricle: Ventricle) -> np.ndarray:
    """Move the cavity's outline outwards by the thickness of septum, apex and lateral wall."""
    along = np.concatenate([np.linspace(0, 1, WALL_POINTS) ** 1.6] * 2)
    along[WALL_POINTS:] = along[WALL_POINTS:][::-1]
    wall = np.where(np.arange(len(cavity)) < WALL_POINTS, ventricle.septum, ventricle.lateral)
    blend = np.clip(along / 0.3, 0, 1)
    thickness = ventricle.apical + (wall - ventricle.apical) * blend
    # The apex is both the first and the last point, so its direction comes from its neighbours.
    steps = np.roll(cavity, -1, axis=0) - np.roll(cavity, 1, axis=0)
    steps[0] = steps[-1] = cavity[1] - cavity[-2]
    steps[WALL_POINTS - 1] = cavity[WALL_POINTS - 1] - cavity[WALL_POINTS - 2]
    steps[WALL_POINTS] = cavity[WALL_POINTS + 1] - cavity[WALL_POINTS]
    normal = np.stack([-steps[:, 1], steps[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    return cavity + normal * thickness[:, None]
