"""Clips are read from videos in chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from echo_common.errors import DataError, DataNotFoundError
from echo_train.prediction.clip import Clip
from support.avi import avi_bytes, jpeg
from support.clips import read_clip
from support.datasets import frame_pattern


def test_frames_are_read_from_the_video(video: Path) -> None:
    clip, frames = read_clip(video)
    assert clip.rate == 25 and clip.shape == (112, 112)
    assert frames.numbers.tolist() == list(range(10))
    for number, image in enumerate(frames.images):
        # Motion-JPEG loses a little.
        assert np.abs(image.astype(int) - frame_pattern(1, number)).mean() < 3
    _, few = read_clip(video, [7, 2, 7])
    assert few.numbers.tolist() == [2, 7]
    np.testing.assert_array_equal(few.images, frames.images[[2, 7]])


def test_chunks_have_bounded_frames_and_pixels(tmp_path: Path) -> None:
    images = [jpeg(np.full((8, 8), 60, np.uint8))] * 130
    (tmp_path / "long.avi").write_bytes(avi_bytes(images, (8, 8)))
    sizes = [len(chunk.numbers) for chunk in Clip(tmp_path / "long.avi").chunks()]
    assert sizes == [64, 64, 2]
    images = [jpeg(np.full((2048, 4096), 60, np.uint8))] * 3
    (tmp_path / "large.avi").write_bytes(avi_bytes(images, (2048, 4096)))
    sizes = [len(chunk.numbers) for chunk in Clip(tmp_path / "large.avi").chunks()]
    assert sizes == [2, 1]


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
    clip, frames = read_clip(tmp_path / "cut.avi")
    assert clip.faults == (f"the file is cut short after {len(frames.numbers)} frames",)
    np.testing.assert_array_equal(frames.images, read_clip(video)[1].images[: len(frames.numbers)])
