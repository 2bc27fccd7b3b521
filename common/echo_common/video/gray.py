"""Gray frames from what OpenCV decodes: for the videos of a data set and those to segment."""

from __future__ import annotations

import cv2
import numpy as np


def to_gray(pixels: np.ndarray) -> np.ndarray:
    """Convert a decoded frame to gray values.

    Parameters
    ----------
    pixels : ndarray, (height, width) or (height, width, 3) uint8
        Colours in OpenCV's order: blue, green, red.

    Returns
    -------
    gray : ndarray, (height, width) uint8
        The luma of ITU-R BT.601, as `cv2.cvtColor` computes it.
    """
    gray = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    return np.asarray(gray, dtype=np.uint8)
