"""Videos of the user's: reading their frames, and drawing contours over them."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from echo_common.errors import DataError, DataNotFoundError
from echo_common.video.content import HEAD_BYTES, VideoError, container_format
from echo_common.video.reader import Video
from echo_train.targets.base import Prediction

SHOWN = 448
"""Pixels that the larger side of an overlay has, about."""

_RED = (54, 90, 255)
"""Colour of the contour, as (blue, green, red)."""


_RATE = 30.0
"""Frames per second of an overlay of a video that has no rate."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Film:
    """Frames of a video.

    Attributes
    ----------
    path : Path
    numbers : ndarray, (frame,) int64
        Which frames, from 0, ascending.
    seconds : ndarray, (frame,) float64
        Time stamps, from the first frame of the video; NaN if the file has none.
    images : ndarray, (frame, y, x) uint8
    rate : float or None
        Frames per second; None if the file does not tell.
    faults : tuple of str
        Frames that could not be read, and why; they are left out.
    """

    path: Path
    numbers: np.ndarray
    seconds: np.ndarray
    images: np.ndarray
    rate: float | None
    faults: tuple[str, ...] = ()


def read_film(path: Path, numbers: Sequence[int] | None = None) -> Film:
    """Read a video as gray frames.

    Parameters
    ----------
    path : Path
    numbers : sequence of int, optional
        Which frames, from 0; all by default.

    Raises
    ------
    DataNotFoundError
        If there is no such file.
    DataError
        If it is not a video, holds no sound frame, or ends before a frame that
        was asked for.
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
            f"{path} has {count} frames, counted from 0, and frame {absent[0]} was asked for"
        )
    faults = [frame.fault for frame in frames if frame.fault]
    if ending and (absent or numbers is None):
        faults.append(ending)
    sound = [frame for frame in frames if frame.pixels is not None]
    if not sound:
        raise DataError(f"{path}: {faults[0] if faults else 'the video has no frame'}")
    return Film(
        path=path,
        numbers=np.array([frame.number for frame in sound]),
        seconds=np.array([frame.seconds for frame in sound], dtype=np.float64),
        images=np.array([frame.pixels for frame in sound]),
        rate=rate,
        faults=tuple(faults),
    )


def list_videos(folder: Path) -> list[Path]:
    """Find the videos in a folder, by their content, sorted by name.

    Raises
    ------
    DataError
        If there is none, or the folder cannot be read.
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
        raise DataError(f"{folder} is a folder without videos; give a folder that holds some")
    return videos


def save_overlay(path: Path, film: Film, prediction: Prediction) -> None:
    """Write an AVI (Motion-JPEG) of the contours, and of the landmarks, over the frames.

    Small frames are enlarged by a whole factor.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    height, width = film.images.shape[1:]
    factor = max(1, round(SHOWN / max(height, width)))
    # OpenCV tells the format by the name, so the temporary one ends in it as well.
    temporary = path.with_name(f".{path.stem}.tmp.avi")
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(
        str(temporary), code, film.rate or _RATE, (factor * width, factor * height)
    )
    try:
        if not writer.isOpened():
            raise OSError(errno.EIO, "cannot be written", str(path))
        for place in range(len(film.images)):
            writer.write(_draw(film, prediction, place, factor))
        writer.release()
        temporary.replace(path)
    finally:
        writer.release()
        temporary.unlink(missing_ok=True)


def _draw(film: Film, prediction: Prediction, place: int, factor: int) -> np.ndarray:
    image = cv2.cvtColor(film.images[place], cv2.COLOR_GRAY2BGR)
    image = np.asarray(cv2.resize(image, None, fx=factor, fy=factor))
    large = prediction.masks[place].repeat(factor, axis=0).repeat(factor, axis=1)
    contours, _ = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, contours, -1, _RED, 1, cv2.LINE_AA)
    if prediction.points is not None:
        for x, y in (prediction.points[place] + 0.5) * factor - 0.5:
            if not np.isnan(x):
                cv2.circle(image, (round(x), round(y)), 3, _RED, -1, cv2.LINE_AA)
    return image
