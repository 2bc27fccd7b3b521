"""Whether a predicted shape can be a ventricle: one piece without holes, whose contour is simple.

A model can have a high mean Dice and still predict shapes that no ventricle has.
"""

from __future__ import annotations

import numpy as np
from skimage.measure import euler_number, label


def count_pieces_and_holes(mask: np.ndarray) -> tuple[int, int]:
    """Count the connected pieces of a mask, and the holes in them.

    Pixels of the mask that touch at a corner are connected, those of a hole are not. Background
    that reaches the edge of the image is not a hole.

    Parameters
    ----------
    mask : ndarray, (y, x) uint8
        0 or 1.

    Examples
    --------
    >>> ring = np.pad(np.zeros((2, 2), dtype=np.uint8), 1, constant_values=1)
    >>> count_pieces_and_holes(ring)
    (1, 1)
    """
    pieces = int(label(mask, connectivity=2).max())
    # The Euler number of a mask is its number of pieces minus its number of holes.
    return pieces, pieces - int(euler_number(mask, connectivity=2))


def crosses_itself(contour: np.ndarray) -> bool:
    """Whether two sides of a closed polygon cross.

    Sides that only touch do not cross. Repeated points are allowed.

    Parameters
    ----------
    contour : ndarray, (point, 2) float
        (x, y) in pixels; the last point is joined to the first. Rows of NaN are
        padding.
    """
    contour = contour[~np.isnan(contour).any(axis=1)]
    starts, ends = contour, np.roll(contour, -1, axis=0)
    # Two sides cross if the ends of each lie on different sides of the line through the other.
    left = _turn(starts[:, None], ends[:, None], starts) * _turn(
        starts[:, None], ends[:, None], ends
    )
    # Neighbours share a point, for which rounding can give a product below 0.
    distance = np.abs(np.arange(len(contour))[:, None] - np.arange(len(contour)))
    apart = (distance > 1) & (distance < len(contour) - 1)
    return bool(((left < 0) & (left.T < 0) & apart).any())


def _turn(start: np.ndarray, end: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Cross product of a line's direction and the vector from its start to a point."""
    along, offset = end - start, point - start
    return np.asarray(along[..., 0] * offset[..., 1] - along[..., 1] * offset[..., 0])
