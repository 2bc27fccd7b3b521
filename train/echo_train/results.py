"""The figures of predictions over some frames: for summary.json and frames.csv."""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import Any

import numpy as np
from echo_common import schema

from echo_train.frames import FrameSet
from echo_train.metrics import (
    bootstrap_interval,
    dice,
    pixel_accuracy,
    pooled_dice,
    radial_errors,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
    """Predictions on some frames, counted against the truth.

    Attributes
    ----------
    frames : FrameSet
    index : ndarray, (frame,) int64
        Which frames of it.
    counts : ndarray, (frame, 4) int64
        From `echo_train.metrics.MaskCounts`.
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

    def summary(self) -> dict[str, Any]:
        """The figures of one split, as they stand in summary.json.

        A figure that has no value, such as that of a phase without frames, is
        None.
        """
        scores, phase = self.dice(), self.frames.phase[self.index]
        height, width = self.frames.shape
        table: dict[str, Any] = {
            "frames": len(scores),
            "dice": {
                "mean": _mean(scores),
                "ci95": [_number(end) for end in bootstrap_interval(scores)],
                "pooled": _number(pooled_dice(self.counts)),
                "ed": _mean(scores[phase == schema.PHASES.index("ED")]),
                "es": _mean(scores[phase == schema.PHASES.index("ES")]),
            },
            "pixel_accuracy": _mean(pixel_accuracy(self.counts, height * width)),
        }
        errors = self.radial_errors()
        if errors is not None:
            table["mean_radial_error"] = _mean(errors[~np.isnan(errors)])
            table["missed_landmarks"] = int(np.isnan(errors).sum())
        return table

    def table(self) -> str:
        """The same a row per frame, as CSV, in the store's order."""
        frames, errors = self.frames, self.radial_errors()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = ["row", "video", "frame", "split", "phase", "dice", "pixel_accuracy"]
        columns += ["predicted_pixels", "true_pixels"]
        writer.writerow(columns + ([] if errors is None else ["mean_radial_error"]))
        height, width = frames.shape
        scores, right = self.dice(), pixel_accuracy(self.counts, height * width)
        for place in np.argsort(self.index):
            frame = self.index[place]
            row = [
                int(frames.rows[frame]),
                frames.video[frame],
                int(frames.number[frame]),
                schema.SPLITS[frames.split[frame]],
                schema.PHASES[frames.phase[frame]],
                f"{scores[place]:.6f}",
                f"{right[place]:.6f}",
                int(self.counts[place, 1]),
                int(self.counts[place, 2]),
            ]
            if errors is not None:
                row.append(f"{np.nanmean(errors[place]):.4f}")
            writer.writerow(row)
        return text.getvalue()


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
