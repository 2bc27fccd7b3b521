"""From landmarks to a contour; the area of contours; points in angular order."""

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
        (x, y) in order around the polygon, in either direction.

    Examples
    --------
    >>> shoelace_area([[0, 0], [4, 0], [4, 3]])
    6.0
    """
    return float(shoelace_areas(contour))


def shoelace_areas(contours: npt.ArrayLike) -> np.ndarray:
    """Areas in square pixels of closed polygons with equal numbers of points.

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
    """Indices that sort points by angle around their mean (the paper's centroid method).

    Parameters
    ----------
    points : array_like, (…, point, 2) float

    Returns
    -------
    order : ndarray, (…, point) int64
        Clockwise on the screen (y is down) from the left; points with the
        same angle keep their order.
    """
    values = np.asarray(points, dtype=np.float64)
    offsets = values - values.mean(axis=-2, keepdims=True)
    return np.argsort(np.arctan2(offsets[..., 1], offsets[..., 0]), axis=-1, kind="stable")


def default_curve(identity: str) -> str:
    """The curve of `CURVES` that rebuilds landmarks of an identity best.

    Only `anatomical` landmarks include the ends of the mitral plane, where a
    spline must stop; other landmarks are joined by straight lines.
    """
    return "open-spline" if identity == "anatomical" else "polygon"


def contour_from_landmarks(
    points: npt.ArrayLike, identity: str, curve: str | None = None
) -> np.ndarray:
    """Rebuild a closed contour from landmarks.

    `anatomical` landmarks run from one end of the mitral plane along one wall
    to the apex and back along the other; `uniform` and `optimal` landmarks are
    in order around the contour; `angle` landmarks are in no order and are
    first sorted by angle around their mean. Then they are joined:

    - `polygon`: by straight lines.
    - `open-spline`: by a cubic spline along the walls and the apex, open at
      the mitral plane, a straight line that closes the polygon (a closed spline
      would round off the mitral corners). For identities other than
      `anatomical` the plane is the longest edge between neighbours.

    Parameters
    ----------
    points : array_like, (landmark, 2) float
        (x, y) in pixels. Landmarks with a NaN are omitted.
    identity : str
        One of `echo_common.store.schema.IDENTITIES`.
    curve : str, optional
        One of `CURVES`; by default `default_curve` of the identity.

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
    # Imported here because it takes half a second and only this function needs it.
    from scipy.interpolate import CubicSpline

    # Centripetal parameters (square roots of the distances) keep the curve from
    # overshooting at close neighbours and sharp turns, as at the apex.
    steps = np.sqrt(np.linalg.norm(np.diff(landmarks, axis=0), axis=1))
    distinct = np.concatenate([[True], steps > 0])[: len(landmarks)]
    landmarks, steps = landmarks[distinct], steps[steps > 0]
    if len(landmarks) < 3:
        return landmarks
    along = np.concatenate([[0.0], np.cumsum(steps)])
    spline = CubicSpline(along, landmarks, bc_type="not-a-knot")
    # The landmarks themselves are also vertices, so that none is cut off.
    dense = np.union1d(along, np.linspace(0.0, along[-1], SPLINE_POINTS))
    return np.asarray(spline(dense))
