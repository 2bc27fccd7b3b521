"""Shape of the left ventricle, and how tissue moves between end-diastole and end-systole.

A point near the ventricle has two coordinates: its fraction of the long axis
from the apex (0) to the mitral plane (1), and its distance from the axis,
negative towards the left of the image (the septum). Both shapes of a study
use these coordinates, so every point of tissue can be followed from one shape
to the other. The cavity shrinks; the wall around it keeps its area, as muscle
does, and so becomes thicker.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_prep.synth.phantom.study import Ventricle

WALL_POINTS = 48
"""Points along each wall of a contour."""

_BEYOND = 0.6
"""How far the motion reaches past the mitral plane into the atria, in lengths of the ventricle."""


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
    left, right : ndarray, (fraction,) float64
        Half-widths towards each wall at `FRACTIONS` of the long axis, in pixels.
    bend, plane_tilt, thickening : float
        As in `echo_prep.synth.phantom.study.Ventricle`.
    """

    apex: np.ndarray
    tilt: float
    length: float
    left: np.ndarray
    right: np.ndarray
    bend: float
    plane_tilt: float
    thickening: float = 0.0

    @property
    def down(self) -> np.ndarray:
        """Unit vector from the apex to the base."""
        return np.array([np.sin(self.tilt), np.cos(self.tilt)])

    @property
    def across(self) -> np.ndarray:
        """Unit vector perpendicular to the long axis, towards the right of the image."""
        return np.array([np.cos(self.tilt), -np.sin(self.tilt)])

    def half_width(self, fraction: np.ndarray, side: np.ndarray) -> np.ndarray:
        """Half-width on the left (`side` < 0) or right of the long axis; 0 above the apex."""
        clipped = np.clip(fraction, 0, 1)
        left = np.interp(clipped, FRACTIONS, self.left)
        return np.where(side < 0, left, np.interp(clipped, FRACTIONS, self.right)) * (fraction > 0)

    def axis_length(self, sideways: np.ndarray) -> np.ndarray:
        """Length in pixels at a distance from the axis; it varies because the plane is tilted."""
        reach = 0.5 * (self.left[-1] + self.right[-1])
        return self.length * (1 + self.plane_tilt * np.clip(sideways / reach, -1, 1))

    def to_frame(self, fraction: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Points in pixels, (…, 2), for fractions of the bent long axis and offsets from it."""
        sideways = offset + self.bend * np.sin(np.pi * np.clip(fraction, 0, 1))
        along = fraction * self.axis_length(sideways)
        return self.apex + along[..., None] * self.down + sideways[..., None] * self.across

    def contour(self) -> np.ndarray:
        """From the apex down the left wall and back up the right one, (2 * WALL_POINTS, 2)."""
        # Points are denser near the apex, where the wall curves most.
        fractions = np.linspace(0, 1, WALL_POINTS) ** 1.6
        left = self.to_frame(fractions, -self.half_width(fractions, np.array(-1)))
        right = self.to_frame(fractions, self.half_width(fractions, np.array(1)))
        return np.concatenate([left, right[::-1]])


FRACTIONS = np.linspace(0, 1, 129) ** 2
"""Fractions of the long axis at which half-widths are stored; denser near the apex."""


def end_diastolic_shape(ventricle: Ventricle) -> Shape:
    """The cavity at end-diastole."""
    v = ventricle
    rise = 1 - np.clip(1 - FRACTIONS / v.widest, 0, 1) ** v.power
    apical = np.clip(rise, 0, 1) ** (1 / v.power)
    basal = 1 - (1 - v.narrowing) * (np.clip(FRACTIONS - v.widest, 0, 1) / (1 - v.widest)) ** 2
    profile = 0.5 * v.width * apical * basal
    walls = []
    for bumps in (v.bumps[:3], v.bumps[3:]):
        waves = sum(
            bump * np.sin(np.pi * (number + 1) * FRACTIONS) for number, bump in enumerate(bumps)
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
        thickening=v.thickening,
    )


def end_systolic_shape(ventricle: Ventricle, diastole: Shape) -> Shape:
    """The cavity at end-systole: the end-diastolic shape, contracted."""
    v = ventricle
    squeeze = np.sqrt((1 - v.ejection) / (1 - v.shortening))
    walls = []
    for number, (side, wall) in enumerate(((-1.0, diastole.left), (1.0, diastole.right))):
        loss = np.zeros_like(FRACTIONS)
        if side == v.weak_wall[0]:
            loss = v.weak_wall[3] * np.exp(-(((FRACTIONS - v.weak_wall[1]) / v.weak_wall[2]) ** 2))
        # The middle of a healthy ventricle contracts slightly more than its base.
        wave = 0.06 * np.sin(np.pi * FRACTIONS) * (1 - squeeze)
        wall = wall * (1 - (1 - squeeze) * (1 - loss) - wave)
        if v.merging:
            centre, extent, part = v.merging[number]
            wall = wall * (1 - part * np.exp(-(((FRACTIONS - centre) / extent) ** 2)))
        walls.append(wall)
    return dataclasses.replace(
        diastole,
        length=diastole.length * (1 - v.shortening),
        left=walls[0],
        right=walls[1],
        bend=diastole.bend * 0.8,
    )


def map_to_diastole(points: np.ndarray, diastole: Shape, systole: Shape) -> np.ndarray:
    """Find where the tissue at points of the end-systolic frame was at end-diastole.

    Parameters
    ----------
    points : ndarray, (…, 2) float
        (x, y) in pixels.
    diastole, systole : Shape
        The cavity at end-diastole and at end-systole.

    Returns
    -------
    mapped : ndarray, (…, 2) float64
    """
    from_apex = points - systole.apex
    along = from_apex @ systole.down
    sideways = from_apex @ systole.across
    fraction = along / systole.axis_length(sideways)
    clipped = np.clip(fraction, 0, 1)
    offset = sideways - systole.bend * np.sin(np.pi * clipped)
    # Past the mitral plane the motion fades out, so the atria stay as they are.
    past = np.clip((fraction - 1) / _BEYOND, 0, 1)
    fade = 1 - past * past * (3 - 2 * past)
    narrow = systole.half_width(fraction, offset)
    wide = narrow + fade * (diastole.half_width(fraction, offset) - narrow)
    distance = np.abs(offset)
    stretched = distance * np.divide(wide, narrow, out=np.ones_like(narrow), where=narrow > 0)
    if systole.thickening:
        depth = np.divide(distance, narrow, out=np.ones_like(narrow), where=narrow > 0)
        stretched *= np.clip(depth, 1e-3, 1) ** (_layer_power(narrow, wide, systole) - 1)
    # Outside the cavity area is preserved, which makes the wall thicker in systole.
    outside = np.sqrt(np.maximum(distance**2 + wide**2 - narrow**2, 0))
    mapped_offset = np.sign(offset) * np.where(distance < narrow, stretched, outside)
    mapped_sideways = mapped_offset + diastole.bend * np.sin(np.pi * clipped)
    lengthening = diastole.axis_length(mapped_sideways) - systole.axis_length(sideways)
    mapped_along = along + lengthening * np.where(fraction < 1, clipped, fade)
    return (
        diastole.apex
        + mapped_along[..., None] * diastole.down
        + mapped_sideways[..., None] * diastole.across
    )


def map_to_systole(points: np.ndarray, diastole: Shape, systole: Shape) -> np.ndarray:
    """Find where the tissue at points of the end-diastolic frame is at end-systole.

    The inverse of `map_to_diastole` between the apex and the mitral plane, and nearly so next
    to them. Parameters and result are those of `map_to_diastole`.
    """
    from_apex = points - diastole.apex
    sideways = from_apex @ diastole.across
    fraction = from_apex @ diastole.down / diastole.axis_length(sideways)
    offset = sideways - diastole.bend * np.sin(np.pi * np.clip(fraction, 0, 1))
    wide = diastole.half_width(fraction, offset)
    narrow = systole.half_width(fraction, offset)
    distance = np.abs(offset)
    depth = np.clip(np.divide(distance, wide, out=np.ones_like(wide), where=wide > 0), 0, 1)
    inside = narrow * depth ** (1 / _layer_power(narrow, wide, systole))
    outside = np.sqrt(np.maximum(distance**2 - wide**2 + narrow**2, 0))
    return systole.to_frame(fraction, np.sign(offset) * np.where(distance < wide, inside, outside))


def _layer_power(narrow: np.ndarray, wide: np.ndarray, systole: Shape) -> np.ndarray:
    """Exponent by which depths in the cavity, as fractions of its half-width, change in systole."""
    ratio = np.divide(narrow, wide, out=np.ones_like(wide), where=wide > 0)
    return np.asarray(ratio**systole.thickening)
