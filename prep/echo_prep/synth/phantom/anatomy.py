"""The shape of the left ventricle, and how one shape becomes another.

Inside the ventricle a point has two coordinates: its share of the long axis
from the apex (0) to the mitral plane (1), and its distance from the axis,
negative on the image's left (the septum). Both shapes of a study, at
end-diastole and end-systole, use the same two, so a point of tissue is
followed from one to the other: the cavity is squeezed, and the wall around it
keeps its area, as muscle does, and thickens.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_prep.synth.phantom.study import Ventricle

WALL_POINTS = 48
"""Points along each wall of a contour."""

_BEYOND = 0.6
"""How far past the mitral plane, in lengths, the ventricle's motion reaches the atria."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """The cavity at one moment.

    Attributes
    ----------
    apex : ndarray, (2,) float64
        (x, y) in pixels.
    tilt : float
        Direction from the apex to the base, in radians to the right of straight down.
    length : float
        Long axis in pixels.
    left, right : ndarray, (share,) float64
        Half-widths towards either wall at `shares` of the long axis, in pixels.
    bend, plane_tilt : float
        As in `echo_prep.synth.phantom.study.Ventricle`.
    """

    apex: np.ndarray
    tilt: float
    length: float
    left: np.ndarray
    right: np.ndarray
    bend: float
    plane_tilt: float

    @property
    def down(self) -> np.ndarray:
        """Unit vector from the apex to the base."""
        return np.array([np.sin(self.tilt), np.cos(self.tilt)])

    @property
    def across(self) -> np.ndarray:
        """Unit vector towards the image's right, across the long axis."""
        return np.array([np.cos(self.tilt), -np.sin(self.tilt)])

    def half_width(self, share: np.ndarray, side: np.ndarray) -> np.ndarray:
        """Half-width at shares of the long axis, towards the side of a sign; 0 above the apex."""
        clipped = np.clip(share, 0, 1)
        left = np.interp(clipped, SHARES, self.left)
        return np.where(side < 0, left, np.interp(clipped, SHARES, self.right)) * (share > 0)

    def axis_length(self, aside: np.ndarray) -> np.ndarray:
        """Length of the cavity in pixels at a distance from the axis: the plane is tilted."""
        reach = 0.5 * (self.left[-1] + self.right[-1])
        return self.length * (1 + self.plane_tilt * np.clip(aside / reach, -1, 1))

    def place(self, share: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Points of the frame, (…, 2), for shares of the long axis and offsets from it."""
        aside = offset + self.bend * np.sin(np.pi * np.clip(share, 0, 1))
        along = share * self.axis_length(aside)
        return self.apex + along[..., None] * self.down + aside[..., None] * self.across

    def contour(self) -> np.ndarray:
        """Down the left wall from the apex, then up the right one, (2 * WALL_POINTS, 2)."""
        # More points towards the apex, where the wall turns.
        shares = np.linspace(0, 1, WALL_POINTS) ** 1.6
        left = self.place(shares, -self.half_width(shares, np.array(-1)))
        right = self.place(shares, self.half_width(shares, np.array(1)))
        return np.concatenate([left, right[::-1]])


SHARES = np.linspace(0, 1, 129) ** 2
"""Shares of the long axis at which half-widths are kept; dense at the apex."""


def diastole(ventricle: Ventricle) -> Shape:
    """The cavity at end-diastole."""
    v = ventricle
    rise = 1 - np.clip(1 - SHARES / v.widest, 0, 1) ** v.power
    apical = np.clip(rise, 0, 1) ** (1 / v.power)
    basal = 1 - (1 - v.narrowing) * (np.clip(SHARES - v.widest, 0, 1) / (1 - v.widest)) ** 2
    profile = 0.5 * v.width * apical * basal
    walls = []
    for bumps in (v.bumps[:3], v.bumps[3:]):
        waves = sum(
            bump * np.sin(np.pi * (number + 1) * SHARES) for number, bump in enumerate(bumps)
        )
        walls.append(profile * (1 + waves))
    return Shape(
        apex=np.array(v.apex),
        tilt=v.tilt,
        length=v.length,
        left=walls[0],
        right=walls[1],
        bend=v.bend,
        plane_tilt=v.plane_tilt,
    )


def systole(ventricle: Ventricle, start: Shape) -> Shape:
    """The cavity at end-systole, contracted from the one at end-diastole."""
    v = ventricle
    squeeze = np.sqrt((1 - v.ejection) / (1 - v.shortening))
    walls = []
    for side, wall in ((-1.0, start.left), (1.0, start.right)):
        loss = np.zeros_like(SHARES)
        if side == v.weak_wall[0]:
            loss = v.weak_wall[3] * np.exp(-(((SHARES - v.weak_wall[1]) / v.weak_wall[2]) ** 2))
        # The middle of a healthy ventricle closes a little more than its base.
        wave = 0.06 * np.sin(np.pi * SHARES) * (1 - squeeze)
        walls.append(wall * (1 - (1 - squeeze) * (1 - loss) - wave))
    return dataclasses.replace(
        start,
        length=start.length * (1 - v.shortening),
        left=walls[0],
        right=walls[1],
        bend=start.bend * 0.8,
    )


def follow_back(points: np.ndarray, start: Shape, end: Shape) -> np.ndarray:
    """Where tissue that stands at points of the end-systolic frame was at end-diastole.

    Parameters
    ----------
    points : ndarray, (…, 2) float
        (x, y) in pixels.
    start, end : Shape
        The cavity at end-diastole and at end-systole.

    Returns
    -------
    before : ndarray, (…, 2) float64
    """
    offset = points - end.apex
    along = offset @ end.down
    aside = offset @ end.across
    share = along / end.axis_length(aside)
    inner = np.clip(share, 0, 1)
    middle = aside - end.bend * np.sin(np.pi * inner)
    # Past the mitral plane both widths fade into one, so that the atria stay as they are.
    past = np.clip((share - 1) / _BEYOND, 0, 1)
    fade = 1 - past * past * (3 - 2 * past)
    now = end.half_width(share, middle)
    then = now + fade * (start.half_width(share, middle) - now)
    size = np.abs(middle)
    squeezed = size * np.divide(then, now, out=np.ones_like(now), where=now > 0)
    # Around the cavity area is kept: that is what thickens the wall.
    around = np.sqrt(np.maximum(size**2 + then**2 - now**2, 0))
    before = np.sign(middle) * np.where(size < now, squeezed, around)
    aside_before = before + start.bend * np.sin(np.pi * inner)
    stretch = start.axis_length(aside_before) - end.axis_length(aside)
    along_before = along + stretch * np.where(share < 1, inner, fade)
    return (
        start.apex + along_before[..., None] * start.down + aside_before[..., None] * start.across
    )
