"""From landmarks back to a contour, and the measures of a contour that both sides need."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CURVES = ("open-spline", "polygon")
"""How landmarks are joined to a contour."""

SPLINE_POINTS = 64
"""Points of a rebuilt spline: under 3 px apart on a ventricle that fills the frame."""


def shoelace_area(contour: npt.ArrayLike) -> float:
    """Area of a closed polygon in square pixels, by the shoelace formula.

    Parameters
    ----------
    contour : array_like, (point, 2) float
        (x, y) in order around the polygon, either way round.

    Examples
    --------
    >>> shoelace_area([[0, 0], [4, 0], [4, 3]])
    6.0
    """
    return float(shoelace_areas(contour))


def shoelace_areas(contours: npt.ArrayLike) -> np.ndarray:
    """Area of each of many closed polygons of as many points, in square pixels.

    Parameters
    ----------
    contours : array_like, (…, point, 2) float

    Returns
    -------
    areas : ndarray, (…) float64
    """
    points = np.asarray(contours, dtype=np.float64)
    following = np.roll(points, -1, axis=-2)
    cross = points[..., 0] * following[..., 1] - points[..., 1] * following[..., 0]
    return np.abs(cross.sum(axis=-1)) / 2


def angular_order(points: npt.ArrayLike) -> np.ndarray:
    """Indices that sort points by their angle about their mean (the paper's centroid method).

    Parameters
    ----------
    points : array_like, (…, point, 2) float

    Returns
    -------
    order : ndarray, (…, point) int64
        Clockwise on the screen (y is down) from the image's left; points of
        the same angle keep their order.
    """
    values = np.asarray(points, dtype=np.float64)
    offsets = values - values.mean(axis=-2, keepdims=True)
    return np.argsort(np.arctan2(offsets[..., 1], offsets[..., 0]), axis=-1, kind="stable")


def default_curve(identity: str) -> str:
    """The curve of `CURVES` that rebuilds an identity's landmarks best.

    Only `anatomical` landmarks say where the mitral plane is, at whose ends a
    spline must stop; the others are joined by straight lines.
    """
    return "open-spline" if identity == "anatomical" else "polygon"


def contour_from_landmarks(
    points: npt.ArrayLike, identity: str, curve: str | None = None
) -> np.ndarray:
    """Rebuild the closed contour that landmarks stand for.

    `anatomical` landmarks run from one end of the mitral plane along one wall
    to the apex and back along the other; `uniform` and `optimal` landmarks are
    in order around the contour, `angle` landmarks in none, so these are sorted
    about their mean first. Then they are joined:

    - `polygon`: by straight lines.
    - `open-spline`: by a cubic spline along the walls and the apex, open at
      the mitral plane, which is the straight line that closes the polygon (a
      closed spline would round off the mitral corners). Where no landmark
      names the plane, it is the longest of the straight lines.

    Parameters
    ----------
    points : array_like, (landmark, 2) float
        (x, y) in pixels. Landmarks with a NaN are left out.
    identity : str
        One of `echo_common.store.schema.IDENTITIES`.
    curve : str, optional
        One of `CURVES`; that of `default_curve` where it is left out.

    Returns
    -------
    contour : ndarray, (point, 2) float64
        The vertices of the closed polygon in order.
    """
    landmarks = np.asarray(points, dtype=np.float64)
    landmarks = landmarks[~np.isnan(landmarks).any(axis=1)]
    if identity == "angle" and len(landmarks):
        landmarks = landmarks[angular_order(landmarks)]
    if (curve or default_curve(identity)) == "polygon":
        return landmarks
    if identity != "anatomical" and len(landmarks):
        edges = np.linalg.norm(np.roll(landmarks, -1, axis=0) - landmarks, axis=1)
        landmarks = np.roll(landmarks, -(int(np.argmax(edges)) + 1), axis=0)
    return _open_spline(landmarks)


def _open_spline(landmarks: np.ndarray) -> np.ndarray:
    # Imported where used: it takes half a second, and only what rebuilds contours needs it.
    from scipy.interpolate import CubicSpline

    # Centripetal parameters (square roots of the distances) keep the curve from
    # overshooting where neighbours are close together and turn sharply, as at the apex.
    steps = np.sqrt(np.linalg.norm(np.diff(landmarks, axis=0), axis=1))
    distinct = np.concatenate([[True], steps > 0])[: len(landmarks)]
    landmarks, steps = landmarks[distinct], steps[steps > 0]
    if len(landmarks) < 3:
        return landmarks
    along = np.concatenate([[0.0], np.cumsum(steps)])
    spline = CubicSpline(along, landmarks, bc_type="not-a-knot")
    # The landmarks themselves are vertices too, so that none is cut off.
    dense = np.union1d(along, np.linspace(0.0, along[-1], SPLINE_POINTS))
    return np.asarray(spline(dense))
