"""The overlay of a clip: its frames with contours and landmarks drawn over them, as MP4."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from echo_common.errors import EchoError, OutputError

OVERLAY_SIDE = 448
"""Approximate length of the longer side of an overlay of small frames, in pixels."""

_RED = (54, 90, 255)
"""Colour of the contour, as (blue, green, red)."""

_WHITE = (255, 255, 255)

CAPTION_HEIGHT = 24
"""Height in pixels of the strip above the frame with number, time and phase."""

_SHIFT = 4
"""Fractional bits of OpenCV's coordinates: lines are placed to 1/16 of a pixel."""

_RATE = 30
"""Frames per second of the overlay of a video without time stamps."""

_TICKS = 90_000
"""Units of a time stamp in a second."""


def save_overlay(path: Path, frames: Iterable[tuple[float, np.ndarray]]) -> None:
    """Write frames as H.264 in MP4, which browsers play.

    Parameters
    ----------
    frames : iterable of (float, ndarray (y, x, 3) uint8)
        Time in seconds, NaN if unknown, and colours as (blue, green, red); all of one size.

    Raises
    ------
    OutputError
        If the file cannot be written completely, or this build of FFmpeg has no H.264 encoder.
    """
    if "libx264" not in av.codec.codecs_available:
        raise OutputError(
            "this build of PyAV has no H.264 encoder (libx264), which the overlay needs; install "
            "PyAV from PyPI, or leave the overlay out with --no-overlay"
        )
    try:
        with path.open("wb") as file:
            _encode(file, frames)
    except (av.error.FFmpegError, OSError) as error:
        if isinstance(error, EchoError):
            # It comes from the frames.
            raise
        raise OutputError(
            f"{path.name} cannot be written completely; check the free space of the disk and the "
            "limit of file sizes (ulimit -f), or leave it out with --no-overlay"
        ) from error


def _encode(file: io.BufferedWriter, frames: Iterable[tuple[float, np.ndarray]]) -> None:
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=_RATE, options={"preset": "veryfast", "crf": "20"}
        )
        stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        last = -1
        for number, (seconds, canvas) in enumerate(frames):
            # The encoder takes even sizes.
            even = np.pad(canvas, [(0, side % 2) for side in canvas.shape[:2]] + [(0, 0)])
            if last < 0:
                stream.height, stream.width = even.shape[:2]
            frame = av.VideoFrame.from_ndarray(even, format="bgr24")
            time = number / _RATE if math.isnan(seconds) else seconds
            last = frame.pts = max(round(time * _TICKS), last + 1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def draw(
    image: np.ndarray, contour: np.ndarray, points: np.ndarray | None, caption: str
) -> np.ndarray:
    """Draw contour and landmarks over an enlarged frame, with a caption above it.

    Parameters
    ----------
    image : ndarray, (y, x) uint8
    contour : ndarray, (point, 2) float
        Rows of NaN are left out.
    points : ndarray, (landmark, 2) float, or None

    Returns
    -------
    canvas : ndarray, (y, x, 3) uint8
        As (blue, green, red).
    """
    # Small frames are enlarged by an integer factor.
    factor = max(1, round(OVERLAY_SIDE / max(image.shape)))
    size = (factor * image.shape[1], factor * image.shape[0])
    canvas = np.asarray(cv2.resize(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), size))
    line = contour[~np.isnan(contour).any(axis=1)]
    if len(line):
        cv2.polylines(canvas, [_to_canvas(line, factor)], True, _RED, 1, cv2.LINE_AA, _SHIFT)
    if points is not None:
        for centre in _to_canvas(points[~np.isnan(points).any(axis=1)], factor).tolist():
            cv2.circle(canvas, centre, 3 << _SHIFT, _RED, -1, cv2.LINE_AA, _SHIFT)
    strip = np.zeros((CAPTION_HEIGHT, canvas.shape[1], 3), np.uint8)
    cv2.putText(
        strip, caption, (6, CAPTION_HEIGHT - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _WHITE, 1,
        cv2.LINE_AA,
    )  # fmt: skip
    return np.concatenate([strip, canvas])


def _to_canvas(points: np.ndarray, factor: int) -> np.ndarray:
    """Convert points to the fixed-point pixels of the enlarged frame."""
    # Pixel centres are at integers, so the edge of the image is at -0.5.
    enlarged = (points + 0.5) * factor - 0.5
    return np.rint(enlarged * (1 << _SHIFT)).astype(np.int32)
