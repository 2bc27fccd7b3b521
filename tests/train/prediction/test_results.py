"""The arrays and the table of a clip's results."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from echo_train.prediction.results import frame_table, save_arrays
from echo_train.prediction.segment import PackedMasks, Segmentation


def found(points: np.ndarray | None = None) -> Segmentation:
    """Two frames, the first with a rectangle."""
    masks = np.zeros((2, 40, 50), np.uint8)
    masks[0, 10:20, 15:30] = 1
    packed = PackedMasks((40, 50))
    for mask in masks:
        packed.append(mask)
    return Segmentation(
        numbers=np.array([0, 10]),
        seconds=np.array([0, 0.5]),
        masks=packed,
        areas=masks.sum(axis=(1, 2)),
        points=points,
        reasons=np.array(["", "no landmark was found"]),
    )


def test_the_table_has_area_and_landmarks_of_every_frame() -> None:
    points = np.array([[[15, 10], [29, 19]], [[np.nan, np.nan], [1.5, 2]]], dtype=np.float32)
    assert frame_table(found(points)).splitlines() == [
        "frame,seconds,area_px,x0,y0,x1,y1,found,reason",
        "0,0.0000,150,15.000,10.000,29.000,19.000,1,",
        "10,0.5000,0,,,1.500,2.000,0,no landmark was found",
    ]
    assert frame_table(found()).splitlines()[1] == "0,0.0000,150,1,"


def test_the_arrays_are_those_that_numpy_reads(tmp_path: Path) -> None:
    points = np.array([[[15, 10]], [[np.nan, np.nan]]], dtype=np.float32)
    save_arrays(tmp_path / "a.npz", found(points))
    with np.load(tmp_path / "a.npz") as arrays:
        assert set(arrays) == {"frames", "masks", "points"}
        assert arrays["masks"].dtype == np.uint8
        expected = np.zeros((2, 40, 50))
        expected[0, 10:20, 15:30] = 1
        np.testing.assert_array_equal(arrays["masks"], expected)
        np.testing.assert_array_equal(arrays["frames"], [0, 10])
        np.testing.assert_array_equal(arrays["points"], points)
