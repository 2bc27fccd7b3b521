"""How n landmarks are chosen on a trace (the paper's section 3.6, and what repeats better).

Channel k of a landmark model can only learn what channel k means in every
frame. The paper keeps the smallest angles in order of angle, so that channel k
is another anatomical point each time; the anatomical choice names its points.
"""

from __future__ import annotations

import numpy as np

from echo_common.errors import SettingsError
from echo_common.geometry.contours import angular_order
from echo_prep.geometry.arc_length import Walks
from echo_prep.geometry.polygon_approximation import best_corners
from echo_prep.geometry.polygons import polygons, same_sizes


def choose_landmarks(
    long_axis: np.ndarray, contour: np.ndarray, method: str, identity: str, count: int
) -> np.ndarray:
    """Choose landmarks on the polygon that a method makes of a trace, of one or of many.

    - `anatomical`: from the end of the mitral plane on the image's left, up
      that wall to the apex, and down the other wall to the mitral plane's
      other end; the points between these three at equal arc length along each
      wall, the odd one on the left wall.
    - `uniform`: at equal arc length around the whole contour, from the apex
      and down the left wall.
    - `optimal`: the corners of the polygon that keeps most of the contour, by
      `echo_prep.geometry.polygon_approximation.best_corners`, in order around it like the
      anatomical ones; they are vertices of the method's polygon, or the middles of its
      longest edges where it has fewer vertices than landmarks are asked for.
    - `angle`: of all traced points, the long axis included, sorted about their
      mean, those with the smallest angle to their two neighbours, the smallest
      first (the paper's "optimal landmarks").

    Parameters
    ----------
    long_axis : ndarray, (…, 2, 2) float
        Apex and middle of the mitral plane, (x, y) in pixels.
    contour : ndarray, (…, point, 2) float
        The ordered contour of the chords; rows of NaN are padding.
    method : str
        One of `echo_common.store.schema.METHODS`. The self-crossing polygon of
        `simplesort` has no walls; its landmarks are those of `chords`.
    identity : str
        One of `echo_common.store.schema.IDENTITIES`.
    count : int
        Number of landmarks, from 3 to the number of points.

    Returns
    -------
    landmarks : ndarray, (…, count, 2) float64

    Raises
    ------
    SettingsError
        If the identity is not known or the count is out of range.
    """
    axes = np.asarray(long_axis, dtype=np.float64).reshape(-1, 2, 2)
    contours = np.asarray(contour, dtype=np.float64)
    contours = contours.reshape(-1, *contours.shape[-2:])
    landmarks = np.empty((len(axes), max(count, 0), 2))
    for rows, traced in same_sizes(contours):
        size = traced.shape[1]
        if not 3 <= count <= size + 2:
            raise SettingsError(
                f"{count} landmarks asked for: a contour needs at least 3, and a trace has "
                f"{size + 2} points"
            )
        landmarks[rows] = _choose(axes[rows], traced, method, identity, count)
    return landmarks.reshape(*np.shape(long_axis)[:-2], count, 2)


def _choose(
    axes: np.ndarray, contours: np.ndarray, method: str, identity: str, count: int
) -> np.ndarray:
    """Landmarks, (trace, landmark, 2), of contours of as many points, (trace, point, 2)."""
    if identity == "angle":
        points = np.concatenate([axes, contours], axis=1)
        return np.stack([_smallest_angles(one, count) for one in points])
    if identity not in ("anatomical", "uniform", "optimal"):
        raise SettingsError(f"no landmark identity {identity!r}")
    shape = "chords" if method == "simplesort" else method
    borders = polygons(axes, contours, shape)
    left, right = _bases(axes, contours)
    apex = axes[:, 0]
    if identity == "optimal":
        rings = [_divided(ring, count) for ring in Walks(borders, left, apex, right).rings()]
        return np.stack([ring[best_corners(ring, count)] for ring in rings])
    walks = Walks(borders, apex, left, right)
    if identity == "uniform":
        landmarks = walks.at(walks.length[:, None] * np.arange(count) / count)
        landmarks[:, 0] = walks.feet[:, 0]
        return landmarks
    on_right = (count - 3) // 2
    at_apex = count - 2 - on_right
    left_at, right_at = walks.positions[:, 1], walks.positions[:, 2]
    up = np.linspace(left_at, 0.0, at_apex + 1, axis=1)
    down = np.linspace(walks.length, right_at, on_right + 2, axis=1)
    landmarks = walks.at(np.concatenate([up, down[:, 1:]], axis=1))
    # These are the border's own points, to the last bit.
    landmarks[:, [at_apex, 0, -1]] = walks.feet
    return landmarks


def _bases(axes: np.ndarray, contours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the mitral plane, (trace, 2) each, the one on the image's left first."""
    middle = contours.shape[1] // 2
    one, other = contours[:, middle - 1], contours[:, middle]
    # With the apex up, the first point is on the image's left where it lies to the right of
    # the direction from the apex to the base (y is down).
    down, across = axes[:, 1] - axes[:, 0], one - other
    is_left = (down[:, 0] * across[:, 1] - down[:, 1] * across[:, 0] > 0)[:, None]
    return np.where(is_left, one, other), np.where(is_left, other, one)


def _smallest_angles(points: np.ndarray, count: int) -> np.ndarray:
    around = points[angular_order(points)]
    back = np.roll(around, 1, axis=0) - around
    ahead = np.roll(around, -1, axis=0) - around
    lengths = np.linalg.norm(back, axis=1) * np.linalg.norm(ahead, axis=1)
    # A doubled point has no angle; call it straight, so that it is chosen last.
    cosine = np.full(len(around), -1.0)
    np.divide((back * ahead).sum(axis=1), lengths, out=cosine, where=lengths > 0)
    return around[np.argsort(np.arccos(np.clip(cosine, -1.0, 1.0)), kind="stable")[:count]]


def _divided(ring: np.ndarray, count: int) -> np.ndarray:
    """Halve the longest edges of a closed polygon until it has so many vertices."""
    while len(ring) < count:
        following = np.roll(ring, -1, axis=0)
        longest = int(np.argmax(((following - ring) ** 2).sum(axis=1)))
        middle = (ring[longest] + following[longest]) / 2
        ring = np.insert(ring, longest + 1, middle, axis=0)
    return ring
