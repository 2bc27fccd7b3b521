"""From landmarks to a contour; the area of contours; points in angular order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

SMALLEST_AREA = 4.0
"""Smallest plausible area of a traced ventricle, in square pixels."""

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
    """The curve, ``open-spline`` or ``polygon``, that rebuilds landmarks of an identity best.

    Only `anatomical` landmarks include the ends of the mitral plane, where a
    spline must stop; other landmarks are joined by straight lines.
    """
    return "open-spline" if identity == "anatomical" else "polygon"


def contour_from_landmarks(
    points: npt.ArrayLike, identity: str, curve: str | None = None
) -> np.ndarray:
    """Rebuild the closed contour of one frame from landmarks, (landmark, 2) float.

    Returns
    -------
    contour : ndarray, (point, 2) float64
        As `contours_from_landmarks`, without padding.
    """
    contour = contours_from_landmarks(np.asarray(points)[None], identity, curve)[0]
    return contour[~np.isnan(contour).any(axis=1)]


def contours_from_landmarks(
    points: npt.ArrayLike, identity: str, curve: str | None = None
) -> np.ndarray:
    """Rebuild closed contours from landmarks.

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
    points : array_like, (frame, landmark, 2) float
        (x, y) in pixels. Landmarks with a NaN are omitted.
    identity : str
        One of `echo_common.store.schema.IDENTITIES`.
    curve : str, optional
        ``open-spline`` or ``polygon``; by default `default_curve` of the identity.

    Returns
    -------
    contours : ndarray, (frame, point, 2) float64
        The vertices of each closed polygon in order. Rows of NaN are padding.
    """
    landmarks = np.asarray(points, dtype=np.float64)
    spline = (curve or default_curve(identity)) == "open-spline"
    length = landmarks.shape[1] + (SPLINE_POINTS if spline else 0)
    contours = np.full((len(landmarks), length, 2), np.nan)
    for frames, polygons in _without_nan(landmarks):
        if identity == "angle":
            polygons = np.take_along_axis(polygons, angular_order(polygons)[..., None], axis=1)
        if spline and identity != "anatomical":
            polygons = _open_at_longest_edge(polygons)
        if spline:
            polygons = _open_splines(polygons)
        contours[frames, : polygons.shape[1]] = polygons
    return contours


def _without_nan(landmarks: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Group frames by their number of landmarks without NaN.

    Yields
    ------
    frames : ndarray, (frame,) int64
    landmarks : ndarray, (frame, landmark, 2) float64
        Of these frames, in order and without NaN; at least one.
    """
    valid = np.logical_not(np.isnan(landmarks).any(axis=2))
    counts = valid.sum(axis=1)
    for count in np.unique(counts[counts > 0]):
        frames = np.flatnonzero(counts == count)
        yield frames, landmarks[frames][valid[frames]].reshape(len(frames), count, 2)


def _open_at_longest_edge(polygons: np.ndarray) -> np.ndarray:
    """Reorder the points of each polygon so that its longest edge is from the last to the first."""
    edges = np.linalg.norm(np.roll(polygons, -1, axis=1) - polygons, axis=2)
    count = polygons.shape[1]
    order = (np.argmax(edges, axis=1)[:, None] + 1 + np.arange(count)) % count
    return np.take_along_axis(polygons, order[..., None], axis=1)


def _open_splines(landmarks: np.ndarray) -> np.ndarray:
    """Join the landmarks of each frame, (frame, landmark, 2), without NaN, by an open spline."""
    frames, count = landmarks.shape[:2]
    splines = np.full((frames, count + SPLINE_POINTS, 2), np.nan)
    splines[:, :count] = landmarks
    # Landmarks at the position of their predecessor are omitted.
    distances = np.linalg.norm(np.diff(landmarks, axis=1), axis=2)
    splines[:, 1:count][distances == 0] = np.nan
    for rows, distinct in _without_nan(splines):
        if distinct.shape[1] >= 3:
            curves = _cubic_splines(distinct)
            splines[rows] = np.nan
            splines[rows, : curves.shape[1]] = curves
    return splines


def _cubic_splines(landmarks: np.ndarray) -> np.ndarray:
    """Sample the cubic splines through landmarks, with the not-a-knot condition at both ends.

    Parameters
    ----------
    landmarks : ndarray, (frame, landmark, 2) float64
        At least three, each distinct from its predecessor.

    Returns
    -------
    splines : ndarray, (frame, landmark + SPLINE_POINTS, 2) float64
        The landmarks, and `SPLINE_POINTS` points at equal steps of the curve's
        parameter, in order; a point that would be there twice is NaN.
    """
    # Centripetal parameters (square roots of the distances) keep the curve from
    # overshooting at close neighbours and sharp turns, as at the apex.
    steps = np.sqrt(np.linalg.norm(np.diff(landmarks, axis=1), axis=2))
    knots = np.concatenate([np.zeros((len(steps), 1)), np.cumsum(steps, axis=1)], axis=1)
    slopes = np.diff(landmarks, axis=1) / steps[..., None]
    tangents = _spline_tangents(steps, slopes)
    # Coefficients of each piece by powers of the distance from its first landmark.
    wide = steps[..., None]
    bend = (tangents[:, :-1] + tangents[:, 1:] - 2 * slopes) / wide
    pieces = np.stack(
        [
            landmarks[:, :-1],
            tangents[:, :-1],
            (slopes - tangents[:, :-1]) / wide - bend,
            bend / wide,
        ],
        axis=2,
    )
    # The landmarks themselves are also vertices, so that none is cut off.
    even = np.linspace(np.zeros(len(knots)), knots[:, -1], SPLINE_POINTS, axis=1)
    along = np.sort(np.concatenate([knots, even], axis=1), axis=1)
    piece = (along[..., None] >= knots[:, None, 1:-1]).sum(axis=2)
    beyond = (along - np.take_along_axis(knots, piece, axis=1))[..., None]
    constant, linear, square, cube = np.moveaxis(
        np.take_along_axis(pieces, piece[..., None, None], axis=1), 2, 0
    )
    splines = constant + beyond * (linear + beyond * (square + beyond * cube))
    splines[:, 1:][np.diff(along, axis=1) == 0] = np.nan
    return splines


def _spline_tangents(steps: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Solve for the derivatives of not-a-knot cubic splines at their knots.

    Parameters
    ----------
    steps : ndarray, (frame, piece) float64
        Distance of neighbouring knots; at least two.
    slopes : ndarray, (frame, piece, 2) float64
        Difference of the values at neighbouring knots, by their distance.

    Returns
    -------
    tangents : ndarray, (frame, piece + 1, 2) float64

    Notes
    -----
    de Boor: A Practical Guide to Splines, chapter IV. Three knots have one
    polynomial for both conditions, the parabola through them.
    """
    frames, count = steps.shape
    system = np.zeros((frames, count + 1, count + 1))
    right = np.zeros((frames, count + 1, 2))
    wide = steps[..., None]
    inner = np.arange(1, count)
    system[:, inner, inner - 1] = steps[:, 1:]
    system[:, inner, inner] = 2 * (steps[:, :-1] + steps[:, 1:])
    system[:, inner, inner + 1] = steps[:, :-1]
    right[:, 1:-1] = 3 * (wide[:, 1:] * slopes[:, :-1] + wide[:, :-1] * slopes[:, 1:])
    # The same condition at both ends, seen from each.
    for end, near, far in ((0, 0, 1), (-1, -1, -2)):
        if count == 2:
            system[:, end, [end, 1]] = 1
            right[:, end] = 2 * slopes[:, near]
            continue
        both = wide[:, near] + wide[:, far]
        system[:, end, end] = steps[:, far]
        system[:, end, far] = both[:, 0]
        right[:, end] = (
            (wide[:, near] + 2 * both) * wide[:, far] * slopes[:, near]
            + wide[:, near] ** 2 * slopes[:, far]
        ) / both
    return np.linalg.solve(system, right)
