"""Differences of two runs on the frames that both were measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from echo_common.errors import RunError
from echo_train.reporting.paired_difference import (
    Difference,
    holm,
    paired_differences,
    read_scores,
)
from support.reports import paired_difference, scores_of


def test_scores_are_read_by_split(tmp_path: Path) -> None:
    path = tmp_path / "frames.csv"
    path.write_text("video,frame,split,dice\nA,3,TEST,0.5\nA,7,TEST,0.75\nB,1,VAL,0.25\n")
    assert read_scores(tmp_path, "test") == {("A", 3): 0.5, ("A", 7): 0.75}
    assert read_scores(tmp_path, "val") == {("B", 1): 0.25}
    assert len(read_scores(tmp_path, "all")) == 3


@pytest.mark.parametrize(
    "content", [None, "video,frame\nA,1\n", "video,frame,split,dice\nA,x,TEST,1\n"]
)
def test_scores_that_cannot_be_read_raise_one_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "frames.csv").write_text(content)
    with pytest.raises(RunError, match=r"frames\.csv cannot be read"):
        read_scores(tmp_path, "test")


def test_a_difference_is_paired_by_frame_and_resampled_by_video() -> None:
    """An equal gain on every frame has no uncertainty, however much the frames differ."""
    reference = scores_of(0)
    better = {frame: score + 0.01 for frame, score in reference.items()}
    found = paired_difference(better, reference)
    assert found is not None
    assert (found.frames, found.better) == (80, 1.0)
    assert [found.mean, found.low, found.high] == pytest.approx([0.01] * 3)
    gains = np.random.default_rng(5).normal(0.02, 0.05, 40)
    better = {frame: score + gains[int(frame[0][1:])] for frame, score in reference.items()}
    found = paired_difference(better, reference)
    assert found is not None
    expected = stats.bootstrap(
        (gains,), np.mean, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert found.mean == pytest.approx(gains.mean())
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], abs=0.04 * width)
    assert found.better == pytest.approx((gains > 0).mean())


def test_only_frames_of_both_runs_are_compared() -> None:
    found = paired_difference({("A", 1): 0.5, ("B", 1): 0.9}, {("A", 1): 0.25, ("C", 1): 0.1})
    assert found == Difference(frames=1, mean=0.25, low=0.25, high=0.25, better=1.0)
    assert paired_difference({("A", 1): 0.5}, {("B", 1): 0.5}) is None


def test_a_p_value_is_that_of_a_paired_test_over_videos(tmp_path: Path) -> None:
    """Two frames of a video count as one, and equal runs are not significant."""
    reference, gains = scores_of(0), np.random.default_rng(5).normal(0.01, 0.03, 40)
    better = {frame: score + gains[int(frame[0][1:])] for frame, score in reference.items()}
    found, same = paired_differences([better, reference], reference)
    assert found is not None and same is not None
    expected = stats.ttest_rel(
        [better[f"V{video:02}", 3] for video in range(40)],
        [reference[f"V{video:02}", 3] for video in range(40)],
    )
    assert found.p == pytest.approx(expected.pvalue)
    assert same.p == 1


def test_p_values_are_adjusted_as_r_does() -> None:
    """p.adjust(c(0.01, 0.04, 0.03, 0.005, 0.5), "holm") in R."""
    assert holm([0.01, 0.04, 0.03, 0.005, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.5])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []
