"""Runs compared on the same frames: the difference of their Dice, frame by frame.

Some frames are harder than others for every run. This variation cancels in the differences, so runs
can be told apart even if the intervals of their mean Dice overlap.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import stdtr

from echo_train.metrics.bootstrap import bootstrap_intervals
from echo_train.reporting.run_rows import Row
from echo_train.runs.run_folder import read_frames
from echo_train.runs.summary import SPLITS

Scores = dict[tuple[str, int], float]
"""Foreground Dice by video and frame."""

_EQUAL = 1e-9
"""Difference of two Dice values that only rounding makes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """Dice of a run minus that of a baseline, on the frames that both were measured on.

    Attributes
    ----------
    mean, low, high : float
        Mean difference, and its 95 % interval by the bootstrap over videos.
    better : float
        Share of the frames on which the run has a higher Dice than the baseline.
    p : float or None
        Of a paired t-test over the mean difference of each video; None for a single video.
    adjusted : float or None
        The same after Holm's correction for the number of comparisons in a report.
    """

    frames: int
    mean: float
    low: float
    high: float
    better: float
    p: float | None = None
    adjusted: float | None = None


def read_scores(folder: Path, split: str) -> Scores:
    """Read the Dice of each frame of a split from frames.csv.

    Parameters
    ----------
    split : str
        ``test``, ``val``, ``train`` or ``all``.

    Raises
    ------
    RunError
        If the file does not exist or is not a frames.csv.
    """
    return {
        (row["video"], int(row["frame"])): float(row["dice"])
        for row in read_frames(folder)
        if split in ("all", row["split"].lower())
    }


def paired_differences(runs: Sequence[Scores], baseline: Scores) -> list[Difference | None]:
    """Compare runs with a baseline; None for a run that has no frame in common with it."""
    groups: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for number, scores in enumerate(runs):
        groups.setdefault(tuple(sorted(scores.keys() & baseline.keys())), []).append(number)
    found: list[Difference | None] = [None] * len(runs)
    for frames, numbers in groups.items():
        if not frames:
            continue
        reference = np.array([baseline[frame] for frame in frames])
        gains = np.array([[runs[number][frame] for frame in frames] for number in numbers])
        gains -= reference
        videos = np.array([video for video, _ in frames])
        # One draw of videos for all runs that share their frames: thousands of draws take a while.
        intervals = bootstrap_intervals(gains, np.ones_like(gains), videos)
        for number, gain, (low, high) in zip(numbers, gains, intervals, strict=True):
            found[number] = Difference(
                frames=len(frames),
                mean=float(gain.mean()),
                low=float(low),
                high=float(high),
                better=float((gain > 0).mean()),
                p=_p_value(gain, videos),
            )
    return found


def compare_rows(rows: Sequence[Row], baseline: Row) -> list[Difference | None]:
    """Compare each row with the baseline on the first split that both were measured on.

    The Dice of a row of several runs is the mean over its runs, frame by frame.

    Returns
    -------
    differences : list of Difference or None
        One for each row; None for the baseline, and for a row without a frame in common.

    Raises
    ------
    RunError
        If a frames.csv cannot be read.
    """
    by_split: dict[str, list[Row]] = {}
    for row in rows:
        tables = (*row.summaries, *baseline.summaries)
        shared = [split for split in SPLITS if all(split in table for table in tables)]
        if row is not baseline and shared:
            by_split.setdefault(shared[0], []).append(row)
    differences: dict[int, Difference | None] = {}
    for split, compared in by_split.items():
        scores = [_mean_scores(row, split) for row in compared]
        results = paired_differences(scores, _mean_scores(baseline, split))
        differences |= {id(row): result for row, result in zip(compared, results, strict=True)}
    found = [differences.get(id(row)) for row in rows]
    known = [each.p for each in found if each is not None and each.p is not None]
    adjusted = iter(holm(known))
    return [
        each
        if each is None or each.p is None
        else dataclasses.replace(each, adjusted=next(adjusted))
        for each in found
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number by the step-down method of Holm (1979).

    Examples
    --------
    >>> holm([0.03, 0.01, 0.02])
    [0.04, 0.03, 0.04]
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    raised = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    adjusted = np.empty(len(p_values))
    adjusted[order] = raised
    return adjusted.tolist()


def _mean_scores(row: Row, split: str) -> Scores:
    values: dict[tuple[str, int], list[float]] = {}
    for folder in row.folders:
        for frame, dice in read_scores(folder, split).items():
            values.setdefault(frame, []).append(dice)
    return {frame: sum(found) / len(found) for frame, found in values.items()}


def _p_value(gains: np.ndarray, videos: np.ndarray) -> float | None:
    _, group = np.unique(videos, return_inverse=True)
    means = np.bincount(group, weights=gains) / np.bincount(group)
    if len(means) < 2:
        return None
    if np.ptp(means) < _EQUAL:
        return float(abs(means[0]) < _EQUAL)
    t = means.mean() / (means.std(ddof=1) / len(means) ** 0.5)
    return float(2 * stdtr(len(means) - 1, -abs(t)))
