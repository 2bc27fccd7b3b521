"""Positions along closed polygons by arc length, for many polygons at once.

A data set has twenty thousand traces. Each step is one NumPy call for all of
them: separate calls for polygons of forty points would take longer than
everything else in choosing landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class ClosedPaths:
    """Paths once around closed polygons, from a point of each, through two others in order.

    Parameters
    ----------
    polygons : sequence of ndarray, (vertex, 2) float64
        They may have different numbers of vertices.
    start, first, then : ndarray, (polygon, 2) float64
        The path begins at the polygon's point nearest to `start`, in the
        direction that passes the point nearest to `first` before that nearest
        to `then`.

    Attributes
    ----------
    length : ndarray, (polygon,) float64
        Circumference in pixels.
    nearest : ndarray, (polygon, 3, 2) float64
        The polygon's points nearest to `start`, `first` and `then`.
    positions : ndarray, (polygon, 3) float64
        Positions of these along the path, in pixels; 0 for `start`.
    """

    def __init__(
        self,
        polygons: Sequence[np.ndarray],
        start: np.ndarray,
        first: np.ndarray,
        then: np.ndarray,
    ) -> None:
        self._vertices = _pad(polygons)
        edges = np.concatenate([self._vertices[:, 1:], self._vertices[:, :1]], axis=1)
        edges -= self._vertices
        self._edges = edges
        self._steps = np.sqrt((edges**2).sum(axis=2))
        ends = np.cumsum(self._steps, axis=1)
        self._begins = ends - self._steps
        self.length = ends[:, -1]
        self.nearest, self._edge = self._project(np.stack([start, first, then], axis=1))
        row = np.arange(len(self._vertices))[:, None]
        beyond = np.sqrt(((self.nearest - self._vertices[row, self._edge]) ** 2).sum(axis=2))
        along = self._begins[row, self._edge] + beyond
        self._origin = along[:, :1]
        ahead = _wrap(along - self._origin, self.length)
        self._backwards = ahead[:, 1] > ahead[:, 2]
        self.positions = np.where(self._backwards[:, None], _wrap(-ahead, self.length), ahead)

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Points of each path.

        Parameters
        ----------
        positions : ndarray, (polygon, point) float64
            In pixels along the path.

        Returns
        -------
        points : ndarray, (polygon, point, 2) float64
        """
        sign = np.where(self._backwards, -1.0, 1.0)[:, None]
        along = _wrap(self._origin + sign * positions, self.length)
        row = np.arange(len(along))[:, None]
        edge = (self._begins[:, None, :] <= along[:, :, None]).sum(axis=2) - 1
        steps = self._steps[row, edge]
        share = np.zeros_like(along)
        np.divide(along - self._begins[row, edge], steps, out=share, where=steps > 0)
        share = np.minimum(share, 1.0)[..., None]
        return self._vertices[row, edge] + share * self._edges[row, edge]

    def vertices(self) -> list[np.ndarray]:
        """Start of each path, then the polygon's vertices in its order, without duplicates."""
        found = []
        for vertices, nearest, following, backwards in zip(
            self._vertices, self.nearest, self._edge[:, 0] + 1, self._backwards, strict=True
        ):
            around = np.concatenate([vertices[following:], vertices[:following]])
            path = np.concatenate([nearest[:1], around[::-1] if backwards else around])
            # In reverse, so that the first of two equal neighbours on the path is kept.
            found.append(_distinct(path[::-1])[::-1])
        return found

    def _project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For points (polygon, point, 2): the polygon's nearest point, and the edge it is on."""
        vertices, edges = self._vertices[:, None], self._edges[:, None]
        squared = (self._steps**2)[:, None]
        away = points[:, :, None] - vertices
        share = np.zeros(away.shape[:-1])
        np.divide((away * edges).sum(axis=3), squared, out=share, where=squared > 0)
        np.clip(share, 0.0, 1.0, out=share)
        edge = ((away - share[..., None] * edges) ** 2).sum(axis=3).argmin(axis=2)
        row = np.arange(len(points))[:, None]
        share = np.take_along_axis(share, edge[..., None], axis=2)
        nearest = self._vertices[row, edge] + share * self._edges[row, edge]
        # Exactly the vertex, without rounding, if it is the nearest point.
        following = self._vertices[row, (edge + 1) % self._vertices.shape[1]]
        return np.where(share >= 1, following, nearest), edge


def _pad(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Polygons as one array; repeating the last vertex adds edges of length 0."""
    most = max(len(polygon) for polygon in polygons)
    padded = np.empty((len(polygons), most, 2))
    for row, polygon in zip(padded, polygons, strict=True):
        row[: len(polygon)] = polygon
        row[len(polygon) :] = polygon[-1]
    return padded


def _wrap(along: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Positions on closed polygons, (polygon, point), modulo the circumference."""
    circumference = length[:, None]
    return np.mod(along, np.where(circumference > 0, circumference, 1.0))


def _distinct(polygon: np.ndarray) -> np.ndarray:
    moved = (polygon != np.concatenate([polygon[-1:], polygon[:-1]])).any(axis=1)
    return polygon[moved] if moved.any() else polygon[:1]
