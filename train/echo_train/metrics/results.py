"""Metrics of predictions on some frames: one value a frame, and a summary of a split.

A target's collector returns the `Results` of an epoch. `echo_train.evaluation.measure` returns
`SplitResults`, which hold distances and shapes as well; they make summary.json and frames.csv.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import numpy as np

from echo_common.measures.ventricle import measure_traces
from echo_common.store import schema
from echo_common.tables import fixed
from echo_train.data.frame_set import FrameSet
from echo_train.metrics.bootstrap import bootstrap_intervals
from echo_train.metrics.clinical import VideoMeasures, pair_frames
from echo_train.metrics.landmark_errors import SUCCESS_LIMITS, radial_errors, success_rates
from echo_train.metrics.overlap import dice, iou, missed, pixel_accuracy, pooled_dice

Ratio = tuple[np.ndarray, np.ndarray]
"""Numerators and denominators of the frames, (frame,) each: a metric is the ratio of their sums."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
    """Predictions on some frames, compared with the truth.

    Attributes
    ----------
    index : ndarray, (frame,) int64
        Which frames of the set were predicted.
    counts : ndarray, (frame, 4) int64
        From `echo_train.metrics.overlap.pixel_counts`.
    points : ndarray, (frame, landmark, 2) float, or None
        Predicted landmarks, (x, y) in pixels.
    """

    frames: FrameSet
    index: np.ndarray
    counts: np.ndarray
    points: np.ndarray | None = None

    def dice(self) -> np.ndarray:
        """Foreground Dice of each frame."""
        return dice(self.counts)

    def pixel_accuracy(self) -> np.ndarray:
        """Share of correctly classified pixels in each frame; the paper calls it Dice."""
        height, width = self.frames.shape
        return pixel_accuracy(self.counts, height * width)

    def radial_errors(self) -> np.ndarray | None:
        """Radial errors of landmarks in pixels, (frame, landmark); None if masks are predicted."""
        if self.points is None or self.frames.points is None:
            return None
        return radial_errors(self.points, self.frames.points[self.index])


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitResults(Results):
    """Results with the metrics that are computed only when a run is measured.

    Attributes
    ----------
    distances : ndarray, (frame, 2) float64
        HD95 and mean surface distance in pixels, from `echo_train.metrics.surface_distance`.
    pieces, holes : ndarray, (frame,) int64
        Of the predicted masks, from `echo_train.metrics.plausibility`.
    crossing : ndarray, (frame,) bool, or None
        Whether the predicted contour crosses itself; None if masks are predicted.
    ceiling : ndarray, (frame,) float64, or None
        Dice of the masks rebuilt from the true landmarks, which a landmark model without errors
        would reach; None if masks are predicted.
    found : ndarray, (frame, landmark) bool, or None
        Whether each landmark was found in its map, before the shape prior; None if masks are
        predicted.
    area, length, volume : ndarray, (frame,) float64
        Of the predicted contours, from `echo_common.measures.ventricle.Measures`.
    correction : float or None
        Exponent by which volumes are corrected, from `VideoMeasures.exponent` of other videos.
    area_range : tuple of float, or None
        Smallest and largest true mask of the training split, as shares of the image; None if
        unknown.
    """

    distances: np.ndarray
    pieces: np.ndarray
    holes: np.ndarray
    area: np.ndarray
    length: np.ndarray
    volume: np.ndarray
    crossing: np.ndarray | None = None
    ceiling: np.ndarray | None = None
    found: np.ndarray | None = None
    correction: float | None = None
    area_range: tuple[float, float] | None = None

    def hd95(self) -> np.ndarray:
        """95th percentile of the surface distances of each frame, in pixels."""
        return self.distances[:, 0]

    def missed(self) -> np.ndarray:
        """Whether the ventricle of each frame was missed, (frame,) bool.

        So it is if the mask is empty, or if no landmark was found in its map, and the shape prior
        alone made the mask.
        """
        lost = missed(self.counts)
        return lost if self.found is None else lost | ~self.found.any(axis=1)

    def videos(self) -> VideoMeasures:
        """Measures of the videos."""
        frames, index = self.frames, self.index
        traced = measure_traces(frames.long_axis[index], frames.contour[index])
        views = [""] * len(index) if frames.view is None else frames.view[index]
        # Without an apex there is neither a long axis nor a volume of disks.
        unknown = np.array([schema.is_short_axis(str(view)) for view in views], dtype=bool)
        length, volume, traced_length, traced_volume = (
            np.where(unknown, np.nan, values)
            for values in (self.length, self.volume, traced.length, traced.volume)
        )
        videos = pair_frames(
            frames,
            index,
            predicted=(self.area, length, volume),
            traced=(traced.area, traced_length, traced_volume),
        )
        return videos if self.correction is None else videos.corrected(self.correction)

    def implausible(self) -> np.ndarray:
        """Whether each prediction has a shape or size that no ventricle has, (frame,) bool."""
        return self._flaws()["implausible"]

    def summary(self) -> dict[str, Any]:
        """Summarise the split for summary.json.

        Each metric has its mean, its 95 % interval by the bootstrap over patients or, if
        they are unknown, videos, and its values at
        ED and at ES. A value that does not exist, such as that of a phase without frames, is None.
        """
        flaws = {name: _mean_of(flaw) for name, flaw in self._flaws().items()}
        ratios = {**self._ratios(), **flaws, "pooled": self._pooled_ratio()}
        above, below = (np.stack([pair[side] for pair in ratios.values()]) for side in (0, 1))
        intervals = bootstrap_intervals(above, below, self.frames.groups[self.index])
        phase = self.frames.phase[self.index]
        ed, es = (phase == schema.PHASES.index(name) for name in ("ED", "ES"))
        metrics: dict[str, Any] = {
            name: {
                "mean": _ratio(top, bottom),
                "ci95": [_number(end) for end in interval],
                "ed": _ratio(top[ed], bottom[ed]),
                "es": _ratio(top[es], bottom[es]),
            }
            for (name, (top, bottom)), interval in zip(ratios.items(), intervals, strict=True)
        }
        metrics["dice"] |= {
            "pooled": _number(pooled_dice(self.counts)),
            "pooled_ci95": metrics.pop("pooled")["ci95"],
        }
        shape = {name: metrics.pop(name) for name in flaws}
        table = {
            "frames": len(self.index),
            "missed_frames": int(self.missed().sum()),
            **metrics,
            **self.videos().summary(),
            "shape": shape,
        }
        errors = self.radial_errors()
        if errors is not None:
            lost = np.isnan(errors) if self.found is None else ~self.found
            table["missed_landmarks"] = int(lost.sum())
        return table

    def rows(self) -> list[list[Any]]:
        """List the rows of frames.csv, a frame each in the store's order, after its columns.

        A missing value is None.
        """
        frames, index = self.frames, self.index
        columns: dict[str, list[Any]] = {
            "row": frames.rows[index].tolist(),
            "video": frames.video[index].tolist(),
            "frame": frames.number[index].tolist(),
            "split": [schema.SPLITS[code] for code in frames.split[index]],
            "phase": [schema.PHASES[code] for code in frames.phase[index]],
        }
        columns |= {name: _cells(*pair) for name, pair in self._ratios().items()}
        columns["predicted_pixels"] = self.counts[:, 1].tolist()
        columns["true_pixels"] = self.counts[:, 2].tolist()
        columns |= {name: flaw.astype(int).tolist() for name, flaw in self._flaws().items()}
        errors = self.radial_errors()
        for number, values in enumerate([] if errors is None else errors.T):
            columns[f"radial_error_{number}"] = _cells(values, np.ones(len(values)))
        rows = [list(row) for row in zip(*columns.values(), strict=True)]
        return [list(columns), *(rows[position] for position in np.argsort(index))]

    def _ratios(self) -> dict[str, Ratio]:
        difference = (self.counts[:, 1] - self.counts[:, 2]).astype(np.float64)
        ratios = {
            "dice": _mean_of(self.dice()),
            "iou": _mean_of(iou(self.counts)),
            "pixel_accuracy": _mean_of(self.pixel_accuracy()),
            "hd95": _mean_of(self.hd95()),
            "surface_distance": _mean_of(self.distances[:, 1]),
            "area_error": _mean_of(np.abs(difference)),
            "area_bias": _mean_of(difference),
        }
        distances = {name: ratios[name] for name in ("hd95", "surface_distance")}
        ratios |= self._in_mm(distances)
        if self.ceiling is not None:
            ratios["ceiling"] = _mean_of(self.ceiling)
        errors = self.radial_errors()
        if errors is not None:
            found = ~np.isnan(errors)
            ratios["mean_radial_error"] = (
                np.where(found, errors, 0).sum(axis=1),
                found.sum(axis=1).astype(np.float64),
            )
            ratios |= self._in_mm({"mean_radial_error": ratios["mean_radial_error"]})
            for limit, rates in zip(SUCCESS_LIMITS, success_rates(errors), strict=True):
                ratios[f"success_{limit}px"] = _mean_of(rates)
        return ratios

    def _in_mm(self, ratios: dict[str, Ratio]) -> dict[str, Ratio]:
        """Distances in mm of the frames whose pixel spacing is known; nothing if none is."""
        if self.frames.spacing is None:
            return {}
        spacing = self.frames.spacing[self.index].astype(np.float64)
        known = np.isfinite(spacing)
        return {
            f"{name}_mm": (above * np.where(known, spacing, 0), below * known)
            for name, (above, below) in ratios.items()
        }

    def _flaws(self) -> dict[str, np.ndarray]:
        """Why each prediction cannot be a ventricle, and whether any of this holds."""
        flaws = {"second_piece": self.pieces > 1, "hole": self.holes > 0}
        if self.crossing is not None:
            flaws["self_crossing"] = self.crossing
        if self.area_range is not None:
            height, width = self.frames.shape
            share = self.counts[:, 1] / (height * width)
            flaws["area_outside"] = (share < self.area_range[0]) | (share > self.area_range[1])
        flaws["implausible"] = np.any(list(flaws.values()), axis=0)
        return flaws

    def _pooled_ratio(self) -> Ratio:
        counts = self.counts.astype(np.float64)
        return 2 * counts[:, 0], counts[:, 1] + counts[:, 2]


def _mean_of(values: np.ndarray) -> Ratio:
    return values.astype(np.float64), np.ones(len(values))


def _ratio(above: np.ndarray, below: np.ndarray) -> float | None:
    total = below.sum()
    return float(above.sum() / total) if total else None


def _cells(above: np.ndarray, below: np.ndarray) -> list[Decimal | None]:
    """The value of each frame."""
    values = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return [fixed(value, 6) for value in values]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
