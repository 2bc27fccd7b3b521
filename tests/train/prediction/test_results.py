"""The arrays and the table of a clip's results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from echo_train.prediction.measurement import Measurement
from echo_train.prediction.results import (
    contour_lines,
    frame_table,
    measures_table,
    save_arrays,
)
from echo_train.prediction.segment import PackedMasks, Segmentation

SQUARE = np.array([[14.5, 9.5], [29.5, 9.5], [29.5, 19.5], [14.5, 19.5]])


def found(points: np.ndarray | None = None) -> Segmentation:
    """Two frames, the first with a rectangle."""
    masks = np.zeros((2, 40, 50), np.uint8)
    masks[0, 10:20, 15:30] = 1
    packed = PackedMasks((40, 50))
    for mask in masks:
        packed.append(mask)
    return Segmentation(
        numbers=np.array([0, 10]),
        seconds=np.array([0, np.nan]),
        masks=packed,
        areas=masks.sum(axis=(1, 2)),
        contours=np.stack([SQUARE, np.full((4, 2), np.nan)]),
        axes=None,
        points=points,
        confidence=np.array([0.9, 0.25]),
        reasons=np.array(["", "no landmark found"]),
    )


CURVES = {"area": np.array([150.0, np.nan]), "volume": np.array([1200.5, np.nan])}


def test_the_table_has_measures_and_landmarks_of_every_frame() -> None:
    points = np.array([[[15, 10], [29, 19]], [[np.nan, np.nan], [1.5, 2]]], dtype=np.float32)
    measured = Measurement(status="measured", ed=np.array([0]), es=np.array([1]), curves=CURVES)
    assert frame_table(found(points), measured).splitlines() == [
        "frame,seconds,phase,found,reason,confidence,area_px,volume_px3,x0,y0,x1,y1",
        "0,0.0000,ED,1,,0.900,150.00,1200.50,15.000,10.000,29.000,19.000",
        "10,,ES,0,no landmark found,0.250,,,,,1.500,2.000",
    ]
    without = Measurement(status="not measurable", volume_unit="ml", curves=CURVES)
    head, first, _ = frame_table(found(), without).splitlines()
    assert head.endswith(",volume_ml") and first == "0,0.0000,,1,,0.900,150.00,1200.50"


def test_the_contours_are_json() -> None:
    content = json.loads("".join(contour_lines('a"b', found())))
    assert content == {
        "clip": 'a"b',
        "unit": "px",
        "frames": [
            {"frame": 0, "seconds": 0.0, "contour": SQUARE.tolist()},
            {"frame": 10, "seconds": None, "contour": []},
        ],
    }


def test_the_measures_have_a_row_for_each_clip() -> None:
    measured = Measurement(
        status="measured",
        ed=np.array([1, 3]),
        es=np.array([2, 4]),
        ef=61.26,
        ef_sd=1.5,
        edv=120.04,
        esv=46.5,
        volume_unit="ml",
        fac=40.0,
        strain=-18.25,
        heart_rate=72.0,
    )
    rows = {
        "a": (measured, np.arange(10, 20)),
        "=b": (Measurement(status="failed", reason="the file is empty"), np.empty(0, int)),
    }
    assert measures_table(rows).splitlines() == [
        "clip,status,reason,beats,ef,ef_sd,edv,esv,volume_unit,fac,strain,heart_rate,"
        "ed_frames,es_frames",
        "a,measured,,2,61.3,1.5,120.0,46.5,ml,40.0,-18.2,72.0,11 13,12 14",
        "'=b,failed,the file is empty,0,,,,,,,,,,",
    ]


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
