"""How traced points become one polygon: the paper's three methods, and the data set's own.

The paper (section 3.5) did not know that the points have an order, and sorts
all of them, the long axis included. `chords` uses the order.
"""

from __future__ import annotations

import cv2
import numpy as np
from echo_common.curves import angular_order
from echo_common.errors import SettingsError


def whole_pixels(points: np.ndarray) -> np.ndarray:
    """Cut coordinates to whole numbers, as the paper's own code does: up to a pixel towards 0.

    Parameters
    ----------
    points : ndarray, (…, 2) float
        Rows of NaN stay as they are.
    """
    return np.trunc(points)


def polygon(long_axis: np.ndarray, contour: np.ndarray, method: str) -> np.ndarray:
    """Join the points of a trace to a closed polygon.

    - `chords`: the contour as the data set's own loader joins it.
    - `convexhull`: the convex hull of all points, by `cv2.convexHull`.
    - `centroid`: all points by their angle about their mean.
    - `simplesort`: all points sorted by x, then y; the polygon crosses itself.

    Parameters
    ----------
    long_axis : ndarray, (2, 2) float
        Apex and middle of the mitral plane, (x, y) in pixels.
    contour : ndarray, (point, 2) float
        The ordered contour of the chords; rows of NaN are padding.
    method : str
        One of `echo_common.schema.METHODS`.

    Returns
    -------
    polygon : ndarray, (vertex, 2) float64

    Raises
    ------
    SettingsError
        If the method is not known.
    """
    ordered = np.asarray(contour, dtype=np.float64)
    ordered = ordered[~np.isnan(ordered).any(axis=1)]
    if method == "chords":
        return ordered
    points = np.concatenate([np.asarray(long_axis, dtype=np.float64), ordered])
    if method == "convexhull":
        # cv2 computes in float32, so it only chooses: the vertices keep their full precision.
        chosen = cv2.convexHull(points.astype(np.float32), returnPoints=False)
        return points[np.asarray(chosen)[:, 0]]
    if method == "centroid":
        return points[angular_order(points)]
    if method == "simplesort":
        return points[np.lexsort((points[:, 1], points[:, 0]))]
    raise SettingsError(f"no method {method!r}")
