"""The arrays and the table of a clip's results."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from echo_common.video.video_file import Video
from echo_train.commands.predict import cli
from echo_train.prediction.measurement import Measurement
from echo_train.prediction.overlay import CAPTION_HEIGHT
from echo_train.prediction.results import (
    contour_lines,
    frame_table,
    measures_table,
    save_arrays,
)
from echo_train.prediction.segment import PackedMasks, Segmentation
from support.clips import dicom
from support.commands import csv_rows, exit_code
from support.datasets import frame_pattern

echo_predict = functools.partial(exit_code, cli)

ALL = ("--confidence", "0", "--device", "cpu")
"""The models of these tests are not confident."""

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


def test_results_that_cannot_be_written_do_not_stop_the_others(
    runs: Path, video: Path, tmp_path: Path
) -> None:
    for number, bad in enumerate((tmp_path / ("n" * 251 + ".avi"), tmp_path / "first.avi")):
        shutil.copy(video, bad)
        out = tmp_path / f"out{number}"
        (out / "first.npz").mkdir(parents=True)
        videos = (bad, Path("x" * 300), video)
        options = ("--out", out, "--frames", "0", "--no-overlay", *ALL)
        assert echo_predict(runs / "mask", *videos, *options) == 1
        assert (out / "study.npz").is_file()


def test_no_output_names_the_patient_and_text_outside_the_sector_is_black(
    runs: Path, tmp_path: Path
) -> None:
    images = np.zeros((8, 300, 400), np.uint8)
    for number, image in enumerate(images):
        image[60:284, 100:324] = cv2.resize(frame_pattern(1, number), (224, 224))
        cv2.putText(image, "DOE JANE", (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 220, 2)
    dicom(tmp_path / "clip.dcm", images)
    options = ("--crop", "100,60,224,224", "--masks", "png", *ALL)
    for name, more in (("hidden", ()), ("kept", ("--keep-text",))):
        out = tmp_path / name
        assert (
            echo_predict(runs / "mask", tmp_path / "clip.dcm", *options, *more, "--out", out) == 0
        )
        for path in out.iterdir():
            if path.is_file():
                content = path.read_bytes()
                assert b"DOE" not in content and b"4711" not in content, path
    with Video(tmp_path / "hidden" / "clip.mp4") as video:
        assert video.shape == (2 * 224 + CAPTION_HEIGHT, 2 * 224)
    with Video(tmp_path / "kept" / "clip.mp4") as video:
        assert video.shape == (300 + CAPTION_HEIGHT, 400)
        shown = next(video.frames()).pixels
        assert shown is not None and shown[CAPTION_HEIGHT:][:40].max() > 200
    with np.load(tmp_path / "hidden" / "clip.npz") as arrays:
        masks = arrays["masks"]
    assert masks.shape == images.shape and not masks[:, :60].any() and masks.any()
    for number, mask in enumerate(masks):
        path = tmp_path / "hidden" / f"clip.mask-{number:05}.png"
        np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), 255 * mask)
    outside = (runs / "mask", tmp_path / "clip.dcm", "--crop", "300,60,224,224", *ALL)
    assert echo_predict(*outside, "--out", tmp_path / "outside") == 1


def test_masks_as_nifti(runs: Path, video: Path, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    options = ("--no-overlay", "--masks", "nifti", "--out", tmp_path, *ALL)
    assert echo_predict(runs / "mask", video, *options) == 0
    image = nibabel.load(tmp_path / "study.nii.gz")
    with np.load(tmp_path / "study.npz") as arrays:
        np.testing.assert_array_equal(np.asarray(image.dataobj), arrays["masks"].transpose(2, 1, 0))
    assert image.header.get_zooms() == pytest.approx((1, 1, 0.04))


def test_a_clip_does_not_take_the_name_of_the_table(
    runs: Path, video: Path, tmp_path: Path
) -> None:
    shutil.copy(video, tmp_path / "Measures.avi")
    options = ("--no-overlay", "--out", tmp_path / "out", *ALL)
    assert echo_predict(runs / "mask", tmp_path / "Measures.avi", *options) == 0
    assert [row["clip"] for row in csv_rows(tmp_path / "out" / "measures.csv")] == ["Measures-2"]
    assert len(csv_rows(tmp_path / "out" / "Measures-2.csv")) == 10


def test_the_input_is_not_written_over_under_any_name(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("s.avi", "s.mp4", "t.data"):
        shutil.copy(video, tmp_path / name)
    (tmp_path / "t.mp4").symlink_to("t.data")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    videos = [tmp_path / name for name in before]
    options = ("--out", tmp_path, "--frames", "0", *ALL)
    for force in ((), ("--force",)):
        assert echo_predict(runs / "mask", *videos, *options, *force) == 1
        assert "would be written over the input" in capsys.readouterr().err
        for name, content in before.items():
            assert (tmp_path / name).read_bytes() == content
    assert (tmp_path / "t.mp4").is_symlink()
    # The second video of a name does not write to the name of the first.
    assert (tmp_path / "s-2.mp4").is_file()


def test_a_file_of_another_origin_is_replaced_only_with_force(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.csv").write_text("somebody else's")
    options = ("--out", tmp_path, "--frames", "0", "--no-overlay", *ALL)
    assert echo_predict(runs / "mask", video, *options) == 1
    assert "study.csv is there already and was not written by" in capsys.readouterr().err
    assert (tmp_path / "study.csv").read_text() == "somebody else's"
    assert not (tmp_path / "study.npz").exists()
    assert echo_predict(runs / "mask", video, *options, "--force") == 0
    assert len(csv_rows(tmp_path / "study.csv")) == 1
    assert echo_predict(runs / "mask", video, *options) == 0
