"""The n-gon that keeps most of a contour: which of its points to keep, by dynamic programming.

The classical problem of polygonal approximation (Perez and Vidal, Optimum
polygonal approximation of digitized curves, Pattern Recognition Letters 15,
1994), with the area between curve and polygon as its cost, since it is by area
that two masks are compared.
"""

from __future__ import annotations

import numpy as np


def best_corners(ring: np.ndarray, count: int) -> np.ndarray:
    """Choose the corners of the polygon that lies closest to a closed one.

    Of all polygons whose corners are `count` vertices of the given one, in
    their order, this has the least area between itself and the given one.

    Parameters
    ----------
    ring : ndarray, (vertex, 2) float64
        Vertices of a closed polygon in order, no two neighbours the same.
    count : int
        Number of corners, from 2 to the number of vertices.

    Returns
    -------
    corners : ndarray, (count,) int64
        Indices of the chosen vertices, ascending; of choices that are equally
        good, the one that begins first.

    Examples
    --------
    >>> square = np.array([[0, 0], [2, 0], [4, 0], [4, 4], [0, 4], [0, 2]])
    >>> best_corners(square, 4).tolist()
    [0, 2, 3, 4]
    """
    cut, closing = _cut_areas(np.asarray(ring, dtype=np.float64))
    # best[s, j]: least area of a path with so many edges that begins at s and ends at j.
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
    """Area that a straight edge between two vertices cuts off the curve between them.

    Returns ``cut[i, j]`` for the way from i up to j > i, and ``closing[j, i]``
    for the way from j on past the last vertex to i < j; elsewhere infinity.
    """
    size = len(ring)
    start = np.arange(size)
    # way[i, k] is the k-th vertex from i on, and the last of them i again.
    way = ring[(start[:, None] + np.arange(size + 1)) % size]
    edges = way - way[:, :1]
    lengths = np.linalg.norm(edges, axis=2)
    # An edge between two vertices at one place has no direction, and is never chosen.
    usable = lengths > 0
    units = edges / np.where(usable, lengths, 1.0)[..., None]
    across = np.stack([-units[..., 1], units[..., 0]], axis=2)
    # Of vertex k of the way from i: its height above the edge to vertex m, and its place along it.
    ways = edges.transpose(0, 2, 1)
    height, place = across @ ways, units @ ways
    # Between two vertices a trapezium on one side of the edge, or, where the curve crosses it, a
    # triangle on either side: in both cases the heights on that side, squared, over all heights.
    above, below = np.maximum(height, 0.0), np.maximum(-height, 0.0)
    above, below = above[..., :-1] + above[..., 1:], below[..., :-1] + below[..., 1:]
    upto = np.arange(size) < np.arange(size + 1)[:, None]
    base = upto * np.diff(place, axis=2) / (2 * np.maximum(above + below, 1e-300))
    # What runs back takes away, so a side's area is right where the curve overhangs the edge.
    area = np.abs((above**2 * base).sum(axis=2)) + np.abs((below**2 * base).sum(axis=2))
    area[~usable] = np.inf
    cut = np.full((size, size), np.inf)
    closing = np.full((size, size), np.inf)
    i, j = np.triu_indices(size, 1)
    cut[i, j] = area[i, j - i]
    closing[j, i] = area[j, i - j + size]
    return cut, closing
