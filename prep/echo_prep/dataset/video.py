"""Read the traced frames of a video.

Motion-JPEG is read by random access (`echo_common.video.avi`). FFmpeg decodes
any other codec, and Motion-JPEG with dropped frames, from the beginning up to
the last traced frame, since a seek in an inter-coded video is not exact.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from echo_common.store.schema import STATUSES
from echo_common.video.avi import (
    MOTION_JPEG,
    AviError,
    AviIndex,
    jpeg_shape,
    read_frame_bytes,
    read_index,
)
from echo_common.video.gray import to_gray
from echo_prep.dataset.file_names import RefusedError, locate_video

OK = STATUSES.index("ok")
MISSING = STATUSES.index("missing")
REFUSED = STATUSES.index("refused")
UNREADABLE = STATUSES.index("unreadable")
BEYOND_END = STATUSES.index("beyond-end")
WRONG_SIZE = STATUSES.index("wrong-size")

_FFMPEG_OPTIONS = {
    # One thread per worker, and nothing on stderr: faults are reported by status and message.
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "threads;1",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameRead:
    """A frame, or the reason why it could not be read.

    Attributes
    ----------
    pixels : ndarray, (height, width) uint8, or None
        Gray values; None if status is not 0.
    status : int
        Code of `echo_common.store.schema.STATUSES`.
    message : str
        Description of the fault; empty if status is 0.
    """

    pixels: np.ndarray | None
    status: int = OK
    message: str = ""


def prepare_process() -> None:
    """Limit OpenCV to one thread and silence its decoders in this process."""
    os.environ.update(_FFMPEG_OPTIONS)
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def file_size(folder: Path, name: str) -> int | None:
    """Size in bytes of a video's file; None if there is no file that may be opened."""
    try:
        return locate_video(folder, name).stat().st_size
    except (OSError, RefusedError):
        return None


def read_frames(
    folder: Path, name: str, numbers: Sequence[int], shape: tuple[int, int]
) -> list[FrameRead]:
    """Read frames of a video as gray images.

    Parameters
    ----------
    folder : Path
        The data set's folder of videos.
    name : str
        The video's name without its suffix.
    numbers : sequence of int
        0-based indices into the decoded video, in any order.
    shape : tuple of int
        (height, width) that every frame must have.

    Returns
    -------
    reads : list of FrameRead
        One per number; a fault of the file is repeated for each.
    """
    try:
        path = locate_video(folder, name)
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return _all(numbers, MISSING, f"there is no {name}.avi in {folder.name}/")
    except RefusedError as error:
        return _all(numbers, REFUSED, str(error))
    except OSError as error:
        return _all(numbers, UNREADABLE, f"the file cannot be opened: {error.strerror}")
    try:
        index = read_index(handle)
        if index.codec in MOTION_JPEG and all(size for _, size in index.frames):
            return [_read_jpeg(handle, index, number, shape) for number in numbers]
    except AviError as error:
        return _all(numbers, UNREADABLE, str(error))
    except OSError as error:
        return _all(numbers, UNREADABLE, f"the file cannot be read: {error.strerror}")
    finally:
        os.close(handle)
    return _decode(path, numbers, shape, index.cut)


def _read_jpeg(handle: int, index: AviIndex, number: int, shape: tuple[int, int]) -> FrameRead:
    if number >= len(index.frames):
        return _past_end(number, len(index.frames), index.cut)
    try:
        content = read_frame_bytes(handle, index, number)
    except AviError as error:
        return FrameRead(pixels=None, status=UNREADABLE, message=str(error))
    claimed = jpeg_shape(content)
    if claimed is not None and claimed != shape:
        return _wrong_size(claimed, shape)
    pixels = None
    if claimed is not None:
        # The gray image is the luma of the JPEG, without conversion to colour and back.
        flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
        with contextlib.suppress(cv2.error):
            pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), flags)
    if pixels is None:
        message = f"frame {number} is damaged: its JPEG image cannot be decoded"
        return FrameRead(pixels=None, status=UNREADABLE, message=message)
    return _sized(np.asarray(pixels, dtype=np.uint8), shape)


def _decode(
    path: Path, numbers: Sequence[int], shape: tuple[int, int], cut: bool
) -> list[FrameRead]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            return _all(numbers, UNREADABLE, "the file's codec cannot be decoded")
        found: dict[int, FrameRead] = {}
        count = 0
        while count <= max(numbers) and capture.grab():
            if count in numbers:
                done, pixels = capture.retrieve()
                if done:
                    found[count] = _sized(to_gray(np.asarray(pixels)), shape)
            count += 1
    except cv2.error as error:
        return _all(numbers, UNREADABLE, f"the file cannot be decoded: {error.err}")
    finally:
        capture.release()
    return [found.get(number) or _past_end(number, count, cut) for number in numbers]


def _sized(pixels: np.ndarray, shape: tuple[int, int]) -> FrameRead:
    if pixels.shape == shape:
        return FrameRead(pixels=pixels)
    return _wrong_size(pixels.shape, shape)


def _wrong_size(found: tuple[int, ...], shape: tuple[int, int]) -> FrameRead:
    height, width = found
    message = f"the frames are {width}x{height}, and the data set's {shape[1]}x{shape[0]}"
    return FrameRead(pixels=None, status=WRONG_SIZE, message=message)


def _past_end(number: int, count: int, cut: bool) -> FrameRead:
    if cut:
        message = f"the file is cut short after {count} frames, before frame {number}"
        return FrameRead(pixels=None, status=UNREADABLE, message=message)
    message = f"frame {number} is traced, and the video has frames 0 to {count - 1}"
    return FrameRead(
        pixels=None,
        status=BEYOND_END,
        message=message if count else "the video has no frame",
    )


def _all(numbers: Sequence[int], status: int, message: str) -> list[FrameRead]:
    return [FrameRead(pixels=None, status=status, message=message) for _ in numbers]
