"""Volume of the left ventricle from its chords, by the method of discs."""

from __future__ import annotations

import numpy as np

CHORDS = 20
"""Discs of the method of discs, and chords of a trace."""


def disc_volume(rows: np.ndarray, mm_per_px: float) -> float:
    """Volume in ml by the single-plane method of discs.

    Parameters
    ----------
    rows : ndarray, (21, 4) float
        x1, y1, x2, y2 of the long axis and of the 20 chords, in pixels.
    mm_per_px : float

    Notes
    -----
    Lang et al., Recommendations for cardiac chamber quantification, 2015: the ventricle is a
    stack of 20 circular discs of equal height whose diameters are the chords.
    """
    widths = np.hypot(rows[1:, 2] - rows[1:, 0], rows[1:, 3] - rows[1:, 1])
    length = np.hypot(rows[0, 2] - rows[0, 0], rows[0, 3] - rows[0, 1])
    return float(np.pi / 4 * (widths**2).sum() * length / CHORDS * mm_per_px**3 / 1000)
