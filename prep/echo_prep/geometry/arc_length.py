"""Walks around closed polygons, many at once: a data set has twenty thousand traces.

Each step is one NumPy call for all polygons. One by one, such calls on forty
points take longer than anything else in the making of landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Walks:
    """Walks once around closed polygons, from a point of each, passing two others in order.

    Parameters
    ----------
    borders : sequence of ndarray, (vertex, 2) float64
        The polygons; they may have different numbers of vertices.
    start, first, then : ndarray, (polygon, 2) float64
        The walk begins at the border's point nearest to `start`, and goes in the
        direction in which it comes to `first` before `then`.

    Attributes
    ----------
    length : ndarray, (polygon,) float64
        Of the whole way around, in pixels.
    feet : ndarray, (polygon, 3, 2) float64
        The border's points nearest to `start`, `first` and `then`.
    positions : ndarray, (polygon, 3) float64
        How far along the walk these are, in pixels; 0 for `start`.
    """

    def __init__(
        self,
        borders: Sequence[np.ndarray],
        start: np.ndarray,
        first: np.ndarray,
        then: np.ndarray,
    ) -> None:
        self._vertices = _even(borders)
        edges = np.concatenate([self._vertices[:, 1:], self._vertices[:, :1]], axis=1)
        edges -= self._vertices
        self._edges = edges
        self._steps = np.sqrt((edges**2).sum(axis=2))
        ends = np.cumsum(self._steps, axis=1)
        self._begins = ends - self._steps
        self.length = ends[:, -1]
        self.feet, self._on = self._nearest(np.stack([start, first, then], axis=1))
        row = np.arange(len(self._vertices))[:, None]
        beyond = np.sqrt(((self.feet - self._vertices[row, self._on]) ** 2).sum(axis=2))
        along = self._begins[row, self._on] + beyond
        self._origin = along[:, :1]
        ahead = _around(along - self._origin, self.length)
        self._backwards = ahead[:, 1] > ahead[:, 2]
        self.positions = np.where(self._backwards[:, None], _around(-ahead, self.length), ahead)

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Points of each walk.

        Parameters
        ----------
        positions : ndarray, (polygon, point) float64
            In pixels along the walk.

        Returns
        -------
        points : ndarray, (polygon, point, 2) float64
        """
        sign = np.where(self._backwards, -1.0, 1.0)[:, None]
        along = _around(self._origin + sign * positions, self.length)
        row = np.arange(len(along))[:, None]
        on = (self._begins[:, None, :] <= along[:, :, None]).sum(axis=2) - 1
        steps = self._steps[row, on]
        share = np.zeros_like(along)
        np.divide(along - self._begins[row, on], steps, out=share, where=steps > 0)
        share = np.minimum(share, 1.0)[..., None]
        return self._vertices[row, on] + share * self._edges[row, on]

    def rings(self) -> list[np.ndarray]:
        """Vertices of each polygon in the order of its walk, its start before them, none twice."""
        found = []
        for vertices, feet, on, backwards in zip(
            self._vertices, self.feet, self._on[:, 0] + 1, self._backwards, strict=True
        ):
            around = np.concatenate([vertices[on:], vertices[:on]])
            walk = np.concatenate([feet[:1], around[::-1] if backwards else around])
            # Backwards, so that of two equal neighbours the first one of the walk is kept.
            found.append(_distinct(walk[::-1])[::-1])
        return found

    def _nearest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For points (polygon, point, 2): the nearest of the border, and the edge it lies on."""
        vertices, edges = self._vertices[:, None], self._edges[:, None]
        squared = (self._steps**2)[:, None]
        away = points[:, :, None] - vertices
        share = np.zeros(away.shape[:-1])
        np.divide((away * edges).sum(axis=3), squared, out=share, where=squared > 0)
        np.clip(share, 0.0, 1.0, out=share)
        on = ((away - share[..., None] * edges) ** 2).sum(axis=3).argmin(axis=2)
        row = np.arange(len(points))[:, None]
        share = np.take_along_axis(share, on[..., None], axis=2)
        feet = self._vertices[row, on] + share * self._edges[row, on]
        # A vertex is itself, to the last bit.
        following = self._vertices[row, (on + 1) % self._vertices.shape[1]]
        return np.where(share >= 1, following, feet), on


def _even(borders: Sequence[np.ndarray]) -> np.ndarray:
    """Polygons as one array: the last vertex is repeated, which adds edges of no length."""
    most = max(len(border) for border in borders)
    even = np.empty((len(borders), most, 2))
    for row, border in zip(even, borders, strict=True):
        row[: len(border)] = border
        row[len(border) :] = border[-1]
    return even


def _around(along: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Positions on polygons, (polygon, point), that go on from the end to the beginning."""
    whole = length[:, None]
    return np.mod(along, np.where(whole > 0, whole, 1.0))


def _distinct(border: np.ndarray) -> np.ndarray:
    moved = (border != np.concatenate([border[-1:], border[:-1]])).any(axis=1)
    return border[moved] if moved.any() else border[:1]
