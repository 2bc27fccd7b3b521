"""The best approximation of a contour by n of its vertices, by dynamic programming.

The classical problem of polygonal approximation (Perez and Vidal, Optimum
polygonal approximation of digitized curves, Pattern Recognition Letters 15,
1994). The cost is the area between curve and polygon, since masks are compared
by area.
"""

from __future__ import annotations

import numpy as np


def best_corners(ring: np.ndarray, count: int) -> np.ndarray:
    """Choose the vertices of a closed polygon that approximate it best.

    Among all polygons of `count` of its vertices, in their order, the result
    has the least area between itself and the given polygon.

    Parameters
    ----------
    ring : ndarray, (vertex, 2) float64
        Vertices of a closed polygon in order, without equal neighbours.
    count : int
        Number of corners, from 2 to the number of vertices.

    Returns
    -------
    corners : ndarray, (count,) int64
        Indices of the chosen vertices, ascending; among equally good choices,
        the one that begins first.

    Examples
    --------
    >>> square = np.array([[0, 0], [2, 0], [4, 0], [4, 4], [0, 4], [0, 2]])
    >>> best_corners(square, 4).tolist()
    [0, 2, 3, 4]
    """
    cut, closing = _cut_areas(np.asarray(ring, dtype=np.float64))
    # best[s, j]: least area of a path from s to j, with one more edge in each round.
    best, came_from = cut, []
    for _ in range(count - 2):
        paths = best[:, None, :] + cut.T
        came_from.append(paths.argmin(axis=2))
        best = np.take_along_axis(paths, came_from[-1][..., None], axis=2)[..., 0]
    first, last = np.unravel_index(np.argmin(best + closing.T), best.shape)
    corners = [int(last)]
    for step in reversed(came_from):
        corners.append(int(step[first, corners[-1]]))
    return np.array([int(first), *reversed(corners)])


def _cut_areas(ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area between a straight edge from one vertex to another and the curve between them.

    Returns ``cut[i, j]`` for the path from i up to j > i, and ``closing[j, i]``
    for the path from j past the last vertex to i < j; infinity elsewhere.
    """
    size = len(ring)
    start = np.arange(size)
    # path[i, k] is the k-th vertex after i; the last one is i again.
    path = ring[(start[:, None] + np.arange(size + 1)) % size]
    edges = path - path[:, :1]
    lengths = np.linalg.norm(edges, axis=2)
    # An edge between two equal vertices has no direction, and is never chosen.
    usable = lengths > 0
    units = edges / np.where(usable, lengths, 1.0)[..., None]
    across = np.stack([-units[..., 1], units[..., 0]], axis=2)
    # Of vertex k of the path from i: height above the edge to vertex m, and position along it.
    offsets = edges.transpose(0, 2, 1)
    height, position = across @ offsets, units @ offsets
    # Between two vertices the area is a trapezium on one side of the edge, or a triangle on each
    # side if the curve crosses it. Both are the squared heights on that side over all heights.
    above, below = np.maximum(height, 0.0), np.maximum(-height, 0.0)
    above, below = above[..., :-1] + above[..., 1:], below[..., :-1] + below[..., 1:]
    upto = np.arange(size) < np.arange(size + 1)[:, None]
    base = upto * np.diff(position, axis=2) / (2 * np.maximum(above + below, 1e-300))
    # Parts that run backwards subtract, so the area is right if the curve overhangs the edge.
    area = np.abs((above**2 * base).sum(axis=2)) + np.abs((below**2 * base).sum(axis=2))
    area[~usable] = np.inf
    cut = np.full((size, size), np.inf)
    closing = np.full((size, size), np.inf)
    i, j = np.triu_indices(size, 1)
    cut[i, j] = area[i, j - i]
    closing[j, i] = area[j, i - j + size]
    return cut, closing
