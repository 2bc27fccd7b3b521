"""Two runs on the same frames: the difference of their Dice, frame by frame.

Two intervals may overlap where every frame is better in one run: what frames
have in common, such as how hard they are, cancels out of their differences.
"""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np

from echo_common.errors import RunError
from echo_train.metrics.bootstrap import bootstrap_intervals
from echo_train.runs.run_folder import FRAMES

Scores = dict[tuple[str, int], float]
"""Foreground Dice by video and frame."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """Dice of one run less that of another, over the frames that both were measured on.

    Attributes
    ----------
    frames : int
    mean, low, high : float
        Mean difference, and its 95 % interval by the bootstrap over videos.
    better : float
        Share of the frames where the one run is better.
    """

    frames: int
    mean: float
    low: float
    high: float
    better: float

    def __str__(self) -> str:
        return (
            f"{self.mean:+.4f} (95 % {self.low:+.4f} to {self.high:+.4f}) on {self.frames} "
            f"frames, better on {100 * self.better:.0f} %"
        )


def read_scores(folder: Path, split: str) -> Scores:
    """Read the Dice of each frame of a split from a frames.csv.

    Parameters
    ----------
    folder : Path
    split : str
        ``test``, ``val`` or ``train``, or ``all``.

    Raises
    ------
    RunError
        If the file is not there, or is not what a run writes.
    """
    path = folder / FRAMES
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {
                (row["video"], int(row["frame"])): float(row["dice"])
                for row in csv.DictReader(file)
                if split in ("all", row["split"].lower())
            }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def paired_difference(one: Scores, other: Scores) -> Difference | None:
    """Compare two runs on the frames that both were measured on; None where there are none."""
    both = sorted(one.keys() & other.keys())
    if not both:
        return None
    gains = np.array([one[frame] - other[frame] for frame in both])
    videos = np.array([video for video, _ in both])
    (interval,) = bootstrap_intervals(gains[None], np.ones((1, len(gains))), videos)
    return Difference(
        frames=len(both),
        mean=float(gains.mean()),
        low=float(interval[0]),
        high=float(interval[1]),
        better=float((gains > 0).mean()),
    )
