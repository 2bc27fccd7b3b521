"""Videos of the user's: reading their frames, and drawing contours over them."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from echo_common.errors import DataError, DataNotFoundError
from echo_common.video.gray import to_gray
from echo_train.targets.base import Prediction

SHOWN = 448
"""Pixels that the larger side of an overlay has, about."""

_RED = (54, 90, 255)
"""Colour of the contour, as (blue, green, red)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Film:
    """Frames of a video.

    Attributes
    ----------
    path : Path
    numbers : ndarray, (frame,) int64
        Which frames, from 0, ascending.
    images : ndarray, (frame, y, x) uint8
    rate : float
        Frames a second.
    """

    path: Path
    numbers: np.ndarray
    images: np.ndarray
    rate: float


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
        If it is no video, holds no frame, ends before a frame that was asked
        for, or stops before the end that its header promises.
    """
    if not path.is_file():
        raise DataNotFoundError(f"no video {path}")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise DataError(f"{path} is no video, or its codec is not known here")
        promised, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
        wanted = None if numbers is None else set(numbers)
        images, kept, count = [], [], 0
        while (wanted is None or count <= max(wanted)) and capture.grab():
            if wanted is None or count in wanted:
                done, pixels = capture.retrieve()
                if not done:
                    raise DataError(f"{path}: frame {count} is damaged and cannot be decoded")
                images.append(to_gray(np.asarray(pixels)))
                kept.append(count)
            count += 1
    except cv2.error as error:
        raise DataError(f"{path} cannot be decoded: {error.err}") from error
    finally:
        capture.release()
    if count == 0:
        raise DataError(f"{path} holds no frame that can be decoded")
    if wanted is not None and (beyond := sorted(wanted - set(kept))):
        raise DataError(
            f"{path} has {count} frames, counted from 0, and frame {beyond[0]} was asked for"
        )
    if wanted is None and count < promised:
        raise DataError(
            f"{path} ends after {count} of the {promised} frames that its header promises; copy "
            f"it again, or give --frames below {count}"
        )
    return Film(path=path, numbers=np.array(kept), images=np.array(images), rate=rate or 30.0)


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
    writer = cv2.VideoWriter(str(temporary), code, film.rate, (factor * width, factor * height))
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
