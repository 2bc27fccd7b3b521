"""Heart beats in a curve of areas or volumes: end-diastole, end-systole and the heart rate."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.signal import find_peaks

RATE = 50.0
"""Frames per second of a clip whose rate is unknown; the most frequent in EchoNet-Dynamic."""

SMOOTHING = 0.03
"""Standard deviation of the smoothing along time, in seconds."""

SHORTEST = 0.3
"""Shortest time between two end-systoles in seconds: 200 beats a minute."""

DEPTH = 0.4
"""Least depth of a systole, as a share of the range of the curve; flatter dips are noise."""

COMPLETE = 0.9
"""A systole at the edge of a clip is complete if the curve changes by this share of the median
change of the others."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beats:
    """The beats of a clip whose systole is complete.

    Attributes
    ----------
    ed, es : ndarray, (beat,) int64
        Frames of end-diastole and end-systole. End-diastole comes first; only in a clip without a
        complete systole, the filling after end-systole is used.
    curve : ndarray, (frame,) float64
        The smoothed curve.
    systoles : ndarray, (systole,) int64
        Frames of all end-systoles that are not the first or the last frame.
    """

    ed: np.ndarray
    es: np.ndarray
    curve: np.ndarray
    systoles: np.ndarray

    def heart_rate(self, rate: float | None) -> float:
        """Beats a minute, from the mean interval between end-systoles; NaN if unknown."""
        if rate is None or len(self.systoles) < 2:
            return np.nan
        return float(60 * rate / np.diff(self.systoles).mean())

    def irregularity(self) -> float:
        """Standard deviation of the intervals over their mean; NaN for fewer than two.

        Above about 0.15 the rhythm is irregular, and one beat does not stand for the others.
        """
        intervals = np.diff(self.systoles)
        return float(intervals.std(ddof=1) / intervals.mean()) if len(intervals) > 1 else np.nan


def find_beats(curve: np.ndarray, rate: float | None = None) -> Beats:
    """Find the beats of a clip.

    The deep minima of the smoothed curve are end-systoles. The maximum between two of them, or
    between one and the edge of the clip, is end-diastole.

    Parameters
    ----------
    curve : ndarray, (frame,) float
        Areas or volumes; NaN where none was measured.
    rate : float, optional
        Frames per second; `RATE` by default.
    """
    rate = rate or RATE
    smooth = smooth_curve(curve, rate)
    nothing = np.empty(0, dtype=np.int64)
    if len(smooth) < 2 or np.isnan(smooth).any() or np.ptp(smooth) == 0:
        return Beats(ed=nothing, es=nothing, curve=smooth, systoles=nothing)
    depth = DEPTH * float(np.diff(np.percentile(smooth, [5, 95]))[0])
    # Beyond both ends the curve counts as high, so that a minimum at an end is found as well.
    minima, _ = find_peaks(
        np.pad(-smooth, 1, constant_values=-np.inf),
        distance=max(1, round(SHORTEST * rate)),
        prominence=max(depth, np.finfo(float).tiny),
    )
    minima -= 1
    last = len(smooth) - 1
    ends = [0, *minima.tolist(), last]
    maxima = [
        start + int(np.argmax(smooth[start : stop + 1])) for start, stop in itertools.pairwise(ends)
    ]
    falls = np.stack([maxima[:-1], minima], axis=1)
    rises = np.stack([maxima[1:], minima], axis=1)
    beats = _complete(falls, rises, smooth)
    if not len(beats):
        beats = _complete(rises, falls, smooth)
    inner = (minima > 0) & (minima < last)
    return Beats(ed=beats[:, 0], es=beats[:, 1], curve=smooth, systoles=minima[inner])


def smooth_curve(curve: np.ndarray, rate: float) -> np.ndarray:
    """Fill gaps linearly, remove single outliers and smooth along time.

    Parameters
    ----------
    curve : ndarray, (frame,) float
        NaN where nothing was measured.
    rate : float
        Frames per second.

    Returns
    -------
    smooth : ndarray, (frame,) float64
        All NaN if nothing was measured at all.
    """
    values = np.asarray(curve, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return np.full(len(values), np.nan)
    filled = np.interp(np.arange(len(values)), known, values[known])
    return np.asarray(
        gaussian_filter1d(
            median_filter(filled, 3, mode="nearest"), SMOOTHING * rate, mode="nearest"
        )
    )


def _complete(pairs: np.ndarray, others: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """Of (ED, ES), those that are complete; see `COMPLETE`."""
    both = np.concatenate([pairs, others])
    change = smooth[both[:, 0]] - smooth[both[:, 1]]
    inner = ((both > 0) & (both < len(smooth) - 1)).all(axis=1)
    least = COMPLETE * np.median(change[inner]) if inner.any() else 0.0
    complete = (change > 0) & (inner | (change >= least))
    return pairs[complete[: len(pairs)]]
