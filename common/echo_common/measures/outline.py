"""The contour of a ventricle in a map of probabilities or logits, finer than its pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from skimage.measure import find_contours

from echo_common.geometry.contours import shoelace_area


def soft_outline(values: np.ndarray, level: float) -> np.ndarray:
    """Find the largest closed contour at a level of a map, by marching squares.

    Between neighbouring pixels the map is interpolated linearly, so the contour has no steps of
    pixels. Counted pixels cost about two points of ejection fraction at 112 x 112 pixels.

    Parameters
    ----------
    values : ndarray, (y, x) float
        Larger inside the ventricle: logits, probabilities, or a mask of 0 and 1.
    level : float
        0 for logits, 0.5 for probabilities and masks.

    Returns
    -------
    contour : ndarray, (point, 2) float64
        (x, y) in pixels, pixel centres at integers; the last point is joined to the first.
        Without points if no value is above the level. A ventricle that the image cuts off ends
        half a pixel beyond the outermost pixel centres.
    """
    values = np.asarray(values, dtype=np.float64)
    if not (values > level).any():
        return np.empty((0, 2))
    # Mirrored below the level, the border of the image is halfway to the padding.
    padded = np.pad(values, 1, mode="edge")
    for edge in (padded[0], padded[-1], padded[:, 0], padded[:, -1]):
        edge[:] = level - np.abs(edge - level)
    closed = [line[:-1] for line in find_contours(padded, level) if (line[0] == line[-1]).all()]
    return max(closed, key=shoelace_area)[:, ::-1] - 1 if closed else np.empty((0, 2))


def stack_contours(contours: Sequence[np.ndarray]) -> np.ndarray:
    """Stack contours into one array, (contour, point, 2) float64, padded with rows of NaN."""
    length = max((len(points) for points in contours), default=0)
    stacked = np.full((len(contours), length, 2), np.nan)
    for row, points in zip(stacked, contours, strict=True):
        row[: len(points)] = points
    return stacked
