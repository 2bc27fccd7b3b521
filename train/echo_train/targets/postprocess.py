"""Removing second pieces of predicted masks, and filling their holes."""

from __future__ import annotations

import numpy as np
from skimage.measure import label


def clean_mask(mask: np.ndarray, steps: str) -> np.ndarray:
    """Fill the holes of a mask, then keep its largest piece.

    Pieces and holes are those of `echo_train.metrics.plausibility.count_pieces_and_holes`.

    Parameters
    ----------
    mask : ndarray, (y, x) bool
    steps : str
        One of `echo_train.runs.settings.POSTPROCESSING`.

    Examples
    --------
    >>> mask = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 0, 1], [1, 1, 1, 0, 0]], dtype=bool)
    >>> clean_mask(mask, "both").astype(int)
    array([[1, 1, 1, 0, 0],
           [1, 1, 1, 0, 0],
           [1, 1, 1, 0, 0]])
    """
    if steps in ("holes", "both"):
        background = label(~mask, connectivity=1)
        outside = np.zeros(background.max() + 1, dtype=bool)
        for edge in (background[0], background[-1], background[:, 0], background[:, -1]):
            outside[edge] = True
        # The label 0 is the mask itself.
        outside[0] = False
        mask = ~outside[background]
    if steps in ("pieces", "both") and mask.any():
        pieces = label(mask, connectivity=2)
        mask = pieces == np.bincount(pieces[mask]).argmax()
    return mask


def clean_map(values: np.ndarray, steps: str) -> np.ndarray:
    """Change the sign of logits, (y, x) float, so that the mask above 0 is `clean_mask` of it."""
    cleaned = clean_mask(values > 0, steps)
    size = np.abs(values)
    return np.where(cleaned, np.maximum(size, np.finfo(size.dtype).tiny), -size)
