"""Choosing n landmarks on a trace: as in the paper's section 3.6, and in more repeatable ways.

A landmark model learns a channel only if the channel means the same point in
every frame. The paper sorts the smallest angles by angle, so that a channel is
a different anatomical point in each frame; the anatomical choice is not.
"""

from __future__ import annotations

import numpy as np

from echo_common.errors import SettingsError
from echo_common.geometry.contours import angular_order
from echo_prep.geometry.arc_length import ClosedPaths
from echo_prep.geometry.polygon_approximation import best_corners
from echo_prep.geometry.polygons import polygons, same_sizes


def choose_landmarks(
    long_axis: np.ndarray, contour: np.ndarray, method: str, identity: str, count: int
) -> np.ndarray:
    """Choose landmarks on the polygon that a method makes of a trace, for one trace or many.

    - `anatomical`: from the end of the mitral plane on the image's left, up
      that wall to the apex, and down the other wall to the other end of the
      mitral plane. The points between these three are at equal arc length
      along each wall; if their number is odd, the left wall has one more.
    - `uniform`: at equal arc length around the whole contour, from the apex
      down the left wall.
    - `optimal`: the corners of the polygon with the least area between itself
      and the contour (`echo_prep.geometry.polygon_approximation`), in order
      like the anatomical ones. They are vertices of the method's polygon, or
      middles of its longest edges if it has too few vertices.
    - `angle`: the points with the smallest angle to their two neighbours among
      all traced points, the long axis included, sorted around their mean. The
      smallest angle is first (the paper's "optimal landmarks"); angles that are
      equal to six decimals of a radian are ties, in the order around the mean.

    Parameters
    ----------
    long_axis : ndarray, (…, 2, 2) float
        Apex and middle of the mitral plane, (x, y) in pixels.
    contour : ndarray, (…, point, 2) float
        Ordered ends of the chords; rows of NaN are padding.
    method : str
        One of `echo_common.store.schema.METHODS`. The polygon of `simplesort`
        crosses itself and has no walls; its landmarks are those of `chords`.
    identity : str
        One of `echo_common.store.schema.IDENTITIES`.
    count : int
        Number of landmarks, from 3 to the number of traced points.

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
                f"{count} landmarks requested: a contour needs at least 3, and a trace has "
                f"{size + 2} points"
            )
        landmarks[rows] = _choose(axes[rows], traced, method, identity, count)
    return landmarks.reshape(*np.shape(long_axis)[:-2], count, 2)


def _choose(
    axes: np.ndarray, contours: np.ndarray, method: str, identity: str, count: int
) -> np.ndarray:
    """Landmarks, (trace, landmark, 2), of contours with equal numbers of points."""
    if identity == "angle":
        points = np.concatenate([axes, contours], axis=1)
        return np.stack([_smallest_angles(trace, count) for trace in points])
    if identity not in ("anatomical", "uniform", "optimal"):
        raise SettingsError(f"no landmark identity {identity!r}")
    shape = "chords" if method == "simplesort" else method
    outlines = polygons(axes, contours, shape)
    left, right = _bases(axes, contours)
    apex = axes[:, 0]
    if identity == "optimal":
        paths = ClosedPaths(outlines, left, apex, right)
        rings = [_divide(vertices, count) for vertices in paths.vertices()]
        return np.stack([ring[best_corners(ring, count)] for ring in rings])
    paths = ClosedPaths(outlines, apex, left, right)
    if identity == "uniform":
        landmarks = paths.at(paths.length[:, None] * np.arange(count) / count)
        landmarks[:, 0] = paths.nearest[:, 0]
        return landmarks
    on_right = (count - 3) // 2
    at_apex = count - 2 - on_right
    left_at, right_at = paths.positions[:, 1], paths.positions[:, 2]
    up = np.linspace(left_at, 0.0, at_apex + 1, axis=1)
    down = np.linspace(paths.length, right_at, on_right + 2, axis=1)
    landmarks = paths.at(np.concatenate([up, down[:, 1:]], axis=1))
    # Exactly points of the contour, without rounding.
    landmarks[:, [at_apex, 0, -1]] = paths.nearest
    return landmarks


def _bases(axes: np.ndarray, contours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the mitral plane, (trace, 2) each: on the image's left, then on its right."""
    middle = contours.shape[1] // 2
    first, second = contours[:, middle - 1], contours[:, middle]
    # With the apex up and y down, the image's left is to the right of the direction from apex
    # to base.
    down, across = axes[:, 1] - axes[:, 0], first - second
    is_left = (down[:, 0] * across[:, 1] - down[:, 1] * across[:, 0] > 0)[:, None]
    return np.where(is_left, first, second), np.where(is_left, second, first)


def _smallest_angles(points: np.ndarray, count: int) -> np.ndarray:
    ordered = points[angular_order(points)]
    back = np.roll(ordered, 1, axis=0) - ordered
    ahead = np.roll(ordered, -1, axis=0) - ordered
    lengths = np.linalg.norm(back, axis=1) * np.linalg.norm(ahead, axis=1)
    # A duplicate point has no angle; it counts as straight, so that it is chosen last.
    cosine = np.full(len(ordered), -1.0)
    np.divide((back * ahead).sum(axis=1), lengths, out=cosine, where=lengths > 0)
    # Equal to six decimals, angles are ties, in the order around the mean, as in the paper's code.
    angles = np.arccos(np.clip(cosine, -1.0, 1.0)).round(6)
    return ordered[np.argsort(angles, kind="stable")[:count]]


def _divide(ring: np.ndarray, count: int) -> np.ndarray:
    """Halve the longest edges of a closed polygon until it has `count` vertices."""
    while len(ring) < count:
        following = np.roll(ring, -1, axis=0)
        longest = int(np.argmax(((following - ring) ** 2).sum(axis=1)))
        middle = (ring[longest] + following[longest]) / 2
        ring = np.insert(ring, longest + 1, middle, axis=0)
    return ring
