"""Whether a predicted shape can be a ventricle: in one piece, without holes, not crossing itself.

A true ventricle is all of these, so the share of predictions that are not
tells targets apart that have the same Dice.
"""

from __future__ import annotations

import cv2
import numpy as np


def count_pieces(mask: np.ndarray) -> int:
    """Number of connected pieces of a mask; pixels that touch at a corner are connected.

    Parameters
    ----------
    mask : ndarray, (y, x) uint8
        0 or 1.
    """
    return int(cv2.connectedComponents(mask, connectivity=8)[0]) - 1


def count_holes(mask: np.ndarray) -> int:
    """Number of connected pieces of the outside that the mask encloses.

    The image's edge encloses nothing. Outside pixels that touch at a corner
    alone are not connected, as inside ones are.

    Parameters
    ----------
    mask : ndarray, (y, x) uint8
        0 or 1.
    """
    outside = np.pad(1 - mask, 1, constant_values=1)
    return int(cv2.connectedComponents(outside, connectivity=4)[0]) - 2


def crosses_itself(contour: np.ndarray) -> bool:
    """Whether two sides of a closed polygon cross.

    Sides that only touch do not cross, and a point that is there twice in a
    row counts once.

    Parameters
    ----------
    contour : ndarray, (point, 2) float
        (x, y) in pixels; the last point is joined to the first. Rows of NaN are
        padding.
    """
    contour = contour[~np.isnan(contour).any(axis=1)]
    starts, ends = contour, np.roll(contour, -1, axis=0)
    # On which side of each line lie the ends of each other side: products of different signs
    # both ways mean a crossing.
    left = _turn(starts[:, None], ends[:, None], starts) * _turn(
        starts[:, None], ends[:, None], ends
    )
    # Neighbours share a point, for which the turn is 0 but for rounding.
    distance = np.abs(np.arange(len(contour))[:, None] - np.arange(len(contour)))
    apart = (distance > 1) & (distance < len(contour) - 1)
    return bool(((left < 0) & (left.T < 0) & apart).any())


def _turn(start: np.ndarray, end: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Cross product of a line's direction and the way from its start to a point."""
    along, to = end - start, point - start
    return np.asarray(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0])
