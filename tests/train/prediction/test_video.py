"""Clips are read from videos, and the table and the overlay of a clip are written."""

from __future__ import annotations

import resource
from pathlib import Path

import cv2
import numpy as np
import pytest

from echo_common.errors import DataError, DataNotFoundError, OutputError
from echo_common.measures.outline import soft_outlines
from echo_common.output_folder import OutputFolder
from echo_train.prediction.segment import area_table
from echo_train.prediction.video import Clip, read_clip, save_overlay
from echo_train.targets.base import Prediction
from support.datasets import frame_pattern


def test_frames_are_read_from_the_video(video: Path) -> None:
    clip = read_clip(video)
    assert clip.rate == 25 and clip.numbers.tolist() == list(range(10))
    for number, image in enumerate(clip.images):
        # Motion-JPEG loses a little.
        assert np.abs(image.astype(int) - frame_pattern(1, number)).mean() < 3
    few = read_clip(video, [7, 2, 7])
    assert few.numbers.tolist() == [2, 7]
    np.testing.assert_array_equal(few.images, clip.images[[2, 7]])


def test_bad_videos_are_errors_with_the_reason(video: Path, tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"no video .*nothing\.avi"):
        read_clip(tmp_path / "nothing.avi")
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(DataError, match=r"text\.avi: the file is text, not a video"):
        read_clip(tmp_path / "text.avi")
    with pytest.raises(DataError, match="has 10 frames, counted from 0, so it has no frame 10"):
        read_clip(video, [3, 10])
    content = video.read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) * 6 // 10])
    clip = read_clip(tmp_path / "cut.avi")
    assert clip.faults == (f"the file is cut short after {len(clip.numbers)} frames",)
    np.testing.assert_array_equal(clip.images, read_clip(video).images[: len(clip.numbers)])


def predicted() -> tuple[Clip, Prediction]:
    clip = Clip(
        path=Path("study.avi"),
        numbers=np.array([0, 10]),
        seconds=np.array([0, 0.5]),
        images=np.full((2, 40, 50), 60, np.uint8),
        rate=20.0,
    )
    masks = np.zeros((2, 40, 50), np.uint8)
    masks[0, 10:20, 15:30] = 1
    points = np.array([[[15, 10], [29, 19]], [[np.nan, np.nan], [1.5, 2]]], dtype=np.float32)
    contours = soft_outlines(masks, 0.5)
    return clip, Prediction(masks=masks, contours=contours, points=points)


def test_the_table_has_area_and_landmarks_of_every_frame() -> None:
    clip, prediction = predicted()
    assert area_table(clip, prediction).splitlines() == [
        "frame,seconds,area_px,x0,y0,x1,y1,missed",
        "0,0.0000,150,15.000,10.000,29.000,19.000,0",
        "10,0.5000,0,,,1.500,2.000,1",
    ]
    without = Prediction(masks=prediction.masks, contours=prediction.contours)
    assert area_table(clip, without).splitlines()[1] == "0,0.0000,150,0"


def test_the_overlay_draws_the_contour_along_the_mask(tmp_path: Path) -> None:
    clip, prediction = predicted()
    without = Prediction(masks=prediction.masks, contours=prediction.contours)
    save_overlay(tmp_path / "study.avi", clip, without)
    capture = cv2.VideoCapture(str(tmp_path / "study.avi"))
    assert capture.get(cv2.CAP_PROP_FPS) == 20
    frames = [capture.read()[1] for _ in range(2)]
    assert not capture.read()[0]
    factor = round(448 / 50)
    assert frames[0].shape == (40 * factor, 50 * factor, 3)
    red = frames[0][..., 2].astype(int) - frames[0][..., 0] > 60
    y, x = np.nonzero(red)
    expected = [15 * factor, 30 * factor - 1, 10 * factor, 20 * factor - 1]
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], expected, atol=2)
    assert not red[12 * factor : 18 * factor, 17 * factor : 28 * factor].any()
    assert not (frames[1][..., 2].astype(int) - frames[1][..., 0] > 60).any()
    assert [path.name for path in tmp_path.iterdir()] == ["study.avi"]


def test_an_overlay_that_may_not_grow_is_an_error_and_the_old_one_stays(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip, prediction = predicted()
    with OutputFolder(tmp_path) as output:
        with output.writer("study.avi") as path:
            save_overlay(path, clip, prediction)
        before = (tmp_path / "study.avi").read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            with (
                pytest.raises(OutputError, match="cannot be written completely"),
                output.writer("study.avi") as path,
            ):
                resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
                save_overlay(path, clip, prediction)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "study.avi").read_bytes() == before
