"""Distances between the borders of two masks; computed when a run is measured, not in training.

The border of a mask is those of its pixels that have a neighbour outside of it above, below, left
or right. Everything beyond the edge of the image is outside.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

PERCENTILE = 95

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=np.uint8)


def border(mask: np.ndarray) -> np.ndarray:
    """Border pixels of a mask, (y, x) uint8.

    Parameters
    ----------
    mask : ndarray, (y, x) uint8
        0 or 1.
    """
    inner = cv2.erode(mask, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return mask & (1 - np.asarray(inner))


def surface_distances(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """95th percentile Hausdorff distance and mean surface distance of each frame.

    Distances are measured from each border pixel of a mask to the nearest border pixel of the
    other mask. HD95 is the larger of the 95th percentiles of the two directions; the mean is over
    both directions together. If both masks are empty, the distances are 0. If only one is, they
    are the diagonal of the image, which no distance exceeds: a missed ventricle is never better
    than a badly segmented one.

    Parameters
    ----------
    predicted, true : ndarray, (frame, y, x) uint8
        0 or 1.

    Returns
    -------
    distances : ndarray, (frame, 2) float64
        HD95 and mean, in pixels.
    """
    with ThreadPoolExecutor() as pool:
        distances = list(pool.map(_distances, predicted, true))
    return np.array(distances, dtype=np.float64).reshape(-1, 2)


def _distances(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    either = predicted | true
    if not either.any():
        return 0.0, 0.0
    if not (predicted.any() and true.any()):
        diagonal = math.dist((0, 0), either.shape)
        return diagonal, diagonal
    # The bounding box of both masks contains both borders and every line between them.
    rows, columns = np.flatnonzero(either.any(axis=1)), np.flatnonzero(either.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    found, target = border(predicted)[box], border(true)[box]
    directions = _distances_to(target)[found > 0], _distances_to(found)[target > 0]
    hd95 = max(float(np.percentile(distances, PERCENTILE)) for distances in directions)
    return hd95, float(np.concatenate(directions).mean())


def _distances_to(edge: np.ndarray) -> np.ndarray:
    distances = cv2.distanceTransform(1 - edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Distances between pixels are square roots of integers. OpenCV's have errors in the last digits
    # of a float32, which differ from call to call.
    return np.sqrt(np.rint(np.asarray(distances, dtype=np.float64) ** 2))
