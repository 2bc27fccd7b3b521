"""Radial errors of landmarks and success rates."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

SUCCESS_LIMITS = (1, 2, 3, 4)
"""Radial errors in pixels up to which a landmark counts as a success."""


class Landmarks(Metric):
    """Predicted landmarks of frames, kept on the device until they are computed.

    The true masks are kept as well, since augmentation changes them.
    """

    full_state_update = False
    index: list[Tensor]
    points: list[Tensor]
    masks: list[Tensor]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.add_state("index", default=[], dist_reduce_fx="cat")
        self.add_state("points", default=[], dist_reduce_fx="cat")
        self.add_state("masks", default=[], dist_reduce_fx="cat")

    def update(self, index: Tensor, points: Tensor, masks: Tensor) -> None:
        """Add the landmarks of some frames.

        Parameters
        ----------
        index : Tensor, (frame,) int64
        points : Tensor, (frame, landmark, 2) float
            (x, y) in pixels; NaN for a missed landmark.
        masks : Tensor, (frame, byte) uint8
            True masks, eight pixels in a byte.
        """
        self.index.append(index)
        self.points.append(points)
        self.masks.append(masks)

    def compute(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return index, points and masks of all frames so far, as `update` takes them."""
        return dim_zero_cat(self.index), dim_zero_cat(self.points), dim_zero_cat(self.masks)


def radial_errors(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Distance of each landmark from its true position, in pixels.

    Parameters
    ----------
    predicted, true : ndarray, (frame, landmark, 2) float

    Returns
    -------
    errors : ndarray, (frame, landmark) float64
        NaN for a missed landmark.
    """
    offsets = predicted.astype(np.float64) - true.astype(np.float64)
    return np.asarray(np.linalg.norm(offsets, axis=2))


def success_rates(errors: np.ndarray) -> np.ndarray:
    """Share of each frame's landmarks with a radial error of at most each of `SUCCESS_LIMITS`.

    A missed landmark is not a success.

    Parameters
    ----------
    errors : ndarray, (frame, landmark) float
        From `radial_errors`.

    Returns
    -------
    rates : ndarray, (limit, frame) float64
    """
    return np.stack([(errors <= limit).mean(axis=1) for limit in SUCCESS_LIMITS])
