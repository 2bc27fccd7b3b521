"""Videos to segment: reading their frames, and drawing contours over them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from echo_common.errors import DataError, DataNotFoundError, OutputError
from echo_common.geometry.raster import mask_outlines
from echo_common.video.content import HEAD_BYTES, VideoError, container_format
from echo_common.video.video_file import Video
from echo_train.targets.base import Prediction

OVERLAY_SIDE = 448
"""Approximate length of the longer side of an overlay, in pixels."""

_RED = (54, 90, 255)
"""Colour of the contour, as (blue, green, red)."""

_SHIFT = 4
"""Fractional bits of OpenCV's coordinates: lines are placed to 1/16 of a pixel."""

_RATE = 30.0
"""Frames per second of the overlay of a video without a frame rate."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """Frames of a video.

    Attributes
    ----------
    path : Path
    numbers : ndarray, (frame,) int64
        Index of each frame in the video, from 0, ascending.
    seconds : ndarray, (frame,) float64
        Time since the first frame of the video; NaN if the file has no time stamps.
    images : ndarray, (frame, y, x) uint8
    rate : float or None
        Frames per second; None if unknown.
    faults : tuple of str
        Frames that could not be read and are left out, with the reason.
    """

    path: Path
    numbers: np.ndarray
    seconds: np.ndarray
    images: np.ndarray
    rate: float | None
    faults: tuple[str, ...] = ()


def read_clip(path: Path, numbers: Sequence[int] | None = None) -> Clip:
    """Read a video as gray frames.

    Parameters
    ----------
    path : Path
    numbers : sequence of int, optional
        Frames to read, from 0; all by default.

    Raises
    ------
    DataNotFoundError
        If there is no such file.
    DataError
        If it is not a video, has no readable frame, or ends before a requested frame.
    """
    try:
        with Video(path) as video:
            frames = list(video.frames(None if numbers is None else set(numbers)))
            rate, count, ending = video.rate, video.count, video.ending()
    except VideoError as error:
        raise DataError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise DataNotFoundError(f"no video {path}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    absent = sorted(set(numbers or ()) - {frame.number for frame in frames})
    if absent and not ending:
        raise DataError(
            f"{path} has {count} frames, counted from 0, so it has no frame {absent[0]}"
        )
    faults = [frame.fault for frame in frames if frame.fault]
    if ending and (absent or numbers is None):
        faults.append(ending)
    readable = [frame for frame in frames if frame.pixels is not None]
    if not readable:
        raise DataError(f"{path}: {faults[0] if faults else 'the video has no frame'}")
    return Clip(
        path=path,
        numbers=np.array([frame.number for frame in readable]),
        seconds=np.array([frame.seconds for frame in readable], dtype=np.float64),
        images=np.array([frame.pixels for frame in readable]),
        rate=rate,
        faults=tuple(faults),
    )


def list_videos(folder: Path) -> list[Path]:
    """Find the videos in a folder, by their content, sorted by name.

    Raises
    ------
    DataError
        If there is no video, or the folder cannot be read.
    """
    videos = []
    try:
        for path in sorted(folder.iterdir()):
            with contextlib.suppress(VideoError):
                if path.is_file():
                    with path.open("rb") as file:
                        container_format(file.read(HEAD_BYTES))
                    videos.append(path)
    except OSError as error:
        raise DataError(f"{folder} cannot be searched for videos: {error.strerror}") from error
    if not videos:
        raise DataError(f"{folder} contains no videos; give a folder that does")
    return videos


def save_overlay(path: Path, clip: Clip, prediction: Prediction) -> None:
    """Draw contours and landmarks over the frames, and write them as an AVI (Motion-JPEG).

    Small frames are enlarged by an integer factor.

    Raises
    ------
    OutputError
        If the file cannot be written completely.
    """
    height, width = clip.images.shape[1:]
    factor = max(1, round(OVERLAY_SIDE / max(height, width)))
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), code, clip.rate or _RATE, (factor * width, factor * height))
    try:
        for number, image in enumerate(clip.images):
            points = None if prediction.points is None else prediction.points[number]
            writer.write(_draw(image, prediction.masks[number], points, factor))
    finally:
        writer.release()
    # OpenCV reports neither a full disk nor a limit, so what it wrote is read again.
    if _sound_frames(path) != len(clip.images):
        raise OutputError(
            f"{path.name} cannot be written completely; check the free space of the disk and the "
            "limit of file sizes (ulimit -f), or leave it out with --no-overlay"
        )


def _sound_frames(path: Path) -> int:
    """Count the frames of a video; 0 if the file is not complete."""
    try:
        with Video(path) as video:
            count = sum(frame.pixels is not None for frame in video.frames())
            return 0 if video.ending() else count
    except (OSError, VideoError):
        return 0


def _draw(
    image: np.ndarray, mask: np.ndarray, points: np.ndarray | None, factor: int
) -> np.ndarray:
    size = (factor * image.shape[1], factor * image.shape[0])
    canvas = np.asarray(cv2.resize(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), size))
    lines = [_to_canvas(outline, factor) for outline in mask_outlines(mask)]
    cv2.polylines(canvas, lines, True, _RED, 1, cv2.LINE_AA, _SHIFT)
    if points is not None:
        for centre in _to_canvas(points[~np.isnan(points).any(axis=1)], factor).tolist():
            cv2.circle(canvas, centre, 3 << _SHIFT, _RED, -1, cv2.LINE_AA, _SHIFT)
    return canvas


def _to_canvas(points: np.ndarray, factor: int) -> np.ndarray:
    """Convert points to the fixed-point pixels of the enlarged frame."""
    # Pixel centres are at integers, so the edge of the image is at -0.5.
    enlarged = (points + 0.5) * factor - 0.5
    return np.rint(enlarged * (1 << _SHIFT)).astype(np.int32)
