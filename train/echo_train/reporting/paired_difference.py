"""Runs compared on the same frames: the difference of their Dice, frame by frame.

Some frames are harder than others for every run. This variation cancels in the differences, so runs
can be told apart even if the intervals of their mean Dice overlap.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from echo_train.metrics.bootstrap import bootstrap_intervals
from echo_train.runs.run_folder import read_frames
from echo_train.runs.summary import SPLITS

Scores = dict[tuple[str, int], float]
"""Foreground Dice by video and frame."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """Dice of a run minus that of a reference run, on the frames that both were measured on.

    Attributes
    ----------
    frames : int
    mean, low, high : float
        Mean difference, and its 95 % interval by the bootstrap over videos.
    better : float
        Share of the frames on which the run has a higher Dice than the reference.
    """

    frames: int
    mean: float
    low: float
    high: float
    better: float

    def __str__(self) -> str:
        return (
            f"{self.mean:+.4f} (95 % interval {self.low:+.4f} to {self.high:+.4f}) over "
            f"{self.frames} frames; higher on {100 * self.better:.0f} % of them"
        )


def read_scores(folder: Path, split: str) -> Scores:
    """Read the Dice of each frame of a split from frames.csv.

    Parameters
    ----------
    folder : Path
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


def paired_difference(scores: Scores, reference: Scores) -> Difference | None:
    """Compare a run with a reference run; None if they have no frame in common."""
    shared = sorted(scores.keys() & reference.keys())
    if not shared:
        return None
    gains = np.array([scores[frame] - reference[frame] for frame in shared])
    videos = np.array([video for video, _ in shared])
    (interval,) = bootstrap_intervals(gains[None], np.ones((1, len(gains))), videos)
    return Difference(
        frames=len(shared),
        mean=float(gains.mean()),
        low=float(interval[0]),
        high=float(interval[1]),
        better=float((gains > 0).mean()),
    )


def compare_runs(folders: Sequence[Path], summaries: Sequence[dict[str, Any]]) -> list[str]:
    """Compare each run with the first one, in a sentence.

    Raises
    ------
    RunError
        If a frames.csv cannot be read.
    """
    (reference, first), *others = zip(folders, summaries, strict=True)
    sentences = []
    for folder, summary in others:
        shared = [split for split in SPLITS if split in summary and split in first]
        if not shared:
            continue
        split = shared[0]
        difference = paired_difference(read_scores(folder, split), read_scores(reference, split))
        if difference is not None:
            sentences.append(f"Dice of {folder} minus that of {reference}, {split}: {difference}")
    return sentences
