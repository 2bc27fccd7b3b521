"""Predictions over some frames, counted against the truth: what an epoch is judged by."""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_train.data.frame_set import FrameSet
from echo_train.metrics.landmark_errors import radial_errors
from echo_train.metrics.overlap import dice, pixel_accuracy


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
    """Predictions on some frames, counted against the truth.

    Attributes
    ----------
    frames : FrameSet
    index : ndarray, (frame,) int64
        Which frames of it.
    counts : ndarray, (frame, 4) int64
        From `echo_train.metrics.overlap.MaskCounts`.
    points : ndarray, (frame, landmark, 2) float, or None
        Predicted landmarks.
    """

    frames: FrameSet
    index: np.ndarray
    counts: np.ndarray
    points: np.ndarray | None = None

    def dice(self) -> np.ndarray:
        """Foreground Dice of each frame."""
        return dice(self.counts)

    def pixel_accuracy(self) -> np.ndarray:
        """Share of each frame's pixels that are classed rightly: what the paper calls Dice."""
        height, width = self.frames.shape
        return pixel_accuracy(self.counts, height * width)

    def radial_errors(self) -> np.ndarray | None:
        """Distance of each landmark from its place, (frame, landmark) px; None for masks."""
        if self.points is None or self.frames.points is None:
            return None
        return radial_errors(self.points, self.frames.points[self.index])
