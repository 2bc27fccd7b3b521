from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from echo_train.metrics.clinical import VideoMeasures, pair_frames
from support.frames import frame_set


def paired() -> VideoMeasures:
    """Three videos in another order than their frames; C has no end-systole, D nothing found."""
    video = np.array(["A", "B", "A", "C", "B", "D", "D"], dtype=object)
    phase = np.array([1, 0, 0, 0, 1, 0, 1])
    volume = np.array([40.0, 120, 100, 90, 84, np.nan, np.nan])
    traced = np.array([50.0, 100, 100, 90, 50, 60, 30])
    listed = np.array([52.0, 49, 52, 60, 49, np.nan, np.nan])
    return pair_frames(
        frame_set(7, video=video, phase=phase, ef=listed),
        np.arange(7),
        predicted=(volume / 2, volume / 10, volume),
        traced=(traced / 2, traced / 10 + 1, traced),
    )


def test_frames_are_paired_by_video_and_phase() -> None:
    videos = paired()
    assert videos.video.tolist() == ["B", "A", "D"]
    assert videos.volume[:2].tolist() == [[[120, 84], [100, 50]], [[100, 40], [100, 50]]]
    assert videos.listed_ef[:2].tolist() == [49, 52]
    np.testing.assert_allclose(videos.ef(), [[30, 60, np.nan], [50, 50, 50]])
    np.testing.assert_allclose(videos.fac(), videos.ef())


def test_the_summary_is_in_points_and_per_cent() -> None:
    summary = paired().summary()
    ef = summary["ef"]
    assert (ef["mae"], ef["bias"], ef["n"]) == pytest.approx((15, -5, 2))
    assert ef["sd"] == pytest.approx(stats.tstd([-20, 10]))
    assert ef["listed"]["bias"] == pytest.approx((30 - 49 + 60 - 52) / 2)
    assert ef["traced_listed"]["bias"] == pytest.approx((1 - 2) / 2)
    assert ef["below_40"]["only_measured_below"] == 1
    assert ef["below_50"] == {
        "both_below": 0,
        "only_measured_below": 1,
        "only_reference_below": 0,
        "both_above": 1,
    }
    # Of two videos, the bootstrap's percentiles are those of either alone.
    assert ef["bias_ci95"] == pytest.approx([-20, 10])
    assert summary["edv"]["bias"] == pytest.approx((20 + 0) / 2)
    assert summary["esv"]["bias"] == pytest.approx((68 - 20) / 2)
    assert summary["ed_length"]["bias"] == pytest.approx((12 - 11 + 10 - 11) / 2)


def test_intervals_resample_patients() -> None:
    # Both videos with a known value are of one patient, so that each draw has the same mean.
    videos = dataclasses.replace(paired(), group=np.array(["P", "P", "Q"]))
    assert videos.summary()["ef"]["bias_ci95"] == pytest.approx([-5, -5])


def test_rows_have_a_video_each_and_empty_cells_for_what_is_unknown() -> None:
    columns, first, _, last = paired().rows()
    row = dict(zip(columns, first, strict=True))
    assert (row["video"], float(row["ef"]), float(row["traced_ef"])) == ("B", 30, 50)
    assert (float(row["edv_px3"]), float(row["traced_esv_px3"])) == (120, 50)
    row = dict(zip(columns, last, strict=True))
    assert row["ef"] is None and row["listed_ef"] is None and float(row["traced_ef"]) == 50


def test_a_correction_restores_a_contraction_that_is_too_small_by_a_power() -> None:
    traced = np.array([[100.0, 40], [120, 60], [90, 70]])
    predicted = np.stack(
        [traced[:, 0], traced[:, 0] * (traced[:, 1] / traced[:, 0]) ** 0.8], axis=1
    )
    both = np.stack([predicted, traced], axis=1)
    videos = VideoMeasures(
        video=np.array(["A", "B", "C"]), group=np.array(["A", "B", "C"]), area=both,
        length=both, volume=both,
        listed_ef=np.full(3, np.nan),
    )  # fmt: skip
    assert videos.exponent() == pytest.approx(1.25)
    corrected = videos.corrected(1.25)
    np.testing.assert_allclose(*corrected.ef())
    assert corrected.summary()["ef"]["correction"] == 1.25
    assert videos.summary()["ef"]["correction"] is None
    header, row, *_ = corrected.rows()
    assert float(dict(zip(header, row, strict=True))["correction"]) == 1.25
    assert "correction" not in videos.rows()[0]


def test_without_pairs_nothing_is_known() -> None:
    nothing = (np.empty(0), np.empty(0), np.empty(0))
    videos = pair_frames(frame_set(0), np.arange(0), nothing, nothing)
    summary = videos.summary()
    assert summary["ef"]["n"] == 0 and np.isnan(summary["ef"]["mae"])
    assert len(videos.rows()) == 1
