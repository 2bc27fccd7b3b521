"""The figures of a measured split: for summary.json and frames.csv.

`echo_train.evaluation.measure` makes them. A figure is a ratio of sums over frames, such
as the mean Dice, with its interval and its value at ED and at ES.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import Any

import numpy as np

from echo_common.store import schema
from echo_train.metrics.bootstrap import bootstrap_intervals
from echo_train.metrics.landmark_errors import SUCCESS_LIMITS, success_rates
from echo_train.metrics.overlap import iou, missed, pooled_dice
from echo_train.metrics.results import Results

Ratio = tuple[np.ndarray, np.ndarray]
"""What is summed above and below the line, (frame,) each."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures(Results):
    """All that is known of predictions on some frames.

    Attributes
    ----------
    distances : ndarray, (frame, 2) float64
        HD95 and mean surface distance in pixels, from `echo_train.metrics.surface_distance`.
    pieces, holes : ndarray, (frame,) int64
        Of the predicted masks, from `echo_train.metrics.plausibility`.
    crossing : ndarray, (frame,) bool, or None
        Whether the predicted contour crosses itself; None where masks are
        predicted, which have none.
    ceiling : ndarray, (frame,) float64, or None
        Dice of the masks that are rebuilt from the true landmarks: what a
        model that makes no error would have. None where masks are predicted.
    area_range : tuple of float, or None
        Smallest and largest true mask of the training split, as shares of the
        image; None where they are not known.
    """

    distances: np.ndarray
    pieces: np.ndarray
    holes: np.ndarray
    crossing: np.ndarray | None = None
    ceiling: np.ndarray | None = None
    area_range: tuple[float, float] | None = None

    def hd95(self) -> np.ndarray:
        """95th percentile of the surface distances of each frame, in pixels."""
        return self.distances[:, 0]

    def implausible(self) -> np.ndarray:
        """Whether each prediction is one that no ventricle looks like, (frame,) bool."""
        return self._shape_ratios()["implausible"][0] > 0

    def summary(self) -> dict[str, Any]:
        """The figures of one split, as they stand in summary.json.

        Each has its mean, its 95 % interval by the bootstrap over videos, and
        its value at ED and at ES. What has no value, such as a phase without
        frames, is None.
        """
        ratios = {**self._ratios(), **self._shape_ratios(), "pooled": self._pooled_ratio()}
        above, below = (np.stack([pair[side] for pair in ratios.values()]) for side in (0, 1))
        intervals = bootstrap_intervals(above, below, self.frames.video[self.index])
        told = {
            name: {"mean": _ratio(pair), "ci95": [_number(end) for end in interval]}
            for (name, pair), interval in zip(ratios.items(), intervals, strict=True)
        }
        phase = self.frames.phase[self.index]
        for name, code in (("ed", "ED"), ("es", "ES")):
            of_phase = phase == schema.PHASES.index(code)
            for figure, (top, bottom) in ratios.items():
                told[figure][name] = _ratio((top[of_phase], bottom[of_phase]))
        pooled = told.pop("pooled")
        told["dice"] |= {
            "pooled": _number(pooled_dice(self.counts)),
            "pooled_ci95": pooled["ci95"],
        }
        shape = {name: told.pop(name) for name in self._shape_ratios()}
        table: dict[str, Any] = {
            "frames": len(self.index),
            "missed_frames": int(missed(self.counts).sum()),
            **told,
            "shape": shape,
        }
        errors = self.radial_errors()
        if errors is not None:
            table["missed_landmarks"] = int(np.isnan(errors).sum())
        return table

    def table(self) -> str:
        """The same a row per frame, as CSV, in the store's order; what has no value is empty."""
        frames = self.frames
        columns = {name: _cells(top, bottom) for name, (top, bottom) in self._ratios().items()}
        columns["predicted_pixels"] = [str(count) for count in self.counts[:, 1]]
        columns["true_pixels"] = [str(count) for count in self.counts[:, 2]]
        for name, pair in self._shape_ratios().items():
            columns[name] = [str(int(value)) for value in pair[0]]
        errors = self.radial_errors()
        for number, values in enumerate([] if errors is None else errors.T, start=1):
            columns[f"radial_error_{number}"] = _cells(values, np.ones(len(values)))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["row", "video", "frame", "split", "phase", *columns])
        for place in np.argsort(self.index):
            frame = self.index[place]
            writer.writerow(
                [
                    int(frames.rows[frame]),
                    frames.video[frame],
                    int(frames.number[frame]),
                    schema.SPLITS[frames.split[frame]],
                    schema.PHASES[frames.phase[frame]],
                    *(values[place] for values in columns.values()),
                ]
            )
        return text.getvalue()

    def _ratios(self) -> dict[str, Ratio]:
        one = np.ones(len(self.index))
        difference = (self.counts[:, 1] - self.counts[:, 2]).astype(np.float64)
        found: dict[str, Ratio] = {
            "dice": (self.dice(), one),
            "iou": (iou(self.counts), one),
            "pixel_accuracy": (self.pixel_accuracy(), one),
            "hd95": (self.hd95(), one),
            "surface_distance": (self.distances[:, 1], one),
            "area_error": (np.abs(difference), one),
            "area_bias": (difference, one),
        }
        if self.ceiling is not None:
            found["ceiling"] = (self.ceiling, one)
        errors = self.radial_errors()
        if errors is not None:
            seen = ~np.isnan(errors)
            found["mean_radial_error"] = (
                np.where(seen, errors, 0).sum(axis=1),
                seen.sum(axis=1).astype(np.float64),
            )
            for limit, rates in zip(SUCCESS_LIMITS, success_rates(errors), strict=True):
                found[f"success_{limit}px"] = (rates, one)
        return found

    def _shape_ratios(self) -> dict[str, Ratio]:
        """Whether each prediction is one that no ventricle looks like, and why."""
        flaws = {"second_piece": self.pieces > 1, "hole": self.holes > 0}
        if self.crossing is not None:
            flaws["self_crossing"] = self.crossing
        if self.area_range is not None:
            height, width = self.frames.shape
            share = self.counts[:, 1] / (height * width)
            flaws["area_outside"] = (share < self.area_range[0]) | (share > self.area_range[1])
        flaws["implausible"] = np.any(list(flaws.values()), axis=0)
        one = np.ones(len(self.index))
        return {name: (flaw.astype(np.float64), one) for name, flaw in flaws.items()}

    def _pooled_ratio(self) -> Ratio:
        counts = self.counts.astype(np.float64)
        return 2 * counts[:, 0], counts[:, 1] + counts[:, 2]


def _ratio(pair: Ratio) -> float | None:
    total = pair[1].sum()
    return float(pair[0].sum() / total) if total else None


def _cells(above: np.ndarray, below: np.ndarray) -> list[str]:
    """Each frame's own value as text."""
    values = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return ["" if np.isnan(value) else f"{value:.6f}" for value in values]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
