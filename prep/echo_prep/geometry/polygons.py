"""Joining traced points to a polygon: the paper's three methods, and the data set's own.

The paper (section 3.5) did not know that the points are in order, and sorts
all of them, the long axis included. `chords` and `exact` use the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from echo_common.errors import SettingsError
from echo_common.geometry.contours import angular_order

IN_ORDER = ("chords", "exact", "annotated")
"""Methods whose polygon is the contour; their masks differ."""


def whole_pixels(points: np.ndarray) -> np.ndarray:
    """Truncate coordinates, (…, 2) float, to whole numbers, as the paper's code does."""
    return np.trunc(points)


def to_float32(values: np.ndarray) -> np.ndarray:
    """Round to float32 so that no coordinate moves to another pixel.

    A coordinate just below a half, such as 50.49999999, would become 50.5 and
    be drawn in the next pixel; it becomes the float32 below instead. The same
    holds for a coordinate just below a whole number, which the paper's code
    truncates. Masks made from the store are therefore equal to masks made from
    the CSV file, pixel for pixel.

    """
    rounded = values.astype(np.float32)
    moved = (np.rint(rounded) != np.rint(values)) | (np.trunc(rounded) != np.trunc(values))
    back = np.where(values[moved] > rounded[moved], np.inf, -np.inf).astype(np.float32)
    rounded[moved] = np.nextafter(rounded[moved], back)
    return rounded


def polygons(long_axes: np.ndarray, contours: np.ndarray, method: str) -> list[np.ndarray]:
    """Join the points of each trace to a closed polygon.

    - `chords`, `exact`, `annotated`: the ends of the chords in order, as in the data set's own
      loader.
    - `convexhull`: the convex hull of all points, by `cv2.convexHull`.
    - `centroid`: all points by their angle about their mean.
    - `simplesort`: all points sorted by y, those at the same height in the order in which the
      paper's code reads them; the polygon crosses itself.

    Parameters
    ----------
    long_axes : ndarray, (trace, 2, 2) float
        Apex and middle of the mitral plane, (x, y) in pixels.
    contours : ndarray, (trace, point, 2) float
        Ordered ends of the chords; rows of NaN are padding.
    method : str
        One of `echo_common.store.schema.METHODS`.

    Returns
    -------
    polygons : list of ndarray, (vertex, 2) float64
        One per trace.

    Raises
    ------
    SettingsError
        If the method is not known.
    """
    found: list[np.ndarray] = [np.empty(0)] * len(contours)
    for rows, traced in same_sizes(contours):
        if method in IN_ORDER:
            joined: Iterable[np.ndarray] = traced
        else:
            points = np.concatenate([np.asarray(long_axes[rows], dtype=np.float64), traced], axis=1)
            joined = _join(points, method)
        for row, polygon in zip(rows, joined, strict=True):
            found[row] = polygon
    return found


def same_sizes(contours: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Group contours by their number of points; nearly all have forty.

    Parameters
    ----------
    contours : ndarray, (trace, point, 2) float
        Rows of NaN are padding.

    Yields
    ------
    rows : ndarray, (contour,) int64
        Indices of the contours of a group.
    traced : ndarray, (contour, point, 2) float64
        Their points without padding.
    """
    contours = np.asarray(contours, dtype=np.float64)
    traced = np.logical_not(np.isnan(contours).any(axis=2))
    sizes = traced.sum(axis=1)
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        yield rows, contours[rows][traced[rows]].reshape(len(rows), size, 2)


def _join(points: np.ndarray, method: str) -> Iterable[np.ndarray]:
    """Polygons of traces with equal numbers of points, (trace, point, 2) float64."""
    if method == "convexhull":
        # cv2 computes in float32, so only its choice is used: vertices keep full precision.
        hulls = [cv2.convexHull(trace, returnPoints=False) for trace in points.astype(np.float32)]
        return [trace[np.asarray(hull)[:, 0]] for trace, hull in zip(points, hulls, strict=True)]
    if method == "centroid":
        order = angular_order(points)
    elif method == "simplesort":
        points = _in_reading_order(points)
        order = np.argsort(points[..., 1], axis=-1, kind="stable")
    else:
        raise SettingsError(f"no method {method!r}")
    joined: np.ndarray = np.take_along_axis(points, order[..., None], axis=1)
    return joined


def _in_reading_order(points: np.ndarray) -> np.ndarray:
    """Points as the paper's code reads them: X1, Y1 of all rows of a trace, then X2, Y2 of all."""
    chords = (points.shape[1] - 2) // 2
    apex, base, first, second = np.split(points, [1, 2, 2 + chords], axis=1)
    return np.concatenate([apex, first, base, second[:, ::-1]], axis=1)
