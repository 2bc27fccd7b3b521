"""How n landmarks are chosen on a trace (the paper's section 3.6, and what repeats better).

Channel k of a landmark model can only learn what channel k means in every
frame. The paper keeps the smallest angles in order of angle, so that channel k
is another anatomical point each time; the anatomical choice names its points.
"""

from __future__ import annotations

import numpy as np
from echo_common.curves import angular_order
from echo_common.errors import SettingsError

from echo_prep.optimal import best_corners
from echo_prep.polygons import polygon


def choose_landmarks(
    long_axis: np.ndarray, contour: np.ndarray, method: str, identity: str, count: int
) -> np.ndarray:
    """Choose landmarks on the polygon that a method makes of a trace.

    - `anatomical`: from the end of the mitral plane on the image's left, up
      that wall to the apex, and down the other wall to the mitral plane's
      other end; the points between these three at equal arc length along each
      wall, the odd one on the left wall.
    - `uniform`: at equal arc length around the whole contour, from the apex
      and down the left wall.
    - `optimal`: the corners of the polygon that keeps most of the contour, by
      `echo_prep.optimal.best_corners`, in order around it like the anatomical
      ones; they are vertices of the method's polygon, or the middles of its
      longest edges where it has fewer vertices than landmarks are asked for.
    - `angle`: of all traced points, the long axis included, sorted about their
      mean, those with the smallest angle to their two neighbours, the smallest
      first (the paper's "optimal landmarks").

    Parameters
    ----------
    long_axis : ndarray, (2, 2) float
        Apex and middle of the mitral plane, (x, y) in pixels.
    contour : ndarray, (point, 2) float
        The ordered contour of the chords; rows of NaN are padding.
    method : str
        One of `echo_common.schema.METHODS`. The self-crossing polygon of
        `simplesort` has no walls; its landmarks are those of `chords`.
    identity : str
        One of `echo_common.schema.IDENTITIES`.
    count : int
        Number of landmarks, from 3 to the number of points.

    Returns
    -------
    landmarks : ndarray, (count, 2) float64

    Raises
    ------
    SettingsError
        If the identity is not known or the count is out of range.
    """
    ordered = np.asarray(contour, dtype=np.float64)
    ordered = ordered[~np.isnan(ordered).any(axis=1)]
    axis = np.asarray(long_axis, dtype=np.float64)
    if not 3 <= count <= len(ordered) + 2:
        raise SettingsError(
            f"{count} landmarks asked for: a contour needs at least 3, and a trace has "
            f"{len(ordered) + 2} points"
        )
    if identity == "angle":
        return _smallest_angles(np.concatenate([axis, ordered]), count)
    if identity not in ("anatomical", "uniform", "optimal"):
        raise SettingsError(f"no landmark identity {identity!r}")
    border = polygon(axis, ordered, "chords" if method == "simplesort" else method)
    middle = len(ordered) // 2
    bases = ordered[middle - 1], ordered[middle]
    left, right = bases if _is_left(bases[0], bases[1], axis) else bases[::-1]
    if identity == "optimal":
        walk = _Walk(border, start=left, first=axis[0], then=right)
        # Backwards, so that of two equal neighbours the first one of the walk is kept.
        ring = _divided(_distinct(walk.vertices[-2::-1])[::-1], count)
        return ring[best_corners(ring, count)]
    walk = _Walk(border, start=axis[0], first=left, then=right)
    if identity == "uniform":
        return walk.at(walk.length * np.arange(count) / count)
    left_at, right_at = walk.position(left), walk.position(right)
    between = count - 3
    left_wall = np.linspace(left_at, 0.0, between - between // 2 + 2)
    right_wall = np.linspace(walk.length, right_at, between // 2 + 2)
    return walk.at(np.concatenate([left_wall, right_wall[1:]]))


def _is_left(first: np.ndarray, second: np.ndarray, axis: np.ndarray) -> bool:
    # With the apex up, the first point is on the image's left where it lies to the right of
    # the direction from the apex to the base (y is down).
    down, across = axis[1] - axis[0], first - second
    return bool(down[0] * across[1] - down[1] * across[0] > 0)


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


class _Walk:
    """A walk once around a closed polygon, from one point of it, passing two others in order."""

    def __init__(
        self, border: np.ndarray, start: np.ndarray, first: np.ndarray, then: np.ndarray
    ) -> None:
        closed = _distinct(border)
        begin, edge = _nearest(closed, start)
        vertices = np.concatenate([[begin], closed[edge + 1 :], closed[: edge + 1], [begin]])
        self._use(vertices)
        if self.position(first) > self.position(then):
            self._use(vertices[::-1])

    def _use(self, vertices: np.ndarray) -> None:
        self.vertices = vertices
        steps = np.linalg.norm(np.diff(vertices, axis=0), axis=1)
        self.along = np.concatenate([[0.0], np.cumsum(steps)])
        self.length = float(self.along[-1])

    def position(self, point: np.ndarray) -> float:
        """Arc length, in pixels from the start, of the border's point nearest to a point."""
        foot, edge = _nearest(self.vertices[:-1], point)
        return float(self.along[edge] + np.linalg.norm(foot - self.vertices[edge]))

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Points at these arc lengths, (position, 2)."""
        return np.stack(
            [np.interp(positions, self.along, self.vertices[:, axis]) for axis in (0, 1)], axis=1
        )


def _distinct(border: np.ndarray) -> np.ndarray:
    moved = (border != np.concatenate([border[-1:], border[:-1]])).any(axis=1)
    return border[moved] if moved.any() else border[:1]


def _nearest(closed: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, int]:
    """The point of a closed polygon nearest to a point, and the edge that it lies on."""
    # Not np.roll, which takes longer than all else here.
    following = np.concatenate([closed[1:], closed[:1]])
    edges = following - closed
    squared = (edges**2).sum(axis=1)
    share = np.zeros(len(closed))
    np.divide(((point - closed) * edges).sum(axis=1), squared, out=share, where=squared > 0)
    feet = closed + np.clip(share, 0.0, 1.0)[:, None] * edges
    # A vertex is itself, to the last bit.
    feet[share >= 1] = following[share >= 1]
    edge = int(np.argmin(((feet - point) ** 2).sum(axis=1)))
    return feet[edge], edge
