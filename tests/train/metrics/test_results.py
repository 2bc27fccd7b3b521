"""The metrics of a measured split against their definitions, on handmade frames."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from echo_common.store import schema
from echo_common.tables import csv_table
from echo_train.data.frame_set import FrameSet
from echo_train.metrics.results import SplitResults
from support.frames import frame_set

SHAPE = (10, 20)


def six_frames(**columns: Any) -> FrameSet:
    """Six frames of three videos; rows 3 to 8 of a store."""
    return frame_set(
        6,
        rows=np.arange(3, 9),
        video=np.array(["A", "A", "B", "B", "C", "C"]),
        number=np.array([4, 9, 0, 7, 3, 5], dtype=np.int32),
        phase=np.array([0, 1, 1, 0, 0, 2], dtype=np.uint8),
        split=np.full(6, schema.SPLITS.index("TEST"), dtype=np.uint8),
        shape=SHAPE,
        **columns,
    )


# Pixels in both masks, predicted, true, and classed rightly out of 200.
COUNTS = np.array(
    [
        [40, 50, 50, 180],
        [30, 30, 60, 170],
        [0, 0, 40, 160],
        [80, 90, 90, 180],
        [20, 40, 20, 180],
        [60, 60, 60, 200],
    ]
)
DICE = np.array([0.8, 60 / 90, 0.0, 160 / 180, 40 / 60, 1.0])


def results(**changes: Any) -> SplitResults:
    frames = len(changes.get("index", range(6)))
    given = {
        "frames": six_frames(),
        "index": np.arange(6),
        "counts": COUNTS,
        "distances": np.array([[2, 1], [3, 1.5], [22.4, 22.4], [1, 0.5], [4, 2], [0, 0.0]]),
        "pieces": np.array([1, 2, 0, 1, 1, 1]),
        "holes": np.array([0, 1, 0, 0, 2, 0]),
        "area_range": (0.2, 0.4),
        **dict.fromkeys(("area", "length", "volume"), np.full(frames, np.nan)),
    }
    return SplitResults(**{**given, **changes})


def test_means_are_over_frames_and_phases() -> None:
    summary = results().summary()
    assert summary["frames"] == 6 and summary["missed_frames"] == 1
    assert summary["dice"]["mean"] == pytest.approx(DICE.mean())
    assert summary["dice"]["ed"] == pytest.approx(DICE[[0, 3, 4]].mean())
    assert summary["dice"]["es"] == pytest.approx(DICE[[1, 2]].mean())
    assert summary["dice"]["pooled"] == pytest.approx(2 * 230 / (270 + 320))
    assert summary["iou"]["mean"] == pytest.approx((DICE / (2 - DICE)).mean())
    assert summary["pixel_accuracy"]["mean"] == pytest.approx(
        np.mean([180, 170, 160, 180, 180, 200]) / 200
    )
    assert summary["hd95"]["mean"] == pytest.approx(32.4 / 6)
    assert summary["surface_distance"]["ed"] == pytest.approx(3.5 / 3)
    assert summary["area_error"]["mean"] == pytest.approx((0 + 30 + 40 + 0 + 20 + 0) / 6)
    assert summary["area_bias"]["mean"] == pytest.approx((0 - 30 - 40 + 0 + 20 + 0) / 6)
    assert "mean_radial_error" not in summary and "missed_landmarks" not in summary


def test_intervals_span_the_means_of_the_videos() -> None:
    summary = results().summary()
    by_video = DICE.reshape(3, 2).mean(axis=1)
    low, high = summary["dice"]["ci95"]
    assert low == pytest.approx(by_video.min()) and high == pytest.approx(by_video.max())
    low, high = summary["dice"]["pooled_ci95"]
    both, total = COUNTS[:, 0].reshape(3, 2).sum(1), COUNTS[:, 1:3].sum(1).reshape(3, 2).sum(1)
    pooled = 2 * both / total
    assert low == pytest.approx(pooled.min()) and high == pytest.approx(pooled.max())


def test_implausible_shapes_are_shares_of_the_frames() -> None:
    shape = results().summary()["shape"]
    assert shape["second_piece"]["mean"] == pytest.approx(1 / 6)
    assert shape["hole"]["mean"] == pytest.approx(2 / 6)
    # The areas are .25 .15 0 .45 .2 .3; the range includes its ends.
    assert shape["area_outside"]["mean"] == pytest.approx(3 / 6)
    assert shape["implausible"]["mean"] == pytest.approx(4 / 6)
    assert "self_crossing" not in shape


def test_crossings_need_landmarks_and_areas_need_a_known_range() -> None:
    crossing = np.array([True, False, False, False, False, True])
    shape = results(crossing=crossing, area_range=None).summary()["shape"]
    assert shape["self_crossing"]["mean"] == pytest.approx(2 / 6)
    assert shape["implausible"]["mean"] == pytest.approx(4 / 6)
    assert "area_outside" not in shape


def test_a_phase_without_frames_has_no_value() -> None:
    summary = results(
        index=np.array([0, 3]),
        counts=COUNTS[[0, 3]],
        distances=np.zeros((2, 2)),
        pieces=np.ones(2, dtype=np.int64),
        holes=np.zeros(2, dtype=np.int64),
    ).summary()
    assert summary["dice"]["es"] is None
    assert summary["dice"]["ed"] == summary["dice"]["mean"]


@pytest.fixture
def with_landmarks() -> SplitResults:
    """Two landmarks a frame, 0.5 and 2 px off; in frame 1 one is missed, in frame 2 both."""
    true = np.random.default_rng(0).uniform(2, 8, (6, 2, 2)).astype(np.float32)
    found = true + np.array([[0.3, 0.4], [2, 0]], dtype=np.float32)
    found[1, 1] = found[2] = np.nan
    return results(frames=six_frames(points=true), points=found, crossing=np.zeros(6, dtype=bool))


def test_missed_landmarks_have_no_error_and_no_success(with_landmarks: SplitResults) -> None:
    summary = with_landmarks.summary()
    assert summary["missed_landmarks"] == 3
    assert summary["mean_radial_error"]["mean"] == pytest.approx((5 * 0.5 + 4 * 2) / 9, abs=1e-5)
    assert summary["mean_radial_error"]["es"] == pytest.approx(0.5, abs=1e-5)
    assert summary["success_1px"]["mean"] == pytest.approx(5 / 12)
    assert summary["success_3px"]["mean"] == pytest.approx(9 / 12)
    assert summary["success_4px"]["es"] == pytest.approx(1 / 4)


def test_a_model_that_finds_no_landmark_has_no_error(with_landmarks: SplitResults) -> None:
    assert with_landmarks.points is not None
    lost = SplitResults(
        **{
            **{name: getattr(with_landmarks, name) for name in SplitResults.__dataclass_fields__},
            "points": np.full_like(with_landmarks.points, np.nan),
        }
    )
    summary = lost.summary()
    assert summary["mean_radial_error"] == {
        "mean": None,
        "ci95": [None, None],
        "ed": None,
        "es": None,
    }
    assert summary["success_4px"]["mean"] == 0


def test_the_table_has_one_row_for_each_frame_in_the_stores_order(
    with_landmarks: SplitResults,
) -> None:
    order = np.array([5, 2, 0, 1, 4, 3])
    shuffled = results(
        frames=with_landmarks.frames,
        index=order,
        counts=COUNTS[order],
        distances=with_landmarks.distances[order],
        pieces=with_landmarks.pieces[order],
        holes=with_landmarks.holes[order],
        crossing=np.zeros(6, dtype=bool),
        points=with_landmarks.points[order] if with_landmarks.points is not None else None,
    )
    assert shuffled.rows() == with_landmarks.rows()
    rows = list(csv.DictReader(io.StringIO(csv_table(with_landmarks.rows()))))
    assert [int(row["row"]) for row in rows] == [3, 4, 5, 6, 7, 8]
    assert [(row["video"], int(row["frame"]), row["phase"]) for row in rows[:3]] == [
        ("A", 4, "ED"),
        ("A", 9, "ES"),
        ("B", 0, "ES"),
    ]
    np.testing.assert_allclose([float(row["dice"]) for row in rows], DICE, atol=1e-6)
    assert [int(row["true_pixels"]) for row in rows] == COUNTS[:, 2].tolist()
    assert [row["implausible"] for row in rows] == ["0", "1", "1", "1", "1", "0"]
    assert [row["radial_error_1"] for row in rows[:3]] == ["2.000000", "", ""]
    assert rows[1]["mean_radial_error"] == "0.500000" and rows[2]["mean_radial_error"] == ""


def test_distances_are_also_in_mm_if_the_spacing_is_known() -> None:
    assert not any(name.endswith("_mm") for name in results().summary())
    spacing = np.array([0.5, 0.5, np.nan, 0.25, 1, np.nan], dtype=np.float32)
    summary = results(frames=six_frames(spacing=spacing)).summary()
    assert summary["hd95_mm"]["mean"] == pytest.approx((1 + 1.5 + 0.25 + 4) / 4)
    assert summary["surface_distance_mm"]["mean"] == pytest.approx((0.5 + 0.75 + 0.125 + 2) / 4)
    assert summary["hd95"]["mean"] == pytest.approx((2 + 3 + 22.4 + 1 + 4 + 0) / 6)
    true = np.zeros((6, 3, 2))
    found = true + np.array([3.0, 4.0])
    measured = results(
        frames=six_frames(points=true, spacing=spacing),
        points=found,
        found=np.ones((6, 3), dtype=bool),
    ).summary()
    assert measured["mean_radial_error"]["mean"] == pytest.approx(5)
    assert measured["mean_radial_error_mm"]["mean"] == pytest.approx(5 * (0.5 + 0.5 + 0.25 + 1) / 4)


def test_intervals_are_drawn_over_patients() -> None:
    alone = results().summary()["dice"]["ci95"]
    patient = np.array(["p", "p", "p", "p", "", ""])
    together = results(frames=six_frames(patient=patient)).summary()
    # Two groups, A and B together, and C: a sample has one of them twice, or both.
    first, second = DICE[:4].mean(), DICE[4:].mean()
    assert together["dice"]["ci95"] == pytest.approx(sorted([first, second]))
    assert alone != together["dice"]["ci95"]


def test_a_short_axis_view_has_an_area_but_neither_length_nor_volume() -> None:
    square = np.array([[4, 1], [8, 1], [8, 9], [4, 9]], dtype=np.float32)
    frames = six_frames(
        contour=np.tile(square, (6, 1, 1)),
        long_axis=np.tile(np.array([[6, 1], [6, 9]], dtype=np.float32), (6, 1, 1)),
        ef=np.full(6, 50.0, dtype=np.float32),
        view=np.array(["PSAX", "PSAX", "A4C", "A4C", "A4C", "A4C"]),
    )
    measured = np.array([40.0, 20, 16, 32, 32, 32])
    videos = results(frames=frames, area=measured, length=measured, volume=measured).videos()
    assert videos.video.tolist() == ["A", "B"]
    np.testing.assert_allclose(videos.ef()[0], [np.nan, 50])
    np.testing.assert_allclose(videos.ef()[1], [np.nan, 0])
    np.testing.assert_allclose(videos.fac()[0], [50, 50])
    assert np.isnan(videos.length[0]).all() and (videos.length[1, 0] == [32, 16]).all()
