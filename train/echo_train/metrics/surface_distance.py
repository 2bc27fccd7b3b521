"""Distances between the borders of two masks; computed where a run is measured, never in training.

A mask's border is its pixels with a neighbour outside, above, below, left or
right; what lies beyond the image is outside.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

PERCENTILE = 95

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=np.uint8)


def border(mask: np.ndarray) -> np.ndarray:
    """Border pixels of a mask.

    Parameters
    ----------
    mask : ndarray, (y, x) uint8
        0 or 1.

    Returns
    -------
    border : ndarray, (y, x) uint8
    """
    inner = cv2.erode(mask, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return mask & (1 - np.asarray(inner))


def surface_distances(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """95th percentile Hausdorff distance and mean surface distance, frame by frame.

    The distances are those of each border pixel of one mask from the nearest
    of the other's. HD95 is the larger of both directions' 95th percentiles;
    the mean is over both directions together. Where both masks are empty they
    agree, and the distances are 0; where one is empty they are the image's
    diagonal, which no distance exceeds, so that a missed ventricle is never
    better than one found badly.

    Parameters
    ----------
    predicted, true : ndarray, (frame, y, x) uint8
        0 or 1.

    Returns
    -------
    distances : ndarray, (frame, 2) float64
        HD95 and mean, in pixels.
    """
    found = np.zeros((len(predicted), 2))

    def fill(frame: int) -> None:
        found[frame] = _distances(predicted[frame], true[frame])

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(fill, range(len(predicted))):
            pass
    return found


def _distances(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    either = one | other
    if not either.any():
        return 0.0, 0.0
    if not (one.any() and other.any()):
        diagonal = math.dist((0, 0), either.shape)
        return diagonal, diagonal
    # Both borders are in the box about both masks, and so is every line between them.
    rows, columns = np.flatnonzero(either.any(axis=1)), np.flatnonzero(either.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    first, second = border(one)[box], border(other)[box]
    there, back = _distances_to(second)[first > 0], _distances_to(first)[second > 0]
    far = max(float(np.percentile(part, PERCENTILE)) for part in (there, back))
    return far, float(np.concatenate([there, back]).mean())


def _distances_to(edge: np.ndarray) -> np.ndarray:
    distances = cv2.distanceTransform(1 - edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Distances between pixels are roots of whole numbers. OpenCV's are off in the last digits of
    # a float32, and not by the same in every call.
    return np.sqrt(np.rint(np.asarray(distances, dtype=np.float64) ** 2))
