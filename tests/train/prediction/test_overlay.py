"""The overlay of a clip: what is drawn, its encoding and its times."""

from __future__ import annotations

import math
import resource
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from echo_common.errors import OutputError
from echo_common.output_folder import OutputFolder
from echo_train.prediction.overlay import CAPTION_HEIGHT, draw, save_overlay

SQUARE = np.array([[14.5, 9.5], [29.5, 9.5], [29.5, 19.5], [14.5, 19.5]])


def overlay(seconds: list[float]) -> list[tuple[float, np.ndarray]]:
    """A frame with a rectangle, and others without."""
    image = np.full((40, 50), 60, np.uint8)
    contours = [SQUARE, *[np.full((4, 2), np.nan)] * (len(seconds) - 1)]
    return [
        (time, draw(image, contour, None, ""))
        for time, contour in zip(seconds, contours, strict=True)
    ]


def test_the_overlay_draws_the_contour_along_the_mask_and_keeps_the_times(tmp_path: Path) -> None:
    save_overlay(tmp_path / "study.mp4", overlay([0, 0.75]))
    with av.open(str(tmp_path / "study.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        decoded = list(container.decode(stream))
    assert [frame.time for frame in decoded] == [0, 0.75]
    frames = [frame.to_ndarray(format="bgr24")[CAPTION_HEIGHT:] for frame in decoded]
    factor = round(448 / 50)
    assert frames[0].shape == (40 * factor, 50 * factor, 3)
    red = frames[0][..., 2].astype(int) - frames[0][..., 0] > 60
    y, x = np.nonzero(red)
    expected = [15 * factor, 30 * factor - 1, 10 * factor, 20 * factor - 1]
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], expected, atol=2)
    assert not red[12 * factor : 18 * factor, 17 * factor : 28 * factor].any()
    assert not (frames[1][..., 2].astype(int) - frames[1][..., 0] > 60).any()
    assert [path.name for path in tmp_path.iterdir()] == ["study.mp4"]


def test_an_overlay_of_odd_size_without_time_stamps(tmp_path: Path) -> None:
    frames = [(math.nan, np.full((451, 3, 3), 90, np.uint8))] * 3
    save_overlay(tmp_path / "a.mp4", frames)
    with av.open(str(tmp_path / "a.mp4")) as container:
        decoded = list(container.decode(video=0))
    assert (decoded[0].width, decoded[0].height) == (4, 452)
    assert [frame.time for frame in decoded] == pytest.approx([0, 1 / 30, 2 / 30], abs=1e-4)


def test_an_overlay_that_may_not_grow_is_an_error_and_the_old_one_stays(tmp_path: Path) -> None:
    with OutputFolder(tmp_path) as output:
        with output.writer("study.mp4") as path:
            save_overlay(path, overlay([0, 0.5]))
        before = (tmp_path / "study.mp4").read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            with (
                pytest.raises(OutputError, match="cannot be written completely"),
                output.writer("study.mp4") as path,
            ):
                resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
                save_overlay(path, overlay([0, 0.5]))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "study.mp4").read_bytes() == before


def test_the_caption_is_above_the_frame() -> None:
    image = np.full((40, 50), 60, np.uint8)
    plain = draw(image, np.full((4, 2), np.nan), None, "")
    captioned = draw(image, np.full((4, 2), np.nan), None, "frame 12  0.24 s  ED")
    changed = np.flatnonzero((plain != captioned).any(axis=(1, 2)))
    assert len(changed) > 0 and changed.max() < CAPTION_HEIGHT


@pytest.mark.browser
def test_a_browser_plays_the_overlay(browser: Any, tmp_path: Path) -> None:
    save_overlay(tmp_path / "study.mp4", overlay([0.0, 0.1, 0.2, 0.4]))
    (tmp_path / "page.html").write_text("<video src='study.mp4' muted></video>")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    played = page.evaluate(
        """async () => {
            const video = document.querySelector("video");
            const ended = new Promise((done, fail) => {
                video.onended = done;
                video.onerror = () => fail(video.error.message);
            });
            await video.play();
            await ended;
            return [video.videoWidth, video.videoHeight, video.duration];
        }"""
    )
    page.close()
    assert played[:2] == [450, 360 + CAPTION_HEIGHT] and played[2] >= 0.4
