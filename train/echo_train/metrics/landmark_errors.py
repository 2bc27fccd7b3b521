"""Radial errors of landmarks and success rates."""

from __future__ import annotations

import numpy as np

SUCCESS_LIMITS = (1, 2, 3, 4)
"""Radial errors in pixels up to which a landmark counts as a success."""


def radial_errors(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Distance of each landmark from its true position, in pixels; NaN for a missed landmark.

    Parameters
    ----------
    predicted, true : ndarray, (frame, landmark, 2) float
    """
    offsets = predicted.astype(np.float64) - true.astype(np.float64)
    return np.asarray(np.linalg.norm(offsets, axis=2))


def success_rates(errors: np.ndarray) -> np.ndarray:
    """Share of each frame's landmarks with a radial error of at most each of `SUCCESS_LIMITS`.

    The shares are (limit, frame); a missed landmark is not a success.

    Parameters
    ----------
    errors : ndarray, (frame, landmark) float
        From `radial_errors`.
    """
    return np.stack([(errors <= limit).mean(axis=1) for limit in SUCCESS_LIMITS])
