"""Volume of the left ventricle in one plane: the method of disks, and area-length."""

from __future__ import annotations

import math

import numpy as np

DISKS = 20
"""Disks of the method of disks, and chords of a trace."""


def disk_widths(contour: np.ndarray, long_axis: np.ndarray) -> np.ndarray:
    """Measure the widths of a contour in the middle of each disk, perpendicular to the long axis.

    Parameters
    ----------
    contour : ndarray, (point, 2) float
        Closed polygon of (x, y) in pixels, without padding.
    long_axis : ndarray, (2, 2) float
        Apex, middle of the mitral plane.

    Returns
    -------
    widths : ndarray, (DISKS,) float64
        From apex to base, in pixels. If a line crosses the contour more than twice, only the
        parts inside count.
    """
    length = math.dist(*long_axis)
    if length == 0:
        return np.zeros(DISKS)
    down = (long_axis[1] - long_axis[0]) / length
    along = (contour - long_axis[0]) @ down
    across = (contour - long_axis[0]) @ np.array([down[1], -down[0]])
    next_along, next_across = np.roll(along, -1), np.roll(across, -1)
    heights = length * (np.arange(DISKS)[:, None] + 0.5) / DISKS
    # Half-open edges: a vertex on a line belongs to one of its two edges, or to both or neither.
    disk, edge = np.nonzero((along <= heights) != (next_along <= heights))
    share = (heights[disk, 0] - along[edge]) / (next_along[edge] - along[edge])
    crossings = across[edge] + share * (next_across[edge] - across[edge])
    # By disk, then by position: each line enters and leaves the contour alternately.
    crossings = crossings[np.lexsort((crossings, disk))]
    parts = crossings[1::2] - crossings[::2]
    return np.bincount(disk[::2], weights=parts, minlength=DISKS)


def disk_volume(widths: np.ndarray, length: np.ndarray | float) -> np.ndarray:
    """Volume by the single-plane method of disks, ``π / 4 · length / 20 · Σ width²``.

    The ventricle is a stack of 20 circular disks of equal height.

    Parameters
    ----------
    widths : ndarray, (…, DISKS) float
        Diameters of the disks, which are the lengths of a trace's chords.
    length : ndarray, (…) float, or float
        Of the long axis, in the same unit.

    Returns
    -------
    volume : ndarray, (…) float64
        In the unit's cube.
    """
    return np.asarray(np.pi / 4 * (widths**2).sum(axis=-1) * length / DISKS)


def area_length_volume(area: np.ndarray | float, length: np.ndarray | float) -> np.ndarray:
    """Volume by the area-length method, ``8 · area² / (3π · length)``; NaN for a length of 0.

    It is exact for an ellipsoid, and for half of one. Shapes are those of `disk_volume`.
    """
    area, length = np.broadcast_arrays(np.asarray(area, float), np.asarray(length, float))
    unknown = np.full(length.shape, np.nan)
    return np.divide(8 * area**2, 3 * np.pi * length, out=unknown, where=length > 0)


def trace_volume(long_axis: np.ndarray, contour: np.ndarray) -> np.ndarray:
    """Volume of traces that consist of a long axis and 20 chords; see `disk_volume`.

    Parameters
    ----------
    long_axis : ndarray, (…, 2, 2) float
        Apex, middle of the mitral plane.
    contour : ndarray, (…, point, 2) float
        As a store holds it: 20 ends of chords from apex to base, then the 20 other ends from base
        to apex.

    Returns
    -------
    volume : ndarray, (…) float64
        NaN for a trace that does not have exactly 20 chords.
    """
    points = np.asarray(contour, dtype=np.float64)
    counts = (~np.isnan(points).any(axis=-1)).sum(axis=-1)
    if points.shape[-2] < 2 * DISKS:
        return np.full(counts.shape, np.nan)
    chords = points[..., :DISKS, :] - points[..., 2 * DISKS - 1 : DISKS - 1 : -1, :]
    axis = np.diff(np.asarray(long_axis, dtype=np.float64), axis=-2)[..., 0, :]
    volume = disk_volume(np.linalg.norm(chords, axis=-1), np.linalg.norm(axis, axis=-1))
    return np.where(counts == 2 * DISKS, volume, np.nan)


def millilitres(volume: np.ndarray | float, mm_per_px: float) -> np.ndarray:
    """Convert cubic pixels to millilitres."""
    return np.asarray(volume * mm_per_px**3 / 1000)
