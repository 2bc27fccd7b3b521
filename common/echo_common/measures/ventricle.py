"""Area, length and volume of the ventricle in each frame, from its contours."""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_common.geometry.contours import shoelace_area
from echo_common.measures.disks import (
    area_length_volume,
    disk_volume,
    disk_widths,
    trace_volume,
)
from echo_common.measures.long_axis import axis_points


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measures:
    """Measures of the ventricle in the frames of a clip; NaN in a frame without a contour.

    Attributes
    ----------
    area : ndarray, (frame,) float64
        Inside the contour, in square pixels.
    length : ndarray, (frame,) float64
        Of the long axis, from the apex to the middle of the mitral plane, in pixels.
    volume : ndarray, (frame,) float64
        By the method of disks, in cubic pixels.
    area_length : ndarray, (frame,) float64
        Volume by the area-length method, in cubic pixels.
    wall : ndarray, (frame,) float64
        Length of the contour without the mitral plane, in pixels.
    points : ndarray, (frame, 3, 2) float64
        Apex and the ends of the mitral plane, from `axis_points`.
    """

    area: np.ndarray
    length: np.ndarray
    volume: np.ndarray
    area_length: np.ndarray
    wall: np.ndarray
    points: np.ndarray


def measure_contours(contours: np.ndarray, points: np.ndarray | None = None) -> Measures:
    """Measure the contours of a clip.

    Parameters
    ----------
    contours : ndarray, (frame, point, 2) float
        Closed polygons of (x, y) in pixels; rows of NaN are padding, and a frame of them has no
        contour.
    points : ndarray, (frame, 3, 2) float, optional
        Apex and the ends of the mitral plane; by default, from `axis_points`.
    """
    if points is None:
        points = axis_points(list(contours))
    area, length, volume, wall = np.full((4, len(contours)), np.nan)
    for frame, (padded, (apex, left, right)) in enumerate(zip(contours, points, strict=True)):
        contour = padded[~np.isnan(padded).any(axis=1)]
        axis = np.stack([apex, (left + right) / 2])
        if len(contour) < 3 or np.isnan(axis).any():
            continue
        area[frame] = shoelace_area(contour)
        length[frame] = np.linalg.norm(axis[1] - axis[0])
        volume[frame] = disk_volume(disk_widths(contour, axis), length[frame])
        wall[frame] = _wall_length(contour, points[frame])
    return Measures(
        area=area,
        length=length,
        volume=volume,
        area_length=area_length_volume(area, length),
        wall=wall,
        points=points,
    )


def measure_traces(long_axis: np.ndarray, contour: np.ndarray) -> Measures:
    """Measure traces by their own long axis, and by their chords if they have twenty.

    Parameters
    ----------
    long_axis : ndarray, (trace, 2, 2) float
        Apex, middle of the mitral plane.
    contour : ndarray, (trace, point, 2) float
        Closed polygons; rows of NaN are padding.

    Returns
    -------
    measures : Measures
        The ends of the mitral plane are not known: `wall` is NaN.
    """
    axis = np.asarray(long_axis, dtype=np.float64)
    measures = measure_contours(np.asarray(contour, dtype=np.float64), axis[:, [0, 1, 1]])
    chords = trace_volume(axis, contour)
    return dataclasses.replace(
        measures,
        volume=np.where(np.isnan(chords), measures.volume, chords),
        wall=np.full(len(chords), np.nan),
    )


def _wall_length(contour: np.ndarray, points: np.ndarray) -> float:
    """Length of a contour from one end of the mitral plane over the apex to the other."""
    apex, left, right = (int(np.argmin(np.linalg.norm(contour - end, axis=1))) for end in points)
    count = len(contour)
    if (apex - left) % count > (right - left) % count:
        left, right = right, left
    path = np.take(contour, left + np.arange((right - left) % count + 1), axis=0, mode="wrap")
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


def ejection_fraction(edv: np.ndarray, esv: np.ndarray) -> np.ndarray:
    """Ejection fraction in per cent, ``100 (EDV - ESV) / EDV``; the unit of the volumes cancels."""
    return _percent_lost(edv, esv)


def fractional_area_change(ed_area: np.ndarray, es_area: np.ndarray) -> np.ndarray:
    """Fractional area change in per cent, ``100 (A_ED - A_ES) / A_ED``."""
    return _percent_lost(ed_area, es_area)


def longitudinal_strain(ed_wall: np.ndarray, es_wall: np.ndarray) -> np.ndarray:
    """Global longitudinal strain of the contour in per cent, ``100 (L_ES - L_ED) / L_ED``.

    It is negative for a wall that shortens. The wall is the endocardial contour without the mitral
    plane; strain by speckle tracking follows tissue and may differ.
    """
    return -_percent_lost(ed_wall, es_wall)


def corrected_volume(volume: np.ndarray, edv: np.ndarray, exponent: float) -> np.ndarray:
    """Correct volumes of a model that finds too little contraction, ``EDV (V / EDV)^exponent``.

    End-diastolic volumes, and so ejection fractions of 0, stay; an exponent of 1 changes nothing.
    """
    return np.asarray(edv * (volume / edv) ** exponent)


def _percent_lost(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    before, after = np.broadcast_arrays(np.asarray(before, float), np.asarray(after, float))
    lost = np.full(before.shape, np.nan)
    return np.divide(100 * (before - after), before, out=lost, where=before > 0)
